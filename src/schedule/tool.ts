import { createHash } from 'node:crypto'
import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'
import { lookAt, temporaryFolder } from '../deployment/files.ts'
import type { Layout } from '../deployment/layout.ts'
import { packageFile } from '../deployment/package.ts'
import { Exit, explainWriteError, ToolError } from '../errors.ts'

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

/** Whether the copy is there, whole, and the same as these files. */
export function isToolCurrent({ tool }: Pick<Layout, 'tool'>, files: ReadonlyMap<string, string>): boolean {
  if (lookAt(tool)?.isDirectory() !== true) return false
  const present = new Map<string, string>()
  for (const entry of readdirSync(tool, { recursive: true, withFileTypes: true })) {
    const path = resolve(entry.parentPath, entry.name)
    if (!entry.isDirectory()) present.set(relative(tool, path), path)
  }
  return hashOf(present) === hashOf(files)
}

/** Puts a copy in the place of the one before, as a whole. Errors: those of writing. */
export function copyTool(
  { own, tool }: Pick<Layout, 'own' | 'tool'>,
  files: ReadonlyMap<string, string>,
): void {
  // Names that the next run sweeps, should this one be killed.
  const next = temporaryFolder(resolve(own, '.ocs-tool-'))
  const last = temporaryFolder(resolve(own, '.ocs-tool-'))
  try {
    for (const [place, path] of files) {
      const target = resolve(next, place)
      mkdirSync(dirname(target), { recursive: true, mode: 0o700 })
      copyFileSync(path, target)
      chmodSync(target, 0o600)
    }
    chmodSync(next, 0o700)
    if (lookAt(tool) !== undefined) renameSync(tool, resolve(last, 'tool'))
    renameSync(next, tool)
  } catch (error) {
    throw explainWriteError(error, tool)
  } finally {
    for (const path of [next, last]) rmSync(path, { recursive: true, force: true })
  }
}

function hashOf(files: ReadonlyMap<string, string>): string {
  const hash = createHash('sha256')
  for (const [place, path] of [...files].sort(([a], [b]) => (a < b ? -1 : 1)))
    hash.update(JSON.stringify([place, createHash('sha256').update(readFileSync(path)).digest('hex')]))
  return hash.digest('hex')
}
