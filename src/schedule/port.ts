import { realpathSync } from 'node:fs'
import { dirname } from 'node:path'
import * as z from 'zod'
import { lookAt, readIfPresent } from '../deployment/files.ts'
import { type Layout, layoutOf } from '../deployment/layout.ts'
import { Exit, printable, ToolError } from '../errors.ts'
import { parseJson } from '../json.ts'
import { sha256 } from '../procedure/journal.ts'

/** How often a secret is to be new. */
export type Every = 'monthly' | 'weekly'

/**
 * How old a secret may be when the daily run finds it. A few days less than the period: who looks once a day, and is away
 * for one, is still in time.
 */
export const OLDEST: Record<Every, string> = { monthly: '28d', weekly: '6d' }

/** What is to happen every day, by whatever scheduler. */
export interface Order {
  every: Every
  /** The deployment's name, [a-z0-9-]. */
  name: string
  layout: Layout
  /** What is run, with absolute paths. No secret is in it. */
  command: readonly [node: string, bin: string, ...args: string[]]
  /** What opens the store: a file, and the name under which the run expects it; undefined: it is found in the folder. */
  credential: { id: string; path: string } | undefined
  /** Whether nothing outside of this machine has to be reached. */
  isLocal: boolean
  /** The docker program, where it was found. */
  docker: string | undefined
  /** Where this user's Docker settings are. */
  dockerConfig: string
  /** Files beside the folder and the program that the run reads. */
  reads: readonly string[]
  /** Where the engine listens, where that is a socket the run would not see by itself. */
  socket: string | undefined
  /** Variables of the run, beside the usual ones. No secret is in them. */
  environment: Readonly<Record<string, string>>
  home: string
  /** Which copy of this program is run. */
  tool: ToolCopy
}

/** A copy of this program: what it calls itself, and the hash of all its files. */
export interface ToolCopy {
  version: string
  hash: string
}

/** The same run with nothing to do: it opens the store, looks at the ages, and changes nothing. */
export function harmless(order: Order): Order {
  const [node, bin, ...args] = order.command
  return { ...order, command: [node, bin, ...args.filter(arg => arg !== '--scheduled'), '--dry-run'] }
}

/** What is executed by the run, or says what is: whoever can change one of these can have anything done. */
export function trustedPaths({ layout, command: [node, bin], docker, dockerConfig }: Order): string[] {
  return [layout.own, dirname(dirname(bin)), node, ...(docker === undefined ? [] : [docker]), dockerConfig]
}

/** A file of the schedule; of cron, the one line. */
export interface PlannedFile {
  path: string
  content: string
  /** Only where this machine can: see {@link Scheduler.prove}. */
  optional?: true
}

/** What a scheduler says of what it was given. */
export interface Seen {
  /** undefined: nobody can tell. */
  isEnabled: boolean | undefined
  isActive: boolean | undefined
  /** Of the last run, what the scheduler calls its failure. */
  failure?: string
  /** When it started a run last, as far as it remembers. */
  started?: Date
  nextRun?: Date
  /** What is wrong beside that, and what nobody can tell. */
  wrong?: string[]
  unsure?: string[]
}

/** Something of this machine that starts a program once a day. */
export interface Scheduler {
  readonly kind: 'systemd' | 'cron'
  readonly scope: 'system' | 'user'
  /** What the daily run of a deployment of this name is called there. */
  unit(name: string): string
  /** What would be written. Nothing is looked at. Errors: `schedule_path`. */
  plan(order: Order): PlannedFile[]
  /**
   * Of what was planned, what this machine can do: shown by starting the same with nothing to do. Errors:
   * `schedule_taken`, by another deployment of the same name; `schedule_failed`.
   */
  prove(order: Order): Promise<PlannedFile[]>
  /** Errors: `schedule_failed`; those of writing. May be repeated. */
  install(order: Order, files: readonly PlannedFile[]): Promise<void>
  /** Whether there is anything of the deployment in the folder `root`. Errors: `schedule_unknown`. */
  has(unit: string, root: string): Promise<boolean>
  /**
   * Removes all of it; returns whether there was something. May be repeated. Errors: `schedule_failed`,
   * `schedule_unknown` when it does not answer, before anything is removed.
   */
  remove(unit: string, root: string): Promise<boolean>
  /** The files of which nothing, or something else, is there. */
  missing(note: ScheduleNote): Promise<string[]>
  /** Errors: `schedule_unknown`, when it cannot be asked. */
  look(note: ScheduleNote, now: Date): Promise<Seen>
}

const Note = z.strictObject({
  version: z.literal(1),
  every: z.enum(['monthly', 'weekly']),
  kind: z.enum(['systemd', 'cron']),
  scope: z.enum(['system', 'user']),
  /** Whose it is: another user's scheduler cannot be asked. */
  uid: z.int(),
  /** It becomes part of paths. */
  unit: z.string().check(z.regex(/^([a-z0-9-]+\.timer|crontab)$/)),
  /** The folder it was made in, and for. */
  root: z.string(),
  files: z.array(z.strictObject({ path: z.string(), sha256: z.string() })),
  command: z.array(z.string()),
  tool: z.strictObject({ version: z.string(), hash: z.string() }),
  trusted: z.array(z.string()),
  /** Of which store the credential is. */
  store: z.string(),
  since: z.string(),
})

/** What was installed, in `.secure/schedule.json`. It is written first and removed last. */
export type ScheduleNote = z.infer<typeof Note>

/** The schedule that was asked for, or undefined. Errors: `schedule_corrupt`. */
export function scheduleNote({ schedule }: Pick<Layout, 'schedule'>): ScheduleNote | undefined {
  const text = readIfPresent(schedule)
  if (text === undefined) return undefined
  const parsed = Note.safeParse(parseJson(text))
  if (parsed.success) return parsed.data
  throw new ToolError(
    'schedule_corrupt',
    `${schedule} does not say what was scheduled`,
    'Remove it, then schedule again: create-openclaw-secure rotate --schedule monthly.',
    Exit.unknown,
  )
}

/**
 * By which folder the scheduler knows a deployment: its own, or the one it was moved away from. undefined: the note came
 * with a copy of a folder that is still there, and what it tells of is not ours.
 */
export function knownAs(
  note: Pick<ScheduleNote, 'root'>,
  { root }: Pick<Layout, 'root'>,
): string | undefined {
  return note.root === root || !isElsewhere(note.root, root) ? note.root : undefined
}

/** Whether a scheduled deployment is in this folder, and the folder is not `root` under another name. */
export function isElsewhere(folder: string, root: string): boolean {
  return lookAt(layoutOf(folder).schedule) !== undefined && realpathSync(folder) !== root
}

/** The note of what is being installed. */
export function noteOf(
  scheduler: Pick<Scheduler, 'kind' | 'scope' | 'unit'>,
  order: Order,
  files: readonly PlannedFile[],
  more: { uid: number; store: string; since: string },
): ScheduleNote {
  const { kind, scope } = scheduler
  return {
    ...{ version: 1, every: order.every, kind, scope, uid: more.uid, unit: scheduler.unit(order.name) },
    root: order.layout.root,
    files: files.map(({ path, content }) => ({ path, sha256: sha256(content) })),
    ...{ command: [...order.command], tool: order.tool, trusted: trustedPaths(order) },
    ...{ store: more.store, since: more.since },
  }
}

/** A path that no scheduler of this kind can be told of. */
export function unwritable(path: string, where: string): ToolError {
  return new ToolError(
    'schedule_path',
    `${printable(path)} cannot be named to ${where}`,
    'Give it another name, without control characters, backslashes, and spaces at its ends. Nothing was scheduled.',
    Exit.usage,
  )
}
