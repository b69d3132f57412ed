import { readdirSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { lookAt } from '../deployment/files.ts'
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
