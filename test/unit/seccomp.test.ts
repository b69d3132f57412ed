import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { composition } from '../../src/deployment/composition.ts'
import { profilesOf } from '../../src/deployment/plan.ts'
import { verbatim } from '../../src/deployment/render.ts'
import { allBut, composeProfile, type Kept, readKept, readLearned } from '../seccomp-profile.ts'
import { ANSWERS } from './support.ts'

const seccomp = verbatim('seccomp-profile.json')
const root = join(import.meta.dirname, '../..')
const [learned, kept] = [readLearned(root), readKept(root)]

describe('the seccomp profile', () => {
  interface Rule {
    names: string[]
    action: string
    errnoRet?: number
    comment?: string
    args?: { index: number; value: number; valueTwo?: number; op: string }[]
  }
  const profile: {
    defaultAction: string
    defaultErrnoRet: number
    archMap: { architecture: string; subArchitectures: string[] }[]
    syscalls: Rule[]
  } = JSON.parse(seccomp)
  const serviceWith = (text: string) =>
    composition(
      ANSWERS,
      { gateway: 'sha256:0', border: 'sha256:1' },
      { uid: 1, gid: 1 },
      { ...profilesOf(ANSWERS), seccomp: text },
    ).services['openclaw-gateway']
  const known = new Map(
    readFileSync(join(import.meta.dirname, '../fixtures/syscalls.txt'), 'utf8')
      .split('\n')
      .filter(line => line !== '' && !line.startsWith('#'))
      .map(line => [line.split(' ')[0] ?? '', line] as const),
  )
  const allowing = profile.syscalls.filter(rule => rule.action === 'SCMP_ACT_ALLOW')
  const allowed = new Set(allowing.flatMap(rule => rule.names))
  const free = allowing.filter(rule => rule.args === undefined).flatMap(rule => rule.names)

  it('denies whatever it does not name, on both architectures and on no other ABI of theirs', () => {
    expect(profile).toMatchObject({ defaultAction: 'SCMP_ACT_ERRNO', defaultErrnoRet: 38 })
    expect(profile.archMap).toEqual([
      { architecture: 'SCMP_ARCH_X86_64', subArchitectures: [] },
      { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: [] },
    ])
    expect(new Set(profile.syscalls.map(rule => rule.action))).toEqual(
      new Set(['SCMP_ACT_ALLOW', 'SCMP_ACT_ERRNO']),
    )
  })

  it('names only calls that exist', () => {
    expect(known.size).toBeGreaterThan(350)
    expect(profile.syscalls.flatMap(rule => rule.names).filter(name => !known.has(name))).toEqual([])
  })

  it('names no call twice, but for rules that each allow one kind of argument', () => {
    expect(free.filter((name, index) => free.indexOf(name) !== index)).toEqual([])
    const filtered = new Set(allowing.filter(rule => rule.args !== undefined).flatMap(rule => rule.names))
    expect([...filtered].filter(name => free.includes(name))).toEqual([])
    expect([...filtered].sort()).toEqual(['clone', 'ioctl', 'socket', 'socketpair'])
  })

  it('is composed of what was learned and what was decided, and was not edited since', () => {
    expect(composeProfile(learned, kept)).toBe(seccomp)
  })

  it('says of every rule where it comes from', () => {
    const silent = profile.syscalls.filter(rule => rule.comment === undefined)
    expect(new Set(silent.flatMap(rule => rule.names)), 'the rest of the rule before').toEqual(
      new Set(['ioctl']),
    )
    for (const { comment } of profile.syscalls) if (comment) expect(comment).toMatch(/^(Learned|Kept|Denied)/)
  })

  it('allows at most 250 calls on x86-64', () => {
    expect([...allowed].filter(name => known.get(name)?.includes('x86_64')).length).toBeLessThanOrEqual(250)
  })

  it('allows everything that was learned', () => {
    expect(Object.keys(learned.calls).length).toBeGreaterThan(100)
    expect(Object.keys(learned.calls).filter(name => !allowed.has(name))).toEqual([])
    for (const flags of Object.keys(learned.arguments.clone ?? {}))
      expect(passes('clone', [BigInt(flags)]), flags).toBe(true)
    for (const request of Object.keys(learned.arguments.ioctl ?? {}))
      expect(passes('ioctl', [3n, BigInt(request)]), request).toBe(true)
  })

  it('names every call once: learned, kept or denied', () => {
    const groups = [...kept.allow, ...kept.fallback, ...kept.deny].flatMap(group => group.calls)
    const named = [...groups, ...Object.keys(learned.calls), 'socket', 'socketpair', 'clone', 'ioctl']
    expect([...known.keys()].filter(name => !named.includes(name))).toEqual([])
  })

  it('allows none of the calls that escapes are made of', () => {
    const dangerous = [
      'mount',
      'umount2',
      'mount_setattr',
      'move_mount',
      'fsopen',
      'fsmount',
      'fsconfig',
      'fspick',
      'open_tree',
      'pivot_root',
      'chroot',
      'unshare',
      'setns',
      'ptrace',
      'process_vm_readv',
      'process_vm_writev',
      'process_madvise',
      'pidfd_getfd',
      'kcmp',
      'bpf',
      'perf_event_open',
      'userfaultfd',
      'keyctl',
      'add_key',
      'request_key',
      'kexec_load',
      'kexec_file_load',
      'init_module',
      'finit_module',
      'delete_module',
      'open_by_handle_at',
      'name_to_handle_at',
      'personality',
      'io_uring_setup',
      'io_uring_enter',
      'io_uring_register',
      'clone3',
      'reboot',
      'swapon',
      'swapoff',
      'sethostname',
      'setdomainname',
      'settimeofday',
      'clock_settime',
      'clock_adjtime',
      'adjtimex',
      'acct',
      'syslog',
      'quotactl',
      'nfsservctl',
      'iopl',
      'ioperm',
      'modify_ldt',
      'vhangup',
      'lookup_dcookie',
      'move_pages',
      'migrate_pages',
      'mbind',
      'set_mempolicy',
      'fanotify_init',
      'memfd_secret',
      'vmsplice',
      'capset',
      'shmget',
      'shmat',
      'msgget',
      'semget',
      'mq_open',
      'uselib',
      'ustat',
      'sysfs',
      '_sysctl',
    ]
    expect(dangerous.filter(name => allowed.has(name))).toEqual([])
  })

  it('says ENOSYS to clone3 and io_uring, so that libraries fall back', () => {
    const denied = profile.syscalls.filter(rule => rule.action === 'SCMP_ACT_ERRNO')
    expect(denied.flatMap(rule => rule.names).sort()).toEqual([
      'clone3',
      'io_uring_enter',
      'io_uring_register',
      'io_uring_setup',
    ])
    for (const rule of denied) expect(rule.errnoRet).toBe(38)
  })

  it('allows on aarch64 what stands in for the old calls of x86-64', () => {
    const successors = {
      open: 'openat',
      stat: 'newfstatat',
      access: 'faccessat',
      poll: 'ppoll',
      select: 'pselect6',
      pipe: 'pipe2',
      dup2: 'dup3',
      fork: 'clone',
      unlink: 'unlinkat',
      rename: 'renameat',
      mkdir: 'mkdirat',
      readlink: 'readlinkat',
      symlink: 'symlinkat',
      link: 'linkat',
      chmod: 'fchmodat',
      chown: 'fchownat',
      epoll_wait: 'epoll_pwait',
      epoll_create: 'epoll_create1',
      eventfd: 'eventfd2',
      inotify_init: 'inotify_init1',
      signalfd: 'signalfd4',
      getdents: 'getdents64',
      utimes: 'utimensat',
      mknod: 'mknodat',
    }
    for (const [old, successor] of Object.entries(successors)) {
      expect(known.get(old), old).not.toContain('aarch64')
      expect(known.get(successor), successor).toContain('aarch64')
      if (allowed.has(old)) expect(allowed, `${old} is allowed`).toContain(successor)
    }
  })

  /** What the kernel does with a rule: it compares all 64 bits of the argument. */
  const passes = (name: string, args: bigint[]) =>
    allowing.some(
      rule =>
        rule.names.includes(name) &&
        (rule.args ?? []).every(({ index, value, valueTwo, op }) => {
          const given = args[index] ?? 0n
          if (op === 'SCMP_CMP_EQ') return given === BigInt(value)
          if (op === 'SCMP_CMP_MASKED_EQ') return (given & BigInt(value)) === BigInt(valueTwo ?? 0)
          throw new Error(`no rule uses ${op}`)
        }),
    )

  it('lets every ioctl through but the two that type into a terminal, whatever their upper bits', () => {
    const [TIOCSTI, TIOCLINUX] = [0x5412n, 0x541cn]
    const near = fc
      .constantFrom(TIOCSTI, TIOCLINUX)
      .chain(command => fc.integer({ min: 0, max: 31 }).map(bit => command ^ (1n << BigInt(bit))))
    const command = fc.oneof(
      near,
      fc.bigInt({ min: 0n, max: 0xffffffffn }),
      fc.bigInt({ min: 0x5400n, max: 0x54ffn }),
      fc.constantFrom(TIOCSTI, TIOCLINUX),
    )
    fc.assert(
      fc.property(
        command,
        fc.bigInt({ min: 0n, max: 0xffffffffn }),
        (low, high) => passes('ioctl', [3n, (high << 32n) | low]) === (low !== TIOCSTI && low !== TIOCLINUX),
      ),
      { numRuns: 1000 },
    )
  })

  it('makes no socket but unix, IPv4, IPv6 and the netlink of network interfaces', () => {
    for (let family = 0n; family < 50n; family++)
      for (const protocol of [0n, 1n, 9n, 12n, 15n])
        expect(passes('socket', [family, 1n, protocol]), `family ${family}, protocol ${protocol}`).toBe(
          [1n, 2n, 10n].includes(family) || (family === 16n && protocol === 0n),
        )
  })

  it('makes pairs of unix sockets alone, since TIPC makes pairs as well', () => {
    for (let family = 0n; family < 50n; family++)
      expect(passes('socketpair', [family, 1n, 0n]), `family ${family}`).toBe(family === 1n)
  })

  it('starts threads and children, and never a new namespace', () => {
    const namespaces = [0x20000n, 0x2000000n, 0x4000000n, 0x8000000n, 0x10000000n, 0x20000000n, 0x40000000n]
    expect(passes('clone', [0x3d0f00n])).toBe(true)
    expect(passes('clone', [0x1200011n])).toBe(true)
    for (const flag of namespaces) expect(passes('clone', [0x11n | flag])).toBe(false)
  })

  it('is the one the container gets, and its hash recreates the container when it changes', () => {
    const { security_opt, labels } = serviceWith(seccomp)
    expect(security_opt).toContain('seccomp:./seccomp-profile.json')
    expect(labels).not.toEqual(serviceWith(`${seccomp} `).labels)
  })
})

describe('composing the profile', () => {
  const changed = (change: Partial<Kept>) => () => composeProfile(learned, { ...kept, ...change })

  it('is refused when a call is allowed and denied at once', () => {
    expect(changed({ deny: [{ why: 'a test', calls: ['openat'] }] })).toThrow(
      'denied by seccomp/kept.yaml: openat',
    )
    expect(changed({ allow: [{ why: 'a test', calls: ['clone3'] }] })).toThrow(
      'denied by seccomp/kept.yaml: clone3',
    )
  })

  it('is refused when a call is named twice', () => {
    const group = { why: 'a test', calls: ['ustat', 'ustat'] }
    expect(changed({ deny: [group] })).toThrow('named twice in seccomp/kept.yaml: ustat')
  })

  it('lets what was learned stand with what it was learned from, also when it is kept', () => {
    expect(changed({ allow: [...kept.allow, { why: 'a test', calls: ['openat'] }] })()).toBe(seccomp)
  })

  it('is refused when nobody has decided about a kind of socket that was learned', () => {
    expect(changed({ socket: {} })).toThrow('says nothing of sockets of AF_')
  })

  it('matches every number but the forbidden ones', () => {
    const number = fc.bigInt({ min: 0n, max: 0xffffffffn }).map(Number)
    fc.assert(
      fc.property(fc.uniqueArray(number, { minLength: 1, maxLength: 4 }), number, (forbidden, other) => {
        const rules = allBut(forbidden)
        const passing = (value: number) =>
          rules.filter(([mask, wanted]) => (BigInt(value) & BigInt(mask)) === BigInt(wanted)).length
        for (const value of forbidden) expect(passing(value)).toBe(0)
        expect(passing(other)).toBe(forbidden.includes(other) ? 0 : 1)
      }),
    )
  })
})
