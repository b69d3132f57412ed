/**
 * The seccomp profile, as it is shipped: it refuses every dangerous call, and everything that a deployment has to do works
 * under it. SECCOMP_STARTS=10 starts the gateway ten times in a row, the first time with a filter that writes down instead of denying.
 */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  allowingAlso,
  type Canary,
  loggedCalls,
  missingCalls,
  notAllowed,
  onlyLogging,
  tryUnder,
} from '../../src/docker/canary.ts'
import { Docker } from '../../src/docker/engine.ts'
import { processRunner } from '../../src/docker/process.ts'
import { Redactor } from '../../src/secret.ts'
import { BESIDE } from '../seccomp-beside.ts'
import {
  allowedCalls,
  EVERYDAY,
  type Measured,
  measure,
  PROFILES,
  REFUSED,
  tableOf,
} from '../seccomp-table.ts'
import * as work from '../seccomp-workload.ts'
import { IMAGE, isThorough, sh } from './harness.ts'

const profile = readFileSync(PROFILES.ours, 'utf8')
const run = processRunner(new Redactor(), process.env)
const docker = new Docker(run)
const never = new AbortController().signal
const STARTS = Number(process.env.SECCOMP_STARTS ?? (isThorough ? 10 : 1))
const names = ['gateway', 'beside'].map(part => `ocs-seccomp-${part}-${process.pid}`) as [string, string]

beforeAll(work.buildWorkbench)
afterAll(async () => {
  for (const name of names) await sh('docker', ['rm', '--force', '--volumes', name])
})

describe('dangerous calls (privilege escalation)', () => {
  let ours: Measured
  let dockers: Measured
  let unconfined: Measured
  beforeAll(async () => {
    ours = await measure('ours')
    dockers = await measure('Docker’s default')
    unconfined = await measure('unconfined')
  })
  const refused = ({ calls }: Measured) =>
    [...calls].filter(([, result]) => REFUSED.test(result)).map(([call]) => call)

  it('are refused, every one of at least sixty-one', () => {
    expect(ours.calls.size).toBeGreaterThanOrEqual(61)
    expect([...ours.calls].filter(([, result]) => !REFUSED.test(result))).toEqual([])
  })

  it('are refused in part by Docker’s own profile, and less without one: the probe can tell', () => {
    expect(refused(dockers).length).toBeLessThan(ours.calls.size - 10)
    expect(refused(unconfined).length).toBeLessThan(refused(dockers).length - 10)
  })

  it('are refused at no cost: everyday things work as under Docker’s own profile', () => {
    expect(Object.keys(EVERYDAY)).toHaveLength(40)
    expect(ours.failed).toEqual(dockers.failed)
    expect(Object.keys(EVERYDAY).length - ours.failed.length).toBeGreaterThanOrEqual(38)
  })

  it('are in the documentation as they were measured', () => {
    const text = readFileSync(resolve(work.ROOT, 'docs/seccomp.md'), 'utf8')
    const measured = { ours, 'Docker’s default': dockers, unconfined }
    // What another engine or kernel says to the other two is not this profile's business.
    const own = (table: string) => table.split('\n').map(line => line.split(' | ').slice(0, 2))
    const written = /begin -->\n\n([\s\S]*)\n\n<!-- npm run seccomp:table: end/.exec(text)?.[1] ?? ''
    expect(own(written)).toEqual(own(tableOf(measured)))
  })

  it('are what at most 250 calls leave', () => {
    expect(allowedCalls('ours')).toBeLessThanOrEqual(250)
  })
})

// Every other suite runs under the profile as well; this one does all that the profile was learned from.
describe.runIf(isThorough)('the gateway under the profile', () => {
  it.concurrent('does all that it was watched doing, and no tool of its agent meets a denied call', async () => {
    const token = 'b'.repeat(64)
    const model = await work.startModel(await work.bridgeAddress())
    const [name] = names
    try {
      await work.gated(name, work.WORKBENCH, PROFILES.ours, work.GATEWAY)
      await work.furnish(name, work.gatewayConfig(model.url), token)
      await work.open(name)
      await work.untilReady(name)
      for (const act of work.gatewayActs(name, token, model)) {
        const { code, stderr } = await act.run()
        expect(code, `${act.what}: ${stderr.slice(-1000)}`).toBe(0)
      }
      // A call that a filter denies says so where a tool meets it.
      expect(model.results).toHaveLength(work.AGENT.length)
      expect(
        model.results.filter(result => /not permitted|not implemented|exited with code/i.test(result)),
      ).toEqual([])
      expect((await sh('docker', ['stop', '--time', '60', name])).code).toBe(0)
    } finally {
      model.server.closeAllConnections()
      model.server.close()
    }
  })

  it.concurrent('lets what stands beside it do its work: sshd, Squid, HAProxy', async () => {
    const [, name] = names
    await work.gated(name, work.WORKBENCH, PROFILES.ours, ['sleep', '600'])
    await work.open(name)
    for (const { what, script } of BESIDE) {
      const { code, stdout, stderr } = await work.inside(name, ['bash', '-ec', script])
      expect(code, `${what}: ${stdout}${stderr}`).toBe(0)
    }
  })
})

describe('the canary', () => {
  const canary = async (text: string, patience: number): Promise<Canary> => ({
    image: (await docker.image(IMAGE))?.Id ?? '',
    user: '1000:1000',
    profile: text,
    ...{ memory: 2048, cpus: 2, pids: 256, patience },
  })

  it(`sings ${STARTS} times in a row, and makes no call that the profile denies, says the kernel’s log`, async () => {
    const bird = await canary(profile, 180_000)
    const began = Date.now()
    expect(await tryUnder(docker, bird, onlyLogging(profile), never)).toMatchObject({ ok: true })
    expect(loggedCalls((await work.must(sh('dmesg', []))).stdout, began)).toEqual([])
    for (let start = 2; start <= STARTS; start++)
      expect(await tryUnder(docker, bird, profile, never), `start ${start}`).toMatchObject({ ok: true })
  })

  it.runIf(isThorough)('falls silent when a call is missing, and it is named', async () => {
    const { syscalls, ...head } = JSON.parse(profile)
    const without = (call: string) => (rule: { names: string[] }) => ({
      ...rule,
      names: rule.names.filter(name => name !== call),
    })
    // Node asks for its event queue before anything else, so that this ends quickly.
    const rules = syscalls
      .map(without('epoll_create1'))
      .filter((rule: { names: string[] }) => rule.names.length > 0)
    const poor = await canary(JSON.stringify({ ...head, syscalls: rules }), 60_000)
    expect(notAllowed(poor.profile, 'x86_64')).toContain('epoll_create1')
    expect(await tryUnder(docker, poor, poor.profile, never)).toMatchObject({ ok: false })
    expect(await missingCalls(run, docker, poor, never)).toEqual(['epoll_create1'])
    expect(notAllowed(allowingAlso(poor.profile, ['epoll_create1']), 'x86_64')).not.toContain('epoll_create1')
  })
})
