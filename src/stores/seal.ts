import { randomBytes } from 'node:crypto'
import type { Finished, ProcessRunner } from '../docker/process.ts'
import { Exit, ToolError } from '../errors.ts'
import { Secret } from '../secret.ts'
import { STORE_DEADLINE } from './store.ts'

/** Encrypts values for the disk. What was sealed under one name cannot be opened under another. */
export interface Seal {
  seal(name: string, value: Secret): Promise<Uint8Array>
  /** Errors: `store_corrupt` when it was changed, renamed, or sealed elsewhere. */
  open(name: string, bytes: Uint8Array): Promise<Secret>
}

/**
 * How systemd marks what was sealed with the machine's own key. Looked at before opening, because `decrypt` also takes
 * what was "sealed" with systemd's empty key, and that anybody can make.
 */
const BY_HOST_KEY = Buffer.from('5a1c6a86df9d4096b1d5a65e0862f19a', 'hex')

/**
 * Seals with this machine's credential key (systemd-creds(1)), which root alone can read. A copy of the sealed file, in a
 * backup say, is worth nothing on another machine; whoever has this machine's whole disk, or is root on it, can open it.
 *
 * `run` must redact nothing: what `decrypt` prints is the value. What is kept are the bytes and not their base64, in which
 * a byte can be changed without changing what it means.
 */
export function hostSeal(run: ProcessRunner): Seal {
  return {
    async seal(name, value) {
      const { code, stdout } = await ask(run, 'encrypt', name, value)
      const bytes = Buffer.from(stdout, 'base64')
      if (code !== 0 || !isByHostKey(bytes))
        throw new ToolError(
          'store_unreachable',
          `${name} cannot be sealed: systemd-creds ended with ${code}`,
          'Look at what `systemd-creds setup` says on this machine, or go on without --seal host.',
          Exit.unknown,
        )
      return bytes
    },
    async open(name, bytes) {
      if (!isByHostKey(bytes)) throw unopened(name)
      const { code, stdout } = await ask(run, 'decrypt', name, Buffer.from(bytes).toString('base64'))
      if (code !== 0) throw unopened(name)
      return new Secret(stdout)
    },
  }
}

/**
 * Why this machine cannot seal, or undefined when it can. A trial shows it, in which systemd makes the machine's key where
 * there is none yet.
 */
export async function sealProblem(run: ProcessRunner, isRoot: boolean): Promise<string | undefined> {
  if (!isRoot) return 'only root can use the key of this machine'
  try {
    const { stdout } = await run('systemd-creds', ['--version'], { deadline: STORE_DEADLINE })
    const version = Number(/^systemd (\d+)/.exec(stdout)?.[1] ?? 0)
    if (version < 250) return `systemd-creds is of version ${version}; 250 or later is needed`
    const trial = new Secret(randomBytes(16).toString('hex'))
    const seal = hostSeal(run)
    if ((await seal.open('trial', await seal.seal('trial', trial))).equals(trial)) return undefined
    return 'systemd-creds does not give back what it sealed'
  } catch (error) {
    if (!(error instanceof ToolError)) throw error
    if (error.cause instanceof ToolError) return error.cause.message
    return error.code === 'program_missing' ? 'systemd-creds is not installed' : error.message
  }
}

function isByHostKey(bytes: Uint8Array): boolean {
  return BY_HOST_KEY.equals(bytes.subarray(0, BY_HOST_KEY.length))
}

async function ask(
  run: ProcessRunner,
  what: 'encrypt' | 'decrypt',
  name: string,
  input: Secret | string,
): Promise<Finished> {
  const how = what === 'encrypt' ? ['--with-key=host'] : ['--newline=no']
  try {
    return await run('systemd-creds', [what, ...how, `--name=${name}`, '-', '-'], {
      input,
      deadline: STORE_DEADLINE,
    })
  } catch (error) {
    if (!(error instanceof ToolError)) throw error
    throw new ToolError('store_unreachable', `${name}: ${error.message}`, error.hint, Exit.unknown, error)
  }
}

function unopened(name: string): ToolError {
  return new ToolError(
    'store_corrupt',
    `${name} cannot be opened with the key of this machine`,
    'It was sealed by another machine, or changed. Restore it from a backup made here, or store a new value.',
    Exit.unknown,
  )
}
