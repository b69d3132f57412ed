import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { UsageError } from '../../src/errors.ts'
import { leakIn, mustLeak, nameLeak } from '../../steps/incident/leak.ts'
import { incidentIn, inTime, type Stored } from './incident-world.ts'
import { ANSWERS, scratch, thrown } from './support.ts'

const TOKEN = 'f'.repeat(32) + '0123456789abcdef'.repeat(2)
const STORED: Stored = {
  gateway_token: { rotationId: '20261101t120000-1a2b3c4d', value: TOKEN },
  openai_api_key: { rotationId: '20261015t080000-1a2b3c4d', value: 'sk-only-for-this-test' },
}
const answers = { ...ANSWERS, providers: [{ id: 'openai' }] }

describe('what leaked', () => {
  it('is the gateway token where nobody says which, and was well until it was made', async () => {
    const { ctx } = incidentIn(scratch(), { stored: STORED })
    await nameLeak.run(ctx, inTime)
    expect(leakIn(ctx.case)).toEqual({ names: ['gateway_token'], since: new Date('2026-11-01T12:00:00Z') })
  })

  it('is what a flag names, the token first, since the oldest of them', async () => {
    const wishes = { leaked: ['openai_api_key', 'gateway_token', 'openai_api_key'] }
    const { ctx } = incidentIn(scratch(), { stored: STORED, answers, wishes })
    await nameLeak.run(ctx, inTime)
    expect(leakIn(ctx.case)).toEqual({
      names: ['gateway_token', 'openai_api_key'],
      since: new Date('2026-10-15T08:00:00Z'),
    })
  })

  it('is what the person chooses, and since when the person says', async () => {
    const since = new Date('2026-11-20T00:00:00Z')
    const { ctx } = incidentIn(scratch(), {
      stored: STORED,
      answers,
      chooses: 'openai_api_key',
      wishes: { since },
    })
    await nameLeak.run(ctx, inTime)
    expect(leakIn(ctx.case)).toEqual({ names: ['openai_api_key'], since })
  })

  it('is refused where this deployment has no such secret, and the case names nothing then', async () => {
    const { ctx } = incidentIn(scratch(), { stored: STORED, wishes: { leaked: ['gateway-token'] } })
    const error = await thrown(() => nameLeak.run(ctx, inTime))
    expect(error).toBeInstanceOf(UsageError)
    expect(error.message).toContain('gateway_token')
    expect(leakIn(ctx.case)).toBeUndefined()
  })

  it('is named in the chain of custody by a fingerprint, and never by its value', async () => {
    const { ctx } = incidentIn(scratch(), {
      stored: STORED,
      answers,
      wishes: { leaked: Object.keys(STORED) },
    })
    await nameLeak.run(ctx, inTime)
    const text = readFileSync(ctx.case.path('custody'), 'utf8')
    for (const { value } of Object.values(STORED)) expect(text).not.toContain(value)
    expect(text).toContain('fingerprint gateway_token')
  })

  it('is asked for once in a case: a run that goes on keeps what was said', async () => {
    const { ctx } = incidentIn(scratch(), { stored: STORED })
    expect(await nameLeak.skip?.(ctx)).toBeUndefined()
    await nameLeak.run(ctx, inTime)
    expect(await nameLeak.skip?.(ctx)).toBe('the case has it')
  })

  it('has to be named before anything is done about it', async () => {
    const { ctx } = incidentIn(scratch())
    expect((await thrown(() => mustLeak(ctx.case))).message).toContain('leak.name')
  })
})
