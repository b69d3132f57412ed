import { statSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { relative, resolve } from 'node:path'
import type { Secret } from '../secret.ts'
import { errorCode } from './files.ts'

/** A search of more than this would take longer than everything else together. Bytes. */
const MOST = 1024 ** 3

/** A copy of the image's own Control UI: 1,500 files that OpenClaw unpacks and only ever reads. */
const UNPACKED = '/cache/control-ui-assets'

/**
 * Every file below a folder that holds one of the secrets, by the value; paths are relative to the folder. Links are not
 * followed. `left`: so many could not be searched, because there was too much before them.
 */
export async function searchFolder(
  folder: string,
  secrets: readonly Secret[],
): Promise<{ searched: number; left: number; found: string[] }> {
  const result = { searched: 0, left: 0, found: [] as string[] }
  let bytes = 0
  for await (const path of filesBelow(folder)) {
    try {
      bytes += statSync(path).size
      if (bytes > MOST) {
        result.left += 1
        continue
      }
      const content = await readFile(path)
      result.searched += 1
      if (secrets.some(secret => secret.isIn(content))) result.found.push(relative(folder, path))
    } catch (error) {
      // The running gateway removes files of its own; one that cannot be read is another matter.
      if (errorCode(error) !== 'ENOENT') throw error
    }
  }
  return result
}

async function* filesBelow(folder: string): AsyncGenerator<string> {
  for (const entry of await entriesOf(folder)) {
    const path = resolve(folder, entry.name)
    if (entry.isFile()) yield path
    else if (entry.isDirectory() && !path.endsWith(UNPACKED)) yield* filesBelow(path)
  }
}

/** A folder that is gone by the time it is entered held nothing that is still there. */
async function entriesOf(folder: string) {
  try {
    return await readdir(folder, { withFileTypes: true })
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return []
    throw error
  }
}
