import { AUTH_PATH } from '../../src/gateway/probe.ts'
import { generateToken } from '../../src/secret.ts'
import { passIf, unknown, type VerifyCheck } from './check.ts'

/** A gateway whose token nobody has is down; one with a token that is not the stored one belongs to somebody else. */
export const tokenAccepted: VerifyCheck = {
  id: 'token.accepted',
  title: 'The gateway takes the stored token',
  line: 1,
  threat: 'credential leakage',
  severity: 'critical',
  kind: 'live',
  remedy: 'Run create-openclaw-secure . again: it delivers the stored token and proves it.',
  refs: { seed: '1. Gateway Authentication' },
  async run(world) {
    const right = await world.askHost('right')
    const evidence = `GET ${AUTH_PATH} with the stored token: ${right ?? 'no answer'} (404 means it was let in: there is nothing at that path)`
    return right === undefined || right === 429 ? unknown(evidence) : passIf(right === 404, evidence)
  },
  sabotage: {
    alone: true,
    // The gateway looks at a secret's file when its policy changes, and not before.
    spoil(twin) {
      for (const file of twin.secretFiles()) twin.write(file, generateToken(), 0o400)
    },
  },
}
