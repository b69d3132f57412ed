import { passIf, type VerifyCheck } from './check.ts'
import { at } from './tree.ts'

/** Patterns of one’s own replace OpenClaw’s list instead of adding to it. */
export const auditRedaction: VerifyCheck = {
  id: 'audit.redaction',
  title: 'OpenClaw’s redaction of secrets is not weakened',
  line: 7,
  threat: 'credential leakage',
  severity: 'high',
  kind: 'static',
  remedy: 'Remove logging.redactPatterns and logging.redactSensitive from config/openclaw.json.',
  refs: { seed: 'Audit Trail' },
  async run(world) {
    const logging = at(await world.policy(), 'logging')
    const [patterns, mode] = [at(logging, 'redactPatterns'), at(logging, 'redactSensitive')]
    return passIf(
      patterns === undefined && mode !== 'off',
      `openclaw.json: logging.redactPatterns ${patterns === undefined ? 'not set' : 'set, which replaces the built-in ones'}, redactSensitive ${JSON.stringify(mode ?? null)}`,
    )
  },
  sabotage: { weaken: twin => twin.policy(['logging', 'redactPatterns'], ['nothing']) },
}
