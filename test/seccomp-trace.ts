/**
 * Which system calls a container makes, from the kernel's own trace points, followed from outside: nothing in the container
 * changes, and it is hardly slower (under strace OpenClaw misses its own deadlines). Needs root and tracefs.
 */
import { execFileSync, spawn } from 'node:child_process'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { syscallsOf } from '../src/docker/syscalls.ts'
import { sh } from './live/harness.ts'

/** What was seen of each call: its phases, each with the programs that made it there; and of some, with which arguments. */
export interface Seen {
  calls: Map<string, Map<string, Set<string>>>
  classes: Map<string, Map<string, Set<string>>>
}

interface Process {
  program: string
  /** Whether the container's filter is on it: runc works unfiltered until it loads the filter. */
  inside: boolean
}

const NAMES = syscallsOf('x86_64')
const FAMILIES: Record<number, string> = { 1: 'AF_UNIX', 2: 'AF_INET', 10: 'AF_INET6', 16: 'AF_NETLINK' }
const family = (value: bigint | undefined) => FAMILIES[Number(value)] ?? `family ${value}`
const hexadecimal = (value: bigint | undefined) => `0x${(value ?? 0n).toString(16)}`

/** Which part of a call's arguments decides what it can do. */
const CLASSES: Record<string, (args: readonly bigint[]) => string> = {
  socket: ([kind, , protocol]) =>
    kind !== 16n ? family(kind) : `AF_NETLINK ${protocol === 0n ? 'NETLINK_ROUTE' : protocol}`,
  socketpair: ([kind]) => family(kind),
  clone: ([flags]) => hexadecimal(flags),
  ioctl: ([, request]) => hexadecimal(request),
  prctl: ([option]) => String(option),
}

const MARK = /tracing_mark_write: phase (.*)$/
const FORK = /-(\d+)\s.* sched_process_fork: .* pid=(\d+) child_comm=.* child_pid=(\d+)$/
const EXEC = /sched_process_exec: filename=(.*) pid=(\d+) old_pid=(\d+)$/
const CALL = /-(\d+)\s+\[\d+\].* sys_enter: NR (-?\d+) \((.*)\)$/

/**
 * A reader of trace lines. `known` are the processes there are when it begins; those that are not `inside` are followed
 * because `docker exec` comes from them, and of what they start only what comes after the filter counts.
 */
export function traceReader(known: ReadonlyMap<number, Process>, denied: ReadonlySet<string>) {
  const seen: Seen = { calls: new Map(), classes: new Map() }
  const processes = new Map([...known].map(([pid, process]) => [pid, { ...process }]))
  let phase = ''
  let lost = 0

  function call(pid: number, number: number, args: readonly bigint[]): void {
    const process = processes.get(pid)
    const name = NAMES.get(number) ?? `call ${number}`
    if (process?.inside && phase !== '' && !denied.has(name)) {
      note(seen.calls, name, phase, process.program)
      const kind = CLASSES[name]?.(args)
      if (kind !== undefined) note(seen.classes, name, kind, process.program)
    }
    if (process !== undefined && loadsFilter(name, args)) process.inside = true
  }

  return {
    seen,
    /** How many events the kernel could not keep. */
    lost: () => lost,
    line(text: string): void {
      const [, caller, number, args] = CALL.exec(text) ?? []
      if (args !== undefined) {
        call(
          Number(caller),
          Number(number),
          args.split(', ').map(arg => BigInt(`0x${arg}`)),
        )
        return
      }
      const [, , parent, child] = FORK.exec(text) ?? []
      const process = processes.get(Number(parent))
      if (process !== undefined) processes.set(Number(child), { ...process })
      const [, file, pid, old] = EXEC.exec(text) ?? []
      if (file !== undefined) {
        const before = processes.get(Number(old))
        processes.set(Number(pid), { program: programOf(file), inside: before?.inside ?? false })
      }
      phase = MARK.exec(text)?.[1] ?? phase
      lost += Number(/\[LOST (\d+) EVENTS\]/.exec(text)?.[1] ?? 0)
    },
  }
}

/** Follows everything in a container, and the shim that `docker exec` comes from. */
export class Watch {
  readonly #instance: string
  readonly #done: Promise<Seen>

  private constructor(instance: string, known: ReadonlyMap<number, Process>, denied: ReadonlySet<string>) {
    this.#instance = instance
    const reader = traceReader(known, denied)
    const pipe = spawn('cat', [resolve(instance, 'trace_pipe')], { stdio: ['ignore', 'pipe', 'inherit'] })
    const lines = createInterface({ input: pipe.stdout })
    this.#done = new Promise((done, fail) => {
      lines.on('line', line => {
        if (line.includes('tracing_mark_write: end')) pipe.kill()
        else reader.line(line)
      })
      lines.on('close', () =>
        reader.lost() === 0
          ? done(reader.seen)
          : fail(new Error(`${reader.lost()} events of the trace were lost`)),
      )
    })
    // Whoever waits for it hears of its failure; nobody else has to.
    this.#done.catch(() => {})
  }

  /** `denied` are calls whose answer is ENOSYS while this watches: they are made, and do nothing. */
  static async of(container: string, denied: ReadonlySet<string>): Promise<Watch> {
    const { stdout } = await sh('docker', ['inspect', '--format', '{{.State.Pid}}', container])
    const init = Number(stdout)
    const parents = parentsOfAll()
    const known = new Map<number, Process>()
    for (const pid of parents.keys()) {
      const inside = descends(pid, init, parents)
      if (!inside && pid !== parents.get(init)) continue
      const program = readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
      for (const thread of readdirSync(`/proc/${pid}/task`)) known.set(Number(thread), { program, inside })
    }
    const instance = resolve(tracefs(), `instances/ocs-learn-${process.pid}-${init}`)
    mkdirSync(instance)
    const set = (file: string, value: string) => writeFileSync(resolve(instance, file), value)
    set('buffer_size_kb', '65536')
    set('options/event-fork', '1')
    for (const pid of known.keys()) appendFileSync(resolve(instance, 'set_event_pid'), `${pid}\n`)
    const watch = new Watch(instance, known, denied)
    for (const event of ['sched/sched_process_fork', 'sched/sched_process_exec', 'raw_syscalls/sys_enter'])
      set(`events/${event}/enable`, '1')
    return watch
  }

  phase(name: string): void {
    writeFileSync(resolve(this.#instance, 'trace_marker'), `phase ${name}`)
  }

  /** What was seen. Errors: when the kernel had to drop events. */
  async end(): Promise<Seen> {
    writeFileSync(resolve(this.#instance, 'events/enable'), '0')
    writeFileSync(resolve(this.#instance, 'trace_marker'), 'end')
    try {
      return await this.#done
    } finally {
      rmdirSync(this.#instance)
    }
  }
}

/** seccomp(SECCOMP_SET_MODE_FILTER) with a filter, since without one it only asks; or prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER). */
function loadsFilter(name: string, [first, second, third]: readonly bigint[]): boolean {
  return (
    (name === 'seccomp' && first === 1n && third !== 0n) ||
    (name === 'prctl' && first === 22n && second === 2n)
  )
}

function note(into: Map<string, Map<string, Set<string>>>, name: string, key: string, program: string): void {
  const keys = into.get(name) ?? new Map<string, Set<string>>()
  into.set(name, keys.set(key, (keys.get(key) ?? new Set<string>()).add(program)))
}

/** runc starts itself once more from a file descriptor. */
function programOf(file: string): string {
  return file.startsWith('/proc/self/fd/') ? 'runc' : file.replace(/^.*\//, '')
}

/** Where tracefs is mounted; it is mounted where it is not. */
function tracefs(): string {
  const usual = '/sys/kernel/tracing'
  if (existsSync(resolve(usual, 'instances'))) return usual
  const folder = mkdtempSync(resolve(tmpdir(), 'ocs-tracefs-'))
  execFileSync('mount', ['-t', 'tracefs', 'tracefs', folder])
  process.on('exit', () => {
    execFileSync('umount', [folder])
    rmdirSync(folder)
  })
  return folder
}

function parentsOfAll(): Map<number, number> {
  const parents = new Map<number, number>()
  for (const pid of readdirSync('/proc').filter(name => /^\d+$/.test(name)))
    try {
      parents.set(
        Number(pid),
        Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]),
      )
    } catch {
      // It has ended.
    }
  return parents
}

function descends(pid: number, from: number, parents: ReadonlyMap<number, number>): boolean {
  for (let at: number | undefined = pid; at !== undefined && at > 1; at = parents.get(at))
    if (at === from) return true
  return false
}
