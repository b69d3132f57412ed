import { passIf, type VerifyCheck } from './check.ts'
import { at } from './tree.ts'

/** A judge who may not speak finds nothing. */
export const auditUnmuted: VerifyCheck = {
  id: 'audit.unmuted',
  title: 'Nothing silences OpenClaw’s own audit',
  line: 7,
  threat: 'command injection',
  severity: 'high',
  kind: 'static',
  remedy: 'Remove security.audit.suppressions from config/openclaw.json: verify has suppressions that end.',
  refs: { seed: 'Audit Trail', openclaw: 'security.audit.suppressions.active' },
  async run(world) {
    const muted = at(await world.policy(), 'security', 'audit', 'suppressions')
    const count = Array.isArray(muted) ? muted.length : muted === undefined ? 0 : 1
    return passIf(
      count === 0,
      `openclaw.json: security.audit.suppressions ${count === 0 ? 'none' : `${count} entries`}`,
    )
  },
  sabotage: {
    weaken: twin =>
      twin.policy(
        ['security', 'audit', 'suppressions'],
        [{ checkId: 'gateway.bind_no_auth', reason: 'quiet' }],
      ),
  },
}
