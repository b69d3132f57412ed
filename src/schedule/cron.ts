import { createHash } from 'node:crypto'
import { dirname } from 'node:path'
import { lookAt, readIfPresent } from '../deployment/files.ts'
import type { Layout } from '../deployment/layout.ts'
import type { ProcessRunner } from '../docker/process.ts'
import { Exit, ToolError } from '../errors.ts'
import {
  firstLine,
  type Order,
  type PlannedFile,
  type ScheduleNote,
  type Scheduler,
  type Seen,
  sha256,
  unwritable,
} from './port.ts'

/** Ends our line, before what names the folder. It is the shell's comment, for cron has none behind a command. */
const MARK = '# create-openclaw-secure rotate '

/** Where cron's programs are found that a person's own PATH may not name. */
const USUAL_PATH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

/** What a note calls the one line, which is in no file of its own. */
const CRONTAB = 'crontab'

/** One line in the person's crontab. What else is in it stays as it is. */
export class Cron implements Scheduler {
  readonly kind = 'cron'
  readonly scope = 'user'
  readonly #run: ProcessRunner

  /** `run` must redact nothing: what is read is written back. */
  constructor({ run }: { run: ProcessRunner }) {
    this.#run = run
  }

  unit(): string {
    return CRONTAB
  }

  plan(order: Order): PlannedFile[] {
    return [{ path: CRONTAB, content: cronLine(order) }]
  }

  async prove(order: Order): Promise<PlannedFile[]> {
    return this.plan(order)
  }

  async install({ layout }: Order, files: readonly PlannedFile[]): Promise<void> {
    const lines = await this.#read()
    const wanted = [...lines.filter(line => !isOurs(line, layout.root)), ...files.map(file => file.content)]
    if (wanted.join('\n') !== lines.join('\n')) await this.#write(wanted)
  }

  async has(_: string, root: string): Promise<boolean> {
    return (await this.#read()).some(line => isOurs(line, root))
  }

  async remove(_: string, root: string): Promise<boolean> {
    const lines = await this.#read()
    const others = lines.filter(line => !isOurs(line, root))
    if (others.length === lines.length) return false
    await this.#write(others)
    return true
  }

  async missing({ files }: ScheduleNote): Promise<string[]> {
    const present = new Set((await this.#read()).map(sha256))
    return files.filter(file => !present.has(file.sha256)).map(({ path }) => path)
  }

  /** cron itself remembers nothing: the log that the line writes says when it ran and how that ended. */
  async look(_: ScheduleNote, layout: Layout, now: Date): Promise<Seen> {
    const { minute, hour } = timeOf(layout.root)
    const nextRun = new Date(now)
    nextRun.setHours(hour, minute, 0, 0)
    if (nextRun <= now) nextRun.setDate(nextRun.getDate() + 1)
    const lastRun = lookAt(layout.scheduleLog)?.mtime
    const ended = /ended with (\d+)\n$/.exec(readIfPresent(layout.scheduleLog) ?? '')?.[1]
    return {
      ...{ isEnabled: true, isActive: true, nextRun },
      ...(lastRun === undefined ? {} : { lastRun }),
      ...(ended === undefined ? {} : { lastResult: ended === '0' ? 'success' : `exit-code (${ended})` }),
    }
  }

  /** The lines of the crontab. Errors: `schedule_unknown`. */
  async #read(): Promise<string[]> {
    const { code, stdout, stderr } = await this.#run('crontab', ['-l'], {
      deadline: 10_000,
      environment: { LC_ALL: 'C' },
    })
    if (code === 0) return stdout === '' ? [] : stdout.replace(/\n$/, '').split('\n')
    // Every cron says "no crontab for NAME" where there is none yet.
    if (/no crontab/i.test(stderr)) return []
    throw new ToolError(
      'schedule_unknown',
      `the crontab cannot be read: ${firstLine(stderr)}`,
      'See what `crontab -l` says.',
      Exit.unknown,
    )
  }

  async #write(lines: readonly string[]): Promise<void> {
    // An empty crontab is none: nothing of it is left in the spool.
    const { code, stderr } =
      lines.length === 0
        ? await this.#run('crontab', ['-r'], { deadline: 10_000 })
        : await this.#run('crontab', ['-'], { deadline: 10_000, input: `${lines.join('\n')}\n` })
    if (code === 0) return
    throw new ToolError(
      'schedule_failed',
      `the crontab cannot be written: ${firstLine(stderr)}`,
      'See whether /etc/cron.allow and /etc/cron.deny let this user have one.',
      Exit.unknown,
    )
  }
}

/**
 * The line of a deployment: once a day, at a time that follows from its folder, so that not all of a machine run at once.
 * Errors: `schedule_path`.
 */
export function cronLine({ layout, command, docker, environment }: Order): string {
  const { minute, hour } = timeOf(layout.root)
  const path = [...new Set([...(docker === undefined ? [] : [dirname(docker)]), ...USUAL_PATH])].join(':')
  const settings = Object.entries({ ...environment, PATH: path }).map(
    ([name, value]) => `${name}=${shell(value)}`,
  )
  const words = [...settings, ...command.map(shell)].join(' ')
  const log = shell(layout.scheduleLog)
  return `${minute} ${hour} * * * umask 077; { ${words}; echo "ended with $?"; } >>${log} 2>&1 ${MARK}${idOf(layout.root)}`
}

/**
 * A word for the shell, behind what cron does to it (crontab(5)): a `%` is the end of the line, unless there is a backslash
 * before it, which some crons take away and others leave. Outside of the quotes the shell takes it away for the others.
 */
function shell(text: string): string {
  if (/[\p{Cc}\\]|\ufffd/u.test(text)) throw unwritable(text, 'cron')
  if (/^[A-Za-z0-9_./:=@+,-]+$/.test(text)) return text
  return `'${text.replaceAll("'", `'"'"'`).replaceAll('%', `'\\%'`)}'`
}

function isOurs(line: string, root: string): boolean {
  return line.endsWith(`${MARK}${idOf(root)}`)
}

function idOf(root: string): string {
  return sha256(root).slice(0, 16)
}

function timeOf(root: string): { minute: number; hour: number } {
  const hash = createHash('sha256').update(root).digest()
  // The small hours of the machine's own time.
  return { minute: hash.readUInt8(0) % 60, hour: hash.readUInt8(1) % 6 }
}
