/**
 * A folder whose every change is seen: what a killed process leaves behind is what was on the disk at some moment between
 * two changes. A suite puts {@link watched} in the place of `node:fs`; what is outside of the folder is left as it is.
 */
import type * as fs from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, relative, resolve } from 'node:path'

/** The file system itself, also where a suite has replaced it. */
export const real: typeof fs = createRequire(import.meta.url)('node:fs')

/** A file as it lay there. Never changed: a changed file is another one. */
export interface Lying {
  text: string
  mode: number
}
/** Everything below the folder, by path relative to it. */
export type Files = ReadonlyMap<string, Lying>

export interface Watcher {
  /** A moment between two changes. What it throws is what the system says to the change. */
  moment(what: string): void
  /** A file has another content under its name: whoever watches the folder hears of it. */
  replaced(path: string): void
}

const files = new Map<string, Lying>()
const open = new Map<number, { path: string; appends: boolean; torn: boolean }>()
let root: string | undefined
let watcher: Watcher | undefined
let count = 0

/** From here on this folder is the one that is watched, with nothing in it. */
export function watchFolder(folder: string): void {
  root = folder
  files.clear()
  open.clear()
}

/** Tells of each change, or of none any more. */
export function tell(next: Watcher | undefined): void {
  watcher = next
}

export function filesNow(): Files {
  return new Map(files)
}

/** Another number after each change. */
export function changes(): number {
  return count
}

function keep(path: string, lying: Lying = look(path)): void {
  count += 1
  files.set(path, lying)
}

function forget(path: string): void {
  count += 1
  files.delete(path)
}

/** Makes the folder what it was. Nobody is told. */
export function putBack(wanted: Files): void {
  if (root === undefined) throw new Error('no folder is watched')
  for (const path of [...files.keys()])
    if (!wanted.has(path)) real.rmSync(resolve(root, path), { force: true })
  for (const [path, { text, mode }] of wanted) {
    const is = files.get(path)
    if (is?.text === text && is.mode === mode) continue
    const file = resolve(root, path)
    real.mkdirSync(dirname(file), { recursive: true })
    real.rmSync(file, { force: true })
    real.writeFileSync(file, text, 'latin1')
    real.chmodSync(file, mode)
  }
  files.clear()
  for (const [path, lying] of wanted) keep(path, lying)
}

/** What is really there, to compare with what was seen to be written. */
export function filesOnDisk(): Files {
  const folder = root ?? ''
  const found = new Map<string, Lying>()
  for (const entry of real.readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = relative(folder, resolve(entry.parentPath, entry.name))
    if (entry.isFile()) found.set(path, look(path))
  }
  return found
}

function look(path: string): Lying {
  const file = resolve(root ?? '', path)
  return { text: real.readFileSync(file, 'latin1'), mode: real.statSync(file).mode & 0o7777 }
}

/** The path relative to the watched folder; undefined for what is not in it. */
function inFolder(path: unknown): string | undefined {
  if (root === undefined || typeof path !== 'string' || !path.startsWith(`${root}/`)) return undefined
  return path.slice(root.length + 1)
}

/** `node:fs`, with every change of the watched folder told before and after it happens, and its flushes left out. */
export function watched(): typeof fs {
  const writes = (flags: unknown) =>
    flags === 'a' || flags === 'w' || (typeof flags === 'number' && flags % 4 > 0)
  const copy = {
    ...real,
    openSync(path: string, flags: number | string, mode?: number) {
      const file = real.openSync(path, flags, mode)
      const inside = inFolder(path)
      if (inside !== undefined && writes(flags)) {
        open.set(file, { path: inside, appends: flags === 'a', torn: false })
        keep(inside)
      }
      return file
    },
    writeSync(file: number, bytes: Uint8Array, from = 0) {
      const to = open.get(file)
      if (to === undefined) return real.writeSync(file, bytes, from)
      if (to.appends && !to.torn) watcher?.moment(`before a line in ${to.path}`)
      // The first half alone, once: that is what a power cut leaves of a line.
      const half = to.appends && !to.torn ? Math.ceil((bytes.length - from) / 2) : bytes.length - from
      const written = real.writeSync(file, bytes, from, half)
      keep(to.path)
      if (to.appends) watcher?.moment(to.torn ? `after a line in ${to.path}` : `in a line in ${to.path}`)
      to.torn = true
      return written
    },
    fsyncSync() {},
    ftruncateSync(file: number, length: number) {
      real.ftruncateSync(file, length)
      const of = open.get(file)
      if (of !== undefined) keep(of.path)
    },
    closeSync(file: number) {
      const of = open.get(file)
      open.delete(file)
      real.closeSync(file)
      if (of !== undefined) keep(of.path)
    },
    truncateSync(path: string, length: number) {
      real.truncateSync(path, length)
      const inside = inFolder(path)
      if (inside !== undefined) keep(inside)
    },
    renameSync(from: string, to: string) {
      const [before, after] = [inFolder(from), inFolder(to)]
      if (before === undefined || after === undefined) return real.renameSync(from, to)
      watcher?.moment(`before ${nameless(after)} is replaced`)
      real.renameSync(from, to)
      forget(before)
      keep(after)
      watcher?.replaced(after)
      watcher?.moment(`after ${nameless(after)} is replaced`)
    },
    rmSync(path: string, options?: fs.RmOptions) {
      const inside = inFolder(path)
      if (inside === undefined || !files.has(inside)) return real.rmSync(path, options)
      watcher?.moment(`before ${nameless(inside)} is removed`)
      real.rmSync(path, options)
      forget(inside)
      watcher?.moment(`after ${nameless(inside)} is removed`)
    },
  }
  return { ...copy, default: copy } as unknown as typeof fs
}

/** A path that is the same in every run: which secret, and not which of its values. */
function nameless(path: string): string {
  return path.replace(/\.[0-9a-z]+-[0-9a-f]{8}/, '.…').replace(/\.[0-9a-f]{8}\.ocs-tmp$/, '.….ocs-tmp')
}
