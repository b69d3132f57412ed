import { randomBytes } from 'node:crypto'
import { Exit, ToolError } from '../errors.ts'
import type { Secret } from '../secret.ts'

/** One value of a secret. The rotation id names it wherever the value itself must not stand. */
export interface StoredValue {
  rotationId: string
  value: Secret
}

/** A secret as its store holds it. `revision` is what the next change must quote: compare and swap. */
export interface StoredSecret {
  revision: number
  current?: StoredValue
  pending?: StoredValue
  previous?: StoredValue
}

/**
 * Where the truth about secrets lives. One document a secret, changed by compare-and-swap only, so that a change
 * happens whole or not at all and two writers cannot overwrite each other.
 *
 * A new value goes stage → commit → retire. Between stage and commit both values are in the store: whichever the
 * gateway accepts can be found there, so nobody is ever locked out. Every call may be repeated with the same arguments.
 *
 * Errors of all, each within the store's deadline and none with a value in it: `store_unreachable` (no answer, no
 * trusted TLS, a server that is not ready), `store_denied` (it knows us and refuses, or does not know us),
 * `store_limited` (too many requests), `store_corrupt` (what is there is not a document of this tool), and
 * `store_conflict` when `revision` is not the present one.
 */
export interface SecretStore {
  /** Can it be reached, read and written? Returns what it saw; throws what is wrong. */
  check(): Promise<string>
  /** The secret, or undefined when the store has never heard of it. */
  load(name: string): Promise<StoredSecret | undefined>
  /** Keeps a new value beside the current one. Returns the new revision. */
  stage(name: string, value: StoredValue, revision: number): Promise<number>
  /** Makes the pending value current and the current one previous. */
  commit(name: string, rotationId: string, revision: number): Promise<number>
  /** Forgets the pending value. */
  rollback(name: string, rotationId: string, revision: number): Promise<number>
  /** Forgets the previous value. */
  retire(name: string, revision: number): Promise<number>
  /**
   * Forgets the secret altogether. `delivered` is the rotation id of a value that the gateway reads where the store keeps
   * it: that file stays, for another store answers for it from now on.
   */
  destroy(name: string, delivered?: string): Promise<void>
  /** Logs out and forgets what opened the store. Nothing can be asked afterwards; may be called again. */
  close(): Promise<void>
}

/** How long one call may take altogether, in milliseconds. */
export const STORE_DEADLINE = 15_000

const ROTATION_ID = /^[0-9a-z-]{4,64}$/

/** A rotation id becomes part of a file's name: whatever else could not be one is a defect of the caller. */
export function expectRotationId(id: string): void {
  if (!ROTATION_ID.test(id)) throw new Error('a rotation id is 4 to 64 of 0-9, a-z and -')
}

/** Somebody changed the secret between our look and our change. */
export function conflict(name: string): ToolError {
  return new ToolError(
    'store_conflict',
    `${name} was changed by somebody else in the meantime`,
    'Run the command again: it starts from what is stored now.',
    Exit.unknown,
  )
}

/** `20261123t014000-1a2b3c4d`: sorts by time, and no two are alike. */
export function rotationId(now: Date): string {
  const stamp = now.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').toLowerCase()
  return `${stamp}-${randomBytes(4).toString('hex')}`
}

/** When a value was made: its rotation id begins with the time. */
export function bornAt(id: string): Date | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)t(\d\d)(\d\d)(\d\d)-/.exec(id)
  if (match === null) return undefined
  const [, year, month, day, hour, minute, second] = match
  return new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
}
