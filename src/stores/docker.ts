import { accessSync, constants, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { resolve } from 'node:path'
import * as z from 'zod'
import {
  ensureDirectory,
  errorCode,
  type FileOwner,
  lookAt,
  readIfPresent,
  syncDirectory,
  writeAtomic,
} from '../deployment/files.ts'
import { Exit, ToolError } from '../errors.ts'
import { parseJson } from '../json.ts'
import { type Redactor, Secret } from '../secret.ts'
import type { Seal } from './seal.ts'
import { conflict, expectRotationId, type SecretStore, type StoredSecret, type StoredValue } from './store.ts'

const ROTATION_ID = /^[0-9a-z-]{4,64}$/
const Id = z.string().regex(ROTATION_ID)
const Document = z.strictObject({
  version: z.literal(1),
  revision: z.int().positive(),
  current: z.optional(Id),
  pending: z.optional(Id),
  previous: z.optional(Id),
})
type Document = z.infer<typeof Document>

export interface DockerStoreOptions {
  /** Holds the documents. They name values and contain none. */
  documents: string
  /** Holds a secret's values, `NAME.ROTATIONID`. For what the gateway reads, this is the folder mounted into it. */
  valuesOf(name: string): string
  /** Who must own a value's file; undefined: whoever runs this. */
  ownerOf(name: string): FileOwner | undefined
  redactor: Redactor
  /** Encrypts the values. Then nobody but this store can read them, and they lie apart from what the gateway reads. */
  seal?: Seal
}

/**
 * Docker secret files: what Compose mounts at /run/secrets, without its traps. A value exists on the disk exactly once,
 * as a file that is never changed after it has its name (0400, one link, owned by the container's user); the document
 * beside it says which is current. Writers are kept apart by the deployment's lock, and by the revision.
 */
export class DockerSecretFiles implements SecretStore {
  readonly #options: DockerStoreOptions

  constructor(options: DockerStoreOptions) {
    this.#options = options
  }

  async check(): Promise<string> {
    const { documents, seal } = this.#options
    if (!existsSync(documents)) return 'Docker secret files: nothing stored yet'
    this.#readable(documents, path => accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK))
    const place = `Docker secret files in ${this.#options.valuesOf('gateway_token')}`
    return seal === undefined ? place : `${place}, sealed with the key of this machine`
  }

  async load(name: string): Promise<StoredSecret | undefined> {
    const document = this.#read(name)
    if (document === undefined) return undefined
    // All are read before the first is opened, which takes a moment: they are of one revision.
    const found = (['current', 'pending', 'previous'] as const).flatMap(slot => {
      const rotationId = document[slot]
      return rotationId === undefined ? [] : [{ slot, rotationId, bytes: this.#bytes(name, rotationId) }]
    })
    const values = found.map(async ({ slot, rotationId, bytes }) => {
      const { redactor, seal } = this.#options
      const value = await (seal?.open(`${name}.${rotationId}`, bytes) ?? new Secret(bytes))
      return [slot, { rotationId, value: redactor.learn(value) }] as const
    })
    return { revision: document.revision, ...Object.fromEntries(await Promise.all(values)) }
  }

  async stage(name: string, value: StoredValue, revision: number): Promise<number> {
    this.#expectStageable(name, value, revision)
    const { documents, seal, ownerOf } = this.#options
    const content = await (seal?.seal(`${name}.${value.rotationId}`, value.value) ?? value.value)
    // Once more: while it was sealed another writer may have come first.
    const document = this.#expectStageable(name, value, revision)
    if (document?.pending === value.rotationId && document.revision !== revision) return document.revision
    // Made when it is needed and not before: opening a store writes nothing.
    if (seal !== undefined) ensureDirectory(documents, 0o700)
    const owner = seal === undefined ? ownerOf(name) : undefined
    writeAtomic(this.#path(name, value.rotationId), content, 0o400, owner)
    // Not before: it may be the very file that the gateway reads, on its way from another store.
    this.#removeUnnamed(name, document, value.rotationId)
    const dropped = document?.pending
    const next = this.#write(name, {
      ...document,
      version: 1,
      revision: revision + 1,
      pending: value.rotationId,
    })
    if (dropped !== undefined && dropped !== value.rotationId) this.#remove(name, dropped)
    return next
  }

  async commit(name: string, rotationId: string, revision: number): Promise<number> {
    const document = this.#expect(
      name,
      revision,
      found => found.current === rotationId && found.pending === undefined,
    )
    if (document?.current === rotationId && document.pending === undefined) return document.revision
    if (document?.pending !== rotationId) throw conflict(name)
    const { current, previous } = document
    const next = this.#write(name, {
      version: 1,
      revision: revision + 1,
      current: rotationId,
      ...(current === undefined ? {} : { previous: current }),
    })
    if (previous !== undefined) this.#remove(name, previous)
    return next
  }

  async rollback(name: string, rotationId: string, revision: number): Promise<number> {
    const document = this.#expect(name, revision, found => found.pending === undefined)
    // Committed by somebody else in the meantime: "rolled back" would be a lie.
    if (document?.pending === undefined && document?.current === rotationId) throw conflict(name)
    if (document?.pending === undefined) return document?.revision ?? 0
    if (document.pending !== rotationId) throw conflict(name)
    const { pending, ...rest } = document
    const next = this.#write(name, { ...rest, revision: revision + 1 })
    this.#remove(name, pending)
    return next
  }

  async retire(name: string, revision: number): Promise<number> {
    const document = this.#expect(name, revision, found => found.previous === undefined)
    this.#removeUnnamed(name, document)
    if (document?.previous === undefined) return document?.revision ?? 0
    const { previous, ...rest } = document
    const next = this.#write(name, { ...rest, revision: revision + 1 })
    this.#remove(name, previous)
    return next
  }

  async destroy(name: string, delivered?: string): Promise<void> {
    const document = this.#read(name)
    rmSync(this.#documentPath(name), { force: true })
    this.#removeUnnamed(
      name,
      delivered === undefined ? undefined : { version: 1, revision: 1, current: delivered },
    )
    if (document !== undefined) syncDirectory(this.#options.valuesOf(name))
  }

  async close(): Promise<void> {}

  /** The document when its revision is the one expected, or when the change was made already by an earlier try. */
  #expect(name: string, revision: number, done: (found: Document) => boolean): Document | undefined {
    const document = this.#read(name)
    if (document !== undefined && document.revision === revision + 1 && done(document)) return document
    if ((document?.revision ?? 0) !== revision) throw conflict(name)
    return document
  }

  /** The document, when this value can be staged on top of it, or is staged already. */
  #expectStageable(name: string, { rotationId }: StoredValue, revision: number): Document | undefined {
    const document = this.#expect(name, revision, found => found.pending === rotationId)
    expectRotationId(rotationId)
    // A value never changes under its name.
    if ([document?.current, document?.previous].includes(rotationId)) throw conflict(name)
    return document
  }

  #read(name: string): Document | undefined {
    const { documents } = this.#options
    const path = this.#documentPath(name)
    if (this.#readable(documents, lookAt)?.isDirectory() === false) throw displaced(documents, 'a folder')
    // Opening a pipe would wait for somebody to write into it.
    if (this.#readable(path, lookAt)?.isFile() === false) throw displaced(path, 'a plain file')
    const text = this.#readable(path, readIfPresent)
    if (text === undefined) return undefined
    const parsed = Document.safeParse(parseJson(text))
    if (!parsed.success) throw this.#corrupt(name)
    return parsed.data
  }

  #corrupt(name: string): ToolError {
    return new ToolError(
      'store_corrupt',
      `${this.#documentPath(name)} is not a store document of this tool`,
      'Restore it from a backup. The values themselves are untouched.',
      Exit.unknown,
    )
  }

  /** Reads one of the store's files; what belongs to another user is a refusal, not a defect. */
  #readable<T>(path: string, read: (path: string) => T): T {
    try {
      return read(path)
    } catch (error) {
      const code = error instanceof ToolError ? error.code : errorCode(error)
      if (code !== 'EACCES' && code !== 'not_readable') throw error
      throw new ToolError(
        'store_denied',
        `${path} belongs to another user and cannot be read by this one`,
        'Run the command as the user who set the deployment up, or as root.',
        Exit.unknown,
      )
    }
  }

  #write(name: string, document: Document): number {
    writeAtomic(this.#documentPath(name), `${JSON.stringify(document)}\n`, 0o600)
    return document.revision
  }

  #bytes(name: string, rotationId: string): Buffer {
    const path = this.#path(name, rotationId)
    const found = this.#readable(path, lookAt)
    if (found === undefined)
      throw new ToolError(
        'store_corrupt',
        `${path} is gone, and the store still names it`,
        'Restore it from a backup, or remove the store document to begin anew with another value.',
        Exit.unknown,
      )
    if (!found.isFile() || found.nlink !== 1)
      throw new ToolError(
        'store_corrupt',
        `${path} is not a plain file with one link`,
        'Somebody replaced it. Find out who before you go on; then remove it and restore it from a backup.',
        Exit.failed,
      )
    return this.#readable(path, file => readFileSync(file))
  }

  #remove(name: string, rotationId: string): void {
    rmSync(this.#path(name, rotationId), { force: true })
    syncDirectory(this.#options.valuesOf(name))
  }

  /** Values no document names: a run was cut short between the value and its document. */
  #removeUnnamed(name: string, document: Document | undefined, besides?: string): void {
    const folder = this.#options.valuesOf(name)
    const named = [document?.current, document?.pending, document?.previous, besides].map(
      id => `${name}.${id}`,
    )
    if (!existsSync(folder)) return
    for (const file of readdirSync(folder))
      if (file.startsWith(`${name}.`) && file !== `${name}.json` && !named.includes(file))
        rmSync(resolve(folder, file), { force: true })
  }

  #path(name: string, rotationId: string): string {
    return resolve(this.#options.valuesOf(name), `${name}.${rotationId}`)
  }

  #documentPath(name: string): string {
    return resolve(this.#options.documents, `${name}.json`)
  }
}

function displaced(path: string, expected: string): ToolError {
  return new ToolError(
    'store_unreachable',
    `${path} is not ${expected}`,
    'Put the store back where it was, or restore it from a backup.',
    Exit.unknown,
  )
}
