import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Answers } from '../../src/deployment/answers.ts'
import { writeAnswers } from '../../src/wizard/answers-file.ts'
import { isPolicyTaken, takePolicy } from '../../steps/incident/clean-setup.ts'
import { type Found, proposalFor, proposePolicy } from '../../steps/incident/policy.ts'
import { incidentIn, inTime } from './incident-world.ts'
import { ANSWERS, scratch } from './support.ts'

const answers = (change: Partial<Answers>): Answers => ({ ...ANSWERS, ...change })

const CALM: Found = { high: 0, hosts: [], isScheduled: true }
const STRICT = answers({ contact: 'Ada, +1 555 0100' })

describe('what is proposed after an incident', () => {
  it('is nothing where nothing is weaker than it has to be', () => {
    expect(proposalFor(STRICT, CALM)).toEqual({ answers: STRICT, why: [], advice: [] })
  })

  it('takes every weakening back, and nothing else', () => {
    const weak = answers({
      ...STRICT,
      egress: 'open',
      seccomp: 'docker-default',
      posture: 'coding',
      agentSandbox: 'docker',
    })
    const { answers: next, why } = proposalFor(weak, CALM)
    expect(next).toEqual({ ...weak, egress: 'closed', seccomp: 'fitted', agentSandbox: 'ssh' })
    expect(why).toHaveLength(3)
  })

  it('does not close the way to a provider that cannot be reached by name: that is a person’s to decide', () => {
    const provider = { id: 'local', url: 'http://models.example.org/v1' }
    const weak = answers({ ...STRICT, egress: 'open', providers: [provider] })
    const { answers: next, why, advice } = proposalFor(weak, CALM)
    expect(next.egress).toBe('open')
    expect(why).toEqual([])
    expect(advice.join()).toContain('cannot be closed')
  })

  it('takes away a host that a suspicious call has named, and leaves the others', () => {
    const open = answers({ ...STRICT, egressHosts: ['api.example.org', 'drop.example.net'] })
    const { answers: next, why } = proposalFor(open, { ...CALM, hosts: ['drop.example.net'] })
    expect(next.egressHosts).toEqual(['api.example.org'])
    expect(why.join()).toContain('drop.example.net')
  })

  it('says what only a person can decide', () => {
    const loose = answers({ contact: '', posture: 'coding', egressHosts: ['*.example.org'] })
    const { why, advice } = proposalFor(loose, { high: 1, hosts: [], isScheduled: false })
    expect(why).toEqual([])
    expect(advice.join(' ')).toMatch(/\*\.example\.org.*misuse.*contact.*--schedule monthly/)
  })
})

describe('a proposal', () => {
  const weak = answers({ ...STRICT, egress: 'open' })
  const proposed = (change: Parameters<typeof incidentIn>[1]) => {
    const folder = scratch()
    writeFileSync(resolve(folder, 'deployment.yaml'), writeAnswers(weak), { mode: 0o640 })
    const { ctx, said } = incidentIn(folder, change)
    const diff = () => readFileSync(resolve(ctx.case.folder, 'evidence/findings/policy.diff'), 'utf8')
    const file = () => readFileSync(ctx.layout.answers, 'utf8')
    return { ctx, said, diff, file }
  }

  it('is written down, and not taken where nobody can agree', async () => {
    const { ctx, diff, file } = proposed({})
    expect(await proposePolicy.run(ctx, inTime)).toMatchObject({
      facts: { changes: 1, policyApplied: false },
    })
    expect(diff()).toMatch(/^-.*mode: "open"$/m)
    expect(diff()).toMatch(/^\+.*mode: "closed"$/m)
    expect(file()).toBe(writeAnswers(weak))
    expect(ctx.case.journal.read().some(({ step }) => step === 'left-to-do')).toBe(true)
  })

  it('is taken where it was agreed to before, and the file stays whose and as it was', async () => {
    const { ctx, file } = proposed({ wishes: { applyPolicy: true } })
    expect(await proposePolicy.run(ctx, inTime)).toMatchObject({ facts: { changes: 1, policyApplied: true } })
    expect(file()).toContain('mode: "closed"')
    expect(statSync(ctx.layout.answers).mode & 0o777).toBe(0o640)
    // A run that was killed right then goes on with what was taken, and gateway.open with it.
    expect(isPolicyTaken(ctx.case, file())).toBe(true)
    expect(await proposePolicy.run(ctx, inTime)).toMatchObject({ facts: { policyApplied: true } })
    expect(file()).toContain('mode: "closed"')
  })

  it('counts for nothing where a run was killed before it was written, or somebody has changed the file since', async () => {
    const { ctx, file } = proposed({ confirms: false })
    takePolicy(ctx.case, writeAnswers(STRICT))
    expect(isPolicyTaken(ctx.case, file())).toBe(false)
    expect(await proposePolicy.run(ctx, inTime)).toMatchObject({ facts: { policyApplied: false } })
    expect(file()).toBe(writeAnswers(weak))
  })

  it.each([true, false])('is shown to the person, who decides: %s', async agreed => {
    const { ctx, said, file } = proposed({ confirms: agreed })
    await proposePolicy.run(ctx, inTime)
    expect(said.join('\n')).toMatch(/^\+ {2}mode: "closed"$/m)
    expect(file().includes('mode: "closed"')).toBe(agreed)
  })
})
