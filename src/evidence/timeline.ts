import { resolve } from 'node:path'
import { parseJson } from '../json.ts'
import type { JournalEvent } from '../procedure/journal.ts'
import type { Redactor } from '../secret.ts'
import type { Case } from './case.ts'
import { inWords } from './custody.ts'
import { plain, table } from './markdown.ts'
import { redacted } from './share.ts'
import { bytesOf } from './tree.ts'

/** Something that happened, and who says so. */
interface Row {
  /** Milliseconds since 1970, UTC. */
  at: number
  what: string
}

/** What one witness says: the last of its rows, and how many lines it had. */
interface Witness {
  name: string
  rows: Row[]
  /** Rows that are older than those. */
  older: number
  /** Lines in which no time stands that we can read. */
  unread: number
  /** Why it is not all that the source had to say. */
  cut?: string | undefined
}

/** The rows of one witness that are shown: the last ones, nearest to the incident. */
const SHOWN = 400
/** The copy of the deployment's journal, which speaks for itself. */
const JOURNAL = /\/secure\/journal\.jsonl$/
/** As large as a redacted copy may be, and a little more. */
const LONGEST = 17 * 1024 * 1024

/**
 * `timeline.md`: what the redacted copies in the case, the deployment's journal and the chain of custody say, in the order in
 * which it happened, in UTC. A line whose time cannot be read is counted and not guessed.
 */
export async function timelineOf(
  of: Case,
  deployment: readonly JournalEvent[],
  redactor: Redactor,
): Promise<string> {
  const witnesses = [
    witness('journal of the deployment', deployment.map(eventRow)),
    witness('custody', of.journal.read().map(eventRow)),
  ]
  for (const { file, shared, cut } of of.artefacts()) {
    if (shared === undefined || JOURNAL.test(file)) continue
    const cuts = [cut, shared.cut].filter(why => why !== undefined)
    const bytes = await bytesOf(resolve(of.folder, shared.file), LONGEST)
    const rows = bytes === undefined ? [] : rowsOf(bytes.toString('utf8'))
    // A text without any time is no witness of when something happened; a record that we cannot read has to be missed.
    if (rows.some(row => row !== undefined) || (rows.length > 0 && shared.file.endsWith('.jsonl')))
      witnesses.push({ ...witness(shared.file, rows), cut: cuts.length === 0 ? undefined : cuts.join('; ') })
  }
  const all = witnesses.flatMap(({ name, rows }) => rows.map(row => ({ ...row, name })))
  // Equal times keep the order in which each witness has them.
  all.sort((a, b) => a.at - b.at)
  const shown = all.map(({ at, name, what }) => [new Date(at).toISOString(), name, redacted(what, redactor)])
  return `${[
    '# Timeline',
    `Case ${plain(of.id)}. All times are UTC, as each source has written them; what the programs in the container have written may be false.`,
    witnesses.map(inOneLine).join('\n'),
    table(['UTC', 'Source', 'What'], shown),
  ].join('\n\n')}\n`
}

function inOneLine({ name, rows, older, unread, cut }: Witness): string {
  const left = older === 0 ? '' : `, and ${older} before them that are not shown`
  return `- ${plain(name)}: ${rows.length} lines${left}${unread === 0 ? '' : `; ${unread} lines without a time that could be read`}${cut === undefined ? '' : `; not all of it: ${plain(cut)}`}`
}

function witness(name: string, all: readonly (Row | undefined)[]): Witness {
  const rows = all.flatMap(row => (row === undefined ? [] : [row]))
  const shown = rows.slice(-SHOWN)
  return { name, rows: shown, older: rows.length - shown.length, unread: all.length - rows.length }
}

function eventRow(event: JournalEvent): Row | undefined {
  const at = Date.parse(event.at)
  return Number.isNaN(at) ? undefined : { at, what: `${event.procedure}: ${inWords(event)}` }
}

/** A row for every line with something in it; undefined where its time cannot be read. */
function rowsOf(text: string): (Row | undefined)[] {
  const whole = /^\s*[[{]\s*\n/.test(text) ? parseJson(text) : undefined
  if (whole !== undefined) return objectsIn(whole, 4).map(objectRow)
  return text
    .split('\n')
    .filter(line => line.trim() !== '')
    .map(lineRow)
}

/** `2026-11-26T10:00:00.1Z text`, as `docker logs --timestamps` and journalctl have it; seconds since 1970, as Squid has; or JSON. */
function lineRow(line: string): Row | undefined {
  const [, iso, since, rest = ''] =
    /^(?:(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d))|(\d{10}\.\d{3}))\s(.*)$/.exec(
      line,
    ) ?? []
  const object = parseJson(iso === undefined && since === undefined ? line : rest)
  const said = isObject(object) ? summary(object) : rest
  if (iso !== undefined) return row(timeIn(iso), said)
  if (since !== undefined) return row(Number(since) * 1000, said)
  return isObject(object) ? objectRow(object) : undefined
}

function objectRow(object: Record<string, unknown>): Row | undefined {
  for (const name of TIMES) {
    const found = row(timeIn(object[name]), summary(object))
    if (found !== undefined) return found
  }
  return undefined
}

const TIMES = ['time', 'at', 'timestamp', 'occurredAt', 'occurred_at', 'timeNano', 'ts']

/** Only a time in which there can have been a gateway. */
function row(at: number | undefined, what: string): Row | undefined {
  const isTime = at !== undefined && at > Date.UTC(2000) && at < Date.UTC(2100)
  return isTime ? { at, what: what.slice(0, 2000) } : undefined
}

/** Milliseconds since 1970 of a text, or of a number of seconds, milli-, micro- or nanoseconds. */
function timeIn(value: unknown): number | undefined {
  if (typeof value === 'number') {
    const digits = Math.floor(Math.log10(Math.max(1, value)))
    return digits < 9 ? undefined : value / 10 ** (digits < 11 ? -3 : digits < 14 ? 0 : digits < 17 ? 3 : 6)
  }
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\d[T ]/.test(value)) return undefined
  const at = Date.parse(value.replace(',', '.').replace(/([+-]\d\d)(\d\d)$/, '$1:$2'))
  return Number.isNaN(at) ? undefined : at
}

/** The parts of a record that say what happened: a log line, a row of the audit ledger, an event of the engine. */
function summary(object: Record<string, unknown>): string {
  const text = (name: string) => {
    const value = object[name]
    return typeof value === 'string' || typeof value === 'number' ? [String(value)] : []
  }
  const message = ['message', 'msg', 'MESSAGE'].flatMap(text)
  if (message.length > 0) return [...['level', 'subsystem'].flatMap(text), ...message].join(' ')
  const parts = [
    'kind',
    'Type',
    'toolName',
    'tool_name',
    'Action',
    'action',
    'status',
    'errorCode',
    'error_code',
    'from',
    'event',
    'step',
  ]
  const actor = object.Actor
  const attributes = isObject(actor) ? actor.Attributes : undefined
  const name = isObject(attributes) && typeof attributes.name === 'string' ? [attributes.name] : []
  const said = [...parts.flatMap(text), ...name]
  return said.length > 0 ? said.join(' ') : JSON.stringify(object)
}

/** The objects in a document that have a time, wherever they stand in it. */
function objectsIn(value: unknown, depth: number): Record<string, unknown>[] {
  if (depth === 0) return []
  if (Array.isArray(value)) return value.flatMap(one => objectsIn(one, depth - 1))
  if (!isObject(value)) return []
  if (TIMES.some(name => timeIn(value[name]) !== undefined)) return [value]
  return Object.values(value).flatMap(one => objectsIn(one, depth - 1))
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
