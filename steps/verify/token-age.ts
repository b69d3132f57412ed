import { GATEWAY_TOKEN } from '../../src/gateway/policy.ts'
import { bornAt } from '../../src/stores/store.ts'
import { ours, passIf, unknown, type VerifyCheck } from './check.ts'

/** The seed's "Rotate tokens regularly", and its monthly maintenance. */
export const tokenAge: VerifyCheck = {
  id: 'token.age',
  title: 'The token is not older than it should be',
  line: 1,
  threat: 'credential leakage',
  severity: 'medium',
  kind: 'static',
  remedy: 'A new token every month: runbooks/README.md says how.',
  refs: { seed: '1. Gateway Authentication' },
  later: true,
  async run(world) {
    ours(world)
    const id = (await world.stored(GATEWAY_TOKEN))?.current?.rotationId
    const born = id === undefined ? undefined : bornAt(id)
    if (born === undefined) return unknown('the store does not say when the token was made')
    const days = Math.floor((world.now.getTime() - born.getTime()) / 86_400_000)
    return passIf(
      days <= TOKEN_DAYS + GRACE_DAYS,
      `made ${days} days ago; due after ${TOKEN_DAYS}, red after ${TOKEN_DAYS + GRACE_DAYS}`,
    )
  },
  sabotage: {
    weaken(twin) {
      const [file = ''] = twin.secretFiles().filter(path => path.includes(GATEWAY_TOKEN))
      const old = '20200101t000000-00000000'
      twin.write(`secrets/${GATEWAY_TOKEN}.${old}`, twin.token, 0o400)
      twin.remove(file)
      twin.write(
        `.secure/store/${GATEWAY_TOKEN}.json`,
        JSON.stringify({ version: 1, revision: 9, current: old }),
        0o600,
      )
    },
  },
}

/** The seed's "Rotate gateway token (monthly)". */
export const TOKEN_DAYS = 30
/** So much later it is no longer due but neglected. */
const GRACE_DAYS = 5
