import { passIf, type VerifyCheck } from './check.ts'
import { writeWhatIsRefused } from './policy-loaded.ts'

/** A running gateway goes on with what it had; at the next start one unknown key keeps it down. */
export const auditConfig: VerifyCheck = {
  id: 'audit.config',
  title: 'OpenClaw accepts its configuration as it is on the disk',
  line: 7,
  threat: 'command injection',
  severity: 'critical',
  kind: 'live',
  remedy:
    'Run create-openclaw-secure . again. Never let openclaw doctor --fix repair it: it deletes what it does not know.',
  refs: { seed: 'Audit Trail', openclaw: 'config validate' },
  async run(world) {
    const objections = (await world.judges()).objections()
    return passIf(
      objections.length === 0,
      `openclaw, asked with the running image: ${objections.length === 0 ? 'the configuration is valid' : `refused: ${objections.slice(0, 3).join('; ')}`}`,
    )
  },
  sabotage: { in: 'unguarded', spoil: writeWhatIsRefused },
}
