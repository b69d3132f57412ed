import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Finding, Verdict } from '../../src/procedure/step.ts'
import { driftSince, type Remembered, recall, remember } from '../../src/report/drift.ts'
import { some } from './support.ts'

/** What a check found: here only which one, and what. */
function finding(verdict: Verdict, { check = 'token.strength' } = {}): Finding {
  return {
    check,
    title: 'The token is strong',
    line: 1,
    threat: 'credential leakage',
    severity: 'critical',
    kind: 'static',
    verdict,
    evidence: 'saw it',
    remedy: 'mend it',
    refs: { seed: '1' },
  }
}

const THEN = '2026-11-22T01:40:00.000Z'
const NOW = '2026-11-23T01:40:00.000Z'
const last: Remembered = {
  at: THEN,
  verdicts: { 'token.strength': 'pass', 'ports.neighbours': 'fail', 'gone.check': 'pass' },
  facts: { image: 'sha256:aaaa', 'docker-compose.yml': '0123' },
}
const written = (value: unknown) => JSON.stringify(value)

describe('what a run leaves for the next one', () => {
  it('is when it was, each verdict, and what was looked at', () => {
    const findings = [finding('pass'), finding('fail', { check: 'ports.neighbours' })]
    expect(remember(undefined, NOW, findings, { image: 'x' })).toEqual({
      at: NOW,
      verdicts: { 'token.strength': 'pass', 'ports.neighbours': 'fail' },
      facts: { image: 'x' },
    })
  })

  it('keeps from the run before what this one did not look at', () => {
    expect(remember(last, NOW, [finding('fail')], { image: 'sha256:bbbb' })).toEqual({
      at: NOW,
      verdicts: { ...last.verdicts, 'token.strength': 'fail' },
      facts: { ...last.facts, image: 'sha256:bbbb' },
    })
  })

  it('is read back as it was written', () => {
    const left = remember(last, NOW, [finding('unknown')], { engine: '28.1.0' })
    expect(recall(`${written(left)}\n`)).toEqual(left)
  })

  it('does not change what was remembered before', () => {
    const before = written(last)
    remember(last, NOW, [finding('fail')], { image: 'other' })
    expect(written(last)).toBe(before)
  })
})

describe('the file of the last run', () => {
  it.each<[string, string | undefined]>([
    ['is not there', undefined],
    ['is empty', ''],
    ['ends in the middle', written(last).slice(0, -10)],
    ['is no JSON', 'at: yesterday'],
    ['is null', 'null'],
    ['is a list', '[]'],
    ['is a text', '"x"'],
    ['is a number', '1'],
    ['says nothing', '{}'],
    ['does not say when', written({ verdicts: {}, facts: {} })],
    ['says when in numbers', written({ ...last, at: 1 })],
    ['has no verdicts', written({ at: THEN, facts: {} })],
    ['has no facts', written({ at: THEN, verdicts: {} })],
    ['has verdicts that are none', written({ ...last, verdicts: { a: 1 } })],
    ['has verdicts in a text', written({ ...last, verdicts: 'pass' })],
    ['has facts that are no text', written({ ...last, facts: { image: { id: 'x' } } })],
    ['has null for facts', written({ ...last, facts: null })],
  ])('that %s is as good as none', (_, text) => {
    expect(recall(text)).toBeUndefined()
  })

  it('is read or left alone, whatever is in it', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), text => {
        const found = recall(text)
        if (found !== undefined) driftSince(found, [finding('pass')], { image: 'x' })
      }),
      { numRuns: 200 },
    )
  })
})

describe('what changed', () => {
  it('is every verdict and every fact that is another one now, and since when', () => {
    expect(
      driftSince(last, [finding('fail'), finding('pass', { check: 'ports.neighbours' })], {
        image: 'sha256:bbbb',
        'docker-compose.yml': '0123',
      }),
    ).toEqual({
      since: THEN,
      verdicts: [
        { check: 'token.strength', from: 'pass', to: 'fail' },
        { check: 'ports.neighbours', from: 'fail', to: 'pass' },
      ],
      facts: [{ name: 'image', from: 'sha256:aaaa', to: 'sha256:bbbb' }],
    })
  })

  it('is nothing when all is as before', () => {
    expect(driftSince(last, [finding('pass')], last.facts)).toEqual({ since: THEN, verdicts: [], facts: [] })
  })

  it('is not what only one of the two runs looked at', () => {
    const drift = driftSince(last, [finding('fail', { check: 'new.check' })], { engine: '28' })
    expect(drift).toEqual({ since: THEN, verdicts: [], facts: [] })
  })

  it('is seen over a run that looked at something else only', () => {
    const between = remember(last, NOW, [finding('pass', { check: 'other.check' })], {})
    expect(driftSince(between, [finding('fail')], {}).verdicts).toEqual([
      { check: 'token.strength', from: 'pass', to: 'fail' },
    ])
  })

  it('is what a person accepted, too: a failure that is skipped now', () => {
    const accepted = finding('skip', { check: 'ports.neighbours' })
    expect(some(driftSince(last, [accepted], {}).verdicts[0])).toMatchObject({ from: 'fail', to: 'skip' })
  })
})
