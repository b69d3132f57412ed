import { describe, expect, it } from 'vitest'
import { ToolError } from '../../src/errors.ts'
import { readJudges } from '../../src/gateway/judges.ts'
import { thrown } from './support.ts'

const SECURITY = {
  summary: { critical: 0, warn: 1, info: 3 },
  findings: [{ checkId: 'fs.state_dir', severity: 'warn', title: 'readable', detail: 'more than we read' }],
}
const SECRETS = {
  status: 'clean',
  summary: { plaintextCount: 0, unresolvedRefCount: 0, shadowedRefCount: 0 },
  findings: [],
}
const LEDGER = { events: [] }

const answer = (value: unknown, code = 0, stderr = '') => ({
  code,
  stdout: typeof value === 'string' ? value : JSON.stringify(value),
  stderr,
})
const APPROVALS = {
  file: { defaults: {}, agents: {} },
  effectivePolicy: { scopes: [{ scopeLabel: 'main', security: { effective: 'deny' } }] },
}
const whole = {
  security: answer(SECURITY),
  secrets: answer(SECRETS),
  approvals: answer(APPROVALS),
  ledger: answer(LEDGER),
}

function read(change: Partial<typeof whole> & { validation?: ReturnType<typeof answer> } = {}) {
  return readJudges({ code: 0, stdout: JSON.stringify({ ...whole, ...change }), stderr: '' })
}

/** The reason of a judge who gives no verdict. */
async function silence(ask: () => unknown): Promise<string> {
  const error = await thrown(ask)
  expect(error).toBeInstanceOf(ToolError)
  expect(error).toMatchObject({ code: 'judge_silent', hint: expect.stringMatching(/\w/) })
  return error.message
}

describe('OpenClaw’s judges', () => {
  it('are read one by one, each from its JSON', () => {
    const judges = read()
    expect(judges.security()).toMatchObject({ summary: SECURITY.summary })
    expect(judges.secrets()).toMatchObject({ status: 'clean' })
    expect(judges.ledger()).toEqual({ records: 0, source: 'openclaw audit --json' })
    expect(judges.approvals()).toEqual([])
    expect(judges.objections()).toEqual([])
  })

  it('need no command for the ledger where the gateway’s own database was read', () => {
    const stdout = JSON.stringify({ ...whole, ledger: undefined, records: 7 })
    expect(readJudges({ code: 0, stdout, stderr: '' }).ledger()).toEqual({
      records: 7,
      source: 'audit_events in state/openclaw.sqlite',
    })
  })

  it('are believed by what they say, not by their exit code', () => {
    const judges = read({ security: answer(SECURITY, 1), secrets: answer(SECRETS, 2) })
    expect(judges.security().summary.warn).toBe(1)
    expect(judges.secrets().status).toBe('clean')
  })

  it('are silent one by one: who could not be asked does not keep the others from speaking', async () => {
    const judges = read({ ledger: answer('', 1, 'Error: no such table: events') })
    expect(judges.security().summary.critical).toBe(0)
    expect(await silence(judges.ledger)).toBe(
      'openclaw audit gave no verdict (code 1): Error: no such table: events',
    )
  })

  it.each([
    ['nothing', ''],
    ['a help text', 'Usage: openclaw …'],
    ['half an answer', '{"summary":{"crit'],
    ['another answer', { ok: true }],
    ['an answer with a word for a number', { summary: { critical: 'none', warn: 0, info: 0 }, findings: [] }],
    ['a finding without a name', { summary: { critical: 0, warn: 0, info: 0 }, findings: [{ title: 'x' }] }],
    ['a list', []],
    ['null', 'null'],
  ])('who say %s have given no verdict', async (_, said) => {
    const judges = read({ security: answer(said, 137, ''), secrets: answer(said), ledger: answer(said) })
    expect(await silence(judges.security)).toBe(
      'openclaw security audit gave no verdict (code 137): its log is empty',
    )
    expect(await silence(judges.secrets)).toContain('openclaw secrets audit gave no verdict (code 0)')
    expect(await silence(judges.ledger)).toContain('openclaw audit gave no verdict')
  })

  it.each([
    ['was ended by the kernel', 137, '', 'Killed'],
    ['has no node', 127, '', 'sh: node: not found'],
    ['said something else', 0, 'hello', ''],
    ['left one judge out', 0, JSON.stringify({ security: whole.security, ledger: whole.ledger }), ''],
    ['said half', 0, JSON.stringify(whole).slice(0, -5), ''],
  ])('are all silent where what asks them %s', async (_, code, stdout, stderr) => {
    expect(await silence(() => readJudges({ code, stdout, stderr }))).toContain(
      `openclaw gave no verdict (code ${code})`,
    )
  })

  it.each([
    ['an error with controls', 'Error: \u001b[2J\u0007 bad'],
    ['a reason with controls and lines', 'Reason: \u001b[2J\u0007 bad\nand more'],
    ['a reason without end', `Reason: ${'long '.repeat(1000)}`],
  ])('say nothing that a terminal would obey, and not for long: %s', async (_, stderr) => {
    const said = await silence(read({ security: answer('', 1, stderr) }).security)
    expect(said).not.toMatch(/\p{Cc}/u)
    expect(said.length).toBeLessThan(700)
  })
})

describe('what OpenClaw dislikes about a configuration', () => {
  const failed = answer('', 1, 'Error: invalid config')
  const objections = [
    { path: 'security', message: 'Unrecognized key: "shell"' },
    { path: 'logging', message: 'Unrecognized key: "auditEvents"' },
  ]

  it('is what its validation says, with the place of each', () => {
    const judges = read({ security: failed, validation: answer({ valid: false, issues: objections }, 1) })
    expect(judges.objections()).toEqual([
      'security: Unrecognized key: "shell"',
      'logging: Unrecognized key: "auditEvents"',
    ])
  })

  it('is nothing when an audit read it: that one is not asked again', () => {
    expect(read().objections()).toEqual([])
    expect(read({ validation: answer({ valid: true }) }).objections()).toEqual([])
  })

  it('is unknown when the audit failed, and the configuration was not why', async () => {
    const judges = read({ security: failed, validation: answer({ valid: true }) })
    expect(await silence(judges.objections)).toContain('openclaw security audit gave no verdict')
  })

  it('is unknown when the validation is silent too', async () => {
    expect(await silence(read({ security: failed, validation: answer('', 137) }).objections)).toContain(
      'openclaw config validate gave no verdict (code 137)',
    )
    expect(await silence(read({ security: failed }).objections)).toContain('security audit gave no verdict')
  })

  it('is never nothing when it was refused, also where no issue is named', async () => {
    const judges = read({ security: failed, validation: answer({ valid: false }, 1) })
    expect(judges.objections()).not.toEqual([])
  })
})
