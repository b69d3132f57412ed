import { json } from '../../src/deployment/render.ts'
import { passIf, type VerifyCheck } from './check.ts'
import { allRunbooks } from './runbooks.ts'

/** Nor looks up whom to call. */
export const incidentContact: VerifyCheck = {
  id: 'incident.contact',
  title: 'The runbooks name who is called first',
  line: 10,
  threat: 'credential leakage',
  severity: 'medium',
  kind: 'static',
  remedy:
    'Set incident.contact in deployment.yaml (or --contact "name, phone") and run create-openclaw-secure . again. In a runbook that you have edited, write it under contacts.',
  refs: { seed: 'Incident Response' },
  later: true,
  async run(world) {
    const { contact } = world.own ?? { contact: '' }
    if (contact === '') return passIf(false, 'no deployment.yaml names anybody to call')
    const silent = [...(await allRunbooks(world))].filter(([, { contacts }]) => contacts.length === 0)
    return passIf(
      silent.length === 0,
      silent.length === 0
        ? 'deployment.yaml and every runbook: they name who is called first'
        : `contacts is empty in ${silent.map(([path]) => path).join(', ')}`,
    )
  },
  sabotage: {
    weaken(twin) {
      const path = 'runbooks/credential-exposed.yaml'
      twin.write(path, twin.read(path).replace(`contacts: [${json(twin.answers.contact)}]`, 'contacts: []'))
    },
  },
}
