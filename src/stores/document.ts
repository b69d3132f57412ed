import { conflict, expectRotationId, type SecretStore, type StoredSecret, type StoredValue } from './store.ts'

/** The values of one secret, by what they are for. */
export type Slots = Omit<StoredSecret, 'revision'>

/** A server that keeps documents whole: the part of a store that differs from server to server. */
export interface Documents {
  /** How long one call of the store may take altogether, in milliseconds: also one that reads and then writes. */
  readonly deadline: number
  /** Can it be reached, read and written? Returns what it saw; throws what is wrong. */
  check(): Promise<string>
  /** The document of a secret, or undefined when there is none. */
  read(name: string, until?: number): Promise<StoredSecret | undefined>
  /**
   * Replaces the document whole and gives it `revision + 1`. Only when its revision is `revision` still (0: there is
   * none); else `store_conflict`, and nothing is changed. `until`, on the clock of `performance.now()`, is when it has to
   * be done.
   */
  write(name: string, slots: Slots, revision: number, until?: number): Promise<void>
  /** Removes the document with everything the server remembers of it. */
  remove(name: string): Promise<void>
  close(): Promise<void>
}

/**
 * A store on a server that keeps one document a secret: the values go through their states here, in one place for all
 * servers, and the server only has to compare and swap.
 */
export class DocumentStore implements SecretStore {
  readonly #documents: Documents

  constructor(documents: Documents) {
    this.#documents = documents
  }

  check(): Promise<string> {
    return this.#documents.check()
  }

  load(name: string): Promise<StoredSecret | undefined> {
    return this.#documents.read(name)
  }

  async stage(name: string, value: StoredValue, revision: number): Promise<number> {
    expectRotationId(value.rotationId)
    return this.#change(name, revision, 'must exist or not', found => {
      if (found.pending?.rotationId === value.rotationId) return 'done'
      // A value never changes under its name.
      if ([found.current, found.previous].some(one => one?.rotationId === value.rotationId))
        throw conflict(name)
      return { ...found, pending: value }
    })
  }

  async commit(name: string, rotationId: string, revision: number): Promise<number> {
    return this.#change(name, revision, 'must exist', ({ current, pending }) => {
      if (current?.rotationId === rotationId && pending === undefined) return 'done'
      if (pending?.rotationId !== rotationId) throw conflict(name)
      return { current: pending, ...(current === undefined ? {} : { previous: current }) }
    })
  }

  async rollback(name: string, rotationId: string, revision: number): Promise<number> {
    return this.#change(name, revision, 'must exist', ({ pending, ...rest }) => {
      // Committed by somebody else in the meantime: "rolled back" would be a lie.
      if (pending === undefined && rest.current?.rotationId === rotationId) throw conflict(name)
      if (pending === undefined) return 'done'
      if (pending.rotationId !== rotationId) throw conflict(name)
      return rest
    })
  }

  async retire(name: string, revision: number): Promise<number> {
    return this.#change(name, revision, 'must exist', ({ previous, ...rest }) =>
      previous === undefined ? 'done' : rest,
    )
  }

  destroy(name: string): Promise<void> {
    return this.#documents.remove(name)
  }

  close(): Promise<void> {
    return this.#documents.close()
  }

  /**
   * One change by compare and swap. `next` returns the new values, or "done" when there is nothing to change; a document
   * that is one revision ahead and done is our own change, whose answer was lost.
   */
  async #change(
    name: string,
    revision: number,
    expects: 'must exist' | 'must exist or not',
    next: (found: Slots) => Slots | 'done',
  ): Promise<number> {
    const until = performance.now() + this.#documents.deadline
    const document = await this.#documents.read(name, until)
    if (document === undefined && expects === 'must exist') throw conflict(name)
    const { revision: present, ...slots } = document ?? { revision: 0 }
    if (present !== revision && present !== revision + 1) throw conflict(name)
    const wanted = next(slots)
    if (wanted === 'done') return present
    if (present !== revision) throw conflict(name)
    await this.#documents.write(name, wanted, revision, until)
    return revision + 1
  }
}
