import { passIf, type VerifyCheck } from './check.ts'
import { at } from './tree.ts'

/** Not tried: what would show it, ten wrong tokens, would lock the owner out as well. */
export const tokenLimiter: VerifyCheck = {
  id: 'token.limiter',
  title: 'Guessing tokens is slowed down',
  line: 1,
  threat: 'credential leakage',
  severity: 'high',
  kind: 'static',
  remedy: 'Set gateway.auth.rateLimit in config/openclaw.json, or run create-openclaw-secure . again.',
  refs: { seed: '1. Gateway Authentication', openclaw: 'gateway.auth_no_rate_limit' },
  async run(world) {
    const limit = at(await world.policy(), 'gateway', 'auth', 'rateLimit')
    const [tries, window, lockout] = ['maxAttempts', 'windowMs', 'lockoutMs'].map(key =>
      Number(at(limit, key)),
    )
    return passIf(
      Number(tries) > 0 && Number(tries) <= 20 && Number(window) >= 30_000 && Number(lockout) >= 60_000,
      `openclaw.json: gateway.auth.rateLimit ${JSON.stringify(limit ?? null)}`,
    )
  },
  sabotage: { weaken: twin => twin.policy(['gateway', 'auth', 'rateLimit'], undefined) },
}
