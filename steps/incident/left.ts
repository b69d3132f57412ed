import type { Case } from '../../src/evidence/case.ts'
import { inWords } from '../../src/evidence/custody.ts'
import type { JournalEvent } from '../../src/procedure/journal.ts'
import { LEAK, leakIn } from './leak.ts'

/** The step of a note of the chain that says what is left for a person to do. */
export const LEFT = 'left-to-do'
/** The step of the note that every device was removed. */
export const REMOVED = 'devices-removed'
/** What is left where they could not be. */
export const DEVICES_LEFT = 'remove the paired devices'

/** What a case leaves to a person. */
export interface Left {
  /** In one line; it may hold foreign text. */
  words: string
  /**
   * `in force`: what leaked, or may have, lets somebody in; `unknown`: it is dead by a person's word alone; `noted`: anything
   * else.
   */
  state: 'in force' | 'unknown' | 'noted'
}

/** What a case leaves to do, from its chain alone: the last that was said of each thing, unless it was done since. */
export function leftIn(of: Pick<Case, 'journal'>): Left[] {
  const events = of.journal.read()
  const leaked = leakIn(of)?.names
  const left = new Map<string, JournalEvent>()
  for (const event of events) {
    const { step, facts } = event
    const about = String(facts?.secret ?? facts?.what)
    if (step === LEAK)
      for (const secret of leaked ?? [])
        left.set(secret, { ...event, step: LEFT, facts: { secret, what: 'replace it: it leaked' } })
    if (step === LEFT || step === 'rotated' || (step === 'old-key' && facts?.state === 'refused'))
      left.delete(about)
    if (step === LEFT) left.set(about, event)
    if (step === REMOVED) left.delete(DEVICES_LEFT)
  }
  return [...left].map(([about, event]) => {
    const old = events.findLast(({ step, facts }) => step === 'old-key' && facts?.secret === about)?.facts
    const isOpen =
      about === DEVICES_LEFT || (event.facts?.secret !== undefined && (leaked?.includes(about) ?? true))
    const isSaidDead = old?.state === 'unknown' && old.revoked === true
    return {
      words: inWords(event).replace(`${LEFT}; `, ''),
      state: !isOpen ? 'noted' : isSaidDead ? 'unknown' : 'in force',
    }
  })
}
