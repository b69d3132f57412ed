import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { resolve } from 'node:path'
import { ensureDirectory, lookAt, writeAtomic } from '../deployment/files.ts'
import type { Layout } from '../deployment/layout.ts'
import { secretFileName } from '../gateway/policy.ts'
import { Secret } from '../secret.ts'
import type { StoredSecret } from '../stores/store.ts'

/**
 * Where the values lie that an open case has had replaced (0400): whoever goes on with it takes them out of what is shared,
 * though no store has them any more. It is no part of the case, and goes when that is closed.
 */
export function replacedOf({ own }: Pick<Layout, 'own'>): string {
  return resolve(own, 'replaced')
}

/** Keeps every value that a secret has. Before it is rotated: a run may be killed right after. Errors: the disk's. */
export function keepReplaced(layout: Pick<Layout, 'own'>, name: string, stored: StoredSecret): void {
  const folder = replacedOf(layout)
  ensureDirectory(folder, 0o700)
  for (const one of [stored.previous, stored.current, stored.pending])
    if (one !== undefined)
      writeAtomic(resolve(folder, secretFileName({ name, rotationId: one.rotationId })), one.value, 0o400)
}

/** The values that a secret had. Errors: the disk's. */
export function readReplaced(layout: Pick<Layout, 'own'>, name: string): Secret[] {
  const folder = replacedOf(layout)
  const files = lookAt(folder)?.isDirectory() === true ? readdirSync(folder) : []
  return files
    .filter(file => file.startsWith(`${name}.`))
    .map(file => new Secret(readFileSync(resolve(folder, file))))
}

/** Destroys them. */
export function forgetReplaced(layout: Pick<Layout, 'own'>): void {
  rmSync(replacedOf(layout), { recursive: true, force: true })
}
