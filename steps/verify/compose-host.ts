import { passIf, type VerifyCheck } from './check.ts'

/** Each of these undoes all other checks. */
export const composeHost: VerifyCheck = {
  id: 'compose.host',
  title: 'docker-compose.yml shares nothing of the machine',
  line: 3,
  threat: 'privilege escalation',
  severity: 'critical',
  kind: 'static',
  remedy:
    'Remove it from docker-compose.yml (the engine’s socket: agent.sandbox is ssh in deployment.yaml, and create-openclaw-secure . again).',
  refs: { seed: 'Docker Security Hardening', cis: '5.5, 5.10, 5.16-5.18, 5.21, 5.31, 5.32' },
  async run(world) {
    const { shared } = await world.service()
    return passIf(
      shared.length === 0,
      `docker-compose.yml: ${shared.length === 0 ? 'not privileged; no namespace, device or engine socket of the machine' : `it has ${shared.join(', ')}`}`,
    )
  },
  sabotage: { weaken: twin => twin.service({ pid: 'host' }) },
}
