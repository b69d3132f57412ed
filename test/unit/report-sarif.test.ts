import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import { describe, expect, it } from 'vitest'
import type { Finding, Severity } from '../../src/procedure/step.ts'
import { CHECKLIST } from '../../src/report/report.ts'
import { sarifReport } from '../../src/report/sarif.ts'
import { everything, finding, HOSTILE, reportOf } from './reports.ts'

const path = createRequire(import.meta.url).resolve(
  '@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json',
)
// The official schema is of draft 4, which differs from what Ajv reads only in how it names itself.
const { $schema: _, id: __, ...official } = JSON.parse(readFileSync(path, 'utf8'))
const ajv = new Ajv({ strict: false, allErrors: true, unicodeRegExp: false })
addFormats.default(ajv)
const validate = ajv.compile(official)

function problems(log: unknown): string[] {
  validate(log)
  return (validate.errors ?? []).map(error => `${error.instancePath} ${error.message}`)
}

const runOf = (findings: readonly Finding[]) => JSON.parse(sarifReport(reportOf(findings))).runs[0]
const suppressed = { check: 'a.a', until: '2026-12-31', reason: 'the old proxy' }

describe('the SARIF log', () => {
  it('is valid by the official schema', () => {
    for (const report of [everything(), reportOf([]), reportOf([finding('fail', { evidence: '' })])])
      expect(problems(JSON.parse(sarifReport(report)))).toEqual([])
  })

  it('would be seen to be invalid', () => {
    const broken = JSON.parse(sarifReport(everything()))
    broken.runs[0].results[0].kind = 'green'
    broken.runs[0].results[1].message = 'text'
    broken.runs[0].invocations[0].startTimeUtc = 'today'
    delete broken.runs[0].tool
    expect(problems(broken)).toEqual(
      expect.arrayContaining([
        "/runs/0 must have required property 'tool'",
        '/runs/0/results/0/kind must be equal to one of the allowed values',
        '/runs/0/results/1/message must be object',
        '/runs/0/invocations/0/startTimeUtc must match format "date-time"',
      ]),
    )
  })

  it('names the tool, and has one rule for every check', () => {
    const report = everything()
    const { driver } = JSON.parse(sarifReport(report)).runs[0].tool
    expect(driver).toMatchObject({
      name: 'create-openclaw-secure',
      version: '1.2.3',
      informationUri: 'https://www.npmjs.com/package/create-openclaw-secure',
    })
    expect(driver.rules.map((rule: { id: string }) => rule.id)).toEqual(report.findings.map(one => one.check))
  })

  it('says in a rule what is demanded, by whom, and how bad it is', () => {
    const refs = { seed: '2. Network', cis: '5.14' }
    const [rule] = runOf([finding('fail', { check: 'ports.not-open', refs })]).tool.driver.rules
    expect(rule).toEqual({
      id: 'ports.not-open',
      name: 'PortsNotOpen',
      shortDescription: { text: 'The token is strong' },
      help: { text: 'mend it' },
      defaultConfiguration: { level: 'error' },
      properties: {
        'security-severity': '9.5',
        tags: ['security', 'credential leakage', 'static'],
        threat: 'credential leakage',
        severity: 'critical',
        ...refs,
      },
    })
  })

  it.each<[Severity, level: string, score: string]>([
    ['critical', 'error', '9.5'],
    ['high', 'error', '8.0'],
    ['medium', 'warning', '5.5'],
    ['low', 'note', '3.0'],
  ])('weighs a failure that is %s as %s', (severity, level, score) => {
    const run = runOf([finding('fail', { severity })])
    expect(run.results[0]).toMatchObject({ kind: 'fail', level })
    expect(run.tool.driver.rules[0].properties['security-severity']).toBe(score)
  })

  it('gives a level to nothing but failures', () => {
    const { results } = runOf([finding('pass'), finding('unknown'), finding('skip')])
    expect(results.map(({ kind, level }: Record<string, string>) => [kind, level])).toEqual([
      ['pass', 'none'],
      ['open', 'none'],
      ['notApplicable', 'none'],
    ])
  })

  it('keeps a suppressed failure a failure, and says who accepted it; of all others that nobody did', () => {
    const { results } = runOf([finding('skip', { suppressed }), finding('fail')])
    expect(results[0]).toMatchObject({
      kind: 'fail',
      level: 'error',
      suppressions: [
        { kind: 'external', status: 'accepted', justification: 'until 2026-12-31: the old proxy' },
      ],
    })
    expect(results[1].suppressions).toEqual([])
  })

  it('was executed successfully only when everything could be looked at', () => {
    expect(runOf([finding('fail'), finding('pass')]).invocations).toEqual([
      { startTimeUtc: '2026-11-23T01:40:00.000Z', executionSuccessful: true },
    ])
    expect(runOf([finding('unknown'), finding('pass')]).invocations[0].executionSuccessful).toBe(false)
  })

  it('says where: the file, the folder it is in, and the line of the checklist', () => {
    const run = runOf([finding('fail', { line: 2 })])
    expect(run.results[0].locations).toEqual([
      {
        physicalLocation: { artifactLocation: { uri: 'docker-compose.yml', uriBaseId: '%SRCROOT%' } },
        logicalLocations: [{ name: CHECKLIST[1], fullyQualifiedName: 'Before Production/2' }],
      },
    ])
    expect(run.originalUriBaseIds).toEqual({ '%SRCROOT%': { uri: 'file:///srv/my-gateway/' } })
  })

  it('knows a finding again whatever it says, and tells deployments and checks apart', () => {
    const print = (one: Finding, deployment = '/srv/a') =>
      JSON.parse(sarifReport(reportOf([one], { deployment }))).runs[0].results[0].partialFingerprints
    const first = print(finding('fail'))
    expect(first).toEqual({ 'checkAndDeployment/v1': expect.stringMatching(/^[0-9a-f]{64}$/) })
    const reworded = { title: 'x', evidence: 'y', remedy: 'z', severity: 'low', line: 9 } as const
    expect(print(finding('unknown', reworded))).toEqual(first)
    expect(print(finding('fail'), '/srv/b')).not.toEqual(first)
    expect(print(finding('fail', { check: 'token.other' }))).not.toEqual(first)
  })

  it('reads evidence as text: no placeholder, no link, nothing hidden', () => {
    const { text } = runOf([finding('fail', { evidence: HOSTILE })]).results[0].message
    expect(text.replaceAll('{{', '').replaceAll('}}', '')).not.toMatch(/[{}]/)
    expect(text).not.toContain('](')
    expect(text).not.toMatch(/[^\P{C}\n]/u)
    expect(runOf([finding('fail', { evidence: '{"a": 1}' })]).results[0].message.text).toBe('{{"a": 1}}')
    expect(sarifReport(everything())).toMatch(/^\P{C}+\n$/u)
  })
})
