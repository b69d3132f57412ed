import { createHash } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import { errorCode, lookAt } from '../../src/deployment/files.ts'
import { Exit, ToolError } from '../../src/errors.ts'
import type { ScannedFile } from './context.ts'

/** What is longer was not written by hand. Bytes. */
const LONGEST = 2 * 1024 ** 2

/** More files than this are no folder of one set-up. */
export const MOST_FILES = 200

/** Folders beside the Compose file in which people keep the gateway's configuration or state. */
const BELOW = ['config', '.openclaw', 'state', 'data']

const COMPOSE = /^(docker-)?compose(\.[\w-]+)?\.ya?ml$/
const VARIABLES = /^(\.env(\.[\w.-]+)?|[\w-][\w.-]*\.env)$/
/** Samples to copy from, and what editors and OpenClaw leave behind: no part of the set-up. */
const ASIDE = /\.(example|sample|template|dist|bak|old|orig|save|swp|tmp|ocs-tmp)(\.\d+)?$|~$/

/** Whether a file is a sample or a left-over. */
export function isAside(name: string): boolean {
  return ASIDE.test(name)
}

/** The bytes of a file as text, or in words why it is left alone. */
export type Read =
  | { text: string; digest: string; mode: number; owner: { uid: number; gid: number } }
  | { left: string }
  | { unreadable: string }

/** The folder itself, whatever links lead to it. Errors: `not_a_folder`. */
export function rootOf(folder: string): string {
  try {
    const root = realpathSync(folder)
    if (lookAt(root)?.isDirectory() === true) return root
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR', 'EACCES'].includes(errorCode(error) ?? '')) throw error
  }
  throw new ToolError(
    'not_a_folder',
    `${folder} is not a folder that this user can look into`,
    'Name the folder that holds the openclaw.json, the .env or the Compose file.',
    Exit.usage,
  )
}

/** What of a folder belongs to a set-up, by what each file is, and the other plain files beside it. */
export function filesIn(root: string): {
  parts: [file: string, format: ScannedFile['format']][]
  others: string[]
} {
  const names = readdirSync(root).sort()
  const parts: [string, ScannedFile['format']][] = []
  const others: string[] = []
  for (const name of names) {
    const format = ASIDE.test(name) ? undefined : formatOf(name)
    if (format !== undefined) parts.push([name, format])
    else if (lookAt(resolve(root, name))?.isFile() === true) others.push(name)
  }
  for (const folder of BELOW)
    for (const name of names.includes(folder) ? ['openclaw.json', '.env'] : []) {
      const format = formatOf(name)
      if (format !== undefined && isThere(resolve(root, folder, name)))
        parts.push([`${folder}/${name}`, format])
    }
  return { parts, others }
}

/** Reads a file without following links, and only what can be replaced as a whole. */
export function read(root: string, file: string): Read {
  const path = resolve(root, file)
  const within = relative(root, path)
  if (within === '' || within.startsWith('..'))
    return { left: 'it lies outside of the folder: not looked at' }
  try {
    if (realpathSync(path) !== path) return { left: 'it is a link, or lies behind one: not followed' }
    // Non-blocking: opening a pipe would wait for somebody to write into it.
    const handle = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    try {
      const { size, mode, uid, gid, nlink, ...kind } = fstatOf(handle)
      if (!kind.plain) return { left: 'it is no plain file: not looked at' }
      if (size > LONGEST) return { left: 'it is larger than 2 MiB: not looked at' }
      const bytes = readFileSync(handle)
      const text = decoded(bytes)
      if (text === undefined) return { left: 'it is no text: not looked at' }
      if (nlink > 1)
        return { left: 'it has a second name (a hard link), which would keep the old content: not touched' }
      return {
        text,
        digest: createHash('sha256').update(bytes).digest('hex'),
        mode: mode & 0o7777,
        owner: { uid, gid },
      }
    } finally {
      closeSync(handle)
    }
  } catch (error) {
    if (errorCode(error) === undefined) throw error
    return {
      unreadable:
        errorCode(error) === 'ENOENT' ? 'it is not there' : `it cannot be read (${errorCode(error)})`,
    }
  }
}

/** Tells on which line, from 1, a character of the text stands. */
export function linesOf(text: string): (at: number) => number {
  const breaks = [...text.matchAll(/\n/g)].map(match => match.index)
  return at => {
    let [low, high] = [0, breaks.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((breaks[middle] ?? 0) < at) low = middle + 1
      else high = middle
    }
    return low + 1
  }
}

/** What cannot be looked at is there too: reading it says why. */
function isThere(path: string): boolean {
  try {
    return lookAt(path) !== undefined
  } catch {
    return true
  }
}

function formatOf(name: string): ScannedFile['format'] | undefined {
  if (name === 'openclaw.json') return 'openclaw'
  if (COMPOSE.test(name)) return 'compose'
  return VARIABLES.test(name) ? 'variables' : undefined
}

function fstatOf(handle: number) {
  const found = fstatSync(handle)
  const { size, mode, uid, gid, nlink } = found
  return { size, mode, uid, gid, nlink, plain: found.isFile() }
}

/** UTF-8 with its byte order mark, if it has one, or undefined. */
function decoded(bytes: Uint8Array): string | undefined {
  if (bytes.includes(0)) return undefined
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}
