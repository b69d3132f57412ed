import { lstatSync } from 'node:fs'
import { resolve } from 'node:path'
import { readIfPresent } from '../deployment/files.ts'
import { layoutOf } from '../deployment/layout.ts'
import { Exit, type ExitCode, UsageError, visible } from '../errors.ts'
import { type Remark, type Trust, type Verified, verifyBundle as verify } from '../evidence/bundle.ts'
import { publicKeyOf, verifyingKey } from '../evidence/key.ts'
import { envelope } from '../report/json.ts'
import type { GlobalOptions, Program } from './program.ts'

/** What the command takes. */
export interface VerifyBundleOptions extends Pick<GlobalOptions, 'json' | 'quiet'> {
  /** A file with the public key, or its fingerprint, `SHA256:…`. */
  publicKey?: string
}

/**
 * `incident verify-bundle PATH`, offline. 0: everything is as it was signed; 1: something is not, and is named; 3: something could
 * not be read.
 */
export async function verifyBundle(
  program: Program,
  path: string,
  options: VerifyBundleOptions,
): Promise<ExitCode> {
  const startedAt = program.now().toISOString()
  const folder = resolve(program.cwd, path)
  const trust = trustOf(program, folder, options.publicKey)
  const verified = await verify(folder, trust)
  if (options.json === true) {
    const head = {
      version: program.version,
      command: 'incident verify-bundle',
      deployment: folder,
      startedAt,
    }
    program.stdout.write(envelope(head, { ...verified, key: trust.fingerprint }))
  } else if (options.quiet !== true) program.stdout.write(inWords(verified, trust))
  if (verified.unseen.length > 0) return Exit.unknown
  return verified.problems.length > 0 ? Exit.failed : Exit.done
}

/** Errors: a usage error where nobody says whose signature counts: a bundle cannot vouch for itself. */
function trustOf(program: Program, folder: string, given: string | undefined): Trust {
  const allowed =
    'a file with an Ed25519 public key (PEM), or its fingerprint, SHA256: and 44 characters of base64'
  const flag = '--public-key'
  if (given !== undefined && /^SHA256:[A-Za-z0-9+/]{43}=$/.test(given)) return { fingerprint: given }
  const own = publicKeyOf(layoutOf(resolve(folder, '../..')))
  const path = given === undefined ? own : resolve(program.cwd, given)
  const found = lstatSync(path, { throwIfNoEntry: false })
  const isKey = given === undefined ? found?.isFile() === true : found !== undefined && found.size < 65_536
  const key = verifyingKey(isKey ? (readIfPresent(path) ?? '') : '')
  if (key !== undefined) return key
  throw new UsageError(
    [{ field: 'public key', ...(given === undefined ? {} : { given }), allowed, flag }],
    'The key of a deployment is its .secure/evidence.pub. It is found by itself only for a bundle that still lies in its deployment.',
  )
}

function inWords(
  { case: name, manifest, sealed, closed, files, problems, unseen, remarks }: Verified,
  trust: Trust,
): string {
  const lines = (mark: string, all: readonly Remark[]) =>
    all.map(({ file, what }) => `${mark} ${visible(file)}: ${visible(what)}`)
  const isWell = problems.length + unseen.length === 0
  return `${[
    ...lines('✘', problems),
    ...lines('?', unseen),
    ...lines('-', remarks),
    isWell
      ? `✔ ${visible(name ?? '')}: ${files} files, the chain of custody and the signatures are as they were signed by ${trust.fingerprint}`
      : `The evidence is ${sealed ? 'as it was signed' : 'NOT as it was signed'}; the whole case is not.`,
    ...(isWell && !closed ? ['The case is not closed yet.'] : []),
    ...(manifest === undefined ? [] : [`manifest sha256:${manifest}`]),
  ].join('\n')}\n`
}
