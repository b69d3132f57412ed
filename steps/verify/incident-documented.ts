import { passIf, type VerifyCheck } from './check.ts'

/** At three in the morning nobody thinks of the right order. */
export const incidentDocumented: VerifyCheck = {
  id: 'incident.documented',
  title: 'The runbook is there, with both procedures',
  line: 10,
  threat: 'credential leakage',
  severity: 'medium',
  kind: 'static',
  remedy: 'Run create-openclaw-secure . again, and keep both procedures in runbooks/README.md.',
  refs: { seed: 'Incident Response' },
  async run(world) {
    const path = `${world.layout.runbooks}/README.md`
    const text = world.file(path)?.kind === 'file' ? await world.text(path) : ''
    const cases = ['A token or a key has leaked', 'The container may be compromised'].filter(title =>
      text.includes(title),
    )
    return passIf(
      cases.length === 2,
      `runbooks/README.md: ${text === '' ? 'not there' : `${cases.length} of 2 procedures`}`,
    )
  },
  sabotage: { weaken: twin => twin.remove('runbooks/README.md') },
}
