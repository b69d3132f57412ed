import { createHash } from 'node:crypto'
import { constants, readdirSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { resolve } from 'node:path'

/** How many bytes, and their SHA-256 in hexadecimal. */
export interface Sum {
  bytes: number
  sha256: string
}

/** What lies in a folder, by its name from there. A link is never followed, and nothing but a plain file is opened. */
export interface Entry {
  name: string
  kind: 'file' | 'not a plain file'
}

/** Whether this is a name of something inside a folder, wherever the folder is. */
export function isInside(name: string): boolean {
  return (
    name.length < 4096 &&
    !name.includes('\0') &&
    name.split('/').every(part => part !== '' && part !== '.' && part !== '..')
  )
}

/** Everything below a folder but what `leave` names, sorted. Folders are walked and are no entries. */
export function entriesIn(folder: string, leave: readonly string[] = []): Entry[] {
  const found: Entry[] = []
  const waiting = ['']
  for (let prefix = waiting.pop(); prefix !== undefined; prefix = waiting.pop())
    for (const entry of readdirSync(resolve(folder, prefix), { withFileTypes: true })) {
      const name = prefix === '' ? entry.name : `${prefix}/${entry.name}`
      if (leave.includes(name)) continue
      if (entry.isDirectory()) waiting.push(name)
      else found.push({ name, kind: entry.isFile() ? 'file' : 'not a plain file' })
    }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Reads a plain file once, whatever its size. Errors: what the system says; `ELOOP` where a link has taken its place. */
export async function sumOf(path: string): Promise<Sum> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of await plainFile(path)) {
    hash.update(chunk)
    bytes += chunk.length
  }
  return { bytes, sha256: hash.digest('hex') }
}

/** The bytes of a plain file; undefined when there are more than `most`. Errors: as {@link sumOf}. */
export async function bytesOf(path: string, most: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of await plainFile(path)) {
    bytes += chunk.length
    if (bytes > most) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Its bytes as they come. A pipe that was put in its place is not waited for. */
export async function plainFile(path: string): Promise<AsyncIterable<Buffer>> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  const found = await file.stat()
  if (found.isFile()) return file.createReadStream({ highWaterMark: 256 * 1024 })
  await file.close()
  throw Object.assign(new Error('not a plain file'), { code: 'ENOTSUP' })
}
