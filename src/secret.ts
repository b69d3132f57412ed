import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { inspect } from 'node:util'

/** Shown wherever somebody prints a secret by mistake. */
const VEIL = '[secret]'

/**
 * A secret value. It never turns into text by accident: printing, JSON and template literals show `[secret]`.
 * {@link expose} is the one way out, and is called only where the value goes to stdin, a 0400 file or a store's API.
 *
 * The bytes sit outside Node's shared buffer pool, so that {@link wipe} really clears them. Strings made from
 * them are the engine's and cannot be cleared: wiping is best effort.
 */
export class Secret {
  readonly #bytes: Buffer

  constructor(value: string | Uint8Array) {
    const source = typeof value === 'string' ? Buffer.from(value, 'utf8') : value
    this.#bytes = Buffer.allocUnsafeSlow(source.length)
    this.#bytes.set(source)
  }

  /** The value itself. */
  expose(): string {
    return this.#bytes.toString('utf8')
  }

  /** Length in bytes. */
  get length(): number {
    return this.#bytes.length
  }

  /**
   * 16 hex characters that name this secret without revealing it: `sha256(domain ‖ value)[0..16]`. The domain keeps
   * equal values of different kinds apart. Meant for secrets of full entropy: a short one could be guessed from it.
   */
  fingerprint(domain: string): string {
    return createHash('sha256')
      .update(`create-openclaw-secure:${domain}:`)
      .update(this.#bytes)
      .digest('hex')
      .slice(0, 16)
  }

  /** Compares in constant time, whatever the lengths. */
  equals(other: Secret): boolean {
    return timingSafeEqual(sha256(this.#bytes), sha256(other.#bytes))
  }

  /** Whether these bytes hold the value. */
  isIn(haystack: Buffer | string): boolean {
    const bytes = typeof haystack === 'string' ? Buffer.from(haystack) : haystack
    return this.#bytes.length > 0 && bytes.includes(this.#bytes)
  }

  /** Overwrites the bytes. The secret is empty afterwards. */
  wipe(): void {
    this.#bytes.fill(0)
  }

  toString(): string {
    return VEIL
  }

  toJSON(): string {
    return VEIL
  }

  [inspect.custom](): string {
    return VEIL
  }
}

/** Several secrets as one: a JSON list, to be handed to a child's stdin. */
export function listed(secrets: readonly Secret[]): Secret {
  return new Secret(JSON.stringify(secrets.map(secret => secret.expose())))
}

/** A new gateway token: 32 bytes from the system's CSPRNG as 64 lower-case hex characters (256 bits). */
export function generateToken(): Secret {
  const raw = randomBytes(32)
  const token = new Secret(raw.toString('hex'))
  raw.fill(0)
  return token
}

/**
 * Why a token somebody brought is not good enough, or undefined when it is. OpenClaw itself would start with "abc"
 * (it only warns below 24 characters), so this rule is ours: the seed's 64 characters, no white space, and no
 * pattern a person would think up.
 */
export function weaknessOf(token: Secret): string | undefined {
  const value = token.expose()
  if (value.length < 64) return `it has ${value.length} characters; at least 64 are needed`
  if (value.length > 512) return `it has ${value.length} characters; at most 512 are allowed`
  if (!/^[\x21-\x7e]+$/.test(value)) return 'it holds characters other than printable ASCII without spaces'
  if (new Set(value).size < 10) return 'it uses fewer than 10 different characters'
  if (/^(.{1,32}?)\1+$/.test(value)) return 'it is one short text repeated'
  if (/(.)\1{7}/.test(value)) return 'it holds one character eight times in a row'
  if (longestRun(value) >= 12) return 'it counts up or down (abcdef…, 012345…)'
  if (/password|passwort|change-?me|replace-?with|secret|openclaw|example|token/i.test(value))
    return 'it holds a word that belongs in a placeholder'
  return undefined
}

/** Knows the secrets that live in this process and removes them, in every usual encoding, from foreign text. */
export class Redactor {
  readonly #needles = new Set<string>()

  /** From now on {@link clean} removes this value. Returns the secret, so that a birth reads in one line. */
  learn(secret: Secret): Secret {
    const value = secret.expose()
    // Below six characters a match would be chance, and redacting it would garble the text.
    if (value.length < 6) return secret
    const base64 = Buffer.from(value).toString('base64')
    for (const form of [
      value,
      base64,
      base64.replace(/=+$/, ''),
      Buffer.from(value).toString('base64url'),
      encodeURIComponent(value),
      JSON.stringify(value).slice(1, -1),
    ])
      this.#needles.add(form)
    return secret
  }

  /** The text without any known secret. */
  clean(text: string): string {
    let cleaned = text
    for (const needle of [...this.#needles].sort((a, b) => b.length - a.length))
      cleaned = cleaned.replaceAll(needle, VEIL)
    return cleaned
  }

  /** Whether the text holds a known secret, in any usual encoding. */
  finds(text: string): boolean {
    return this.clean(text) !== text
  }
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest()
}

/** The longest stretch whose character codes go up, or down, by one each. */
function longestRun(value: string): number {
  let longest = 1
  for (const step of [1, -1]) {
    let run = 1
    for (let i = 1; i < value.length; i++) {
      run = value.charCodeAt(i) - value.charCodeAt(i - 1) === step ? run + 1 : 1
      longest = Math.max(longest, run)
    }
  }
  return longest
}
