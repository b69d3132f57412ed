import { getEventListeners } from 'node:events'
import { setImmediate as later } from 'node:timers/promises'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { ToolError } from '../../src/errors.ts'
import type { Suppression } from '../../src/procedure/step.ts'
import type { VerifyCheck } from '../../steps/verify/check.ts'
import { checks } from '../../steps/verify/index.ts'
import { judge, unlessReplaced, withSuppressions } from '../../steps/verify/judge.ts'
import { NotApplicable, type World } from '../../steps/verify/world.ts'
import { finding } from './reports.ts'
import { some } from './support.ts'
import { blind, check, healthy, NOBODY_STOPS, NOW } from './world.ts'

const asItIs = (text: string) => text
const stuck: VerifyCheck = { ...check('token.strength'), run: () => new Promise(() => {}) }
const saying = (run: VerifyCheck['run']): VerifyCheck => ({ ...check('token.strength'), run })

async function one(run: VerifyCheck['run'], world: World = healthy()) {
  const { verdict, evidence } = some((await judge([saying(run)], world, asItIs, NOBODY_STOPS))[0])
  return { verdict, evidence }
}

describe('judging', () => {
  it('returns one finding a check, in their order, with what is fixed about each', async () => {
    const findings = await judge(checks, healthy(), asItIs, NOBODY_STOPS)
    expect(findings.map(found => found.check)).toEqual(checks.map(({ id }) => id))
    for (const [index, { title, line, threat, severity, kind, remedy, refs }] of findings.entries())
      expect(checks[index]).toMatchObject({ title, line, threat, severity, kind, remedy, refs })
  })

  it('keeps the order, whoever answers first', async () => {
    const slow = saying(async () => {
      await later()
      return { verdict: 'pass', evidence: 'slow' }
    })
    const quick = saying(async () => ({ verdict: 'fail', evidence: 'quick' }))
    const findings = await judge([slow, quick], healthy(), asItIs, NOBODY_STOPS)
    expect(findings.map(found => found.evidence)).toEqual(['slow', 'quick'])
  })

  it('runs them side by side: one that waits for another is not waited for by it', async () => {
    let open = () => {}
    const opened = new Promise<void>(done => {
      open = done
    })
    const waits = saying(async () => {
      await opened
      return { verdict: 'pass', evidence: 'waited' }
    })
    const opens = saying(async () => {
      open()
      return { verdict: 'pass', evidence: 'opened' }
    })
    expect(await judge([waits, opens], healthy(), asItIs, NOBODY_STOPS)).toHaveLength(2)
  })

  it('does not let one check that fails to look keep the others from looking', async () => {
    const world: World = { ...healthy(), container: () => Promise.reject(new Error('gone')) }
    const findings = await judge(checks, world, asItIs, NOBODY_STOPS)
    const verdicts = new Map(findings.map(found => [found.check, found.verdict]))
    expect(verdicts.get('host.closed')).toBe('unknown')
    expect(verdicts.get('token.strength')).toBe('pass')
    expect(findings).toHaveLength(checks.length)
  })

  it('shows what was cleaned, and nothing else', async () => {
    const [found] = await judge(
      [saying(async () => ({ verdict: 'pass', evidence: 'a secret' }))],
      healthy(),
      text => text.replace('secret', '[secret]'),
      NOBODY_STOPS,
    )
    expect(found).toMatchObject({ evidence: 'a [secret]' })
  })

  it('cleans what was thrown as well', async () => {
    const [found] = await judge(
      [saying(() => Promise.reject(new Error('a secret')))],
      healthy(),
      text => text.replace('secret', '[secret]'),
      NOBODY_STOPS,
    )
    expect(found).toMatchObject({ verdict: 'unknown', evidence: 'could not look: Error: a [secret]' })
  })
})

describe('a check that throws', () => {
  it('could not look: unknown, with the reason in the tool’s own words where it has some', async () => {
    expect(
      await one(() => Promise.reject(new ToolError('engine_unreachable', 'the engine is away', 'Start it.'))),
    ).toEqual({ verdict: 'unknown', evidence: 'could not look: the engine is away' })
    expect(await one(() => Promise.reject(new TypeError('x is odd')))).toEqual({
      verdict: 'unknown',
      evidence: 'could not look: TypeError: x is odd',
    })
    expect(await one(() => Promise.reject('a text'))).toEqual({
      verdict: 'unknown',
      evidence: 'could not look: a text',
    })
  })

  it('is unknown also when it throws before it begins', async () => {
    const hasty = () => {
      throw new Error('at once')
    }
    expect(await one(hasty)).toEqual({ verdict: 'unknown', evidence: 'could not look: Error: at once' })
  })

  it('because it has no subject is skipped, with that reason alone', async () => {
    expect(await one(() => Promise.reject(new NotApplicable('there is no Compose file')))).toEqual({
      verdict: 'skip',
      evidence: 'there is no Compose file',
    })
  })
})

describe('a check that does not answer', () => {
  it('is waited for two minutes, and then unknown; the others keep what they found', async () => {
    vi.useFakeTimers()
    onTestFinished(() => {
      vi.useRealTimers()
    })
    let settled = false
    const judging = judge([stuck, check('token.strength')], healthy(), asItIs, NOBODY_STOPS)
    void judging.then(() => {
      settled = true
    })
    await vi.advanceTimersByTimeAsync(119_999)
    expect(settled).toBe(false)
    await vi.advanceTimersByTimeAsync(1)
    expect(await judging).toMatchObject([
      { verdict: 'unknown', evidence: 'could not look: no answer within 120 s' },
      { verdict: 'pass' },
    ])
  })

  it('is waited for as long as it asks for, where that is more', async () => {
    vi.useFakeTimers()
    onTestFinished(() => {
      vi.useRealTimers()
    })
    const judging = judge([{ ...stuck, deadline: 240_000 }], healthy(), asItIs, NOBODY_STOPS)
    await vi.advanceTimersByTimeAsync(240_000)
    expect(await judging).toMatchObject([
      { verdict: 'unknown', evidence: 'could not look: no answer within 240 s' },
    ])
  })

  it('is not waited for when the person stops: unknown', async () => {
    const stop = new AbortController()
    const judging = judge([stuck, check('token.strength')], healthy(), asItIs, stop.signal)
    await later()
    stop.abort()
    expect(await judging).toMatchObject([
      { verdict: 'unknown', evidence: 'could not look: stopped by the person' },
      { verdict: 'pass' },
    ])
  })

  it('is not waited for when the person had stopped before', async () => {
    const [found] = await judge([stuck], healthy(), asItIs, AbortSignal.abort())
    expect(found).toMatchObject({ verdict: 'unknown' })
  })
})

describe('what judging leaves behind', () => {
  it('is no timer and no listener, whether all answered or the person stopped', async () => {
    vi.useFakeTimers()
    onTestFinished(() => {
      vi.useRealTimers()
    })
    const stop = new AbortController()
    await judge(checks, healthy(), asItIs, stop.signal)
    expect(getEventListeners(stop.signal, 'abort')).toHaveLength(0)
    const judging = judge(Array(91).fill(stuck), healthy(), asItIs, stop.signal)
    expect(getEventListeners(stop.signal, 'abort')).toHaveLength(1)
    stop.abort()
    await judging
    expect(getEventListeners(stop.signal, 'abort')).toHaveLength(0)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('is no warning about too many listeners, however many checks there are', async () => {
    const warnings: string[] = []
    const listen = (warning: Error) => warnings.push(warning.name)
    process.on('warning', listen)
    onTestFinished(() => {
      process.off('warning', listen)
    })
    await judge(checks, healthy(), asItIs, new AbortController().signal)
    await later()
    await later()
    expect(warnings).toEqual([])
  })
})

describe('a container that was replaced while it was looked at', () => {
  const findings = [
    finding('pass', { kind: 'static' }),
    finding('fail', { kind: 'static' }),
    finding('pass', { kind: 'live' }),
    finding('fail', { kind: 'live' }),
    finding('skip', { kind: 'live' }),
  ]

  it('leaves every finding about it unknown, with the reason, and those about files as they are', async () => {
    const after = await unlessReplaced(findings, { ...healthy(), replaced: async () => true })
    expect(after.map(({ verdict }) => verdict)).toEqual(['pass', 'fail', 'unknown', 'unknown', 'unknown'])
    expect(after[2]).toEqual({
      ...findings[2],
      verdict: 'unknown',
      evidence: 'the container was replaced or restarted while it was looked at',
    })
    expect(after.slice(0, 2)).toEqual(findings.slice(0, 2))
  })

  it('is the exception: one that is still the same changes nothing, nor does one that cannot be asked', async () => {
    expect(await unlessReplaced(findings, healthy())).toEqual(findings)
    const away = blind(() => {
      throw new Error('no')
    })
    expect(
      await unlessReplaced(findings, { ...away, replaced: () => Promise.reject(new Error('no')) }),
    ).toEqual(findings)
  })
})

describe('a failure that somebody accepts', () => {
  const accepted = (until: string): Suppression => ({
    check: 'ports.neighbours',
    reason: 'moved to the new host by then',
    until,
  })
  const failed = finding('fail', { check: 'ports.neighbours' })
  const judged = (found = failed, until = '2026-12-31') =>
    withSuppressions([found], [accepted(until)], NOW)[0]

  it('is skipped, and says by which acceptance; what was seen stays', () => {
    expect(judged()).toEqual({ ...failed, verdict: 'skip', suppressed: accepted('2026-12-31') })
  })

  it('is accepted to the end of the last day (UTC), and not after it', () => {
    expect(judged(failed, '2026-11-24')).toMatchObject({ verdict: 'skip' })
    const late = withSuppressions([failed], [accepted('2026-11-24')], new Date('2026-11-24T23:59:59.999Z'))
    expect(late[0]).toMatchObject({ verdict: 'skip' })
    const over = withSuppressions([failed], [accepted('2026-11-24')], new Date('2026-11-25T00:00:00Z'))
    expect(over[0]).toMatchObject({ verdict: 'fail' })
  })

  it('is a failure again afterwards, and says that the acceptance is over', () => {
    const found = some(judged(failed, '2026-11-23'))
    expect(found).toMatchObject({ verdict: 'fail' })
    expect(found.evidence).toBe(`accepted until 2026-11-23, which is over. ${failed.evidence}`)
    expect(found).not.toHaveProperty('suppressed')
  })

  it('is accepted by the entry that still holds, also where one before it is over', () => {
    const entries = [accepted('2026-11-01'), accepted('2026-12-31')]
    expect(withSuppressions([failed], entries, NOW)[0]).toMatchObject({ verdict: 'skip' })
  })

  it('is a failure: what passed, was skipped or could not be seen is never touched', () => {
    for (const verdict of ['pass', 'skip', 'unknown'] as const) {
      const found = finding(verdict, { check: 'ports.neighbours' })
      expect(judged(found)).toEqual(found)
      expect(judged(found, '2020-01-01')).toEqual(found)
    }
  })

  it('is this check’s alone', () => {
    const other = finding('fail', { check: 'ports.published' })
    expect(withSuppressions([other], [accepted('2026-12-31')], NOW)).toEqual([other])
    expect(withSuppressions([failed], [], NOW)).toEqual([failed])
  })
})
