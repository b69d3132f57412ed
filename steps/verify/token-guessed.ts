import { AUTH_PATH } from '../../src/gateway/probe.ts'
import { passIf, unknown, type VerifyCheck } from './check.ts'
import { letEverybodyIn } from './token-required.ts'

/** Tried once, and from inside, where OpenClaw does not count: ten wrong ones from outside lock everybody out. */
export const tokenGuessed: VerifyCheck = {
  id: 'token.guessed',
  title: 'A wrong token is refused',
  line: 1,
  threat: 'credential leakage',
  severity: 'critical',
  kind: 'live',
  remedy: 'Run create-openclaw-secure . again: the gateway takes any token.',
  refs: { seed: '1. Gateway Authentication' },
  async run(world) {
    const wrong = await world.askWrong()
    const evidence = `GET ${AUTH_PATH} with a wrong token, from loopback inside: ${wrong ?? 'no answer'}`
    return wrong === undefined ? unknown(evidence) : passIf(wrong === 401, evidence)
  },
  sabotage: { in: 'unguarded', weaken: letEverybodyIn },
}
