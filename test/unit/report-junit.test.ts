import * as fc from 'fast-check'
import { XMLParser, XMLValidator } from 'fast-xml-parser'
import { describe, expect, it } from 'vitest'
import { junitReport } from '../../src/report/junit.ts'
import { CHECKLIST, linesOf } from '../../src/report/report.ts'
import { anyText } from './generators.ts'
import { everything, finding, HOSTILE, reportOf } from './reports.ts'

interface Case {
  '@classname': string
  '@name': string
  failure?: { '@message': string; '@type': string; '#text': string }
  error?: { '@message': string; '#text': string }
  skipped?: { '@message': string }
  'system-out'?: string
}

interface Suite {
  '@name': string
  '@tests': string
  '@failures': string
  '@errors': string
  '@skipped': string
  '@timestamp': string
  testcase?: Case[]
}

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  htmlEntities: true,
  trimValues: false,
  parseTagValue: false,
  parseAttributeValue: false,
  isArray: name => name === 'testsuite' || name === 'testcase',
})

function parse(xml: string): Omit<Suite, 'testcase'> & { testsuite: Suite[] } {
  expect(XMLValidator.validate(xml)).toBe(true)
  return parser.parse(xml).testsuites
}

const casesOf = (...findings: Parameters<typeof reportOf>[0]) =>
  parse(junitReport(reportOf(findings))).testsuite.flatMap(suite => suite.testcase ?? [])

describe('the JUnit report', () => {
  it('has a suite for every line of the checklist and a case for every check', () => {
    const report = everything()
    const { testsuite } = parse(junitReport(report))
    expect(testsuite.map(suite => suite['@name'])).toEqual([
      ...CHECKLIST.map((text, index) => `${index + 1}. ${text}`),
      'Negative controls',
    ])
    const cases = testsuite.slice(0, 10).flatMap(suite => suite.testcase ?? [])
    expect(cases.map(one => [one['@classname'], one['@name']]).sort()).toEqual(
      report.findings.map(one => [one.threat, `${one.check}: ${one.title}`]).sort(),
    )
  })

  it('counts in each suite and in all what is in it', () => {
    const all = parse(junitReport(everything()))
    const cases = all.testsuite.flatMap(suite => suite.testcase ?? [])
    for (const { suite, own } of [
      { suite: all, own: cases },
      ...all.testsuite.map(suite => ({ suite, own: suite.testcase ?? [] })),
    ])
      expect([suite['@tests'], suite['@failures'], suite['@errors'], suite['@skipped']].map(Number)).toEqual([
        own.length,
        own.filter(one => one.failure !== undefined).length,
        own.filter(one => one.error !== undefined).length,
        own.filter(one => one.skipped !== undefined).length,
      ])
  })

  it('says what failed with evidence and remedy, and what could not be looked at as an error', () => {
    const evidence = 'first line\nsecond line'
    const [failed, unknown] = casesOf(finding('fail', { evidence }), finding('unknown', { evidence }))
    expect(failed?.failure).toMatchObject({ '@message': 'first line', '@type': 'critical' })
    expect(failed?.failure?.['#text']).toContain('saw: first line\nsecond line\ndo: mend it')
    expect(unknown?.error?.['@message']).toBe('first line')
    expect(unknown?.error?.['#text']).toContain(evidence)
    expect(unknown?.failure).toBeUndefined()
  })

  it('says why something was skipped or suppressed', () => {
    const suppressed = { check: 'a.a', until: '2026-12-31', reason: 'the "old" proxy' }
    const [skipped, accepted] = casesOf(finding('skip'), finding('skip', { suppressed }))
    expect(skipped?.skipped?.['@message']).toBe('saw it')
    expect(accepted?.skipped?.['@message']).toBe('suppressed until 2026-12-31: the "old" proxy')
    expect(accepted?.['system-out']).toContain('saw: saw it')
  })

  it('fails for a negative control that stayed green', () => {
    const controls = everything().controls ?? []
    const suite = parse(junitReport(reportOf([], { controls }))).testsuite.at(-1)
    expect(suite?.testcase).toHaveLength(controls.length)
    expect(suite?.testcase?.filter(one => one.failure !== undefined)).toEqual([
      expect.objectContaining({ '@name': expect.stringContaining(controls[5]?.check ?? '?') }),
    ])
    expect(suite?.['@failures']).toBe('1')
  })

  it('is XML 1.0 whatever a container writes, and all of it is text', () => {
    const [failed, ...others] = casesOf(
      finding('fail', { title: HOSTILE, evidence: HOSTILE, remedy: HOSTILE }),
    )
    expect(others).toEqual([])
    expect(failed?.['@name']).toBe(`token.strength: ${linesOf(HOSTILE).join('\n')}`)
    expect(failed?.failure?.['#text']).toContain(linesOf(HOSTILE).join('\n'))
    fc.assert(
      fc.property(anyText(60), evidence => {
        const xml = junitReport(reportOf([finding('fail', { evidence, remedy: '' })]))
        expect(xml).not.toMatch(/[^\P{C}\n]/u)
        const [one] = parse(xml).testsuite[0]?.testcase ?? []
        expect(one?.failure?.['#text']).toContain(linesOf(evidence).join('\n'))
      }),
    )
  })

  it('would be seen to be broken', () => {
    expect(XMLValidator.validate(junitReport(everything()).replace('</testcase>', ''))).not.toBe(true)
  })
})
