import { RUNBOOKS } from '../../src/deployment/render.ts'
import { passIf, type VerifyCheck } from './check.ts'
import { findRunbooks } from './runbooks.ts'

/** At three in the morning nobody thinks of the right order, and a runbook that cannot be read leads nobody. */
export const incidentDocumented: VerifyCheck = {
  id: 'incident.documented',
  title: 'The runbooks are there, and can be run',
  line: 10,
  threat: 'credential leakage',
  severity: 'medium',
  kind: 'static',
  remedy:
    'Correct the runbook where it says. Or move it away: one that is not there is written anew by create-openclaw-secure .',
  refs: { seed: 'Incident Response' },
  async run(world) {
    const { read, wrong } = await findRunbooks(world)
    const more = wrong.length > SHOWN ? `; and ${wrong.length - SHOWN} more` : ''
    const steps = [...read.values()].map(({ id, steps }) => `${id}: ${steps.length} steps`)
    return passIf(
      wrong.length === 0,
      wrong.length === 0 ? steps.join(', ') : wrong.slice(0, SHOWN).join('; ') + more,
    )
  },
  sabotage: {
    weaken(twin) {
      const path = `runbooks/${RUNBOOKS[1]}.yaml`
      twin.write(path, twin.read(path).replace('action: evidence.seal', 'action: evidence.shred'))
    },
  },
}

/** So many problems are shown; the next run shows the rest. */
const SHOWN = 4
