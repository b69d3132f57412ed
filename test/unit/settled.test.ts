import { describe, expect, it } from 'vitest'
import { settledProblems } from '../../src/commands/incident-input.ts'
import { World } from './evidence-world.ts'

const SINCE = '2026-11-20T08:00:00.000Z'

/** A case; `isNamed`: what leaked is in it. */
function opened(isNamed: boolean, recipients: string[] = []) {
  const of = new World().begin(recipients)
  if (isNamed) of.note('leak', { leaked: 'gateway_token openai_api_key', since: SINCE })
  return of
}

describe('what is asked of a case that is open', () => {
  it.each([
    ['another leak', { leaked: ['openai_api_key'] }, 'leaked secret', 'gateway_token, openai_api_key'],
    ['another time', { since: '2026-11-21T08:00Z' }, 'since', SINCE],
    ['memory, which nobody may read', { memory: true }, 'memory', '--encrypt-to'],
    ['another reader', { encryptTo: ['age1x'] }, 'recipient', 'only those'],
  ])('is refused where it would be taken and ignored: %s', (_what, options, field, allowed) => {
    expect(settledProblems(opened(true), options)).toEqual([
      expect.objectContaining({ field, allowed: expect.stringContaining(allowed) }),
    ])
  })

  it('is no problem where it says the same in other words', () => {
    const options = {
      ...{ leaked: ['openai_api_key', 'gateway_token'], since: '2026-11-20T09:00+01:00' },
      ...{ memory: true, encryptTo: ['age1x'] },
    }
    expect(settledProblems(opened(true, ['age1x']), options)).toEqual([])
  })

  it('is taken where the case has not named its leak yet', () => {
    expect(settledProblems(opened(false), { leaked: ['x'], since: '2026-11-21T08:00Z' })).toEqual([])
  })
})
