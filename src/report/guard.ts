import type { Redactor } from '../secret.ts'

type Done = (error?: Error | null) => void

/**
 * The same stream, through which no known secret gets: all that is written is cleaned first, also a secret that two
 * writes cut in two. The end of a write that could be the beginning of a secret waits for the next write, for `end`, or
 * for the program to have nothing else to do just now, so that a prompt still appears at once. Everything else about the
 * stream is its own, and while no secret is known every write is handed on untouched.
 */
export function guarded<T extends NodeJS.WritableStream>(stream: T, redactor: Redactor): T {
  const guard = new Guard(stream, redactor)
  const proxy = new Proxy(stream, {
    get(target, property) {
      if (property === 'write') return write
      if (property === 'end') return end
      return Reflect.get(target, property, target)
    },
  })
  function write(chunk: string | Uint8Array, encoding?: BufferEncoding | Done, done?: Done): boolean {
    return typeof encoding === 'function'
      ? guard.write(chunk, undefined, encoding)
      : guard.write(chunk, encoding, done)
  }
  function end(
    chunk?: string | Uint8Array | null | Done,
    encoding?: BufferEncoding | Done,
    done?: Done,
  ): typeof proxy {
    const last = [chunk, encoding, done].find(argument => typeof argument === 'function')
    if (typeof chunk === 'string' || chunk instanceof Uint8Array)
      guard.write(chunk, typeof encoding === 'string' ? encoding : undefined)
    guard.release()
    stream.end(last)
    return proxy
  }
  return proxy
}

/** Works on bytes, one character each: a character of several bytes may be cut in two as well. */
class Guard {
  readonly #stream: NodeJS.WritableStream
  readonly #redactor: Redactor
  #kept = ''
  /** Whose text is kept, at least in part: told when it is written. */
  readonly #waiting: Done[] = []
  #release: NodeJS.Immediate | undefined

  constructor(stream: NodeJS.WritableStream, redactor: Redactor) {
    this.#stream = stream
    this.#redactor = redactor
  }

  write(chunk: string | Uint8Array, encoding?: BufferEncoding, done?: Done): boolean {
    const before = this.#kept
    // What is no text is the stream's to refuse.
    if ((before === '' && this.#redactor.isIdle) || !isText(chunk))
      return this.#stream.write(chunk as string, encoding, done)
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk, encoding) : Buffer.from(chunk)
    const text = before + bytes.toString('latin1')
    const { cleaned, rest } = this.#redactor.cleanBeginning(text)
    if (before === '' && cleaned === text) return this.#stream.write(chunk as string, encoding, done)
    if (done !== undefined) this.#waiting.push(done)
    this.#keep(rest)
    return this.#pass(cleaned)
  }

  /** Writes what is kept: nothing came that would have made a secret of it. */
  release(): void {
    const kept = this.#kept
    if (kept === '') return
    this.#keep('')
    if (this.#stream.writable) this.#pass(this.#redactor.clean(kept))
    else tell(this.#waiting.splice(0), new Error('the stream was ended before all was written'))
  }

  #keep(rest: string): void {
    clearImmediate(this.#release)
    this.#kept = rest
    if (rest !== '') this.#release = setImmediate(() => this.release())
  }

  #pass(cleaned: string): boolean {
    const stream = this.#stream
    if (cleaned === '') return !('writableNeedDrain' in stream && stream.writableNeedDrain === true)
    const bytes = Buffer.from(cleaned, 'latin1')
    if (this.#kept !== '' || this.#waiting.length === 0) return stream.write(bytes)
    const waiting = this.#waiting.splice(0)
    return stream.write(bytes, error => tell(waiting, error))
  }
}

function tell(waiting: readonly Done[], error?: Error | null): void {
  for (const done of waiting) done(error)
}

function isText(chunk: unknown): boolean {
  return typeof chunk === 'string' || chunk instanceof Uint8Array
}
