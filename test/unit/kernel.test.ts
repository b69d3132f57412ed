import { describe, expect, it } from 'vitest'
import type { Observed } from '../../src/gateway/inside.ts'
import { cgroupOf, listenersOf, mountsOf, processesOf, ulimitOf } from '../../steps/verify/kernel.ts'

/** What a Linux kernel prints, word for word. */
const STATUS = `Name:	node
Umask:	0022
State:	S (sleeping)
Tgid:	7
Ngid:	0
Pid:	7
PPid:	1
TracerPid:	0
Uid:	1000	1000	1000	1000
Gid:	1000	1000	1000	1000
FDSize:	64
Groups:	1000
NStgid:	7
VmPeak:	 1234567 kB
Threads:	11
SigQ:	0/15432
CapInh:	0000000000000000
CapPrm:	0000000000000001
CapEff:	0000000000000002
CapBnd:	00000000a80425fb
CapAmb:	0000000000000004
NoNewPrivs:	1
Seccomp:	2
Seccomp_filters:	1
Speculation_Store_Bypass:	thread force mitigated
Cpus_allowed:	3
`

const LIMITS = `Limit                     Soft Limit           Hard Limit           Units
Max cpu time              unlimited            unlimited            seconds
Max core file size        0                    unlimited            bytes
Max resident set          unlimited            unlimited            bytes
Max processes             15432                15432                processes
Max open files            8192                 8192                 files
Max nice priority         0                    0
Max realtime timeout      unlimited            unlimited            us        `

const MOUNTS = `overlay / overlay ro,relatime,lowerdir=/var/lib/docker/overlay2/l/A:/var/lib/docker/overlay2/l/B,upperdir=/u,workdir=/w 0 0
proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0
tmpfs /tmp tmpfs rw,nosuid,nodev,noexec,relatime,size=524288k,inode64 0 0
tmpfs /home/openclaw/.cache tmpfs rw,nosuid,nodev,noexec,relatime,size=65536k,mode=700,uid=1000,gid=1000 0 0
/dev/sda1 /etc/openclaw ext4 ro,relatime 0 0
cgroup2 /sys/fs/cgroup cgroup2 ro,nosuid,nodev,noexec,relatime,nsdelegate 0 0
tmpfs /odd\\040name tmpfs rw 0 0`

function observed(more: Partial<Observed>): Observed {
  return {
    processes: [],
    labels: [],
    cgroup: { v2: true, memory: null, pids: null, max: null, quota: null, period: null },
    mounts: '',
    limits: '',
    listening: [],
    found: { environ: 0, cmdline: 0, searched: 0 },
    denied: {},
    ...more,
  }
}

describe('a process, from /proc/PID/status', () => {
  it('has its real user, all five sets of capabilities in their order, and its restrictions', () => {
    expect(processesOf(observed({ processes: [['7', STATUS]] }))).toEqual([
      {
        pid: 7,
        name: 'node',
        uid: 1000,
        caps: [
          '0000000000000000',
          '0000000000000001',
          '0000000000000002',
          '00000000a80425fb',
          '0000000000000004',
        ],
        noNewPrivs: 1,
        seccomp: 2,
      },
    ])
  })

  it('takes "Seccomp" for what it is, and not for the number of its filters', () => {
    const swapped = STATUS.replace(/^Seccomp:.*\n/m, '').concat('Seccomp:\t0\n')
    expect(processesOf(observed({ processes: [['7', swapped]] }))).toMatchObject([{ seccomp: 0 }])
  })

  it('with a name made to look like another field is read by the field', () => {
    const forged = STATUS.replace('node', 'x\\nUid:\t0')
    expect(processesOf(observed({ processes: [['7', forged]] }))).toMatchObject([{ uid: 1000 }])
  })

  it('of an old kernel, without a field, has no restriction that could be believed', () => {
    const old = STATUS.replace(/^(NoNewPrivs|Seccomp|CapAmb):.*\n/gm, '')
    expect(processesOf(observed({ processes: [['7', old]] }))).toMatchObject([
      { noNewPrivs: 0, seccomp: 0, caps: expect.arrayContaining(['']) },
    ])
  })
})

describe('the limits of a control group', () => {
  const v2 = { v2: true, quota: null, period: null }
  const v1 = { v2: false, max: null }

  it.each<[string, Observed['cgroup'], ReturnType<typeof cgroupOf>]>([
    [
      'version 2',
      { ...v2, memory: '2147483648', pids: '256', max: '200000 100000' },
      { version: 2, memory: 2 * 1024 ** 3, pids: 256, cpus: 2 },
    ],
    [
      'version 2, half a CPU',
      { ...v2, memory: '2147483648', pids: '256', max: '50000 100000' },
      { version: 2, memory: 2 * 1024 ** 3, pids: 256, cpus: 0.5 },
    ],
    [
      'version 2, without limits',
      { ...v2, memory: 'max', pids: 'max', max: 'max 100000' },
      { version: 2, memory: undefined, pids: undefined, cpus: undefined },
    ],
    [
      'version 2, without controllers',
      { ...v2, memory: null, pids: null, max: null },
      { version: 2, memory: undefined, pids: undefined, cpus: undefined },
    ],
    [
      'version 1',
      { ...v1, memory: '1073741824', pids: '100', quota: '150000', period: '100000' },
      { version: 1, memory: 1024 ** 3, pids: 100, cpus: 1.5 },
    ],
    [
      'version 1, without limits',
      { ...v1, memory: '9223372036854771712', pids: 'max', quota: '-1', period: '100000' },
      { version: 1, memory: undefined, pids: undefined, cpus: undefined },
    ],
    [
      'version 1, without controllers',
      { ...v1, memory: null, pids: null, quota: null, period: null },
      { version: 1, memory: undefined, pids: undefined, cpus: undefined },
    ],
  ])('%s', (_, cgroup, wanted) => {
    expect(cgroupOf(observed({ cgroup }))).toEqual(wanted)
  })
})

describe('the mounts, from /proc/self/mounts', () => {
  it('are type, place and options', () => {
    const mounts = mountsOf(observed({ mounts: MOUNTS }))
    expect(mounts.map(({ target }) => target)).toEqual([
      '/',
      '/proc',
      '/tmp',
      '/home/openclaw/.cache',
      '/etc/openclaw',
      '/sys/fs/cgroup',
      '/odd\\040name',
    ])
    expect(mounts[2]).toEqual({
      type: 'tmpfs',
      target: '/tmp',
      options: ['rw', 'nosuid', 'nodev', 'noexec', 'relatime', 'size=524288k', 'inode64'],
    })
  })

  it('of nothing are none that could be taken for one', () => {
    expect(mountsOf(observed({ mounts: '' })).filter(({ target }) => target !== '')).toEqual([])
  })
})

describe('a limit, from /proc/1/limits', () => {
  it.each([
    ['Max core file size', '0 unlimited'],
    ['Max open files', '8192 8192'],
    ['Max nice priority', '0 0'],
    ['Max cpu time', 'unlimited unlimited'],
  ])('"%s" is "%s": soft and hard', (name, wanted) => {
    expect(ulimitOf(observed({ limits: LIMITS }), name)).toBe(wanted)
  })

  it('that is not listed is an error with its name, not a value', () => {
    expect(() => ulimitOf(observed({ limits: LIMITS }), 'Max imaginary')).toThrow('"Max imaginary"')
    expect(() => ulimitOf(observed({ limits: '' }), 'Max open files')).toThrow('"Max open files"')
  })
})

describe('a listening socket, from /proc/net/tcp and tcp6', () => {
  it.each([
    ['00000000:4965', '0.0.0.0', 18_789],
    ['0100007F:240D', '127.0.0.1', 9229],
    ['0B00007F:9C5B', '127.0.0.11', 40_027],
    ['020012AC:0050', '172.18.0.2', 80],
    ['00000000000000000000000000000000:4965', '::', 18_789],
    ['00000000000000000000000001000000:240D', '0:0:0:0:0:0:0:1', 9229],
    ['0000000000000000FFFF00000100007F:1F90', '0:0:0:0:0:ffff:7f00:1', 8080],
    ['B80D0120000000000000000010000000:01BB', '2001:db8:0:0:0:0:0:10', 443],
  ])('%s is %s, port %i', (socket, address, port) => {
    expect(listenersOf(observed({ listening: [socket] }))).toEqual([{ address, port }])
  })
})
