import { createHash, randomBytes } from 'node:crypto'
import { closeSync, createWriteStream, fsyncSync, openSync, renameSync, rmSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { Transform, type Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import * as z from 'zod'
import { ensureDirectory, readIfPresent, syncDirectory, writeAtomic } from '../deployment/files.ts'
import type { Layout } from '../deployment/layout.ts'
import { explainWriteError, ToolError } from '../errors.ts'
import { parseJson } from '../json.ts'
import { Journal, type JournalEvent } from '../procedure/journal.ts'
import type { Redactor } from '../secret.ts'

/** What `.secure/case.json` has while a case is open. */
const Pointer = z.strictObject({ id: z.string(), runbook: z.string(), openedAt: z.string() })
export type OpenCase = z.infer<typeof Pointer>

/** A piece of evidence that is complete, on the disk, and in the chain of custody. */
export interface Artefact {
  /** Relative to the case's folder. */
  file: string
  /** What was run or read, for a reader who wants to repeat it. */
  command: string
  began: string
  ended: string
  bytes: number
  /** Of the file as it lies there: of what is encrypted, the encrypted bytes. */
  sha256: string
  /** Why it is not all there was, if so. */
  cut: string | undefined
}

/** What evidence is to be kept under which name, and where it comes from. */
export interface Order {
  /** Relative to `evidence/`: "gateway/processes.json". */
  name: string
  command: string
}

/**
 * One incident's folder, `cases/<utc>-<runbook>/`: `evidence/` as it was found (0400), `share/` the same redacted,
 * `custody.jsonl` the chain of custody: a {@link Journal}, each line with the hash of the one before.
 */
export class Case {
  readonly id: string
  readonly folder: string
  readonly runbook: string
  readonly openedAt: string
  readonly journal: Journal
  readonly #now: () => Date

  constructor({ id, runbook, openedAt }: OpenCase, cases: string, now: () => Date, redactor: Redactor) {
    this.id = id
    this.folder = resolve(cases, id)
    this.runbook = runbook
    this.openedAt = openedAt
    this.journal = new Journal(resolve(this.folder, 'custody.jsonl'), now, redactor)
    this.#now = now
  }

  /** Every artefact that was kept, in order. */
  artefacts(): Artefact[] {
    return this.journal.read().flatMap(artefactIn)
  }

  /** Appends to the chain of custody what is not a step's own beginning or end. */
  note(step: string, facts: Record<string, string | number | boolean>): void {
    this.journal.append({ run: this.id, procedure: this.runbook, event: 'step-done', step, facts })
  }

  /**
   * Keeps one artefact: `produce` writes its bytes, which are hashed on the way, flushed to the disk, and only then named and
   * entered into the chain of custody. One that is there already is returned as it is: nothing is collected twice. Errors:
   * `disk_full`; what `produce` throws.
   */
  async keep(
    order: Order,
    produce: (into: Writable) => Promise<{ cut?: string } | undefined>,
  ): Promise<Artefact> {
    const file = `evidence/${order.name}`
    const present = this.artefacts().find(artefact => artefact.file === file)
    if (present !== undefined) return present
    const path = resolve(this.folder, file)
    const temporary = resolve(dirname(path), `.${basename(path)}.${randomBytes(4).toString('hex')}.ocs-tmp`)
    ensureDirectory(dirname(path), 0o700)
    const began = this.#now().toISOString()
    const hash = createHash('sha256')
    let bytes = 0
    const count = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        hash.update(chunk)
        bytes += chunk.length
        done(null, chunk)
      },
    })
    try {
      const written = pipeline(count, createWriteStream(temporary, { flags: 'wx', mode: 0o400 }))
      written.catch(() => {})
      const outcome = await produce(count)
      count.end()
      await written
      const descriptor = openSync(temporary, 'r')
      fsyncSync(descriptor)
      closeSync(descriptor)
      renameSync(temporary, path)
      syncDirectory(dirname(path))
      const artefact: Artefact = {
        ...{ file, command: order.command, began, ended: this.#now().toISOString(), bytes },
        sha256: hash.digest('hex'),
        cut: outcome?.cut,
      }
      const { cut, ...facts } = artefact
      this.note('artefact', { ...facts, ...(cut === undefined ? {} : { cut }) })
      return artefact
    } catch (error) {
      rmSync(temporary, { force: true })
      throw explainWriteError(error, path)
    }
  }

  /** Enters into the chain that something could not be had, and why: its absence is then no accident of the reader's. */
  missing({ name, command }: Order, why: string): void {
    this.note('missing', { file: `evidence/${name}`, command, why })
  }
}

function artefactIn({ step, facts }: JournalEvent): Artefact[] {
  if (step !== 'artefact' || facts === undefined) return []
  const text = (key: string) => String(facts[key] ?? '')
  const [file, command, began, ended, sha256] = ['file', 'command', 'began', 'ended', 'sha256'].map(text)
  if (file === undefined || command === undefined || began === undefined) return []
  return [
    {
      ...{ file, command, began, ended: ended ?? '', sha256: sha256 ?? '' },
      bytes: Number(facts.bytes),
      cut: facts.cut === undefined ? undefined : text('cut'),
    },
  ]
}

/** Where it says that a case is open. */
export function pointerOf({ own }: Pick<Layout, 'own'>): string {
  return resolve(own, 'case.json')
}

/** The case that is open in this deployment, if there is one. Errors: `case_unreadable`. */
export function openCase(layout: Pick<Layout, 'own'>): OpenCase | undefined {
  const text = readIfPresent(pointerOf(layout))
  if (text === undefined) return undefined
  const pointer = Pointer.safeParse(parseJson(text))
  if (pointer.success) return pointer.data
  throw new ToolError(
    'case_unreadable',
    `${pointerOf(layout)} does not say which case is open`,
    'A case is open: look into cases/, and write its name back, or remove the file if you are sure that it is over.',
  )
}

/** Opens a case: from here on nothing but its own runbook changes the deployment. */
export function beginCase(
  layout: Pick<Layout, 'own' | 'cases'>,
  runbook: string,
  now: () => Date,
  redactor: Redactor,
): Case {
  const at = now().toISOString()
  const id = `${at.slice(0, 19).replaceAll(/[-:]/g, '')}Z-${runbook}`
  const pointer: OpenCase = { id, runbook, openedAt: at }
  ensureDirectory(layout.cases, 0o700)
  ensureDirectory(resolve(layout.cases, id), 0o700)
  writeAtomic(pointerOf(layout), `${JSON.stringify(pointer)}\n`, 0o600)
  return new Case(pointer, layout.cases, now, redactor)
}
