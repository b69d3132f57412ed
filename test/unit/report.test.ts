import { Writable } from 'node:stream'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Finding, Verdict } from '../../src/procedure/step.ts'
import { envelope, findingsBody } from '../../src/report/json.ts'
import { plainProgress, silentProgress } from '../../src/report/progress.ts'
import { CHECKLIST, checklist, inert, linesOf, summarize, utc } from '../../src/report/report.ts'
import { textReport as textOf } from '../../src/report/text.ts'
import { checks } from '../../steps/verify/index.ts'
import { anyText } from './generators.ts'
import { everything, finding, HOSTILE, reportOf } from './reports.ts'

const plain = { colour: false, verbose: true }
const brief = { colour: false, verbose: false }
const textReport = (findings: readonly Finding[], options: typeof plain) =>
  textOf(reportOf(findings), options)
/** What a terminal would do something with, instead of showing it. */
const CONTROLS = /[^\P{Cc}\n]|[\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/u

/** Rows that are too long though they could be broken: a single word is not cut, so that it can be copied. */
function tooLong(text: string): string[] {
  return text.split('\n').filter(
    row =>
      row.length > 80 &&
      row
        .trim()
        .replace(/^(saw|do): +/, '')
        .includes(' '),
  )
}

describe('a line of the checklist', () => {
  const verdictOf = (...verdicts: Verdict[]) =>
    checklist(verdicts.map(verdict => finding(verdict)))[0]?.verdict
  const rules: [verdicts: Verdict[], line: Verdict][] = [
    [['pass'], 'pass'],
    [['pass', 'pass'], 'pass'],
    [['pass', 'skip'], 'pass'],
    [['skip'], 'skip'],
    [['fail'], 'fail'],
    [['pass', 'fail'], 'fail'],
    [['unknown'], 'unknown'],
    [['pass', 'unknown'], 'unknown'],
    [['skip', 'unknown'], 'unknown'],
    [['unknown', 'fail'], 'fail'],
    [['pass', 'pass', 'skip', 'unknown'], 'unknown'],
    [[], 'unknown'],
  ]
  it.each(rules)('with %j is %s', (verdicts, line) => {
    expect(verdictOf(...verdicts)).toBe(line)
  })

  it('is never green when nobody looked', () => {
    expect(checklist([]).map(line => line.verdict)).toEqual(Array(10).fill('unknown'))
    const text = textReport([], plain)
    expect(text).not.toContain('✔')
    expect(text.match(/not looked at/g)).toHaveLength(10)
  })

  it('is one of the seed’s ten, in their order', () => {
    expect(checklist([]).map(line => [line.number, line.text])).toEqual(
      CHECKLIST.map((text, index) => [index + 1, text]),
    )
    expect(CHECKLIST).toHaveLength(10)
  })

  it('judges by its own checks alone', () => {
    const lines = checklist([finding('fail', { line: 3 }), finding('pass', { line: 4 })])
    expect(lines.map(line => line.verdict)).toEqual([
      'unknown',
      'unknown',
      'fail',
      'pass',
      ...Array(6).fill('unknown'),
    ])
  })
})

describe('the summary', () => {
  it('counts every finding once', () => {
    expect(
      summarize([finding('pass'), finding('pass'), finding('fail'), finding('unknown'), finding('skip')]),
    ).toEqual({ pass: 2, fail: 1, unknown: 1, skip: 1 })
  })
})

describe('the report for people', () => {
  it('shows what failed and what is unknown with evidence and remedy, and the rest only when asked', () => {
    const findings = [
      finding('pass', { check: 'a.a' }),
      finding('skip', { check: 'b.b' }),
      finding('fail', { check: 'c.c' }),
      finding('unknown', { check: 'd.d' }),
    ]
    const short = textReport(findings, { colour: false, verbose: false })
    for (const shown of ['fail c.c', 'unknown d.d', 'saw: saw it', 'do:  mend it'])
      expect(short).toContain(shown)
    for (const hidden of ['a.a', 'b.b']) expect(short).not.toContain(hidden)
    const long = textReport(findings, plain)
    for (const shown of ['pass a.a', 'skip b.b', 'fail c.c', 'unknown d.d']) expect(long).toContain(shown)
    expect(long.match(/do: {2}/g)).toHaveLength(2)
  })

  it('fits 80 columns whatever the checks are called and say', () => {
    for (const verdict of ['pass', 'fail', 'unknown', 'skip'] as const) {
      const findings = checks.map(check =>
        finding(verdict, {
          check: check.id,
          title: check.title,
          line: check.line,
          remedy: check.remedy,
          evidence: 'some words of what was seen '.repeat(20),
        }),
      )
      expect(tooLong(textReport(findings, plain))).toEqual([])
    }
  })

  it('does not cut a word of evidence that is longer than a line', () => {
    const image = `ghcr.io/openclaw/openclaw@sha256:${'a'.repeat(64)}`
    expect(textReport([finding('fail', { evidence: `image ${image} runs` })], plain)).toContain(image)
  })

  it('keeps evidence of several lines under its own check', () => {
    const text = textReport(
      [finding('fail', { evidence: 'one\n✔  2  Configured localhost-only port binding\r\nthree' })],
      plain,
    )
    expect(text.split('\n').filter(line => /^[✔✘?-] +\d/.test(line))).toHaveLength(10)
  })

  it('shows what a hostile container writes, and lets none of it reach the terminal', () => {
    const hostile = 'node\u001b[2K\u001b[1A\u001b]8;;http://x\u0007\u009b31m\b\b\u202e\u2066x'
    const text = textReport([finding('fail', { evidence: hostile, remedy: hostile })], plain)
    expect(text).not.toMatch(CONTROLS)
    expect(text).toContain('node')
  })

  it('is coloured only when it may be, and the colour goes round the words', () => {
    expect(textReport([finding('fail')], plain)).not.toContain('\u001b')
    const coloured = textReport([finding('fail')], { colour: true, verbose: true })
    expect(coloured).toContain('\u001b[31m✘\u001b[39m')
    expect(coloured).toContain('\u001b[33m?\u001b[39m')
  })

  it('fits 80 columns whatever is written', () => {
    expect(tooLong(textOf(everything(), plain))).toEqual([])
    fc.assert(
      fc.property(anyText(300), anyText(300), anyText(40), (evidence, reason, name) => {
        const suppressed = { check: 'a.a', until: '2026-12-31', reason }
        const text = textOf(
          reportOf([finding('fail', { evidence }), finding('skip', { suppressed })], {
            drift: { since: '', verdicts: [], facts: [{ name, from: evidence, to: reason }] },
          }),
          plain,
        )
        expect(tooLong(text)).toEqual([])
        expect(text).not.toMatch(CONTROLS)
      }),
      { numRuns: 200 },
    )
  })

  it('always shows what is suppressed, until when and why', () => {
    const suppressed = { check: 'a.a', until: '2026-12-31', reason: 'the old proxy goes in December' }
    for (const options of [brief, plain]) {
      const text = textReport([finding('skip', { check: 'a.a', suppressed })], options)
      expect(text).toContain('      skip a.a: The token is strong\n        saw: saw it\n')
      expect(text).toContain('        suppressed until 2026-12-31: the old proxy goes in December\n')
      expect(text).toMatch(/\n1 checks: 0 passed, 0 failed, 0 unknown, 1 skipped \(1 of them suppressed\)\n$/)
    }
  })

  it('says what changed since the last run, verdicts first', () => {
    const drift = {
      since: '2026-11-22T08:30:00.000Z',
      facts: [
        { name: 'image', from: 'a', to: 'b' },
        { name: 'config/openclaw.json', from: '', to: 'c' },
      ],
      verdicts: [{ check: 'ports.unreachable', from: 'pass', to: 'fail' } as const],
    }
    expect(textOf(reportOf([], { drift }), brief)).toContain(
      [
        '',
        'Changed since 2026-11-22 08:30:00 UTC',
        '      ports.unreachable: pass → fail',
        '      image: a → b',
        '      config/openclaw.json: (nothing) → c',
        '',
      ].join('\n'),
    )
    const same = { since: '2026-11-22T08:30:00.000Z', facts: [], verdicts: [] }
    expect(textOf(reportOf([], { drift: same }), brief)).toContain(
      '\nnothing has changed since 2026-11-22 08:30:00 UTC\n',
    )
    expect(textOf(reportOf([]), brief)).not.toContain('changed')
  })

  it('counts the negative controls, and shows those that stayed green', () => {
    const controls = [
      { check: 'a.a', red: true, verdict: 'fail', evidence: 'saw a' } as const,
      { check: 'b.b', red: false, verdict: 'pass', evidence: 'saw b' } as const,
    ]
    const short = textOf(reportOf([], { controls }), brief)
    expect(short).toContain(
      '\nNegative controls: 1 of 2 seen red\n      not red b.b: pass\n        saw: saw b\n',
    )
    expect(short).not.toContain('a.a')
    expect(textOf(reportOf([], { controls }), plain)).toContain('      red a.a: fail\n        saw: saw a\n')
    expect(textOf(reportOf([]), plain)).not.toContain('Negative controls')
  })

  it('ends with the counts and one newline', () => {
    expect(textReport([finding('pass'), finding('unknown')], plain)).toMatch(
      /\n2 checks: 1 passed, 0 failed, 1 unknown, 0 skipped\n$/,
    )
  })
})

describe('foreign text', () => {
  it('has nothing left in it that a program would obey, hide or reorder', () => {
    expect(inert('a\u001b\u009b\u202e\u061c\u00ad\ufeff\u2028\u{e0041}\ud800\uffffz')).toBe(
      String.raw`a\u001b\u009b\u202e\u061c\u00ad\ufeff\u2028\u{e0041}\ud800\uffffz`,
    )
    fc.assert(
      fc.property(anyText(40), text => {
        expect(inert(text)).not.toMatch(/[\p{C}\u2028\u2029]/u)
      }),
    )
  })

  it('is left as it is when it is only text', () => {
    const text = 'Größe → 2 GiB “quoted” 日本語 ✔ e\u0301 😀'
    expect(inert(text)).toBe(text)
  })

  it('keeps its lines', () => {
    expect(linesOf('one\n\ttwo\r\nthree\rfour')).toEqual(['one', '    two', 'three', 'four'])
    expect(linesOf(HOSTILE)[1]).toBe('✔  2  Configured localhost-only port binding')
  })

  it('is a time only when it is one', () => {
    expect(utc('2026-11-23T01:40:00.123Z')).toBe('2026-11-23 01:40:00 UTC')
    expect(utc('yesterday\u001b')).toBe('yesterday\\u001b')
  })
})

describe('the report for machines', () => {
  const head = {
    version: '1.2.3',
    command: 'verify',
    deployment: '/srv/gw',
    startedAt: '2026-11-23T01:40:00.000Z',
  }

  it('is one envelope on one line', () => {
    const text = envelope(head, { port: 18789 })
    expect(text).toMatch(/^[^\n]+\n$/)
    expect(JSON.parse(text)).toEqual({ tool: 'create-openclaw-secure', schema: 1, ...head, port: 18789 })
  })

  it('stays one line, whatever is in it', () => {
    expect(envelope(head, findingsBody([finding('fail', { evidence: 'a\nb\u001b[2K' })]))).toMatch(
      /^\P{Cc}+\n$/u,
    )
  })

  it('has the counts, the ten lines and every finding whole', () => {
    const findings = [finding('pass'), finding('fail', { line: 2, refs: { seed: '2', cis: '5.14' } })]
    const body = JSON.parse(JSON.stringify(findingsBody(findings)))
    expect(body.summary).toEqual({ pass: 1, fail: 1, unknown: 0, skip: 0 })
    expect(body.findings).toEqual(findings)
    expect(body.checklist).toHaveLength(10)
    expect(body.checklist.slice(0, 3)).toEqual([
      { number: 1, text: CHECKLIST[0], verdict: 'pass' },
      { number: 2, text: CHECKLIST[1], verdict: 'fail' },
      { number: 3, text: CHECKLIST[2], verdict: 'unknown' },
    ])
  })
})

describe('progress in plain lines', () => {
  function shown(): { text: () => string; progress: ReturnType<typeof plainProgress> } {
    let written = ''
    const output = new Writable({
      write(chunk, _, done) {
        written += String(chunk)
        done()
      },
    })
    return { text: () => written, progress: plainProgress(output) }
  }
  const step = { id: 'a.b', title: 'Do it' }

  it('is a line a step, with what it saw, why it was skipped, or how it failed', () => {
    const { text, progress } = shown()
    progress.begin(step)
    progress.done(step, 'done so')
    progress.skipped(step, 'already so')
    progress.failed(step, new Error('it broke'))
    expect(
      text()
        .trimEnd()
        .split('\n')
        .map(line => line.split(/ +/)[0]),
    ).toEqual(['ok', 'skip', 'FAILED'])
    for (const part of ['Do it: done so', 'Do it: already so', 'Do it: it broke'])
      expect(text()).toContain(part)
  })

  it('lets no control character of a foreign error reach the terminal', () => {
    const { text, progress } = shown()
    progress.failed(step, new Error('Error response from daemon: \u001b[2K\u001b[1A\u009b31m\u202egone'))
    expect(text()).not.toMatch(CONTROLS)
  })

  it('can be silent', () => {
    expect(() => {
      silentProgress.begin(step)
      silentProgress.done(step, '')
      silentProgress.skipped(step, '')
      silentProgress.failed(step, new Error('x'))
      silentProgress.say('x')
    }).not.toThrow()
  })
})
