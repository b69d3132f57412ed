import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import * as z from 'zod'
import { explainWriteError } from '../errors.ts'
import { parseJson } from '../json.ts'
import type { Redactor } from '../secret.ts'

const Event = z.strictObject({
  seq: z.int(),
  at: z.string(),
  run: z.string(),
  procedure: z.string(),
  event: z.enum([
    'begun',
    'step-begun',
    'step-done',
    'step-failed',
    'step-undone',
    'done',
    'failed',
    'cancelled',
  ]),
  step: z.optional(z.string()),
  note: z.optional(z.string()),
  facts: z.optional(z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]))),
  prev: z.string(),
})

/** One line of the journal. It holds fingerprints, never secrets. */
export type JournalEvent = z.infer<typeof Event>
export type NewEvent = Omit<JournalEvent, 'seq' | 'at' | 'prev'>

/** `broken` names the first line whose chain does not hold, counted from 1. */
export type ChainState = { intact: true; events: number } | { intact: false; broken: number; why: string }

const GENESIS = '0'.repeat(64)

/**
 * The write-ahead journal of a deployment: one JSON line an event, each carrying the SHA-256 of the line before it,
 * each flushed to the disk before the effect it announces. It is where every procedure resumes from, and the log of
 * what was done to the deployment.
 */
export class Journal {
  readonly path: string
  readonly #now: () => Date
  readonly #redactor: Redactor | undefined

  /** `redactor` keeps a secret out that a step hands over by mistake. */
  constructor(path: string, now: () => Date, redactor?: Redactor) {
    this.path = path
    this.#now = now
    this.#redactor = redactor
  }

  /** All events, oldest first. A last line without its newline was never finished by its writer and does not count. */
  read(): JournalEvent[] {
    const lines = this.#lines()
    const events: JournalEvent[] = []
    for (const line of lines) {
      const parsed = Event.safeParse(parseJson(line))
      // What comes after a line that cannot be read is not trusted; verifyChain() reports it.
      if (!parsed.success) break
      events.push(parsed.data)
    }
    return events
  }

  /** Appends an event and returns when it is on the disk. */
  append(event: NewEvent): void {
    this.#dropTornTail()
    const lines = this.#lines()
    const last = lines.at(-1)
    const line: JournalEvent = {
      seq: lines.length + 1,
      at: this.#now().toISOString(),
      ...this.#cleaned(event),
      prev: last === undefined ? GENESIS : sha256(last),
    }
    try {
      const file = openSync(this.path, 'a', 0o600)
      const before = fstatSync(file).size
      try {
        const bytes = Buffer.from(`${JSON.stringify(line)}\n`)
        // A disk that is nearly full takes a part and says so only by the number.
        for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written)
        fsyncSync(file)
      } catch (error) {
        ftruncateSync(file, before)
        throw error
      } finally {
        closeSync(file)
      }
    } catch (error) {
      throw explainWriteError(error, this.path)
    }
  }

  /**
   * Checks that no line was changed, removed or put in between. What happens to the end cannot be seen from inside: the
   * last line is vouched for by nobody yet, and may even be cut off.
   */
  verifyChain(): ChainState {
    let previous = GENESIS
    const lines = this.#lines()
    for (const [index, line] of lines.entries()) {
      const parsed = Event.safeParse(parseJson(line))
      if (!parsed.success) return { intact: false, broken: index + 1, why: 'not a journal event' }
      if (parsed.data.seq !== index + 1) return { intact: false, broken: index + 1, why: 'out of sequence' }
      if (parsed.data.prev !== previous)
        return {
          intact: false,
          broken: index + 1,
          why: 'the line before it is not the one it was written after',
        }
      previous = sha256(line)
    }
    return { intact: true, events: lines.length }
  }

  /** The last run of a procedure that began and did not come to its end (killed, failed, cancelled), with what it had done. */
  unfinished(procedure: string): { run: string; since: string; done: string[] } | undefined {
    const events = this.read().filter(event => event.procedure === procedure)
    const run = events.at(-1)?.run
    const own = events.filter(event => event.run === run)
    const begun = own[0]
    if (run === undefined || begun === undefined || own.some(event => event.event === 'done'))
      return undefined
    const done = own.filter(event => event.event === 'step-done').map(event => event.step ?? '')
    return { run, since: begun.at, done }
  }

  #cleaned(event: NewEvent): NewEvent {
    const redactor = this.#redactor
    if (redactor === undefined) return event
    const { step, note, facts, ...rest } = event
    return {
      ...rest,
      ...(step === undefined ? {} : { step: redactor.clean(step) }),
      ...(note === undefined ? {} : { note: redactor.clean(note) }),
      ...(facts === undefined ? {} : { facts: cleanedFacts(facts, redactor) }),
    }
  }

  #lines(): string[] {
    if (!existsSync(this.path)) return []
    const text = readFileSync(this.path, 'utf8')
    return text.split('\n').slice(0, -1)
  }

  /** A power cut can leave half a line. Its effect had not begun, so the half is removed before the next event. */
  #dropTornTail(): void {
    if (!existsSync(this.path)) return
    const bytes = readFileSync(this.path)
    const end = bytes.lastIndexOf(0x0a) + 1
    if (end !== bytes.length) truncateSync(this.path, end)
  }
}

type Facts = NonNullable<NewEvent['facts']>

function cleanedFacts(facts: Facts, redactor: Redactor): Facts {
  return Object.fromEntries(
    Object.entries(facts).map(([name, fact]) => [
      redactor.clean(name),
      // A number can be a secret too.
      redactor.finds(String(fact)) ? redactor.clean(String(fact)) : fact,
    ]),
  )
}

/** SHA-256 in hexadecimal, as the chain has it. */
export function sha256(bytes: string | Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
