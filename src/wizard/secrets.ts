import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { type Answers, keySecretOf } from '../deployment/answers.ts'
import { errorCode } from '../deployment/files.ts'
import type { Problem } from '../errors.ts'
import { GATEWAY_TOKEN } from '../gateway/policy.ts'
import { type Redactor, Secret, weaknessOf } from '../secret.ts'

/** `@PATH` or `@-`, per secret: the only forms in which the command line may speak of one. */
export interface SecretFlags {
  token: readonly string[]
  providerKeys: readonly string[]
  /** `NAME=@PATH`: a secret of the person's own. */
  secretValues: readonly string[]
  /** What opens a store that is elsewhere. */
  storeCredential: readonly string[]
  /** A token that may set Vault up. */
  vaultAdmin: readonly string[]
}

/** What the command line says about secrets: where they are. A command has those of the flags that it takes. */
export function secretFlagsOf(options: {
  token?: string[]
  providerKey?: string[]
  secretValue?: string[]
  storeCredential?: string[]
  vaultAdmin?: string[]
}): SecretFlags {
  return {
    providerKeys: options.providerKey ?? [],
    token: options.token ?? [],
    secretValues: options.secretValue ?? [],
    storeCredential: options.storeCredential ?? [],
    vaultAdmin: options.vaultAdmin ?? [],
  }
}

/** What was brought beside the secrets that are to be stored. */
export interface Openers {
  credential?: Secret
  admin?: Secret
}

const CREDENTIAL = 'store credential'
const ADMIN = 'Vault admin token'

/** Secrets the person brought, by the name they are stored under. */
export type BroughtSecrets = Map<string, Secret>

/**
 * Reads the secrets a person points at. The values never stood on the command line: a flag that holds anything but
 * `@PATH` or `@-` is refused without repeating what it held.
 */
export async function readSecrets(
  flags: SecretFlags,
  { providers, extraSecrets }: Pick<Answers, 'providers' | 'extraSecrets'>,
  stdin: AsyncIterable<Uint8Array | string>,
  redactor: Redactor,
  cwd: string,
): Promise<{ brought: BroughtSecrets; openers: Openers; problems: Problem[] }> {
  const brought: BroughtSecrets = new Map()
  const openers: Openers = {}
  const problems: Problem[] = []
  const wanted: { name: string; source: string; flag: string }[] = []
  for (const source of flags.token) wanted.push({ name: GATEWAY_TOKEN, source, flag: '--token' })
  for (const source of flags.storeCredential)
    wanted.push({ name: CREDENTIAL, source, flag: '--store-credential' })
  for (const source of flags.vaultAdmin) wanted.push({ name: ADMIN, source, flag: '--vault-admin' })
  for (const text of flags.secretValues) {
    const [name = '', ...rest] = text.split('=')
    if (extraSecrets.includes(name) && rest.length > 0)
      wanted.push({ name, source: rest.join('='), flag: `--secret-value ${name}` })
    else
      problems.push({
        field: 'secret value',
        allowed: `NAME=@FILE or NAME=@-, where NAME is ${extraSecrets.join(', ') || 'named with --secret'}`,
        flag: '--secret-value telegram_bot_token=@token.txt',
      })
  }
  for (const text of flags.providerKeys) {
    const [id = '', ...rest] = text.split('=')
    const provider = providers.find(candidate => candidate.id === id)
    if (provider === undefined || rest.length === 0)
      problems.push({
        field: 'provider key',
        allowed: `PROVIDER=@FILE or PROVIDER=@-, where PROVIDER is ${providers.map(p => p.id).join(', ') || 'named with --provider'}`,
        flag: '--provider-key openai=@key.txt',
      })
    else wanted.push({ name: keySecretOf(provider), source: rest.join('='), flag: `--provider-key ${id}` })
  }
  const repeated = wanted.find(one =>
    wanted.some(other => other.name === one.name && other.source !== one.source),
  )
  if (repeated !== undefined)
    problems.push({
      field: repeated.name,
      given: '(not shown)',
      allowed: 'one value; the flag was given more than once',
      flag: repeated.flag,
    })
  else if (wanted.filter(({ source }) => source === '@-').length > 1)
    problems.push({
      field: 'secrets from stdin',
      given: 'several',
      allowed: 'one secret from stdin; the others from files',
      flag: '@FILE',
    })
  else
    for (const { name, source, flag } of wanted) {
      const read = await readSecret(source, stdin, cwd)
      if (typeof read === 'string') {
        problems.push({
          field: name,
          given: '(not shown)',
          allowed: read,
          flag: `${flag}${/ /.test(flag) ? '=' : ' '}@FILE`,
        })
        continue
      }
      redactor.learn(read)
      const weakness = name === GATEWAY_TOKEN ? weaknessOf(read) : unusableKey(read)
      if (weakness !== undefined)
        problems.push({
          field: name,
          given: '(not shown)',
          allowed:
            name === GATEWAY_TOKEN
              ? `at least 64 unguessable characters, but ${weakness}; leave the flag out and one is generated`
              : weakness,
          flag,
        })
      else if (name === CREDENTIAL) openers.credential = read
      else if (name === ADMIN) openers.admin = read
      else brought.set(name, read)
    }
  return { brought, openers, problems }
}

/** The secret behind `@PATH` or `@-`, or what would have been allowed. */
export async function readSecret(
  source: string,
  stdin: AsyncIterable<Uint8Array | string>,
  cwd: string,
): Promise<Secret | string> {
  if (!source.startsWith('@') || source === '@')
    return '@FILE or @- (stdin): a secret on the command line would be seen by everybody on this machine'
  try {
    const text = source === '@-' ? await readAll(stdin) : readFileSync(resolve(cwd, source.slice(1)), 'utf8')
    const value = text.replace(/\r?\n$/, '')
    return value === '' ? `a ${source === '@-' ? 'stdin' : 'file'} that is not empty` : new Secret(value)
  } catch (error) {
    return `a file that can be read (${errorCode(error) ?? 'unreadable'})`
  }
}

async function readAll(stdin: AsyncIterable<Uint8Array | string>): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of stdin) {
    const bytes = Buffer.from(chunk)
    size += bytes.length
    if (size > 65_536) break
    chunks.push(bytes)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** Why a provider's key cannot be one, or undefined when it can. */
export function unusableKey(key: Secret): string | undefined {
  return /^[\x21-\x7e]{1,4096}$/.test(key.expose()) ? undefined : 'one line of printable ASCII without spaces'
}
