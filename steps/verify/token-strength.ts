import { GATEWAY_TOKEN } from '../../src/gateway/policy.ts'
import { weaknessOf } from '../../src/secret.ts'
import { passIf, type VerifyCheck } from './check.ts'

/** OpenClaw itself starts with "abc"; it only warns below 24 characters. */
export const tokenStrength: VerifyCheck = {
  id: 'token.strength',
  title: 'The stored token has at least 64 characters nobody could guess',
  line: 1,
  threat: 'credential leakage',
  severity: 'critical',
  kind: 'static',
  remedy: 'Replace the token with a generated one: 64 hex characters, 256 bits.',
  refs: { seed: '1. Gateway Authentication', openclaw: 'gateway.token_too_short' },
  async run(world) {
    const token = await world.token()
    const weakness = weaknessOf(token)
    return passIf(
      weakness === undefined,
      weakness === undefined
        ? `${token.length} characters, fingerprint ${token.fingerprint(GATEWAY_TOKEN)}`
        : `the token is weak: ${weakness}`,
    )
  },
  sabotage: {
    weaken(twin) {
      for (const file of twin.secretFiles()) twin.write(file, 'abc', 0o400)
    },
  },
}
