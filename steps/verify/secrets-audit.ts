import { passIf, type VerifyCheck } from './check.ts'

/** OpenClaw’s own search through everything it reads. */
export const secretsAudit: VerifyCheck = {
  id: 'secrets.audit',
  title: 'OpenClaw finds no plaintext secret and no reference it cannot resolve',
  line: 4,
  threat: 'credential leakage',
  severity: 'high',
  kind: 'live',
  remedy: 'Move the value into the store: deployment.yaml names providers, --provider-key brings their keys.',
  refs: { seed: '5. Secrets Management', openclaw: 'secrets audit --check' },
  async run(world) {
    const secrets = (await world.judges()).secrets()
    const { plaintextCount, unresolvedRefCount } = secrets.summary
    return passIf(
      secrets.status === 'clean',
      `openclaw secrets audit --json: ${secrets.status}, ${plaintextCount} plaintext, ${unresolvedRefCount} unresolved${secrets.findings
        .slice(0, 3)
        .map(finding => `; ${finding.code}`)
        .join('')}`,
    )
  },
  sabotage: {
    weaken: twin =>
      twin.policy(['models', 'providers', 'mock'], {
        baseUrl: 'http://127.0.0.1:9/v1',
        apiKey: 'sk-not-a-real-key-000000',
        api: 'openai-completions',
        models: [{ id: 'm', name: 'm', contextWindow: 128000, maxTokens: 4096 }],
      }),
  },
}
