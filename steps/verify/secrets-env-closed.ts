import { demand, type VerifyCheck } from './check.ts'

/** The nearest thing OpenClaw has to the seed's "vault-only". */
export const secretsEnvClosed: VerifyCheck = {
  id: 'secrets.env-closed',
  title: 'No reference to the environment is honoured',
  line: 4,
  threat: 'credential leakage',
  severity: 'high',
  kind: 'static',
  remedy:
    'Set secrets.providers.default to {"source": "env", "allowlist": []}, or run create-openclaw-secure . again.',
  refs: { seed: '5. Secrets Management' },
  async run(world) {
    return demand(await world.policy(), [['secrets.providers.default', { source: 'env', allowlist: [] }]])
  },
  sabotage: { weaken: twin => twin.policy(['secrets', 'providers', 'default'], undefined) },
}
