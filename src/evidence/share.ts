import { Transform, type TransformCallback } from 'node:stream'
import { visible } from '../errors.ts'
import type { Redactor } from '../secret.ts'

/** What a secret looks like when nobody has told us its value. Each is linear: no repetition has another in it. */
const PATTERNS: readonly [name: string, pattern: RegExp][] = [
  [
    'private key',
    /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]{0,40}-----|$)/gs,
  ],
  ['age key', /AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{16,}/gi],
  ['provider key', /\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}/g],
  ['provider key', /\b(?:AIza[\w-]{30,}|gsk_[A-Za-z0-9]{16,}|xai-[\w-]{16,}|hf_[A-Za-z0-9]{16,})/g],
  ['GitHub token', /\b(?:gh[a-z]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,})/g],
  ['Slack token', /\bx(?:ox[a-z]|app)-[\w-]{10,}/g],
  ['AWS key', /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/g],
  ['store token', /\b(?:hv[sbr]\.[\w-]{16,}|ops_[\w-]{16,})/g],
  ['bot token', /\b\d{8,12}:[\w-]{30,}/g],
  ['JWT', /(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*/g],
]

/** The same where what stands before it tells: that stays. */
const NAMED: readonly [name: string, pattern: RegExp][] = [
  ['credential', /\b(bearer|basic)(\s{1,8}|%20)[\w.~+/=-]{8,}/gi],
  ['password', /\b([a-z][a-z0-9+.-]{1,20}:\/\/)([^\s/:@"']{0,256}:)[^\s/@"']{1,512}(?=@)/gi],
  [
    'value',
    /((?:pass(?:word|wd|phrase)|secret|token|api[-_]?key|credential|authorization)[\w.-]{0,32})(\\{0,4}["']?\s{0,8}[:=]\s{0,8}\\{0,4}["']?)(?!\d{1,15}\b|\[|bearer\b|basic\b)[^\s"'\\,;&}\]]{6,}/gi,
  ],
  // 32 bytes in hexadecimal or in base64url: the gateway's token, and a paired device's.
  ['token', /((?:token|secret|passw|auth)[^\r\n]{0,60}?)(\W)(?:[0-9a-f]{64}|[\w-]{43})(?![\w-])/gi],
]

/** Text without what looks like a secret, and without those that are known. */
export function redacted(text: string, redactor: Redactor): string {
  let clean = redactor.clean(text)
  for (const [name, pattern] of PATTERNS) clean = clean.replace(pattern, `[redacted: ${name}]`)
  for (const [name, pattern] of NAMED)
    clean = clean.replace(
      pattern,
      (_, before: string, between: string) => `${before}${between}[redacted: ${name}]`,
    )
  return clean
}

/** The longest line, and the longest copy, in bytes: what is longer is in the original alone. */
const LONGEST_LINE = 1024 * 1024
const LONGEST = 16 * 1024 * 1024
/** What holding a line takes besides its text, about, in bytes: a million empty lines are not nothing. */
const LINE_COST = 32
/** A private key of 8192 bits has about a hundred lines. */
const LONGEST_KEY = 150

/** A line as it is held, and how long it was. */
interface Line {
  text: string
  length: number
}

/**
 * Makes the copy of a text that may be given away: line by line, known secrets and what looks like one taken out, and what a
 * terminal would obey written as a number. A hostile text stays a text, of at most 16 MiB: of a longer one its beginning and its
 * end, which is where a log tells of the incident.
 */
export class Sharing extends Transform {
  readonly #redactor: Redactor
  readonly #most: number
  #line: Buffer[] = []
  #length = 0
  #written = 0
  #inKey = 0
  /** What may be the end, in two halves: when the younger one is full, the older is let go. */
  #older: Line[] = []
  #younger: Line[] = []
  #held = 0
  #isHolding = false
  #left = 0
  /** Why it is not all there was. */
  cut: string | undefined

  constructor(redactor: Redactor, most = LONGEST) {
    super()
    this.#redactor = redactor
    this.#most = most
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    let from = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      this.#take(chunk.subarray(from, end))
      this.#finish()
      from = end + 1
    }
    this.#take(chunk.subarray(from))
    done()
  }

  override _flush(done: TransformCallback): void {
    if (this.#length > 0) this.#finish()
    this.#end()
    done()
  }

  /** A little more than is shown, so that a secret at the end of it is seen whole, and not shown in part. */
  #take(piece: Buffer): void {
    const room = LONGEST_LINE + 16_384 - this.#length
    if (room > 0 && piece.length > 0) this.#line.push(Buffer.from(piece.subarray(0, room)))
    this.#length += piece.length
  }

  #finish(): void {
    const text = Buffer.concat(this.#line).toString('utf8')
    // Seen of every line, also of one that is let go: a key that begins in what is left out ends in what is shown.
    const line = { text: this.#isInKey(text) ? '[redacted: private key]' : text, length: this.#length }
    this.#line = []
    this.#length = 0
    const shown = this.#isHolding ? '' : this.#shown(line)
    this.#isHolding ||= this.#written + Buffer.byteLength(shown) > this.#most / 2
    if (this.#isHolding) this.#hold(line)
    else this.#write(shown)
  }

  #shown({ text, length }: Line): string {
    const shown = redacted(text, this.#redactor).slice(0, LONGEST_LINE)
    const rest = length > LONGEST_LINE ? ` … (a line of ${length} bytes; the rest is in the original)` : ''
    if (rest !== '') this.cut = 'lines longer than 1 MiB are cut'
    return `${shown.replace(/\r$/, '').split('\t').map(visible).join('\t')}${rest}\n`
  }

  #hold(line: Line): void {
    this.#younger.push(line)
    this.#held += line.text.length + LINE_COST
    if (this.#held < this.#most / 4) return
    this.#left += this.#older.length
    this.#older = this.#younger
    this.#younger = []
    this.#held = 0
  }

  /** As much of what is held as there is room for, from its end. */
  #end(): void {
    const held = [...this.#older, ...this.#younger]
    const tail: string[] = []
    let room = this.#most - this.#written
    for (const line of held.toReversed()) {
      const shown = this.#shown(line)
      room -= Buffer.byteLength(shown)
      if (room < 0) break
      tail.push(shown)
    }
    const left = this.#left + held.length - tail.length
    if (left > 0) {
      this.cut = `the copy leaves out ${left} lines before its end`
      this.#write(`… (${left} lines that are in the original alone)\n`)
    }
    for (const shown of tail.toReversed()) this.#write(shown)
  }

  #write(text: string): void {
    this.#written += Buffer.byteLength(text)
    this.push(text)
  }

  /** A private key goes over many lines, and each of the others says nothing of what it is. */
  #isInKey(line: string): boolean {
    if (this.#inKey > 0) {
      this.#inKey = line.includes('-----END ') ? 0 : this.#inKey - 1
      return true
    }
    const begins = line.lastIndexOf('-----BEGIN ')
    if (
      begins >= 0 &&
      /PRIVATE KEY/.test(line.slice(begins, begins + 80)) &&
      !line.includes('-----END ', begins)
    )
      this.#inKey = LONGEST_KEY
    return false
  }
}
