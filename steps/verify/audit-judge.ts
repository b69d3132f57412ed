import type { Check } from '../../src/procedure/step.ts'
import { passIf } from './judge.ts'
import type { World } from './world.ts'

/** Necessary, not sufficient: it is content with a shell for everybody. Its exit code is 0 whatever it finds. */
export const auditJudge: Check<World> = {
  id: 'audit.openclaw',
  title: 'OpenClaw’s own security audit finds nothing critical and nothing to warn about',
  line: 7,
  threat: 'privilege escalation',
  severity: 'high',
  remedy: 'openclaw security audit in the container explains each finding.',
  refs: { seed: 'Audit Trail', openclaw: 'security audit' },
  bySetup: true,
  async run(world) {
    const { security } = await world.audits()
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
  sabotage: world => ({
    ...world,
    audits: async () => ({
      ...(await world.audits()),
      security: {
        summary: { critical: 1, warn: 0, info: 0 },
        findings: [{ checkId: 'gateway.bind_no_auth', severity: 'critical', title: '' }],
      },
    }),
  }),
}
