/**
 * The seccomp profile, as it is shipped: it refuses every dangerous call, and everything that a deployment has to do works
 * under it. SECCOMP_STARTS=10 starts the gateway ten times in a row; under a filter that writes down instead of denying as well.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
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
import { IMAGE, isThorough, patience, sh } from './harness.ts'

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
    const results = await workAll(names[0], PROFILES.ours)
    // A call that a filter denies says so where a tool meets it.
    expect(results.filter(result => /not permitted|not implemented|exited with code/i.test(result))).toEqual(
      [],
    )
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

/** A gateway from its start to its stop, with everything that it does in between. What the agent's tools came back with. */
async function workAll(name: string, profilePath: string): Promise<string[]> {
  const token = 'b'.repeat(64)
  const model = await work.startModel(await work.bridgeAddress())
  try {
    await work.gated(name, work.WORKBENCH, profilePath, work.GATEWAY)
    await work.furnish(name, work.gatewayConfig(model.url), token)
    await work.open(name)
    await work.untilReady(name)
    for (const act of work.gatewayActs(name, token, model)) {
      const { code, stderr } = await act.run()
      expect(code, `${act.what}: ${stderr.slice(-1000)}`).toBe(0)
    }
    expect(model.results).toHaveLength(work.AGENT.length)
    expect((await sh('docker', ['stop', '--time', '60', name])).code).toBe(0)
    return model.results
  } finally {
    model.server.closeAllConnections()
    model.server.close()
    await sh('docker', ['rm', '--force', '--volumes', name])
  }
}

/** Where the kernel keeps how often it writes; beyond that it drops lines without a word about what was in them. */
const RATE = '/proc/sys/kernel/printk_ratelimit'

describe('the kernel’s log', () => {
  const CONTROL = 'uname'
  let rate = ''
  let scratch = ''
  beforeAll(() => {
    rate = readFileSync(RATE, 'utf8')
    writeFileSync(RATE, '0')
    scratch = mkdtempSync(resolve(tmpdir(), 'ocs-seccomp-'))
  })
  afterAll(() => {
    writeFileSync(RATE, rate)
    rmSync(scratch, { recursive: true, force: true })
  })

  /** What the log says was let through and would have been denied, while something was done; and it was not deaf then. */
  async function loggedDuring(something: () => Promise<void>): Promise<string[]> {
    await expectItHears()
    const began = Date.now()
    await something()
    await expectItHears()
    // What was written before the second control is there by now, and the control itself is nobody else's.
    return (await heardSince(began)).filter(call => call !== CONTROL)
  }

  const heardSince = async (began: number) => loggedCalls((await work.must(sh('dmesg', []))).stdout, began)

  /** A call that the program of this name makes for certain, under a profile that does not have it. */
  async function expectItHears(): Promise<void> {
    const began = Date.now()
    const path = loggingFile(without(CONTROL))
    await work.must(sh('docker', ['run', '--rm', '--entrypoint', 'uname', ...work.hardening(path), IMAGE]))
    await expect.poll(() => heardSince(began), { timeout: patience(2000) }).toEqual([CONTROL])
  }

  function loggingFile(text: string): string {
    const path = resolve(mkdtempSync(resolve(scratch, 'profile-')), 'seccomp.json')
    writeFileSync(path, onlyLogging(text))
    return path
  }

  it('has no call that the canary made and the profile denies', async () => {
    const bird = await canary(profile, 180_000)
    const song = async () =>
      expect(await tryUnder(docker, bird, onlyLogging(profile), never)).toMatchObject({ ok: true })
    expect(await loggedDuring(song)).toEqual([])
  })

  it.runIf(isThorough)(
    `has none of all that a gateway does from start to stop, ${STARTS} times in a row`,
    async () => {
      const path = loggingFile(profile)
      const day = async () => void (await workAll(names[0], path))
      for (let start = 1; start <= STARTS; start++)
        expect(await loggedDuring(day), `start ${start}`).toEqual([])
    },
    STARTS * 240_000,
  )
})

describe('the canary', () => {
  it.runIf(STARTS > 1)(`sings ${STARTS} times in a row`, async () => {
    const bird = await canary(profile, 180_000)
    for (let start = 1; start <= STARTS; start++)
      expect(await tryUnder(docker, bird, profile, never), `start ${start}`).toMatchObject({ ok: true })
  })

  it.runIf(isThorough)('falls silent when a call is missing, and it is named', async () => {
    // Node asks for its event queue before anything else, so that this ends quickly.
    const poor = await canary(without('epoll_create1'), 60_000)
    expect(notAllowed(poor.profile, 'x86_64')).toContain('epoll_create1')
    expect(await tryUnder(docker, poor, poor.profile, never)).toMatchObject({ ok: false })
    expect(await missingCalls(run, docker, poor, never)).toEqual(['epoll_create1'])
    expect(notAllowed(allowingAlso(poor.profile, ['epoll_create1']), 'x86_64')).not.toContain('epoll_create1')
  })
})

/** The profile as it is shipped, but for one call. */
function without(call: string): string {
  const { syscalls, ...head } = JSON.parse(profile)
  const rules = syscalls
    .map((rule: { names: string[] }) => ({ ...rule, names: rule.names.filter(name => name !== call) }))
    .filter(({ names: left }: { names: string[] }) => left.length > 0)
  return JSON.stringify({ ...head, syscalls: rules })
}

async function canary(text: string, deadline: number): Promise<Canary> {
  return {
    image: (await docker.image(IMAGE))?.Id ?? '',
    user: '1000:1000',
    profile: text,
    ...{ memory: 2048, cpus: 2, pids: 256, patience: deadline },
  }
}
