import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { verbatim } from '../../src/deployment/render.ts'
import {
  allowingAlso,
  type Canary,
  fewest,
  groundOf,
  loggedCalls,
  missingCalls,
  notAllowed,
  onlyLogging,
  tryUnder,
} from '../../src/docker/canary.ts'
import { Docker, THROWAWAY_LABEL } from '../../src/docker/engine.ts'
import type { ProcessRunner } from '../../src/docker/process.ts'
import { syscallsOf } from '../../src/docker/syscalls.ts'
import { changedGround, isTried, seccompCanary } from '../../steps/setup/canary.ts'
import type { SetupContext } from '../../steps/setup/context.ts'
import { ANSWERS, scratch, thrown } from './support.ts'

const PROFILE = verbatim('seccomp-profile.json')
const CANARY: Canary = {
  image: 'sha256:1',
  user: '1234:1235',
  profile: PROFILE,
  memory: 2048,
  cpus: 2,
  pids: 256,
  patience: 1000,
}
const info = JSON.stringify({
  ...{
    ID: '',
    ServerVersion: '',
    OSType: 'linux',
    Architecture: 'x86_64',
    DockerRootDir: '',
    MemTotal: 1,
    NCPU: 1,
  },
  ...{
    MemoryLimit: true,
    SwapLimit: true,
    PidsLimit: true,
    CpuCfsQuota: true,
    SystemTime: '',
    OperatingSystem: '',
  },
})
const never = new AbortController().signal
const FINE = { healthy: 900, without: 401, with: 404, child: '42', log: '' }

/** An engine on which a canary sings as it is told, by what its profile allows. */
function engine(sing: (profile: string) => string, answers: Record<string, string> = {}) {
  const calls: string[][] = []
  const run: ProcessRunner = async (file, args) => {
    calls.push([file, ...args])
    const option = args[args.lastIndexOf('--security-opt') + 1] ?? ''
    const path = args.find(arg => arg.startsWith('seccomp='))?.slice('seccomp='.length)
    if (path !== undefined) expect(statSync(path).mode & 0o777, option).toBe(0o600)
    const stdout =
      args[0] === 'run'
        ? sing(path === undefined ? '' : readFileSync(path, 'utf8'))
        : (answers[args[0] ?? file] ?? answers[file])
    return {
      code: stdout === undefined ? 1 : 0,
      stdout: stdout ?? '',
      stderr: stdout === undefined ? 'no' : '',
    }
  }
  return { docker: new Docker(run), run, calls }
}

const singing = (song: object) => engine(() => JSON.stringify(song))
const allows = (profile: string, name: string) =>
  profile === '' ||
  JSON.parse(profile).defaultAction === 'SCMP_ACT_LOG' ||
  JSON.parse(profile).syscalls.some(
    (rule: { names: string[]; action: string }) =>
      rule.action === 'SCMP_ACT_ALLOW' && rule.names.includes(name),
  )

describe('the canary', () => {
  it('runs hardened as the gateway does, alone, and sees nothing of the deployment', async () => {
    const { docker, calls } = singing(FINE)
    expect(await tryUnder(docker, CANARY, PROFILE, never)).toEqual({ ok: true, healthy: 900 })
    const args = (calls[0] ?? []).join(' ')
    for (const flag of [
      '--rm',
      '--pull never',
      `--label ${THROWAWAY_LABEL}`,
      '--network none',
      '--read-only',
      '--cap-drop ALL',
      '--security-opt no-new-privileges:true',
      '--user 1234:1235',
      '--memory 2048m --memory-swap 2048m',
      '--cpus 2',
      '--pids-limit 256',
      '--ulimit core=0',
    ])
      expect(args).toContain(flag)
    expect(args).not.toMatch(/--mount|--volume| -v |--privileged|--env-file/)
  })

  it.each([
    [
      { ...FINE, healthy: null, log: 'x\nAssertion failed: (0) == (uv_thread_create(y))\nz' },
      'Assertion failed',
    ],
    [{ ...FINE, without: 404 }, 'answered with 404 without the token and 404 with it'],
    [{ ...FINE, with: 503 }, 'answered with 401 without the token and 503 with it'],
    [{ ...FINE, child: 'Error: spawnSync /bin/sh EPERM' }, 'a child process could not run: Error: spawnSync'],
  ])('does not sing when %j', async (song, why) => {
    const outcome = await tryUnder(singing(song).docker, CANARY, PROFILE, never)
    expect(outcome).toEqual({ ok: false, why: expect.stringContaining(why) })
  })

  it('does not sing when the engine cannot even start it', async () => {
    const outcome = await tryUnder(engine(() => 'runc create failed').docker, CANARY, PROFILE, never)
    expect(outcome).toEqual({ ok: false, why: expect.stringContaining('runc create failed') })
  })

  it('is removed when its deadline passes', async () => {
    const calls: string[][] = []
    const docker = new Docker(async (_file, args) => {
      calls.push([...args])
      if (args[0] === 'run') throw new Error('late')
      return { code: 0, stdout: '', stderr: '' }
    })
    expect((await thrown(() => tryUnder(docker, CANARY, PROFILE, never))).message).toBe('late')
    expect(calls[1]).toEqual(['rm', '--force', '--volumes', calls[0]?.[calls[0].indexOf('--name') + 1]])
  })
})

describe('what a denied call was', () => {
  it('is read from the kernel’s log, of this machine’s two architectures, since the canary began', () => {
    const entry = (at: string, arch: string, call: number, code = '0x7ffc0000') =>
      `[1.2] audit: type=1326 audit(${at}:9): auid=4 uid=1000 gid=1000 ses=4 pid=7 comm="node" exe="/usr/bin/node" sig=0 arch=${arch} syscall=${call} compat=0 ip=0x7f code=${code}`
    const log = [
      entry('1700000000.100', 'c000003e', 257),
      entry('1700000001.100', 'c000003e', 319),
      entry('1700000001.200', 'c00000b7', 279),
      entry('1700000001.300', 'c000003e', 101, '0x80000000'),
      entry('1700000001.400', 'c000003e', 9999),
    ].join('\n')
    expect(loggedCalls(log, 1_700_000_001_000)).toEqual(['memfd_create', 'call 9999 of c000003e'])
  })

  it('is named only when a start with it allowed works', async () => {
    const needs = ['openat', 'epoll_wait']
    const weak = (names: string[]) =>
      JSON.stringify({
        ...JSON.parse(PROFILE),
        syscalls: JSON.parse(PROFILE)
          .syscalls.map((rule: { names: string[] }) => ({
            ...rule,
            names: rule.names.filter(n => !names.includes(n)),
          }))
          .filter((rule: { names: string[] }) => rule.names.length > 0),
      })
    const sing = (profile: string) =>
      JSON.stringify(needs.every(name => allows(profile, name)) ? FINE : { ...FINE, healthy: null })
    const { docker, run, calls } = engine(sing, { info })
    const canary = { ...CANARY, profile: weak(needs) }
    expect((await missingCalls(run, docker, canary, never))?.sort()).toEqual([...needs].sort())
    expect(calls.filter(([, verb]) => verb === 'run').length).toBeLessThanOrEqual(22)
    // Nothing that a profile denies helps here: that is not known, and not guessed.
    const other = engine(profile => JSON.stringify(profile === '' ? FINE : { ...FINE, healthy: null }), {
      info,
    })
    expect(await missingCalls(other.run, other.docker, canary, never)).toBeUndefined()
  })

  it('is found among many by halving, one or several, and given up where it would take too long', async () => {
    const list = Array.from({ length: 200 }, (_, index) => `c${index}`)
    const needing =
      (...needed: string[]) =>
      async (names: readonly string[]) =>
        needed.every(n => names.includes(n))
    expect(await fewest(list, needing('c77'))).toEqual(['c77'])
    expect((await fewest(list, needing('c3', 'c199')))?.sort()).toEqual(['c199', 'c3'])
    expect(await fewest(list, needing('elsewhere'))).toBeUndefined()
    expect(await fewest(list, needing('c1', 'c50', 'c100', 'c150', 'c199'))).toBeUndefined()
  })
})

describe('profiles of a canary', () => {
  it('allow more without saying anything twice', () => {
    const more = JSON.parse(allowingAlso(PROFILE, ['clone3', 'socket']))
    const rules = more.syscalls.filter((rule: { names: string[] }) => rule.names.includes('socket'))
    expect(rules).toEqual([{ names: ['clone3', 'socket'], action: 'SCMP_ACT_ALLOW' }])
    expect(notAllowed(JSON.stringify(more), 'x86_64')).not.toContain('clone3')
    expect(notAllowed(PROFILE, 'x86_64')).toEqual(expect.arrayContaining(['clone3', 'socket', 'mount']))
    expect(notAllowed(PROFILE, 'x86_64')).not.toContain('openat')
    expect(notAllowed(PROFILE, 'x86_64')[0]).toBe('clone3')
  })

  it('log what they would have denied', () => {
    const logging = JSON.parse(onlyLogging(PROFILE))
    expect(logging).toMatchObject({ defaultAction: 'SCMP_ACT_LOG' })
    expect(logging).not.toHaveProperty('defaultErrnoRet')
    expect(logging.syscalls).toEqual(JSON.parse(PROFILE).syscalls)
  })
})

describe('the ground a canary sang on', () => {
  const version = JSON.stringify({
    Version: '27.1.0',
    KernelVersion: '6.8.0',
    Components: [{ Name: 'runc', Version: '1.1.13' }],
  })

  it('is the engine, its runc and libseccomp, the kernel, the image, the profile and the limits', async () => {
    const { docker, run } = engine(() => '', { version, runc: 'runc version 1.1.13\nlibseccomp: 2.5.5\n' })
    expect(await groundOf(run, docker, CANARY)).toEqual({
      engine: '27.1.0',
      runc: '1.1.13',
      libseccomp: '2.5.5',
      kernel: '6.8.0',
      image: 'sha256:1',
      profile: expect.stringMatching(/^[0-9a-f]{64}$/),
      ...{ memory: '2048', cpus: '2', pids: '256' },
    })
  })

  it('says what it cannot see, and is an error where the engine does not answer', async () => {
    const { docker, run } = engine(() => '', { version })
    expect((await groundOf(run, docker, CANARY)).libseccomp).toBe('unknown')
    const away = engine(() => '')
    expect(await thrown(() => groundOf(away.run, away.docker, CANARY))).toMatchObject({
      code: 'engine_unreachable',
    })
  })

  it('holds until any of it is another', async () => {
    const { docker, run } = engine(() => '', { version })
    const ground = await groundOf(run, docker, CANARY)
    const event = (facts: Record<string, string>) => ({
      ...{
        seq: 1,
        at: '',
        run: '',
        procedure: 'setup',
        event: 'step-done' as const,
        step: 'seccomp.canary',
        prev: '',
      },
      facts,
    })
    expect(isTried([], ground)).toBe(false)
    expect(isTried([event(ground)], ground)).toBe(true)
    for (const name of Object.keys(ground))
      expect(isTried([event({ ...ground, [name]: 'another' })], ground), name).toBe(false)
    // The last one counts: a downgrade is tried again.
    expect(isTried([event(ground), event({ ...ground, engine: '28' })], ground)).toBe(false)
  })
})

describe('the names of the calls', () => {
  it('are the kernel’s, on both architectures', () => {
    const table = readFileSync(join(import.meta.dirname, '../fixtures/syscalls.txt'), 'utf8')
      .split('\n')
      .filter(line => line !== '' && !line.startsWith('#'))
    for (const architecture of ['x86_64', 'aarch64'] as const) {
      const names = [...syscallsOf(architecture).values()]
      const expected = table.filter(line => line.includes(architecture)).map(line => line.split(' ')[0] ?? '')
      expect(expected.filter(name => !names.includes(name))).toEqual([])
      expect(names.length, 'each once').toBe(new Set(names).size)
    }
    expect(syscallsOf('x86_64').get(59)).toBe('execve')
    expect(syscallsOf('aarch64').get(221)).toBe('execve')
    expect(syscallsOf('x86_64').get(435)).toBe('clone3')
  })
})

describe('the step', () => {
  // What has sung on this machine is kept in the person's own folder.
  beforeEach(() => {
    vi.stubEnv('HOME', scratch())
    return () => vi.unstubAllEnvs()
  })

  const version = JSON.stringify({ Version: '27.1.0', KernelVersion: '6.8.0' })
  const step = (
    sing: (profile: string) => string,
    change: { launch?: boolean; seccomp?: SetupContext['answers']['seccomp'] } = {},
  ) => {
    const { docker, run, calls } = engine(sing, { version, info })
    const file = {
      path: 'seccomp-profile.json',
      mode: 0o644,
      owner: 'person',
      content: PROFILE,
    }
    const found = {
      image: { pinned: 'sha256:1', label: 'an image' },
      ownership: { user: { uid: 1, gid: 1 }, host: { uid: 1, gid: 1 }, by: 'same' },
      plan: { files: [file] },
    } as unknown as SetupContext['found']
    const journal = { read: () => [] } as unknown as SetupContext['journal']
    const { launch = true, seccomp = 'fitted' } = change
    return {
      ctx: { answers: { ...ANSWERS, seccomp }, docker, run, launch, journal, startDeadline: 1000, found },
      calls,
    }
  }

  it('writes down what it was tried on', async () => {
    const { ctx } = step(() => JSON.stringify(FINE))
    expect(await seccompCanary.skip?.(ctx)).toBeUndefined()
    expect(await seccompCanary.run(ctx, never)).toEqual({
      saw: 'healthy after 0.9 s, one call with its token and one child process',
      facts: expect.objectContaining({ engine: '27.1.0', kernel: '6.8.0', image: 'sha256:1' }),
    })
  })

  it('writes the same down for the next deployment, for which it is not tried again', async () => {
    const first = await seccompCanary.run(step(() => JSON.stringify(FINE)).ctx, never)
    const { ctx, calls } = step(() => 'nobody sings twice')
    expect(await seccompCanary.skip?.(ctx)).toBeUndefined()
    expect(await seccompCanary.run(ctx, never)).toEqual({
      saw: 'the same was tried on this machine, for another deployment',
      facts: first.facts,
    })
    expect(calls.filter(([, word]) => word === 'run')).toEqual([])
  })

  it.each([{ memory: 512 }, { cpus: 0.25 }, { pids: 64 }])(
    'tries it again for a deployment that has less: %j',
    async less => {
      await seccompCanary.run(step(() => JSON.stringify(FINE)).ctx, never)
      const { ctx } = step(() => JSON.stringify({ ...FINE, healthy: null, log: 'out of memory' }))
      const small = { ...ctx, answers: { ...ctx.answers, ...less } }
      expect(await thrown(() => seccompCanary.run(small, never))).toMatchObject({ code: 'canary_failed' })
    },
  )

  it('is due again when the engine or the kernel is another, which status and verify ask for', async () => {
    const { ctx } = step(() => JSON.stringify(FINE))
    const { facts } = await seccompCanary.run(ctx, never)
    const tried = (change: Record<string, string>) =>
      changedGround(ctx.run, ctx.docker, [
        {
          ...{ seq: 1, at: '', run: '', procedure: 'setup', prev: '' },
          ...{ event: 'step-done', step: 'seccomp.canary', facts: { ...facts, ...change } },
        },
      ])
    expect(await tried({})).toEqual([])
    expect(await tried({ kernel: '6.7.0' })).toEqual(['kernel 6.8.0, not 6.7.0'])
    expect(await tried({ engine: '26.0.0' })).toEqual(['engine 27.1.0, not 26.0.0'])
    // Not everybody may ask runc, and what is made anew is tried by the setup that makes it.
    expect(await tried({ libseccomp: '2.5.5', image: 'another' })).toEqual([])
    expect(await changedGround(ctx.run, ctx.docker, [])).toEqual([])
  })

  it('has nothing to try without a launch, or without a profile of the deployment’s own', async () => {
    expect(await seccompCanary.skip?.(step(() => '', { launch: false }).ctx)).toContain('nothing is launched')
    expect(await seccompCanary.skip?.(step(() => '', { seccomp: 'docker-default' }).ctx)).toContain(
      'Docker’s own profile',
    )
  })

  it('says that it is the profile’s fault only when the image works without it, and never takes the other one itself', async () => {
    const mute = JSON.stringify({ ...FINE, healthy: null, log: 'lost' })
    const both = await thrown(() => seccompCanary.run(step(() => mute).ctx, never))
    expect(both).toMatchObject({ code: 'canary_failed', message: expect.stringContaining('lost') })
    const { ctx } = step(profile => (profile === '' ? JSON.stringify(FINE) : mute))
    const ours = await thrown(() => seccompCanary.run(ctx, never))
    expect(ours).toMatchObject({
      code: 'seccomp_refused',
      message: expect.stringContaining('missing: unknown'),
      hint: expect.stringContaining('--seccomp docker-default'),
    })
  })
})
