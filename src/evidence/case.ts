import { readdirSync, rmSync } from 'node:fs'
import { hostname, userInfo } from 'node:os'
import { dirname, resolve } from 'node:path'
import { ensureDirectory, lookAt, readIfPresent, sweep, writeAtomic } from '../deployment/files.ts'
import type { Layout } from '../deployment/layout.ts'
import { Exit, explainWriteError, ToolError } from '../errors.ts'
import { Journal, type NewEvent } from '../procedure/journal.ts'
import type { Redactor } from '../secret.ts'
import { type Artefact, artefactIn, factsOf, type Order, type Produce, writeArtefact } from './artefact.ts'
import { publicKeyOf, verifyingKey } from './key.ts'
import { type OpenCase, openCase, pointerOf } from './open.ts'
import { forgetReplaced } from './replaced.ts'
import { entriesIn, isInside } from './tree.ts'

export type { Artefact, Order } from './artefact.ts'

/** The files of a case that are no artefacts. */
export const CASE_FILES = {
  custody: 'custody.jsonl',
  manifest: 'manifest.json',
  manifestSignature: 'manifest.json.sig',
  closing: 'closing.json',
  closingSignature: 'closing.json.sig',
  publicKey: 'public-key.pem',
  timeline: 'timeline.md',
  chain: 'chain-of-custody.md',
  report: 'report.md',
  runbook: 'runbook.yaml',
} as const

/** Where a step puts what was taken out of the deployment. It was preserved before, and is not part of what is signed. */
export const QUARANTINE = 'quarantine'

/** The step of the last line of a case's chain. */
export const CLOSED = 'case.closed'

/** Something that could not be had, and why. */
export interface Missing {
  file: string
  command: string
  why: string
  at: string
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
  /** What is kept is encrypted to them; nobody: it is not encrypted. */
  readonly recipients: readonly string[]
  /** What was asked for when it was opened, as whoever opened it has put it. */
  readonly wishes: string | undefined
  readonly journal: Journal
  readonly #custody: Custody
  readonly #now: () => Date
  readonly #redactor: Redactor

  constructor(pointer: OpenCase, cases: string, now: () => Date, redactor: Redactor) {
    this.id = pointer.id
    this.folder = resolve(cases, pointer.id)
    this.runbook = pointer.runbook
    this.openedAt = pointer.openedAt
    this.recipients = pointer.recipients ?? []
    this.wishes = pointer.wishes
    this.#custody = new Custody(this.path('custody'), now, redactor)
    this.journal = this.#custody
    this.#now = now
    this.#redactor = redactor
  }

  /**
   * Goes on with a case that was cut short, under the deployment's lock: what a killed run could not finish is removed, and so is
   * a closing signature, since the case has not ended after all.
   */
  takeUp(): void {
    ensureDirectory(this.folder, 0o700)
    this.sweep()
    for (const file of ['closing', 'closingSignature'] as const) rmSync(this.path(file), { force: true })
    this.note('case.resumed', { by: whoRuns() })
  }

  /** Removes what a killed run could not finish. */
  sweep(): void {
    const entries = entriesIn(this.folder, [QUARANTINE])
    sweep([...new Set(entries.map(({ name }) => dirname(resolve(this.folder, name))))])
  }

  /** Where one of the case's own files lies. */
  path(file: keyof typeof CASE_FILES): string {
    return resolve(this.folder, CASE_FILES[file])
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
   * Keeps one artefact: `produce` writes its bytes, which are hashed on the way (and encrypted, and copied without the
   * secrets), flushed to the disk, and only then named and entered into the chain of custody. One that is there already is
   * returned as it is: nothing is collected twice. A file that no line enters was left by a killed run, and is collected anew.
   * Errors: `recipient_missing`, `disk_full`; what `produce` throws.
   */
  async keep(order: Order, produce: Produce): Promise<Artefact> {
    if (!isInside(order.name)) throw new Error(`${order.name} is not a name inside of a case`)
    const isEncrypted = this.recipients.length > 0
    if (order.sealed === 'always' && !isEncrypted)
      throw new ToolError(
        'recipient_missing',
        `${order.name} holds secrets and is kept encrypted or not at all`,
        'Name who may read it when the case is opened: --encrypt-to age1…',
        Exit.usage,
      )
    const file = `evidence/${order.name}${isEncrypted ? '.age' : ''}`
    const present = this.artefacts().find(artefact => artefact.file === file)
    if (present !== undefined) return present
    const path = resolve(this.folder, file)
    const copy = order.share !== true ? undefined : `share/${order.name}`
    const began = this.#now().toISOString()
    try {
      const place = { path, recipients: this.recipients, redactor: this.#redactor }
      const at = copy === undefined ? undefined : resolve(this.folder, copy)
      const { file: sum, plain, shared, cut } = await writeArtefact({ ...place, copy: at }, produce)
      const artefact: Artefact = {
        ...{ file, command: order.command, began, ended: this.#now().toISOString(), ...sum, cut },
        ...(plain !== undefined && { plain }),
        ...(shared !== undefined && copy !== undefined && { shared: { file: copy, ...shared } }),
      }
      this.note('artefact', factsOf(artefact))
      return artefact
    } catch (error) {
      throw explainWriteError(error, path)
    }
  }

  /** Enters into the chain that something could not be had, and why: its absence is then no accident of the reader's. */
  missing({ name, command }: Pick<Order, 'name' | 'command'>, why: string): void {
    this.note('missing', { file: `evidence/${name}`, command, why })
  }

  /** What could not be had: the last that was said of it, where a later try has not had it after all. */
  missed(): Missing[] {
    const last = new Map<string, Missing>()
    for (const { step, facts, at } of this.journal.read()) {
      if (step !== 'missing' || facts === undefined) continue
      const { file = '', command = '', why = '' } = facts
      last.set(String(file), { file: String(file), command: String(command), why: String(why), at })
    }
    return [...last.values()].filter(({ file }) => !this.#isKept(file))
  }

  /** Whether there is an artefact of this name, encrypted or not. */
  has(name: string): boolean {
    return this.#isKept(`evidence/${name}`)
  }

  #isKept(file: string): boolean {
    return this.artefacts().some(artefact => artefact.file === file || artefact.file === `${file}.age`)
  }

  /** The last line of the chain: what comes after it is not the case's any more, and is not entered. */
  end(facts: Record<string, string | number | boolean>): void {
    this.note(CLOSED, facts)
    this.#custody.end()
  }

  /** No case is open any more. After the last signature. */
  close(layout: Pick<Layout, 'own'>): void {
    // While the case is open somebody comes back for it; afterwards nobody does.
    forgetReplaced(layout)
    rmSync(pointerOf(layout), { force: true })
  }
}

/** A journal with an end. */
class Custody extends Journal {
  #isOver = false

  override append(event: NewEvent): void {
    if (!this.#isOver) super.append(event)
  }

  end(): void {
    this.#isOver = true
  }
}

/** A case of this deployment, as far as can be told without reading its evidence. */
export interface ListedCase {
  id: string
  folder: string
  runbook: string
  /** `closed`: its end is signed by this deployment's key. `damaged`: it is not open, and that is not so. */
  state: 'open' | 'closed' | 'damaged'
}

/** All cases, oldest first. Errors: `case_unreadable`. */
export function listCases(layout: Pick<Layout, 'own' | 'cases'>): ListedCase[] {
  if (lookAt(layout.cases)?.isDirectory() !== true) return []
  const open = openCase(layout)?.id
  const key = verifyingKey(readIfPresent(publicKeyOf(layout)) ?? '')
  const isClosed = (id: string) => {
    const [text, signature] = [CASE_FILES.closing, CASE_FILES.closingSignature].map(file =>
      readIfPresent(resolve(layout.cases, id, file)),
    )
    return text !== undefined && signature !== undefined && key?.fits(Buffer.from(text), signature) === true
  }
  return readdirSync(layout.cases, { withFileTypes: true })
    .flatMap(entry => {
      const runbook = /^\d{8}T\d{6}Z-(.+?)(?:-\d+)?$/.exec(entry.name)?.[1]
      if (!entry.isDirectory() || runbook === undefined) return []
      const state = entry.name === open ? 'open' : isClosed(entry.name) ? 'closed' : 'damaged'
      return [{ id: entry.name, folder: resolve(layout.cases, entry.name), runbook, state } as const]
    })
    .sort((a, b) => (a.id < b.id ? -1 : 1))
}

/** What a case is opened with. */
export interface Opening {
  runbook: string
  /** The runbook as it is now: going on with the case goes on with this one. */
  text: string
  /** age recipients, checked. */
  recipients?: readonly string[]
  /** What was asked for, as text of whoever opens it: going on asks for nothing anew. */
  wishes?: string
}

/** Opens a case: from here on nothing but its own runbook changes the deployment. */
export function beginCase(
  layout: Pick<Layout, 'own' | 'cases'>,
  { runbook, text, recipients = [], wishes }: Opening,
  now: () => Date,
  redactor: Redactor,
): Case {
  const at = now().toISOString()
  const id = freeName(layout.cases, `${at.slice(0, 19).replaceAll(/[-:]/g, '')}Z-${runbook}`)
  const to = {
    ...(recipients.length === 0 ? {} : { recipients: [...recipients] }),
    ...(wishes === undefined ? {} : { wishes }),
  }
  forgetReplaced(layout)
  const begun = new Case({ id, runbook, openedAt: at, ...to }, layout.cases, now, redactor)
  ensureDirectory(layout.cases, 0o700)
  ensureDirectory(begun.folder, 0o700)
  writeAtomic(begun.path('runbook'), text, 0o400)
  writeAtomic(pointerOf(layout), `${JSON.stringify({ id, runbook, openedAt: at, ...to })}\n`, 0o600)
  begun.note('case.opened', { by: whoRuns() })
  return begun
}

/** The case that is open in this deployment; undefined when there is none. Errors: `case_unreadable`. */
export function resumeCase(
  layout: Pick<Layout, 'own' | 'cases'>,
  now: () => Date,
  redactor: Redactor,
): Case | undefined {
  const pointer = openCase(layout)
  return pointer === undefined ? undefined : new Case(pointer, layout.cases, now, redactor)
}

/** Two cases of one second are two cases. */
function freeName(cases: string, wanted: string): string {
  for (let tries = 1; ; tries++) {
    const name = tries === 1 ? wanted : `${wanted}-${tries}`
    if (lookAt(resolve(cases, name)) === undefined) return name
  }
}

/** Who answers for what this run does: `user@host`. */
function whoRuns(): string {
  try {
    return `${userInfo().username}@${hostname()}`
  } catch {
    // A user number without a name.
    return `${process.getuid?.() ?? '?'}@${hostname()}`
  }
}
