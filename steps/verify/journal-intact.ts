import { ours, passIf, type VerifyCheck } from './check.ts'

/** Our own record of what was done here: each line carries the hash of the one before it. */
export const journalIntact: VerifyCheck = {
  id: 'journal.intact',
  title: 'The record of what was done here is unbroken',
  line: 7,
  threat: 'command injection',
  severity: 'medium',
  kind: 'static',
  remedy: 'Somebody changed .secure/journal.jsonl. Compare it with a backup and find out who and why.',
  refs: { seed: 'Audit Trail' },
  async run(world) {
    ours(world)
    const chain = world.chain()
    return passIf(
      chain.intact && chain.events > 0,
      `.secure/journal.jsonl: ${chain.intact ? `${chain.events} lines, each with the hash of the one before` : `line ${chain.broken}: ${chain.why}`}`,
    )
  },
  sabotage: {
    weaken(twin) {
      const [first = '', ...rest] = twin.read('.secure/journal.jsonl').split('\n')
      twin.write('.secure/journal.jsonl', [first.replace('setup', 'setUp'), ...rest].join('\n'), 0o600)
    },
  },
}
