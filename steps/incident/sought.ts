import { RUNBOOKS, runbook as shipped } from '../../src/deployment/render.ts'
import { type Runbook, readRunbook, stepsCalling } from '../../src/procedure/runbook.ts'
import { EFFECTS } from './index.ts'
import type { Planted } from './plant.ts'

/** What of the planted things a runbook looks for. */
export interface Sought {
  /** It has to be in the evidence. */
  sought: readonly Planted[]
  /** No step of the runbook looks for it; in words. */
  unsought: string[]
  /** Of those, what fails a drill all the same; in words. */
  missed: readonly string[]
}

/**
 * What of the planted things a runbook looks for. One that comes with this package has to look for all that it looks for in
 * this version; any other for one thing at least: a drill that looks for nothing succeeds over nothing.
 */
export function soughtBy(runbook: Pick<Runbook, 'id' | 'steps'>, planted: readonly Planted[]): Sought {
  const sought = planted.filter(looksFor(runbook))
  const others = planted.filter(one => !sought.includes(one))
  const id = RUNBOOKS.find(one => one === runbook.id)
  const owed = id === undefined ? [] : others.filter(looksFor(readRunbook(shipped(id, ''), id, EFFECTS)))
  return {
    sought,
    unsought: others.map(({ what }) => what),
    missed: [
      ...owed.map(({ what }) => `${what} (no step of the runbook looks for it; in this version one does)`),
      ...(sought.length === 0 ? ['the runbook looks for nothing that is planted in a drill'] : []),
    ],
  }
}

function looksFor(runbook: Pick<Runbook, 'steps'>): (planted: Planted) => boolean {
  return ({ by }) => by.some(action => stepsCalling(runbook, action).length > 0)
}
