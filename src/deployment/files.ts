import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { Exit, explainWriteError, ToolError } from '../errors.ts'
import type { Secret } from '../secret.ts'

export interface FileOwner {
  uid: number
  gid: number
}

/**
 * Marks what we have not finished: `.NAME.xxxxxxxx.ocs-tmp` files and `.ocs-PURPOSE-xxxxxx` folders. A killed run leaves
 * at most these; {@link sweep} removes them.
 */
const UNFINISHED = /^\..+\.[0-9a-f]{8}\.ocs-tmp$/
const UNFINISHED_FOLDER = /^\.ocs-[a-z]+-\w{6}$/

/** Whether a file's name is one of {@link unfinishedName}'s. */
export function isUnfinished(name: string): boolean {
  return UNFINISHED.test(name)
}

/** The path under which a file is written until it is complete: beside it, so that it can be named in one step. */
export function unfinishedName(path: string): string {
  return resolve(dirname(path), `.${basename(path)}.${randomBytes(4).toString('hex')}.ocs-tmp`)
}

/**
 * Replaces a file as one step: whoever reads sees the old bytes or the new ones, and after a power cut too. The
 * temporary file is created exclusively, without following links, with its final mode and owner before it has its name.
 * Errors: `disk_full`, `not_writable`, with the path.
 */
export function writeAtomic(
  path: string,
  content: string | Uint8Array | Secret,
  mode: number,
  owner?: FileOwner,
): void {
  const bytes = typeof content === 'object' && 'expose' in content ? content.expose() : content
  const temporary = unfinishedName(path)
  try {
    const file = openSync(
      temporary,
      constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW,
      0o600,
    )
    try {
      const buffer = Buffer.from(bytes)
      for (let written = 0; written < buffer.length; ) written += writeSync(file, buffer, written)
      fchmodSync(file, mode)
      if (owner !== undefined) fchownSync(file, owner.uid, owner.gid)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    renameSync(temporary, path)
    syncDirectory(dirname(path))
  } catch (error) {
    rmSync(temporary, { force: true })
    throw explainWriteError(error, path)
  }
}

/** Makes a folder with exactly this mode and owner. An existing one is corrected; a link in its place is refused. */
export function ensureDirectory(path: string, mode: number, owner?: FileOwner): void {
  try {
    // Looked at first: of a file or a broken link mkdir says only that something is wrong.
    if (lookAt(path)?.isDirectory() === false)
      throw new ToolError(
        'not_a_folder',
        `${path} is not a folder`,
        'Move it away and run the command again.',
        Exit.usage,
      )
    mkdirSync(path, { recursive: true, mode })
    const found = lstatSync(path)
    if ((found.mode & 0o7777) !== mode) chmodSync(path, mode)
    if (owner !== undefined && (found.uid !== owner.uid || found.gid !== owner.gid))
      chownSync(path, owner.uid, owner.gid)
  } catch (error) {
    throw explainWriteError(error, path)
  }
}

/** A new folder with a name of its own. Errors: as {@link writeAtomic}. */
export function temporaryFolder(prefix: string): string {
  try {
    return mkdtempSync(prefix)
  } catch (error) {
    throw explainWriteError(error, dirname(prefix))
  }
}

/** A file's text, or undefined when it is not there. */
export function readIfPresent(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (isMissing(error)) return undefined
    throw explainReadError(error, path)
  }
}

/** What is at a path itself, not following a link; undefined when nothing is. */
export function lookAt(path: string): ReturnType<typeof lstatSync> | undefined {
  try {
    return lstatSync(path)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw explainReadError(error, path)
  }
}

/** Removes what a killed run could not finish. */
export function sweep(directories: readonly string[]): void {
  for (const directory of directories) {
    if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory()) continue
    for (const name of readdirSync(directory))
      if (isUnfinished(name) || UNFINISHED_FOLDER.test(name))
        rmSync(resolve(directory, name), { recursive: true, force: true })
  }
}

/** The nearest folder at or above a path that holds a `.git`; undefined when there is none. */
export function repositoryAbove(path: string): string | undefined {
  for (let folder = path; ; folder = dirname(folder)) {
    if (lookAt(resolve(folder, '.git')) !== undefined) return folder
    if (dirname(folder) === folder) return undefined
  }
}

export function syncDirectory(path: string): void {
  const directory = openSync(path, constants.O_RDONLY)
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}

export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

function isMissing(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')
}

function explainReadError(error: unknown, path: string): unknown {
  if (!['EACCES', 'EPERM', 'EISDIR'].includes(errorCode(error) ?? '')) return error
  return new ToolError(
    'not_readable',
    `${path} cannot be read by this user`,
    'Run the command as the user who set the deployment up, or as root, or name another folder.',
    Exit.usage,
    error,
  )
}
