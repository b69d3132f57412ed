import { passIf, type VerifyCheck } from './check.ts'

/** Necessary, not sufficient: it is content with a shell for everybody. Its exit code is 0 whatever it finds. */
export const auditOpenclaw: VerifyCheck = {
  id: 'audit.openclaw',
  title: 'OpenClaw’s own security audit finds nothing critical and nothing to warn about',
  line: 7,
  threat: 'privilege escalation',
  severity: 'high',
  kind: 'live',
  remedy: 'openclaw security audit in the container explains each finding.',
  refs: { seed: 'Audit Trail', openclaw: 'security audit' },
  async run(world) {
    const security = (await world.judges()).security()
    const { critical, warn, info } = security.summary
    const listed = security.findings
      .filter(finding => finding.severity !== 'info')
      .slice(0, 5)
      .map(finding => finding.checkId)
    return passIf(
      critical === 0 && warn === 0,
      `openclaw security audit --json: ${critical} critical, ${warn} warnings, ${info} notes${listed.length > 0 ? `: ${listed.join(', ')}` : ''}`,
    )
  },
  sabotage: { weaken: twin => twin.policy(['gateway', 'auth', 'rateLimit'], undefined) },
}
