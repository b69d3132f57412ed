import type { Check } from '../../src/procedure/step.ts'
import { passIf } from './judge.ts'
import type { World } from './world.ts'

/** OpenClaw's own search through everything it reads. */
export const secretsAudit: Check<World> = {
  id: 'secrets.audit',
  title: 'OpenClaw finds no plaintext secret and no reference it cannot resolve',
  line: 4,
  threat: 'credential leakage',
  severity: 'high',
  remedy: 'Move the value into the store: deployment.yaml names providers, --provider-key brings their keys.',
  refs: { seed: '5. Secrets Management', openclaw: 'secrets audit --check' },
  bySetup: true,
  async run(world) {
    const { secrets } = await world.audits()
    const { plaintextCount, unresolvedRefCount } = secrets.summary
    return passIf(
      secrets.status === 'clean',
      `openclaw secrets audit --json: ${secrets.status}, ${plaintextCount} plaintext, ${unresolvedRefCount} unresolved${secrets.findings
        .slice(0, 3)
        .map(finding => `; ${finding.code}`)
        .join('')}`,
    )
  },
  sabotage: world => ({
    ...world,
    audits: async () => ({
      ...(await world.audits()),
      secrets: {
        status: 'findings',
        summary: { plaintextCount: 1, unresolvedRefCount: 0 },
        findings: [{ code: 'PLAINTEXT_FOUND', message: '' }],
      },
    }),
  }),
}
