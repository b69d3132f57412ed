import { passIf, type VerifyCheck } from './check.ts'

/** OpenClaw needs none. */
export const composeCapabilities: VerifyCheck = {
  id: 'compose.capabilities',
  title: 'docker-compose.yml drops every capability',
  line: 3,
  threat: 'privilege escalation',
  severity: 'critical',
  kind: 'static',
  remedy: 'Set cap_drop: [ALL] and no cap_add in docker-compose.yml.',
  refs: { seed: 'Container Security Options', cis: '5.4' },
  async run(world) {
    const { capDrop, capAdd } = await world.service()
    return passIf(
      capDrop.some(name => name.toUpperCase() === 'ALL') && capAdd.length === 0,
      `docker-compose.yml: cap_drop ${JSON.stringify(capDrop)}, cap_add ${JSON.stringify(capAdd)}`,
    )
  },
  sabotage: { weaken: twin => twin.service({ cap_drop: ['NET_RAW'] }) },
}
