import type { Check } from '../../src/procedure/step.ts'
import { Secret, weaknessOf } from '../../src/secret.ts'
import { passIf } from './judge.ts'
import type { World } from './world.ts'

/** OpenClaw itself starts with "abc"; it only warns below 24 characters. */
export const tokenStrength: Check<World> = {
  id: 'token.strength',
  title: 'The stored token has at least 64 characters nobody could guess',
  line: 1,
  threat: 'credential leakage',
  severity: 'critical',
  remedy: 'Replace the token with a generated one: 64 hex characters, 256 bits.',
  refs: { seed: '1. Gateway Authentication', openclaw: 'gateway.token_too_short' },
  bySetup: true,
  async run(world) {
    const token = await world.token()
    const weakness = weaknessOf(token)
    return passIf(
      weakness === undefined,
      weakness === undefined
        ? `${token.length} characters, fingerprint ${token.fingerprint('gateway_token')}`
        : `the token is weak: ${weakness}`,
    )
  },
  sabotage: world => ({ ...world, token: async () => new Secret('abc') }),
}
