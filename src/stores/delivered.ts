import { readdirSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { type FileOwner, lookAt } from '../deployment/files.ts'
import { type Redactor, Secret } from '../secret.ts'
import type { SecretStore, StoredSecret } from './store.ts'

/**
 * What the gateway was handed, without asking the store: for looks that must not leave this machine. The newest file
 * of a name counts as its current value; revision 0, because nothing can be changed through it.
 */
export class DeliveredSecrets implements Pick<SecretStore, 'load'> {
  readonly #folder: string
  readonly #redactor: Redactor

  constructor(folder: string, redactor: Redactor) {
    this.#folder = folder
    this.#redactor = redactor
  }

  async load(name: string): Promise<StoredSecret | undefined> {
    const files = lookAt(this.#folder)?.isDirectory() === true ? readdirSync(this.#folder) : []
    const newest = files
      .filter(file => file.startsWith(`${name}.`))
      .sort()
      .at(-1)
    if (newest === undefined) return undefined
    const value = this.#redactor.learn(new Secret(readFileSync(resolve(this.#folder, newest))))
    return { revision: 0, current: { rotationId: newest.slice(name.length + 1), value } }
  }
}

/**
 * Whether the gateway finds this value at a path: a file of its own, 0400, with one link, and the owner's; nobody in particular
 * where that is undefined. OpenClaw accepts nothing laxer (SecretRef file provider).
 */
export function isDelivered(path: string, value: Secret, owner: FileOwner | undefined): boolean {
  const there = lookAt(path)
  return (
    there?.isFile() === true &&
    there.nlink === 1 &&
    (Number(there.mode) & 0o7777) === 0o400 &&
    (owner === undefined || there.uid === owner.uid) &&
    value.equals(new Secret(readFileSync(path)))
  )
}

/** A secret is short. Bytes. */
const LONGEST = 64 * 1024

/**
 * Teaches the redactor every value that lies in these folders, whatever it is called, without asking the store. Returns the
 * paths of those that could not be read: what they hold is then found by its shape alone.
 */
export function learnDelivered(folders: readonly string[], redactor: Redactor): string[] {
  return folders.flatMap(folder => {
    const names = lookAt(folder)?.isDirectory() === true ? readdirSync(folder) : []
    return names
      .filter(name => !name.endsWith('.json'))
      .map(name => resolve(folder, name))
      .filter(path => {
        const there = lookAt(path)
        if (there?.isFile() !== true || Number(there.size) > LONGEST) return false
        try {
          redactor.learn(new Secret(readFileSync(path)))
          return false
        } catch {
          return true
        }
      })
  })
}
