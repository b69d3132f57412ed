import { passIf, type VerifyCheck } from './check.ts'
import { at } from './tree.ts'

/** The seed’s logging.auditEvents does not exist, and OpenClaw would not start with it; this is what does. */
export const auditLedger: VerifyCheck = {
  id: 'audit.ledger',
  title: 'The audit ledger records, and can be read',
  line: 7,
  threat: 'command injection',
  severity: 'high',
  kind: 'live',
  remedy:
    'Run create-openclaw-secure . again. Note what the ledger holds: agent runs, tool actions and messages, not HTTP requests.',
  refs: { seed: 'Audit Trail' },
  async run(world) {
    const audit = at(await world.policy(), 'logging', 'audit')
    const asked = at(audit, 'enabled') === true && at(audit, 'executionIdentity') === true
    // Switched off, it has nothing to read, and OpenClaw gives an error instead.
    if (!asked) return passIf(false, `logging.audit ${JSON.stringify(audit ?? null)}`)
    const { records, source } = (await world.judges()).ledger()
    return passIf(
      true,
      `logging.audit ${JSON.stringify(audit ?? null)}; ${source}: ${records === 0 ? 'nothing recorded yet' : 'it has records'}`,
    )
  },
  sabotage: { weaken: twin => twin.policy(['logging', 'audit', 'enabled'], false) },
}
