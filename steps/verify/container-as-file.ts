import { passIf, unknown, type VerifyCheck } from './check.ts'

/** Somebody may have started another one in its place, or edited the file since. */
export const containerAsFile: VerifyCheck = {
  id: 'container.as-file',
  title: 'The container is the one the file describes',
  line: 3,
  threat: 'privilege escalation',
  severity: 'high',
  kind: 'live',
  remedy: 'Run create-openclaw-secure . again: it makes the container anew.',
  refs: { seed: 'Docker Security Hardening' },
  async run(world) {
    const planned = await world.plannedHash()
    const { Config } = await world.container()
    const running = Config.Labels?.['com.docker.compose.config-hash']
    if (planned === '') return unknown('Compose could not read docker-compose.yml')
    return passIf(
      planned === running,
      `docker compose config --hash: ${planned.slice(0, 12)}…; the container’s label: ${running?.slice(0, 12) ?? 'none'}…`,
    )
  },
  sabotage: { spoil: twin => twin.service({ image: `sha256:${'0'.repeat(64)}` }) },
}
