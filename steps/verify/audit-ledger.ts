import type { Check } from '../../src/procedure/step.ts'
import { passIf } from './judge.ts'
import { altered, at, type World } from './world.ts'

/** The seed's logging.auditEvents does not exist, and OpenClaw would not start with it; this is what does. */
export const auditLedger: Check<World> = {
  id: 'audit.ledger',
  title: 'The audit ledger records, and can be read',
  line: 7,
  threat: 'command injection',
  severity: 'high',
  remedy:
    'Run create-openclaw-secure . again. Note what the ledger holds: agent runs, tool actions and messages, not HTTP requests.',
  refs: { seed: 'Audit Trail' },
  bySetup: true,
  async run(world) {
    const policy = await world.policy()
    const asked =
      at(policy, 'logging', 'audit', 'enabled') === true &&
      at(policy, 'logging', 'audit', 'executionIdentity') === true
    const { ledger } = await world.audits()
    return passIf(
      asked,
      `logging.audit ${JSON.stringify(at(policy, 'logging', 'audit'))}; openclaw audit --json answers, with ${ledger.events.length === 0 ? 'nothing recorded yet' : 'records'}`,
    )
  },
  sabotage: world => ({
    ...world,
    policy: async () => altered(await world.policy(), ['logging', 'audit', 'enabled'], false),
  }),
}
