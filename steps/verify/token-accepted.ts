import { AUTH_PATH } from '../../src/gateway/probe.ts'
import type { Check } from '../../src/procedure/step.ts'
import { passIf, unknown } from './judge.ts'
import type { World } from './world.ts'

/** The negative half matters more: a gateway that takes any token looks healthy. The wrong one is tried where it cannot lock anybody out. */
export const tokenAccepted: Check<World> = {
  id: 'token.accepted',
  title: 'The gateway takes the stored token and nothing else',
  line: 1,
  threat: 'credential leakage',
  severity: 'critical',
  remedy: 'Run create-openclaw-secure . again: it delivers the stored token and proves it.',
  refs: { seed: '1. Gateway Authentication', openclaw: 'gateway.http.no_auth' },
  bySetup: true,
  async run(world) {
    const [none, wrong, right] = await Promise.all([
      world.askHost('none'),
      world.askWrong(),
      world.askHost('right'),
    ])
    const evidence = `GET ${AUTH_PATH}: no token ${none ?? 'no answer'}, a wrong token ${wrong ?? 'no answer'} (from loopback inside), the stored token ${right ?? 'no answer'}`
    if (none === undefined || wrong === undefined || right === undefined || right === 429)
      return unknown(evidence)
    return passIf(none === 401 && wrong === 401 && right === 404, evidence)
  },
  sabotage: world => ({ ...world, askHost: async () => 404 }),
}
