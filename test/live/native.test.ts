/**
 * The native probe (native/probe.c) as `verify` uses it: the shipped programs come from the shipped source, and in a
 * container they tell a filter that refuses from one that lets through. Nothing of it runs on this machine itself.
 */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { THROWAWAY_LABEL } from '../../src/docker/engine.ts'
import { BIN, IMAGE, type Ran, sh } from './harness.ts'

const root = resolve(BIN, '../..')
const native = resolve(root, 'native')
const probe = resolve(native, 'probe-x86_64')
const programs = ['probe-x86_64', 'probe-aarch64'] as const
const scratch = mkdtempSync(resolve(tmpdir(), 'ocs-native-'))
/** Finds what a run that was cut off leaves behind. */
const mine = `create-openclaw-secure.native-test=${process.pid}`

const OURS = ['--security-opt', `seccomp=${resolve(root, 'templates/seccomp-profile.json')}`]
const UNCONFINED = ['--security-opt', 'seccomp=unconfined']
const DOCKERS: string[] = []

/** A command in a container like the gateway's, with the probe at /ocs-probe. */
function inContainer(flags: readonly string[], command: readonly string[], sibling = true): Promise<Ran> {
  const [entrypoint = '', ...args] = command
  return sh(
    'docker',
    [
      ...['run', '--rm', '--pull', 'never', '--label', THROWAWAY_LABEL, '--label', mine, '--no-healthcheck'],
      ...['--cap-drop', 'ALL', '--security-opt', 'no-new-privileges', '--user', '1000:1000'],
      ...['--network', 'none', '--read-only', '--mount', `type=bind,src=${probe},dst=/ocs-probe,readonly`],
      ...(sibling ? ['--env', 'OCS_SIBLING=1'] : []),
      ...flags,
      ...['--entrypoint', entrypoint, IMAGE, ...args],
    ],
    { timeout: 60_000 },
  )
}

afterAll(async () => {
  const { stdout } = await sh('docker', ['ps', '--all', '--quiet', '--filter', `label=${mine}`])
  for (const id of stdout.split('\n').filter(line => line !== ''))
    await sh('docker', ['rm', '--force', '--volumes', id])
  rmSync(scratch, { recursive: true, force: true })
})

describe('the shipped programs', () => {
  it('are what the shipped source gives, byte for byte and wherever it is built (tampering)', async () => {
    const elsewhere = resolve(scratch, 'a folder with another name')
    mkdirSync(elsewhere)
    for (const name of ['build', 'probe.c']) copyFileSync(resolve(native, name), resolve(elsewhere, name))
    const out = resolve(scratch, 'out')
    const builds = [
      await sh(resolve(native, 'build'), [out], { cwd: scratch }),
      await sh(resolve(elsewhere, 'build'), [], { cwd: '/' }),
    ]
    expect(
      builds.map(build => build.code),
      builds.map(build => build.stderr).join('\n'),
    ).toEqual([0, 0])
    for (const name of programs) {
      const shipped = readFileSync(resolve(native, name))
      expect(readFileSync(resolve(out, name)).equals(shipped), name).toBe(true)
      expect(readFileSync(resolve(elsewhere, name)).equals(shipped), name).toBe(true)
    }
  })

  it.each([
    ['probe-x86_64', 62],
    ['probe-aarch64', 183],
  ] as const)('%s is a small static program that any image can run', (name, machine) => {
    const path = resolve(native, name)
    expect(statSync(path).mode & 0o777).toBe(0o755)
    const file = readFileSync(path)
    expect(file.length).toBeLessThan(16 * 1024)
    // 64 bits, low byte first; a program with fixed addresses (2), so that nothing has to be relocated.
    expect(file.subarray(0, 6).toString('latin1')).toBe('\x7fELF\x02\x01')
    expect([file.readUInt16LE(16), file.readUInt16LE(18)]).toEqual([2, machine])
    const [start, size, count] = [
      Number(file.readBigUInt64LE(32)),
      file.readUInt16LE(54),
      file.readUInt16LE(56),
    ]
    const segments = Array.from({ length: count }, (_, i) => ({
      type: file.readUInt32LE(start + i * size),
      flags: file.readUInt32LE(start + i * size + 4),
    }))
    // LOAD, PHDR and GNU_STACK: neither a loader (INTERP, 3) nor libraries (DYNAMIC, 2).
    expect(new Set(segments.map(segment => segment.type))).toEqual(new Set([1, 6, 0x6474e551]))
    expect(
      segments.filter(({ flags }) => (flags & 3) === 3),
      'writable and executable',
    ).toEqual([])
  })
})

describe('calls', () => {
  const results: Record<'ours' | 'default' | 'unconfined', Map<string, string>> = {
    ours: new Map(),
    default: new Map(),
    unconfined: new Map(),
  }
  const REFUSED = /^(EPERM|EACCES|ENOSYS|SIGSYS)$/
  /** No filter said no, but there is nothing to reach. */
  const MISSING = /^(EAFNOSUPPORT|EPFNOSUPPORT|EPROTONOSUPPORT|ESOCKTNOSUPPORT)$/
  const reached = (name: keyof typeof results) =>
    [...results[name]]
      .filter(([, result]) => !REFUSED.test(result) && !MISSING.test(result))
      .map(([call]) => call)

  beforeAll(async () => {
    for (const [name, flags] of [
      ['ours', OURS],
      ['default', DOCKERS],
      ['unconfined', UNCONFINED],
    ] as const) {
      const { code, stdout, stderr } = await inContainer(flags, ['/ocs-probe', 'calls'])
      expect(code, stderr).toBe(0)
      const lines = stdout.trimEnd().split('\n')
      expect(lines.filter(line => !/^[a-z]\S* (ok|E[A-Z0-9]+|SIGSYS|SIGNAL\d+)$/.test(line))).toEqual([])
      results[name] = new Map(lines.map(line => [line.split(' ')[0] ?? '', line.split(' ')[1] ?? '']))
      expect(results[name].size, 'each name once').toBe(lines.length)
    }
  })

  it('are all refused under the profile we ship (privilege escalation, container escape)', () => {
    expect(results.ours.size).toBeGreaterThanOrEqual(45)
    expect([...results.ours].filter(([, result]) => !REFUSED.test(result))).toEqual([])
  })

  it('get through without a filter, so that "refused" means something', () => {
    expect(reached('unconfined').length).toBeGreaterThanOrEqual(45)
    expect(results.unconfined.get('unshare:newuser')).toBe('ok')
    expect(results.unconfined.get('ptrace:traceme')).toBe('ok')
    expect(results.unconfined.get('mount')).toBe('EFAULT')
  })

  it('get through in part under Docker’s own profile', () => {
    const [some, most] = [reached('default'), reached('unconfined')]
    expect(
      some.filter(call => !most.includes(call)),
      'nothing that no filter lets through',
    ).toEqual([])
    expect(some.length).toBeGreaterThanOrEqual(10)
    expect(some.length).toBeLessThan(most.length - 10)
    // Which these are depends on the engine's version; these two are refused by none.
    expect(some).toEqual(expect.arrayContaining(['ptrace:traceme', 'memfd_create']))
    expect(some).not.toContain('mount')
  })

  it('are the same on aarch64, but for what only x86-64 has', () => {
    const x86 = ['int80:getpid', 'x32:getpid', 'iopl', 'ioperm', 'modify_ldt', 'ustat', 'sysfs', 'uselib']
    const other = readFileSync(resolve(native, 'probe-aarch64'), 'latin1')
    const absent = [...results.ours.keys()].filter(name => !other.includes(`${name}\0`))
    expect(absent.sort()).toEqual(x86.sort())
  })
})

describe('fork', () => {
  it('stops where the limit is, and says so (resource exhaustion)', async () => {
    const { code, stdout } = await inContainer(
      [...OURS, '--pids-limit', '100'],
      ['/ocs-probe', 'fork', '400'],
    )
    const [, count, error] = /^forked (\d+) (\w+)\n$/.exec(stdout) ?? []
    expect({ code, error }).toEqual({ code: 0, error: 'EAGAIN' })
    expect(Number(count)).toBeGreaterThan(50)
    expect(Number(count)).toBeLessThan(100)
  })

  it('says "none" where no limit is reached', async () => {
    const { code, stdout } = await inContainer([...OURS, '--pids-limit', '100'], ['/ocs-probe', 'fork', '50'])
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'forked 50 none\n' })
  })

  it('leaves no process behind, also when it is killed itself', async () => {
    const alive = 'readlink /proc/[0-9]*/exe | grep -c ocs-probe'
    // Into a pipe that is full already: it stays where it says how many there are, until it is killed.
    const stuck = 'echo $$ >/dev/shm/pid; dd if=/dev/zero bs=64k count=1 2>/dev/null; exec /ocs-probe fork 50'
    const script = `(sh -c '${stuck}' | sleep 20) &
      for i in $(seq 200); do [ "$(${alive})" = 51 ] && break; sleep 0.05; done
      ${alive}; kill -KILL $(cat /dev/shm/pid)
      for i in $(seq 200); do [ "$(${alive})" = 0 ] && break; sleep 0.05; done
      ${alive}`
    const { stdout } = await inContainer([...OURS, '--init'], ['sh', '-c', script])
    expect(stdout).toBe('51\n0\n')
  })
})

describe('hog', () => {
  const limited = [...OURS, '--memory', '256m', '--memory-swap', '256m']

  it('is ended by the kernel at the limit (resource exhaustion)', async () => {
    const script = '/ocs-probe hog 512; echo "code $?"'
    const { stdout } = await inContainer(limited, ['sh', '-c', script])
    expect(stdout).toBe('touched 64\ntouched 128\ntouched 192\ncode 137\n')
  })

  it('gets what is below the limit', async () => {
    const { code, stdout } = await inContainer(limited, ['/ocs-probe', 'hog', '100'])
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'touched 64\ntouched all 100\n' })
  })

  it('says when it is refused memory instead', async () => {
    const script = 'ulimit -v 262144; /ocs-probe hog 512'
    const { code, stdout } = await inContainer(OURS, ['sh', '-c', script])
    expect({ code, last: stdout.trimEnd().split('\n').at(-1) }).toEqual({ code: 0, last: 'refused ENOMEM' })
  })
})

describe('by mistake', () => {
  it.each([[['calls']], [['fork', '5']], [['hog', '5']]])('%j does nothing outside a sibling', async args => {
    const { code, stdout, stderr } = await inContainer(OURS, ['/ocs-probe', ...args], false)
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' })
    expect(stderr).toContain('OCS_SIBLING=1')
  })

  it('says how it is used', async () => {
    const wrong = [
      [],
      ['help'],
      ['calls', '1'],
      ['fork'],
      ['fork', '-1'],
      ['hog', '1m'],
      ['hog', '9999999999'],
    ]
    const script = wrong.map(args => `/ocs-probe ${args.join(' ')} 2>>/dev/shm/said; echo $?`).join('; ')
    const { stdout } = await inContainer(OURS, ['sh', '-c', `${script}; sort -u /dev/shm/said`])
    expect(stdout).toBe(`${'2\n'.repeat(wrong.length)}usage: probe calls | probe fork N | probe hog MIB\n`)
  })
})
