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

/**
 * Words that people do take for passwords, and that this program and its children print all the time: redacting one would
 * make everything unreadable, and tell what the password is.
 */
const EVERYDAY = new Set(
  'openclaw gateway openclaw-gateway docker compose localhost secret secrets password token config default'.split(
    ' ',
  ),
)

/** The lines of a value of several (a PEM key): a child's output is cleaned line by line. What frames it is no secret. */
function linesOf(value: string): string[] {
  if (!value.includes('\n')) return []
  return value
    .split('\n')
    .map(line => line.trim())
    .filter(line => line.length >= 16 && !line.startsWith('-----') && !EVERYDAY.has(line.toLowerCase()))
}

/**
 * Knows the secrets that live in this process and removes them, in every usual encoding, from foreign text. It never
 * forgets one: what was printed late is as bad as what was printed early.
 */
export class Redactor {
  readonly #learnt = new Set<string>()
  readonly #needles = new Set<string>()
  /** The same by their longest plain stretch, which many forms of a value share: a text without it holds none of them. */
  readonly #byCore = new Map<string, string[]>()
  /** The same by their first character: to see at the end of a text where one may have begun. */
  readonly #byFirst = new Map<string, string[]>()
  #shortest = Number.POSITIVE_INFINITY
  #longest = 0

  /** From now on {@link clean} removes this value. Returns the secret, so that a birth reads in one line. */
  learn(secret: Secret): Secret {
    const value = secret.expose()
    // A file of one line ends in a newline that is no part of what is printed elsewhere.
    const trimmed = value.trim()
    // Below six characters a match would be chance, and redacting it would garble the text.
    if (trimmed.length < 6 || EVERYDAY.has(trimmed.toLowerCase()) || this.#learnt.has(value)) return secret
    this.#learnt.add(value)
    for (const whole of new Set([value, trimmed, ...linesOf(trimmed)]))
      for (const form of formsOf(whole)) this.#add(form)
    return secret
  }

  /** Whether there is nothing to look for. */
  get isIdle(): boolean {
    return this.#needles.size === 0
  }

  /** The text without any known secret. */
  clean(text: string): string {
    return veiled(text, this.#find(text))
  }

  /**
   * For text that comes in pieces: cleans it as far as no known secret can have begun, and returns the rest as it is, to
   * be put before the next piece.
   */
  cleanBeginning(text: string): { cleaned: string; rest: string } {
    const found = this.#find(text)
    const begun = this.#unfinished(text)
    // One that is whole may end in what is the beginning of another; it is not cut in two.
    const cut = found.find(({ from, to }) => from < begun && begun < to)?.from ?? begun
    const cleaned = veiled(
      text.slice(0, cut),
      found.filter(({ to }) => to <= cut),
    )
    return { cleaned, rest: text.slice(cut) }
  }

  /** Whether the text holds a known secret, in any usual encoding. */
  finds(text: string): boolean {
    return this.#find(text).length > 0
  }

  #add(form: string): void {
    // What would be found in its own replacement cannot be removed.
    if (this.#needles.has(form) || VEIL.includes(form)) return
    this.#needles.add(form)
    for (const [index, key] of [
      [this.#byCore, coreOf(form)],
      [this.#byFirst, form.charAt(0)],
    ] as const)
      index.set(key, [...(index.get(key) ?? []), form])
    this.#shortest = Math.min(this.#shortest, form.length)
    this.#longest = Math.max(this.#longest, form.length)
  }

  /** Where the known secrets lie, in order; those that overlap as one. */
  #find(text: string): Span[] {
    if (text.length < this.#shortest) return []
    const all: Span[] = []
    for (const [core, needles] of this.#byCore) {
      if (!text.includes(core)) continue
      for (const needle of needles)
        for (let from = text.indexOf(needle); from >= 0; from = text.indexOf(needle, from + 1))
          join(all, { from, to: from + needle.length })
    }
    const merged: Span[] = []
    for (const span of all.sort((a, b) => a.from - b.from)) join(merged, span)
    return merged
  }

  /** Where the longest end of the text begins that could be the beginning of a known secret. */
  #unfinished(text: string): number {
    for (let at = Math.max(0, text.length - this.#longest + 1); at < text.length; at++) {
      const needles = this.#byFirst.get(text.charAt(at))
      if (needles === undefined) continue
      const end = text.slice(at)
      if (needles.some(needle => needle.length > end.length && needle.startsWith(end))) return at
    }
    return text.length
  }
}

interface Span {
  from: number
  to: number
}

/** The longest run of letters and digits, which most ways to write a text down leave as they are. */
function coreOf(form: string): string {
  const runs = form.match(/[a-z0-9]+/gi) ?? [form]
  return runs.reduce((longest, run) => (run.length > longest.length ? run : longest))
}

/** Appends a span, or lengthens the last one where it begins in it. */
function join(spans: Span[], next: Span): void {
  const last = spans.at(-1)
  if (last !== undefined && last.from <= next.from && next.from < last.to)
    last.to = Math.max(last.to, next.to)
  else spans.push(next)
}

function veiled(text: string, found: readonly Span[]): string {
  if (found.length === 0) return text
  let result = ''
  let at = 0
  for (const { from, to } of found) {
    result += text.slice(at, from) + VEIL
    at = to
  }
  return result + text.slice(at)
}

/** Everything a value may look like where another program has written it down. */
function formsOf(value: string): Set<string> {
  const bytes = Buffer.from(value)
  const once = jsonForms(value)
  const forms = [
    value,
    ...once,
    // JSON that is a string inside JSON.
    ...once.flatMap(jsonForms),
    ...percentForms(bytes),
    ...quotedForms(value),
    ...[value, ...once].flatMap(text => base64Forms(Buffer.from(text))),
    bytes.toString('hex'),
    bytes.toString('hex').toUpperCase(),
  ]
  // Its bytes, taken for characters: somebody's mistake, and how a stream of bytes is searched.
  return new Set([...forms, ...forms.map(form => Buffer.from(form).toString('latin1'))])
}

/** In a JSON string as JavaScript, Go and Python write it. */
function jsonForms(text: string): string[] {
  const json = JSON.stringify(text).slice(1, -1)
  const asNumber = (char: string) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
  return [json, json.replace(/[<>&\u2028\u2029]/g, asNumber), json.replace(/[\u007f-\uffff]/g, asNumber)]
}

/** The characters that are left as they are in a part of a URL, a form, a path, a password before a host, a whole URL. */
const KEPT_IN_URLS = [
  /[\w.~-]/,
  /[\w.!~*'()-]/,
  /[\w.*-]/,
  /[\w.~/-]/,
  /[\w.!~*'()%&$+,-]/,
  /[\w.!~*'();/?:@&=+$,#-]/,
]

/** URL-encoded, with digits of either case, and with `+` for a space or without. */
function percentForms(bytes: Buffer): string[] {
  const characters = [...bytes].map(byte => String.fromCharCode(byte))
  return KEPT_IN_URLS.flatMap(kept =>
    ['%20', '+'].flatMap(space =>
      ['toUpperCase' as const, 'toLowerCase' as const].map(letters =>
        characters
          .map(char => {
            if (char === ' ') return space
            return kept.test(char) ? char : `%${Buffer.from(char, 'latin1').toString('hex')[letters]()}`
          })
          .join(''),
      ),
    ),
  )
}

/** How markup is written: our reports, Go, XML, Python, Handlebars, and where quotes need none. */
const ENTITIES: readonly Record<string, string>[] = [
  { '"': '&quot;', "'": '&#39;' },
  { '"': '&#34;', "'": '&#39;' },
  { '"': '&quot;', "'": '&apos;' },
  { '"': '&quot;', "'": '&#x27;' },
  { '"': '&quot;', "'": '&#x27;', '=': '&#x3D;', '`': '&#x60;' },
  {},
].map(quotes => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', ...quotes }))

/** In markup, between a shell's single quotes, between YAML's, and in a Compose file. */
function quotedForms(value: string): string[] {
  return [
    ...ENTITIES.map(entities => value.replace(/[&<>"'=`]/g, char => entities[char] ?? char)),
    value.replaceAll("'", "'\\''"),
    value.replaceAll("'", `'"'"'`),
    value.replaceAll("'", "''"),
    value.replaceAll('$', () => '$$'),
  ]
}

/** Alone, and inside a longer base64 text: what comes before shifts the bits by nought, two or four. */
function base64Forms(bytes: Buffer): string[] {
  const alone = bytes.toString('base64')
  const inside = [0, 1, 2].map(shift => {
    const text = Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .replace(/=+$/, '')
    // The characters at the edges carry bits of the neighbours.
    return text.slice([0, 2, 3][shift], (shift + bytes.length) % 3 === 0 ? undefined : -1)
  })
  // Short ones would be found by chance.
  return [alone, alone.replace(/=+$/, ''), ...inside.filter(text => text.length >= 8)].flatMap(text => [
    text,
    text.replaceAll('+', '-').replaceAll('/', '_'),
    encodeURIComponent(text),
    encodeURIComponent(text).replace(/%../g, code => code.toLowerCase()),
  ])
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
