import { readdirSync, renameSync, rmSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Answers } from '../deployment/answers.ts'
import { ensureDirectory, lookAt, readIfPresent, syncDirectory, writeAtomic } from '../deployment/files.ts'
import type { Layout } from '../deployment/layout.ts'
import { Exit, explainWriteError, ToolError } from '../errors.ts'
import { type Redactor, Secret } from '../secret.ts'

/** A store that somebody else runs, and that has to be opened. */
export type RemoteStore = Exclude<Answers['store'], 'docker'>

/** Whether what opens the store is a secret id that is kept here: then it is ours to rotate. */
export function ownsSecretId(answers: Pick<Answers, 'store' | 'vaultAuth' | 'credentialFile'>): boolean {
  return answers.store === 'vault' && answers.vaultAuth === 'approle' && answers.credentialFile === ''
}

/** What the thing that opens a store is called, for messages. */
export function credentialNameOf(answers: Pick<Answers, 'store' | 'vaultAuth'>): string {
  if (answers.store === '1password') return 'service account token'
  return { approle: 'secret id', token: 'token', jwt: 'JWT', kubernetes: 'service account token' }[
    answers.vaultAuth
  ]
}

/**
 * What opens the store, from the first place that has it: what the person gave now, the one systemd hands over as
 * STORE_credential (systemd.exec(5); whoever runs us so may not let us see the file it came from), the file the answers
 * name (read anew each time: a JWT is renewed there), the one kept in `.secure/credentials`. Errors: `store_credential`,
 * with the flag that brings one.
 */
export function findCredential(sources: {
  answers: Pick<Answers, 'store' | 'vaultAuth' | 'credentialFile'>
  layout: Pick<Layout, 'credentials'>
  given: Secret | undefined
  env: Readonly<Record<string, string | undefined>>
  redactor: Redactor
}): Secret {
  const { answers, layout, given, env, redactor } = sources
  if (given !== undefined) return redactor.learn(given)
  const places = [
    env.CREDENTIALS_DIRECTORY === undefined
      ? ''
      : resolve(env.CREDENTIALS_DIRECTORY, `${answers.store}_credential`),
    answers.credentialFile,
    credentialPath(layout, answers.store),
  ]
  for (const path of places) {
    const text = path === '' ? undefined : readIfPresent(path)?.trim()
    if (text !== undefined && text !== '') return redactor.learn(new Secret(text))
    // A file that the answers name is the one: going on with another would hide that it is gone.
    if (path !== '' && path === answers.credentialFile) break
  }
  throw new ToolError(
    'store_credential',
    `there is no ${credentialNameOf(answers)} to open the store with${answers.credentialFile === '' ? '' : `: ${answers.credentialFile} is missing or empty`}`,
    'Give it with --store-credential @FILE (or @-), or name the file it is kept in with --credential-file PATH.',
    Exit.unknown,
  )
}

/** Our own copy of what opens the store, or undefined when there is none. */
export function keptCredential(
  layout: Pick<Layout, 'credentials'>,
  answers: Pick<Answers, 'store'>,
): Secret | undefined {
  return secretIn(credentialPath(layout, answers.store))
}

/** What is going to open the store, in a rotation that has not come to its switch; undefined when there is none. */
export function nextCredential(
  layout: Pick<Layout, 'credentials'>,
  answers: Pick<Answers, 'store'>,
): Secret | undefined {
  return secretIn(nextPath(layout, answers.store))
}

/**
 * Keeps what opens the store for the runs to come: 0400, of the person who runs this, mounted nowhere. `from` is the token
 * it came wrapped in, which is spent now: by its fingerprint the same command knows that it has what was in it.
 */
export function keepCredential(
  layout: Pick<Layout, 'credentials'>,
  store: RemoteStore,
  value: Secret,
  from?: Secret,
): void {
  ensureDirectory(layout.credentials, 0o700)
  if (from !== undefined) writeAtomic(spentPath(layout, store), from.fingerprint(SPENT), 0o400)
  writeAtomic(credentialPath(layout, store), value, 0o400)
}

/** Keeps what is going to open the store beside what does now: 0400, before it is used. */
export function keepNextCredential(
  layout: Pick<Layout, 'credentials'>,
  store: RemoteStore,
  value: Secret,
): void {
  ensureDirectory(layout.credentials, 0o700)
  writeAtomic(nextPath(layout, store), value, 0o400)
}

/** The next one becomes the one, in one step: whoever reads finds the old one or the new one. */
export function switchCredential(layout: Pick<Layout, 'credentials'>, store: RemoteStore): void {
  try {
    renameSync(nextPath(layout, store), credentialPath(layout, store))
    syncDirectory(layout.credentials)
    // It did not come out of that wrapping.
    rmSync(spentPath(layout, store), { force: true })
  } catch (error) {
    throw explainWriteError(error, credentialPath(layout, store))
  }
}

/** When what opens the store was written here; undefined when it is not kept here. */
export function credentialWrittenAt(
  layout: Pick<Layout, 'credentials'>,
  store: RemoteStore,
): Date | undefined {
  return lookAt(credentialPath(layout, store))?.mtime
}

/** Forgets our copy of what opened a store, and of what was going to. */
export function forgetCredential(layout: Pick<Layout, 'credentials'>, store: Answers['store']): void {
  for (const path of [credentialPath(layout, store), spentPath(layout, store), nextPath(layout, store)])
    rmSync(path, { force: true })
}

/** Whether this token was unwrapped by an earlier run, and what was in it is kept here. */
export function isSpent(
  layout: Pick<Layout, 'credentials'>,
  answers: Pick<Answers, 'store' | 'vaultAuth'>,
  credential: Secret,
): boolean {
  return (
    isWrapped(answers, credential) &&
    keptCredential(layout, answers) !== undefined &&
    readIfPresent(spentPath(layout, answers.store)) === credential.fingerprint(SPENT)
  )
}

/**
 * Files with what opens a store that is not in use: a move that was cut short may have left one. What a rotation of the
 * store in use has left beside its file is no such thing: the same rotation, repeated, takes care of it.
 */
export function leftoverCredentials(
  { credentials }: Pick<Layout, 'credentials'>,
  store: Answers['store'],
  isMoving: boolean,
): string[] {
  if (isMoving || lookAt(credentials) === undefined) return []
  return readdirSync(credentials)
    .filter(name => name.split('.')[0] !== store)
    .map(name => resolve(credentials, name))
}

const SPENT = 'wrapping token'

function spentPath(layout: Pick<Layout, 'credentials'>, store: Answers['store']): string {
  return `${credentialPath(layout, store)}.unwrapped-from`
}

function nextPath(layout: Pick<Layout, 'credentials'>, store: Answers['store']): string {
  return `${credentialPath(layout, store)}.next`
}

function secretIn(path: string): Secret | undefined {
  const text = readIfPresent(path)?.trim()
  return text === undefined || text === '' ? undefined : new Secret(text)
}

function credentialPath({ credentials }: Pick<Layout, 'credentials'>, store: Answers['store']): string {
  return resolve(credentials, store)
}

/**
 * Whether this secret id is still wrapped (Vault, "Response Wrapping"): a token that is good for one use, which must not
 * be spent on a look.
 */
export function isWrapped(answers: Pick<Answers, 'store' | 'vaultAuth'>, credential: Secret): boolean {
  return (
    answers.store === 'vault' && answers.vaultAuth === 'approle' && /^(hvs|s|b)\./.test(credential.expose())
  )
}
