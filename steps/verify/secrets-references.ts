import { passIf, type VerifyCheck } from './check.ts'

/** A literal wins over every other source, survives in .bak files, and stays valid when the store has a new one. */
export const secretsReferences: VerifyCheck = {
  id: 'secrets.references',
  title: 'openclaw.json holds references, and no secret',
  line: 4,
  threat: 'credential leakage',
  severity: 'critical',
  kind: 'static',
  remedy: 'Bring the value with --token or --provider-key: openclaw.json then names its file.',
  refs: { seed: '5. Secrets Management', openclaw: 'secrets audit --check' },
  async run(world) {
    const policy = await world.policy()
    const literal = literals(policy, [])
    const known = [...(await world.secrets()).values()].some(secret => secret.isIn(JSON.stringify(policy)))
    return passIf(
      literal.length === 0 && !known,
      `openclaw.json: ${literal.length === 0 ? 'every credential is a reference' : `plain text at ${literal.join(', ')}`}${known ? '; it holds a stored secret' : ''}`,
    )
  },
  sabotage: { weaken: twin => twin.policy(['gateway', 'auth', 'token'], twin.token.fingerprint('literal')) },
}

/** Where a key that is named like a credential holds text. `${NAME}` is a reference to the environment. */
function literals(node: unknown, path: readonly string[]): string[] {
  if (typeof node !== 'object' || node === null) return []
  return Object.entries(node).flatMap(([key, value]) =>
    typeof value === 'string' && /^(token|password|secret|apiKey|.+(Token|Password|Secret|ApiKey))$/.test(key)
      ? value === '' || /^\$\{\w+\}$/.test(value)
        ? []
        : [[...path, key].join('.')]
      : literals(value, [...path, key]),
  )
}
