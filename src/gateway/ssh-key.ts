import { createHash, generateKeyPairSync, type JsonWebKey, randomBytes } from 'node:crypto'
import { Exit, ToolError } from '../errors.ts'
import { Secret } from '../secret.ts'

/**
 * Ed25519 keys as OpenSSH writes them (its PROTOCOL.key and RFC 8709), made by Node: no ssh-keygen is needed on the machine,
 * and a private key never lies in a temporary file.
 */

const ALGORITHM = 'ssh-ed25519'
const MAGIC = Buffer.from('openssh-key-v1\0')
const FRAME =
  /^-----BEGIN OPENSSH PRIVATE KEY-----\n([A-Za-z0-9+/=\n]+)\n-----END OPENSSH PRIVATE KEY-----\n?$/
/** What an unencrypted private part is padded to. */
const BLOCK = 8

/** A new private key, unencrypted, in OpenSSH's own format, with a newline at its end. `comment` shows in its public line. */
export function generateSshKey(comment: string): Secret {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const point = coordinate(publicKey.export({ format: 'jwk' }), 'x')
  const seed = coordinate(privateKey.export({ format: 'jwk' }), 'd')
  const check = randomBytes(4)
  const inner = Buffer.concat([
    check,
    check,
    string(ALGORITHM),
    string(point),
    string(Buffer.concat([seed, point])),
    string(comment),
  ])
  const padding = Buffer.from(Array.from({ length: -inner.length & (BLOCK - 1) }, (_, index) => index + 1))
  const outer = Buffer.concat([
    MAGIC,
    string('none'),
    string('none'),
    string(''),
    number(1),
    string(publicBlob(point)),
    string(Buffer.concat([inner, padding])),
  ])
  const body = outer.toString('base64').match(/.{1,70}/g) ?? []
  for (const buffer of [seed, inner, outer]) buffer.fill(0)
  return new Secret(
    ['-----BEGIN OPENSSH PRIVATE KEY-----', ...body, '-----END OPENSSH PRIVATE KEY-----', ''].join('\n'),
  )
}

/**
 * The public half of a private key as `ssh-ed25519 AAAA…`, without its comment. The newline at the end may be missing: it
 * is not part of what OpenClaw reads from a file.
 * Errors: `ssh_key_unreadable` for anything but an unencrypted Ed25519 key of {@link generateSshKey}'s format.
 */
export function publicSshKey(privateKey: Secret): string {
  const body = FRAME.exec(privateKey.expose())?.[1]
  const bytes = Buffer.from(body?.replaceAll('\n', '') ?? '', 'base64')
  try {
    const outer = new Reader(bytes)
    if (!outer.take(MAGIC.length).equals(MAGIC)) throw unreadable()
    // Cipher, key derivation and its options: anything but "none" is a key with a passphrase, which nobody could type.
    if (outer.text() !== 'none' || outer.text() !== 'none' || outer.text() !== '' || outer.number() !== 1)
      throw unreadable()
    const blob = outer.string()
    const key = new Reader(blob)
    const inner = new Reader(outer.string())
    const [one, other] = [inner.number(), inner.number()]
    const point = key.text() === ALGORITHM ? key.string() : undefined
    const isWhole =
      point !== undefined &&
      one === other &&
      inner.text() === ALGORITHM &&
      inner.string().equals(point) &&
      // The seed, and the public half once more.
      inner.string().subarray(32).equals(point)
    if (!isWhole) throw unreadable()
    return `${ALGORITHM} ${blob.toString('base64')}`
  } finally {
    bytes.fill(0)
  }
}

/** What `ssh-keygen -l` shows for a public line: `SHA256:` and 43 characters. Not secret. */
export function sshFingerprint(publicLine: string): string {
  const blob = Buffer.from(publicLine.split(' ')[1] ?? '', 'base64')
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`
}

function publicBlob(point: Buffer): Buffer {
  return Buffer.concat([string(ALGORITHM), string(point)])
}

function coordinate(key: JsonWebKey, name: 'x' | 'd'): Buffer {
  return Buffer.from(key[name] ?? '', 'base64url')
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** Length, then bytes: how SSH writes everything. */
function string(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([number(bytes.length), bytes])
}

function unreadable(): ToolError {
  return new ToolError(
    'ssh_key_unreadable',
    'this is no unencrypted Ed25519 key in the format of OpenSSH',
    'Rotate the key: a new one is made.',
    Exit.unknown,
  )
}

/** Reads what {@link string} and {@link number} have written. */
class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  take(length: number): Buffer {
    if (this.#at + length > this.#bytes.length) throw unreadable()
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  number(): number {
    return this.take(4).readUInt32BE()
  }

  string(): Buffer {
    return this.take(this.number())
  }

  text(): string {
    return this.string().toString('utf8')
  }
}
