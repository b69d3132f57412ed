import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { describeProblem } from '../../src/errors.ts'
import type { Suppression } from '../../src/procedure/step.ts'
import { readAnswers, writeAnswers } from '../../src/wizard/answers-file.ts'
import { readSuppressions } from '../../src/wizard/suppressions.ts'
import { anyText } from './generators.ts'
import { ANSWERS } from './support.ts'

const GOOD: Suppression = {
  check: 'ports.neighbours',
  reason: 'moved to the new host by then',
  until: '2026-12-31',
}
const read = (data: unknown) => readSuppressions(data, 'suppress')
const complaints = (data: unknown) => read(data).problems.map(describeProblem)

describe('accepted failures', () => {
  it('are none where nothing is said', () => {
    for (const data of [undefined, null, []]) expect(read(data)).toEqual({ suppressions: [], problems: [] })
  })

  it('each name one check, a reason and a last day', () => {
    const other = { ...GOOD, check: 'egress.denied' }
    expect(read([GOOD, other])).toEqual({ suppressions: [GOOD, other], problems: [] })
  })

  it('may be over: that is for verify to say', () => {
    expect(read([{ ...GOOD, until: '2020-02-29' }]).problems).toEqual([])
  })

  it('may have a reason in any language', () => {
    for (const reason of ['zieht bis dahin um – größer', '移動するまでの間だけ許可', 'до переезда на новый'])
      expect(read([{ ...GOOD, reason }]).problems).toEqual([])
  })
})

describe('an entry that is wrong says which one, what in it, and what is allowed', () => {
  const check = /the id of one check, as verify shows it; no pattern$/
  const reason = /one line of 10 to 300 characters$/
  const until = /the last day it holds, as "YYYY-MM-DD"$/
  it.each<[string, unknown, string, RegExp]>([
    ['a text', 'ports.neighbours', 'entry: \\"ports.neighbours\\"', /a list of \{check:/],
    ['nothing', null, 'entry: null', /nothing is accepted forever/],
    ['a list', [GOOD], 'entry: [', /a list of \{check:/],
    ['no check', { ...GOOD, check: undefined }, 'check: nothing', check],
    ['a check in capitals', { ...GOOD, check: 'Ports.neighbours' }, 'check: \\"Ports', check],
    ['a pattern', { ...GOOD, check: 'ports.*' }, 'check: \\"ports.*\\"', check],
    ['everything', { ...GOOD, check: '*' }, 'check: \\"*\\"', check],
    ['two checks', { ...GOOD, check: ['a.b', 'c.d'] }, 'check: [', check],
    ['no reason', { ...GOOD, reason: undefined }, 'reason: nothing', reason],
    ['a short reason', { ...GOOD, reason: 'because' }, 'reason: \\"because\\"', reason],
    ['a reason of spaces', { ...GOOD, reason: ' '.repeat(20) }, 'reason: \\"   ', reason],
    [
      'a reason of two lines',
      { ...GOOD, reason: 'one line\nand another' },
      'reason: \\"one line\\\\n',
      reason,
    ],
    [
      'a reason that clears the screen',
      { ...GOOD, reason: `quiet please \u001b[2J` },
      'reason: \\"quiet',
      reason,
    ],
    [
      'a reason that is read backwards',
      { ...GOOD, reason: 'harmless \u202egnihton' },
      'reason: \\"harmless',
      reason,
    ],
    ['a long reason', { ...GOOD, reason: 'x'.repeat(301) }, 'reason: \\"xxx', reason],
    ['no end', { ...GOOD, until: undefined }, 'until: nothing', until],
    ['no end, in words', { ...GOOD, until: 'forever' }, 'until: \\"forever\\"', until],
    ['a day there is not', { ...GOOD, until: '2026-02-30' }, 'until: \\"2026-02-30\\"', until],
    ['a time', { ...GOOD, until: '2026-12-31T00:00:00Z' }, 'until: \\"2026-12-31T', until],
    ['a year of five digits', { ...GOOD, until: '+12026-12-31' }, 'until: \\"+12026', until],
    ['a day in numbers', { ...GOOD, until: 20261231 }, 'until: 20261231', until],
    ['a key too many', { ...GOOD, because: 'x' }, 'because: \\"x\\"', /check, reason and until$/],
  ])('%s', (_, entry, given, allowed) => {
    const found = complaints([GOOD, entry])
    expect(found).toHaveLength(1)
    expect(found[0]).toContain(`suppress, entry 2: got "${given}`)
    expect(found[0]).toMatch(allowed)
    expect(read([GOOD, entry]).suppressions).toEqual([GOOD])
  })

  it('each of several has a problem of its own', () => {
    expect(complaints([{}, GOOD, 'x', { ...GOOD, until: 'never' }])).toEqual([
      expect.stringContaining('entry 1: got "check'),
      expect.stringContaining('entry 3: got "entry'),
      expect.stringContaining('entry 4: got "until'),
    ])
  })

  it.each([
    ['all', 'a string'],
    [true, 'a boolean'],
    [{ 'ports.neighbours': 'x' }, 'a object'],
  ])('what is no list at all, such as %j, is one problem', (data, given) => {
    expect(complaints(data)).toEqual([
      expect.stringContaining(`suppress: got "${given}"; allowed: a list of`),
    ])
  })

  it('shows no control character of what was given', () => {
    for (const problem of complaints([{ ...GOOD, reason: '\u001b[31m\u0007\u202e', check: 'a.b' }]))
      expect(problem).not.toMatch(/[\p{Cc}\u202e]/u)
  })
})

describe('accepted failures in deployment.yaml', () => {
  it('are read with the answers, and undefined where the file does not speak of any', () => {
    expect(readAnswers('name: gw\n', 'x').suppressions).toBeUndefined()
    expect(readAnswers('name: gw\nsuppress:\n', 'x').suppressions).toEqual([])
    const yaml = `suppress:\n  - {check: a.b, reason: "moved by then", until: 2026-12-31}\n`
    expect(readAnswers(yaml, 'x')).toMatchObject({
      suppressions: [{ check: 'a.b', reason: 'moved by then', until: '2026-12-31' }],
      problems: [],
    })
  })

  it('that are wrong are problems with the line they are in', () => {
    const { problems } = readAnswers('name: gw\nsuppress:\n  - {check: "*"}\n', 'deployment.yaml')
    expect(problems.map(describeProblem)).toEqual([
      expect.stringContaining('suppress (deployment.yaml, line 2), entry 1: got "check: '),
    ])
  })

  it('may not be aliases, which could grow without end', () => {
    const yaml = `suppress:\n  - &a {check: a.b, reason: "moved by then", until: "2026-12-31"}\n  - *a\n`
    expect(readAnswers(yaml, 'x').problems).not.toEqual([])
  })

  it('are written and read again, with the answers as they were', () => {
    const text = writeAnswers(ANSWERS, [GOOD, { ...GOOD, check: 'egress.denied' }])
    const again = readAnswers(text, 'x')
    expect(again.problems).toEqual([])
    expect(again.suppressions).toEqual([GOOD, { ...GOOD, check: 'egress.denied' }])
    expect(again.answers).toEqual(readAnswers(writeAnswers(ANSWERS), 'x').answers)
    expect(text).toContain('# Failures of verify that somebody accepts')
  })

  it('are not spoken of where there are none', () => {
    expect(writeAnswers(ANSWERS)).not.toContain('suppress')
  })

  it.each([
    'it is "quoted" and \'quoted\'',
    'ends with a backslash \\',
    '# looks like a comment',
    '- looks like a list: {a: b}',
    '*alias &anchor !tag | > %',
    '${VARIABLE} $(command) `x`',
    '2026-12-31 is a day, null ~ true',
    'suppress: [everything, *]',
    '  spaces around it matter  ',
  ])('keep a reason that means something to YAML: %s', reason => {
    const again = readAnswers(writeAnswers(ANSWERS, [{ ...GOOD, reason }]), 'x')
    expect(again.problems).toEqual([])
    expect(again.suppressions).toEqual([{ ...GOOD, reason }])
  })

  it('come back as they were or are refused, whatever the reason', () => {
    fc.assert(
      fc.property(anyText(40), reason => {
        const entry = { ...GOOD, reason }
        const accepted = read([entry]).problems.length === 0
        if (!accepted) return
        const again = readAnswers(writeAnswers(ANSWERS, [entry]), 'x')
        expect(again.problems).toEqual([])
        expect(again.suppressions).toEqual([entry])
      }),
      { numRuns: 60 },
    )
  })
})
