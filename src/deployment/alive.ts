import { readFileSync, readlinkSync } from 'node:fs'
import { errorCode } from './files.ts'

/** What the kernel says of a process; all of it undefined where there is none, or no /proc. */
export interface Stat {
  /** The program's name, its first 15 bytes. */
  name?: string | undefined
  /** Z: it has ended, and its parent has not asked yet. */
  state?: string | undefined
  group?: string | undefined
  /** In clock ticks since boot: a number used again does not look like the old process. */
  started?: string | undefined
}

/** Fields 2, 3, 5 and 22 of /proc/PID/stat (proc(5)), the last three counted behind the name's closing bracket. */
export function statOf(pid: number): Stat {
  const stat = readIfThere(`/proc/${pid}/stat`)
  if (stat === undefined) return {}
  const [state, , group, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return { name: stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')')), state, group, started: rest[16] }
}

/** Whether a process of this machine lives; without a start time, whether its number does. */
export function isAlive({ pid, started }: { pid: number; started: string }): boolean {
  const now = statOf(pid)
  if (now.state === 'Z') return false
  if (now.started !== undefined && started !== '') return now.started === started
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return errorCode(error) === 'EPERM'
  }
}

/** Where a process number means what it means here: this boot of this machine, and this PID namespace. */
function placeOfNumbers(): string | undefined {
  const boot = readIfThere('/proc/sys/kernel/random/boot_id')?.trim()
  try {
    return boot === undefined ? undefined : `${boot}/${readlinkSync('/proc/self/ns/pid').replace(/\D/g, '')}`
  } catch {
    return undefined
  }
}

const PLACE = placeOfNumbers()

/** What this run leaves on everything that may outlive it: `PID:START:PLACE`; the last two are empty where there is no /proc. */
export const THIS_RUN = `${process.pid}:${statOf(process.pid).started ?? ''}:${PLACE ?? ''}`

/** Whether the run that left this mark has ended. Of one elsewhere, another machine's on the same engine, nobody here can tell. */
export function hasEnded(mark: string): boolean {
  const [pid = '', started = '', place] = mark.split(':')
  if (PLACE === undefined || place !== PLACE || !/^[1-9]\d*$/.test(pid) || started === '') return false
  return !isAlive({ pid: Number(pid), started })
}

/** It may end while it is looked at, and another user's may not be looked at. */
function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
