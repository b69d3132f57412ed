import { passIf, type VerifyCheck } from './check.ts'

/** Nor looks up whom to call. */
export const incidentContact: VerifyCheck = {
  id: 'incident.contact',
  title: 'The runbook names who is called first',
  line: 10,
  threat: 'credential leakage',
  severity: 'medium',
  kind: 'static',
  remedy:
    'Set incident.contact in deployment.yaml (or --contact "name, phone") and run create-openclaw-secure . again.',
  refs: { seed: 'Incident Response' },
  later: true,
  async run(world) {
    const { contact } = world.own ?? { contact: '' }
    return passIf(
      contact !== '',
      contact === ''
        ? 'no deployment.yaml names anybody to call'
        : 'deployment.yaml: it names who is called first',
    )
  },
  sabotage: {
    weaken(twin) {
      const kept = twin
        .read('deployment.yaml')
        .split('\n')
        .filter(line => !/^ +contact:/.test(line))
      twin.write('deployment.yaml', kept.join('\n'))
    },
  },
}
