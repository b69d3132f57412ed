import type { Check } from '../../src/procedure/step.ts'
import { passIf } from './judge.ts'
import type { World } from './world.ts'

/** At three in the morning nobody looks up whom to call. */
export const incidentDocumented: Check<World> = {
  id: 'incident.documented',
  title: 'The runbook is there and names who is called first',
  line: 10,
  threat: 'credential leakage',
  severity: 'medium',
  remedy:
    'Set incident.contact in deployment.yaml (or --contact "name, phone") and run create-openclaw-secure . again; keep both procedures in runbooks/README.md.',
  refs: { seed: 'Incident Response' },
  bySetup: false,
  async run(world) {
    const path = `${world.layout.runbooks}/README.md`
    const text = world.file(path)?.kind === 'file' ? await world.text(path) : ''
    const cases = ['A token or a key has leaked', 'The container may be compromised'].filter(title =>
      text.includes(title),
    )
    const { contact } = world.answers
    return passIf(
      cases.length === 2 && contact !== '',
      `runbooks/README.md: ${text === '' ? 'not there' : `${cases.length} of 2 procedures`}; ${contact === '' ? 'it names nobody to call' : 'it names who is called first'}`,
    )
  },
  sabotage: world => ({ ...world, answers: { ...world.answers, contact: '' } }),
}
