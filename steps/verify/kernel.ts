import type { Observed } from '../../src/gateway/inside.ts'
import type { CgroupLimits, MountFacts, ProcessFacts } from './world.ts'

/** What the kernel says in its own formats (proc(5), cgroups(7)), as facts. */

export function processesOf({ processes }: Observed): ProcessFacts[] {
  return processes.map(([pid, status]) => {
    const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(status)?.[1] ?? ''
    return {
      pid: Number(pid),
      name: field('Name'),
      uid: Number(field('Uid')),
      caps: ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'].map(field),
      noNewPrivs: Number(field('NoNewPrivs')),
      seccomp: Number(field('Seccomp')),
    }
  })
}

export function cgroupOf({ cgroup }: Observed): CgroupLimits {
  const { v2, memory, pids, max, quota, period } = cgroup
  // v1 writes "no limit" as a number near 2^63.
  const limit = (text: string | null) =>
    text === null || text === 'max' || Number(text) > 2 ** 60 ? undefined : Number(text)
  const [allowed, every] = v2
    ? (max ?? 'max').split(' ')
    : [quota === '-1' ? 'max' : (quota ?? 'max'), period ?? '100000']
  return {
    version: v2 ? 2 : 1,
    memory: limit(memory),
    pids: limit(pids),
    cpus: allowed === 'max' ? undefined : Number(allowed) / Number(every),
  }
}

export function mountsOf({ mounts }: Observed): MountFacts[] {
  return mounts
    .split('\n')
    .map(line => line.split(' '))
    .map(([, target = '', type = '', options = '']) => ({ type, target, options: options.split(',') }))
}

/** "0 0" or "8192 8192": soft and hard. Errors: when the kernel lists no such limit. */
export function ulimitOf({ limits }: Observed, name: string): string {
  const found = new RegExp(`^${name}\\s+(\\S+)\\s+(\\S+)`, 'm').exec(limits)
  if (found === null) throw new Error(`/proc/1/limits of the container has no "${name}"`)
  return `${found[1]} ${found[2]}`
}

/** Addresses as people write them, from the kernel's hexadecimal, which has each 32-bit word in the machine's order. */
export function listenersOf({ listening }: Observed): { address: string; port: number }[] {
  return listening.map(socket => {
    const [address = '', port = ''] = socket.split(':')
    return { address: readable(address), port: Number.parseInt(port, 16) }
  })
}

function readable(hexadecimal: string): string {
  const bytes = hexadecimal.match(/../g)?.map(byte => Number.parseInt(byte, 16)) ?? []
  if (bytes.length === 4) return bytes.reverse().join('.')
  if (bytes.every(byte => byte === 0)) return '::'
  const words = bytes.map((_, index) => bytes[4 * Math.floor(index / 4) + 3 - (index % 4)] ?? 0)
  return Array.from({ length: 8 }, (_, i) =>
    ((words[2 * i] ?? 0) * 256 + (words[2 * i + 1] ?? 0)).toString(16),
  ).join(':')
}
