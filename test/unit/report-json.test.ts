import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { describe, expect, it } from 'vitest'
import { THREATS } from '../../src/procedure/step.ts'
import { envelope, jsonReport, reportBody } from '../../src/report/json.ts'
import { everything, finding, HOSTILE, reportOf } from './reports.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const schema = JSON.parse(readFileSync(resolve(ROOT, 'schemas/verify.schema.json'), 'utf8'))
const ajv = new Ajv2020({ strict: true, allErrors: true })
addFormats.default(ajv)
const validate = ajv.compile(schema)

/** What is wrong with a log, as the schema sees it. */
function problems(log: unknown): string[] {
  validate(log)
  return (validate.errors ?? []).map(error => `${error.instancePath} ${error.message}`)
}

/** Every schema inside of a schema. */
function parts(node: unknown): Record<string, unknown>[] {
  if (typeof node !== 'object' || node === null) return []
  return [node as Record<string, unknown>, ...Object.values(node).flatMap(parts)]
}

describe('verify --json', () => {
  it('is as its schema says, with everything a report can have and with nothing', () => {
    for (const report of [everything(), reportOf([])])
      expect(problems(JSON.parse(jsonReport(report)))).toEqual([])
  })

  it('has the findings, drift and controls whole', () => {
    const report = everything()
    const { findings, drift, controls } = JSON.parse(jsonReport(report))
    expect({ findings, drift, controls }).toEqual({
      findings: report.findings,
      drift: report.drift,
      controls: report.controls,
    })
  })

  it('leaves out what there is none of', () => {
    expect(Object.keys(reportBody(reportOf([])))).toEqual(['summary', 'checklist', 'findings'])
  })

  it('reads back exactly, and holds no character that a terminal obeys', () => {
    const text = jsonReport(reportOf([finding('fail', { evidence: HOSTILE })]))
    expect(JSON.parse(text).findings[0].evidence).toBe(HOSTILE)
    expect(text).toMatch(/^[^\p{Cc}\p{Cs}\u200b-\u200f\u2028-\u202e\u2060-\u206f]+\n$/u)
  })
})

describe('the schema', () => {
  const head = {
    version: '1',
    command: 'verify',
    deployment: '/srv/gw',
    startedAt: '2026-11-23T01:40:00.000Z',
  }
  const log = (change: (body: Record<string, unknown>) => unknown) => {
    const body = JSON.parse(envelope(head, reportBody(everything())))
    return problems({ ...body, ...(change(body) as object) })
  }

  it('takes no field that it does not describe, anywhere', () => {
    const objects = parts(schema).filter(part => part.type === 'object')
    expect(objects.length).toBeGreaterThan(8)
    expect(objects.filter(part => part.additionalProperties !== false)).toEqual([])
    expect(log(() => ({ extra: 1 }))).toEqual([' must NOT have additional properties'])
    expect(log(() => ({ findings: [{ ...finding('pass'), bySetup: true }] }))).toEqual([
      '/findings/0 must NOT have additional properties',
    ])
  })

  it('describes every field', () => {
    const bare = parts(schema)
      .filter(part => part.additionalProperties === false)
      .flatMap(part => Object.entries(part.properties as Record<string, Record<string, unknown>>))
      .filter(([, field]) => {
        const target =
          typeof field.$ref === 'string' ? schema.$defs[field.$ref.replace('#/$defs/', '')] : field
        return (field.description ?? target.description) === undefined
      })
    expect(bare.map(([name]) => name)).toEqual([])
  })

  it('knows the threats of the checks', () => {
    expect(schema.$defs.finding.properties.threat.enum).toEqual(THREATS)
  })

  it.each<[what: string, change: Record<string, unknown>]>([
    ['another version', { schema: 2 }],
    ['another command', { command: 'setup' }],
    ['a time without a zone', { startedAt: '2026-11-23T01:40:00' }],
    ['nine lines', { checklist: Array(9).fill({ number: 1, text: 'x', verdict: 'pass' }) }],
    ['a verdict nobody knows', { findings: [{ ...finding('pass'), verdict: 'green' }] }],
    [
      'a suppression that passed',
      {
        findings: [{ ...finding('pass'), suppressed: { check: 'a.a', reason: 'x', until: '2026-12-31' } }],
      },
    ],
    [
      'a suppression for ever',
      {
        findings: [{ ...finding('skip'), suppressed: { check: 'a.a', reason: 'x', until: 'never' } }],
      },
    ],
  ])('refuses %s', (_, change) => {
    expect(log(() => change)).not.toEqual([])
  })

  it('is in the package', () => {
    const { files } = JSON.parse(readFileSync(resolve(ROOT, 'package.json'), 'utf8'))
    expect(files).toContain('schemas')
  })
})
