import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { userInfo } from 'node:os'
import { dirname, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorCode, readIfPresent, writeAtomic } from '../deployment/files.ts'
import { layoutOf } from '../deployment/layout.ts'
import { takeLock } from '../deployment/lock.ts'
import { render } from '../deployment/render.ts'
import { firstLine } from '../docker/engine.ts'
import type { ProcessRunner } from '../docker/process.ts'
import { Exit, ToolError } from '../errors.ts'
import { sha256 } from '../procedure/journal.ts'
import {
  harmless,
  type Order,
  type PlannedFile,
  type ScheduleNote,
  type Scheduler,
  type Seen,
  unwritable,
} from './port.ts'

/** Ends our line, before what names the folder. It is the shell's comment, for cron has none behind a command. */
const MARK = '# create-openclaw-secure rotate '

/** Where cron's programs are found that a person's own PATH may not name. */
const USUAL_PATH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

/** What a note calls the one line, which is in no file of its own. */
const CRONTAB = 'crontab'

/** Some crons cut a longer line off (1000 bytes, with what stands before the command). */
const LONGEST_LINE = 990

export interface CronSources {
  /** Redacts nothing: what is read is written back. */
  run: ProcessRunner
  /** Other places, for tests. */
  proc?: string
  runtime?: string
  lock?: string
}

/** One line in the person's crontab, which calls a script in the deployment. What else is in it stays as it is. */
export class Cron implements Scheduler {
  readonly kind = 'cron'
  readonly scope = 'user'
  readonly #run: ProcessRunner
  readonly #proc: string
  readonly #runtime: string
  readonly #lock: string | undefined

  constructor({ run, proc, runtime, lock }: CronSources) {
    this.#run = run
    this.#proc = proc ?? '/proc'
    this.#runtime = runtime ?? '/run'
    this.#lock = lock
  }

  unit(): string {
    return CRONTAB
  }

  plan(order: Order): PlannedFile[] {
    return [
      { path: scriptOf(order.layout.root), content: scriptText(order, shell(order.layout.scheduleLog)) },
      { path: CRONTAB, content: cronLine(order.layout.root) },
    ]
  }

  async prove(order: Order): Promise<PlannedFile[]> {
    const files = this.plan(order)
    // As cron starts it: with next to no variables.
    const args = ['-i', `HOME=${order.home}`, 'PATH=/usr/bin:/bin', '/bin/sh', '-s']
    const { code, stdout, stderr } = await this.#run('env', args, {
      deadline: 120_000,
      input: scriptText(harmless(order), '&1'),
    })
    if (code === 0 && stdout.endsWith('ended with 0\n')) return files
    throw new ToolError(
      'schedule_failed',
      `cron could not run ${order.command[1]}: ${stdout.trim().split('\n').slice(-4).join(' / ') || firstLine(stderr)}`,
      'Correct that and run the command again. Nothing was scheduled.',
      Exit.unknown,
    )
  }

  async install({ layout }: Order, files: readonly PlannedFile[]): Promise<void> {
    for (const { path, content } of files.filter(file => file.path !== CRONTAB))
      if (readIfPresent(path) !== content) writeAtomic(path, content, 0o700)
    const ours = files.filter(file => file.path === CRONTAB).map(file => file.content)
    await this.#edit(lines => [...lines.filter(line => !isOurs(line, layout.root)), ...ours])
  }

  async has(_: string, root: string): Promise<boolean> {
    return (await this.#read()).some(line => isOurs(line, root))
  }

  async remove(_: string, root: string): Promise<boolean> {
    const changed = await this.#edit(lines => lines.filter(line => !isOurs(line, root)))
    rmSync(scriptOf(root), { force: true })
    return changed
  }

  async missing({ files }: ScheduleNote): Promise<string[]> {
    const lines = new Set((await this.#read()).map(sha256))
    return files
      .filter(({ path, sha256: hash }) =>
        path === CRONTAB ? !lines.has(hash) : sha256(readIfPresent(path) ?? '') !== hash,
      )
      .map(({ path }) => path)
  }

  /** cron itself remembers nothing, and does not say whether it runs. */
  async look({ root }: ScheduleNote, now: Date): Promise<Seen> {
    const { minute, hour } = timeOf(root)
    const nextRun = new Date(now)
    nextRun.setHours(hour, minute, 0, 0)
    if (nextRun <= now) nextRun.setDate(nextRun.getDate() + 1)
    const isActive = this.#isRunning()
    return {
      ...{ isEnabled: true, isActive, nextRun },
      ...(isActive === false ? { wrong: ['no cron daemon is running'] } : {}),
      ...(isActive === undefined ? { unsure: ['whether a cron daemon is running'] } : {}),
    }
  }

  /** Whether there is a daemon that reads crontabs; undefined where other users' processes are hidden (proc(5), hidepid). */
  #isRunning(): boolean | undefined {
    const processes = namesIn(this.#proc).filter(name => /^\d+$/.test(name))
    if (processes.some(pid => this.#isCron(pid))) return true
    if (nameOf(this.#proc, '1') !== undefined) return false
    const noted = namesIn(this.#runtime)
      .filter(name => /^cron.*\.pid$/.test(name))
      .map(name => Number.parseInt(textOf(resolve(this.#runtime, name)) ?? '', 10))
    return noted.some(isAlive) ? true : undefined
  }

  #isCron(pid: string): boolean {
    const name = nameOf(this.#proc, pid)
    if (name === undefined || !/^(cron|crond|busybox)$/.test(name)) return false
    const status = textOf(resolve(this.#proc, pid, 'status')) ?? ''
    // One that has ended and was not asked for; and one of a container, which is seen from outside and reads the
    // container's crontabs (proc(5), "State" and "NSpid").
    if (/^State:\s+Z/m.test(status) || /^NSpid:\s+\d+\s+\d/m.test(status)) return false
    return name !== 'busybox' || /\0crond\0/.test(textOf(resolve(this.#proc, pid, 'cmdline')) ?? '')
  }

  /** Reads, changes and writes as one; returns whether anything was changed. Errors: `schedule_failed`, `locked`. */
  async #edit(change: (lines: readonly string[]) => string[]): Promise<boolean> {
    const release = await this.#locked()
    try {
      const lines = await this.#read()
      const wanted = change(lines)
      if (wanted.join('\n') === lines.join('\n')) return false
      await this.#write(wanted)
      if ((await this.#read()).join('\n') === wanted.join('\n')) return true
      throw new ToolError(
        'schedule_failed',
        'the crontab is not what was written: somebody else changed it at the same time, or it is not kept',
        'Look at crontab -l, then run the command again.',
        Exit.unknown,
      )
    } finally {
      release()
    }
  }

  /** All deployments of a user have one crontab. */
  async #locked(): Promise<() => void> {
    const path = this.#lock ?? resolve(userInfo().homedir, '.create-openclaw-secure.crontab.lock')
    for (let tries = 0; ; tries++)
      try {
        return takeLock(path, 'change of the crontab', new Date())
      } catch (error) {
        const isBusy = error instanceof ToolError && error.code === 'locked'
        // A user without a home has a crontab all the same, and what was written is read again.
        if (!isBusy && (error instanceof ToolError || errorCode(error) === 'ENOENT')) return () => {}
        if (!isBusy || tries === 100) throw error
        await sleep(100)
      }
  }

  /** The lines of the crontab. Errors: `schedule_unknown`. */
  async #read(): Promise<string[]> {
    const { code, stdout, stderr } = await this.#run('crontab', ['-l'], {
      deadline: 10_000,
      environment: { LC_ALL: 'C' },
    })
    // Every cron says "no crontab for NAME" where there is none yet.
    if (code !== 0 && /no crontab/i.test(stderr)) return []
    // What is not UTF-8 could not be written back as it was.
    const isText = !stdout.includes('\ufffd')
    if (code === 0 && isText) return stdout === '' ? [] : stdout.replace(/\n$/, '').split('\n')
    throw new ToolError(
      'schedule_unknown',
      `the crontab cannot be read: ${code === 0 ? 'it holds bytes that are not UTF-8' : firstLine(stderr)}`,
      'See what `crontab -l` says. Nothing in it was changed.',
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
export function cronLine(root: string): string {
  const { minute, hour } = timeOf(root)
  // A `%` is the end of the line (crontab(5)), unless there is a backslash before it, which some crons take away and
  // others leave. Outside of the quotes the shell takes it away for the others.
  const script = shell(scriptOf(root)).replaceAll('%', `'\\%'`)
  const line = `${minute} ${hour} * * * /bin/sh ${script} ${MARK}${idOf(root)}`
  if (Buffer.byteLength(line) > LONGEST_LINE) throw unwritable(root, 'cron')
  return line
}

/** What the line calls; `log` is where it writes, for the shell. Errors: `schedule_path`. */
function scriptText({ name, command, docker, environment }: Order, log: string): string {
  const path = [...new Set([...(docker === undefined ? [] : [dirname(docker)]), ...USUAL_PATH])].join(':')
  const settings = Object.entries({ ...environment, PATH: path })
  return render(
    'rotate.sh.hbs',
    {
      ...{ name, log, command: command.map(shell).join(' ') },
      environment: settings.map(([variable, value]) => `${variable}=${shell(value)}`),
    },
    'text',
  )
}

function scriptOf(root: string): string {
  return resolve(layoutOf(root).own, 'schedule.sh')
}

/** A word for the shell. */
function shell(text: string): string {
  if (/[\p{Cc}\\]|\ufffd/u.test(text)) throw unwritable(text, 'cron')
  return `'${text.replaceAll("'", `'"'"'`)}'`
}

function nameOf(proc: string, pid: string): string | undefined {
  return textOf(resolve(proc, pid, 'comm'))?.trim()
}

/** undefined where nothing can be read: processes end while they are looked at. */
function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function isAlive(pid: number): boolean {
  try {
    return pid > 0 && process.kill(pid, 0)
  } catch (error) {
    return errorCode(error) === 'EPERM'
  }
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
