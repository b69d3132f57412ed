import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'
import { ensureDirectory, lookAt, syncDirectory, temporaryFolder } from '../deployment/files.ts'
import type { Layout } from '../deployment/layout.ts'
import { packageFile } from '../deployment/package.ts'
import { Exit, explainWriteError, ToolError } from '../errors.ts'
import type { ToolCopy } from './port.ts'

/** A library that is not in the bundle, with what it needs. */
const LIBRARIES = ['@1password/sdk', '@1password/sdk-core']

/**
 * This program as it is installed, to be run at night from the deployment's own folder: where it came from may be a cache
 * that somebody empties, and at night nothing is to be downloaded. A folder and where its files are, by their place in the
 * copy. Errors: `tool_incomplete`.
 */
export function toolFiles(needsLibraries: boolean): Map<string, string> {
  const bin = packageFile('bin/create-openclaw-secure.js')
  const root = dirname(dirname(bin))
  const description = resolve(root, 'package.json')
  if (lookAt(bin) === undefined || lookAt(resolve(root, 'dist/cli/cli.js')) === undefined)
    throw incomplete(resolve(root, 'dist/cli'))
  const { files } = JSON.parse(readFileSync(description, 'utf8')) as { files: string[] }
  const found = new Map<string, string>()
  const take = (path: string, place: string) => {
    const kind = lookAt(path)
    if (kind?.isFile()) found.set(place, path)
    else if (kind?.isDirectory())
      for (const name of readdirSync(path)) take(resolve(path, name), `${place}/${name}`)
  }
  for (const path of ['package.json', ...files]) take(resolve(root, path), path)
  if (!needsLibraries) return found
  for (const name of LIBRARIES) {
    const path = packageFile(`node_modules/${name}`)
    if (lookAt(path) === undefined) throw incomplete(path)
    take(path, `node_modules/${name}`)
  }
  return found
}

function incomplete(path: string): ToolError {
  return new ToolError(
    'tool_incomplete',
    `this program is not installed as a whole: there is no ${path}`,
    'Install it again, or run it with npx create-openclaw-secure.',
    Exit.unknown,
  )
}

/** What this copy would be called: the version, and the hash of all files. */
export function toolCopy(files: ReadonlyMap<string, string>): ToolCopy {
  return { version: toolVersion(), hash: hashOf(files) }
}

/** The version of the program that runs now. */
export function toolVersion(): string {
  return String(JSON.parse(readFileSync(packageFile('package.json'), 'utf8')).version)
}

/** The folder of one copy. It is named for what is in it: one that is in use is never changed. */
export function toolFolder({ tool }: Pick<Layout, 'tool'>, { hash }: Pick<ToolCopy, 'hash'>): string {
  return resolve(tool, hash.slice(0, 16))
}

/** Whether a copy is there, whole, and unchanged. */
export function isToolWhole(layout: Pick<Layout, 'tool'>, copy: Pick<ToolCopy, 'hash'>): boolean {
  const present = toolEntries(layout, copy)
  return present !== undefined && hashOf(present) === copy.hash
}

/** All files of a copy, by their place in it; undefined when there is none. */
export function toolEntries(
  layout: Pick<Layout, 'tool'>,
  copy: Pick<ToolCopy, 'hash'>,
): Map<string, string> | undefined {
  const folder = toolFolder(layout, copy)
  if (lookAt(folder)?.isDirectory() !== true) return undefined
  const present = new Map<string, string>()
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = resolve(entry.parentPath, entry.name)
    if (!entry.isDirectory()) present.set(relative(folder, path), path)
  }
  return present
}

/** Puts a copy beside the ones that are there; one of the same name that was changed is replaced. Errors: those of writing. */
export function copyTool(layout: Pick<Layout, 'own' | 'tool'>, files: ReadonlyMap<string, string>): void {
  const { own, tool } = layout
  const folder = toolFolder(layout, { hash: hashOf(files) })
  // A name that the next run sweeps, should this one be killed.
  const next = temporaryFolder(resolve(own, '.ocs-tool-'))
  try {
    const folders = new Set([next])
    for (const [place, path] of files) {
      const target = resolve(next, place)
      mkdirSync(dirname(target), { recursive: true, mode: 0o700 })
      folders.add(dirname(target))
      writeFileSync(target, readFileSync(path), { mode: 0o600, flush: true })
    }
    for (const path of folders) syncDirectory(path)
    ensureDirectory(tool, 0o700)
    rmSync(folder, { recursive: true, force: true })
    renameSync(next, folder)
    syncDirectory(tool)
  } catch (error) {
    throw explainWriteError(error, folder)
  } finally {
    rmSync(next, { recursive: true, force: true })
  }
}

/** Removes every copy but one. */
export function removeOtherTools(layout: Pick<Layout, 'tool'>, copy: Pick<ToolCopy, 'hash'>): void {
  const kept = toolFolder(layout, copy)
  for (const name of readdirSync(layout.tool)) {
    const path = resolve(layout.tool, name)
    if (path !== kept) rmSync(path, { recursive: true, force: true })
  }
}

function hashOf(files: ReadonlyMap<string, string>): string {
  const hash = createHash('sha256')
  for (const [place, path] of [...files].sort(([a], [b]) => (a < b ? -1 : 1)))
    hash.update(JSON.stringify([place, createHash('sha256').update(readFileSync(path)).digest('hex')]))
  return hash.digest('hex')
}
