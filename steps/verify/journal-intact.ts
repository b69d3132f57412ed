import type { Check } from '../../src/procedure/step.ts'
import { passIf } from './judge.ts'
import type { World } from './world.ts'

/** Our own record of what was done here: each line carries the hash of the one before it. */
export const journalIntact: Check<World> = {
  id: 'journal.intact',
  title: 'The record of what was done here is unbroken',
  line: 7,
  threat: 'command injection',
  severity: 'medium',
  remedy: 'Somebody changed .secure/journal.jsonl. Compare it with a backup and find out who and why.',
  refs: { seed: 'Audit Trail' },
  bySetup: true,
  async run(world) {
    const chain = world.chain()
    return passIf(
      chain.intact && chain.events > 0,
      `.secure/journal.jsonl: ${chain.intact ? `${chain.events} lines, each with the hash of the one before` : `line ${chain.broken}: ${chain.why}`}`,
    )
  },
  sabotage: world => ({ ...world, chain: () => ({ intact: false, broken: 2, why: 'out of sequence' }) }),
}
