import { type Drill, drillsPath, parseDrills } from '../../src/evidence/drills.ts'
import { deedsOf, type Runbook } from '../../src/procedure/runbook.ts'
import { passIf, type VerifyCheck } from './check.ts'
import { allRunbooks } from './runbooks.ts'

const DAY = 86_400_000

/** A runbook that nobody has rehearsed is a hope. */
export const incidentDrilled: VerifyCheck = {
  id: 'incident.drilled',
  title: 'Every runbook was rehearsed lately, with the steps it has now, and the rehearsal succeeded',
  line: 10,
  threat: 'credential leakage',
  severity: 'medium',
  kind: 'static',
  remedy:
    'Rehearse it: create-openclaw-secure incident RUNBOOK --drill. How long that holds, the runbook says (drill).',
  refs: { seed: 'Incident Response' },
  later: true,
  async run(world) {
    const path = drillsPath(world.layout)
    if (world.file(path) === undefined) return passIf(false, 'no runbook was ever rehearsed')
    const drills = parseDrills(await world.text(path), path)
    const judged = [...(await allRunbooks(world)).values()].map(one =>
      judgeDrill(one, drills.get(one.id), world.now),
    )
    const wrong = judged.filter(({ good }) => !good)
    const shown = wrong.length > 0 ? wrong : judged
    return passIf(wrong.length === 0, shown.map(({ saw }) => saw).join('; '))
  },
  sabotage: {
    weaken(twin) {
      const drill: Drill = { at: '2020-01-01T00:00:00.000Z', deeds: '', ok: true, seconds: 60, missed: [] }
      const ids = ['credential-exposed', 'container-compromised']
      const drills = Object.fromEntries(ids.map(id => [id, drill]))
      twin.write('.secure/drills.json', JSON.stringify(drills), 0o600)
    },
  },
}

function judgeDrill(runbook: Runbook, last: Drill | undefined, now: Date): { good: boolean; saw: string } {
  const { id, drill: period } = runbook
  if (last === undefined) return { good: false, saw: `${id} was never rehearsed` }
  const age = now.getTime() - Date.parse(last.at)
  const days = Math.floor(age / DAY)
  if (!last.ok) {
    const missed = last.missed.length === 0 ? 'it did not come to its end' : last.missed.join(', ')
    return { good: false, saw: `the last rehearsal of ${id} (${last.at}) failed: ${missed.slice(0, 200)}` }
  }
  if (last.deeds !== deedsOf(runbook))
    return { good: false, saw: `the steps of ${id} have changed since its last rehearsal (${last.at})` }
  // A clock may be a little off; a rehearsal in the future is none.
  if (age < -DAY) return { good: false, saw: `the last rehearsal of ${id} is said to be on ${last.at}` }
  return {
    good: age <= period * DAY,
    saw: `${id} was rehearsed ${Math.max(days, 0)} days ago in ${Math.round(last.seconds)} s; it holds for ${period} days`,
  }
}
