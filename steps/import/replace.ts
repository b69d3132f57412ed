import { dirname, resolve } from 'node:path'
import { sweep, writeAtomic } from '../../src/deployment/files.ts'
import { ToolError, visible } from '../../src/errors.ts'
import type { DeliveredSecret } from '../../src/gateway/policy.ts'
import type { Step } from '../../src/procedure/step.ts'
import { commentsInComposition } from './compose.ts'
import { count, type ImportContext, importable, type PlainSecret, type ScannedFile } from './context.ts'
import { read, rootOf } from './files.ts'
import { referencesInPolicy } from './openclaw-json.ts'
import { commentsForVariables } from './variables.ts'

type Needs = Pick<ImportContext, 'folder' | 'found'>
type Changes = ReadonlyMap<number, DeliveredSecret>

const REPLACE: Record<ScannedFile['format'], (text: string, changes: Changes) => string | undefined> = {
  openclaw: referencesInPolicy,
  variables: commentsForVariables,
  compose: commentsInComposition,
}

const ORDER: readonly ScannedFile['format'][] = ['openclaw', 'compose', 'variables']

/** Takes the secrets out of the files: a reference, or a comment that says where the value is now. No copy is kept. */
export const replaceFound: Step<Needs> = {
  id: 'import.replace',
  title: 'Replace them in the files by references',
  effect: 'writes',
  skip({ found }) {
    return importable(found).size === 0 ? 'nothing to replace' : undefined
  },
  async run({ folder, found }) {
    const root = rootOf(folder)
    const verified = new Map((found.verified ?? []).map(secret => [secret.name, secret]))
    const files = new Map<string, Map<number, DeliveredSecret>>()
    for (const secret of (found.secrets ?? []).filter(one => one.stays === undefined)) {
      const delivered = verified.get(secret.name)
      if (delivered === undefined) throw new Error(`${secret.name} was not read back from the store`)
      const changes = files.get(secret.file) ?? new Map<number, DeliveredSecret>()
      files.set(secret.file, changes.set(positionOf(secret), delivered))
    }
    sweep([...new Set([...files.keys()].map(file => dirname(resolve(root, file))))])
    const failed = new Map<string, string>()
    // Still used by a file that could not be changed, by the secret's name.
    const needed = new Map<string, string>()
    for (const [file, all] of inOrder(files, found.files)) {
      const held = [...all.values()].filter(({ name }) => needed.has(name))
      const changes = new Map([...all].filter(([, { name }]) => !needed.has(name)))
      const reason = changes.size === 0 ? undefined : replaceIn(root, file, found.files?.get(file), changes)
      const reasons = [
        ...(reason === undefined ? [] : [reason]),
        ...held.map(({ name }) => `${name} stays, because ${needed.get(name)} could not be changed`),
      ]
      if (reasons.length > 0) failed.set(file, reasons.join('; '))
      if (reason === undefined) continue
      for (const { name, uses, file: where } of found.secrets ?? [])
        if (where === file && uses !== undefined) needed.set(name, file)
    }
    if (failed.size > 0)
      throw new ToolError(
        'not_replaced',
        [...failed].map(([file, reason]) => `${visible(file)}: ${reason}`).join('\n'),
        'The values are in the store, and these files are as they were. Run the command again; what it cannot replace, replace by hand.',
      )
    return {
      saw: [...files].map(([file, { size }]) => `${visible(file)}: ${count(size, 'place')}`).join(', '),
      facts: { files: files.size },
    }
  },
}

/**
 * What uses a variable before what sets it: killed between two files, a variable is still there for whatever was not reached,
 * and the next run finds both.
 */
function inOrder<T>(files: ReadonlyMap<string, T>, scanned: ImportContext['found']['files']): [string, T][] {
  const rank = (file: string) => ORDER.indexOf(scanned?.get(file)?.format ?? 'variables')
  return [...files].sort(([one], [other]) => rank(one) - rank(other))
}

function positionOf({ span: [start] }: PlainSecret): number {
  return start
}

/** Replaces in one file. Returns why it could not be done, when the file is as it was. */
function replaceIn(
  root: string,
  file: string,
  scanned: ScannedFile | undefined,
  changes: Changes,
): string | undefined {
  const present = read(root, file)
  if ('left' in present) return present.left
  if ('unreadable' in present) return present.unreadable
  if (present.digest !== scanned?.digest) return 'it was changed since it was looked at'
  const text = REPLACE[scanned.format](present.text, changes)
  if (text === undefined) return 'it cannot be replaced safely: do it by hand'
  writeAtomic(resolve(root, file), text, present.mode, present.owner)
  return undefined
}
