import { mkdirSync, rmSync } from 'node:fs'
import { userInfo } from 'node:os'
import { dirname, resolve } from 'node:path'
import { lookAt, readIfPresent, sweep, writeAtomic } from '../deployment/files.ts'
import { render } from '../deployment/render.ts'
import { firstLine } from '../docker/engine.ts'
import type { Finished, ProcessRunner } from '../docker/process.ts'
import { Exit, explainWriteError, ToolError } from '../errors.ts'
import { sha256 } from '../procedure/journal.ts'
import {
  harmless,
  isElsewhere,
  type Order,
  type PlannedFile,
  type ScheduleNote,
  type Scheduler,
  type Seen,
} from './port.ts'
import { rootIn, valuesOf } from './unit.ts'

/** What a unit of ours is called, before the deployment's name. */
const UNIT = 'create-openclaw-secure-rotate-'

/** The drop-in of a user's service with what needs namespaces. */
const SANDBOX = '50-namespaces.conf'

/** Where logind keeps who lingers. */
const LINGER = '/var/lib/systemd/linger'

/** Milliseconds. Starting a unit that has nothing to do takes some seconds, on a slow machine. */
const DEADLINE = { ask: 15_000, start: 180_000 }

/** Folders of systemd. */
export interface Places {
  /** Units (systemd.unit(5), "Unit File Load Path"). */
  units: string
  /** Units that end with this boot. */
  runtime: string
  /** When timers ran last (systemd.timer(5), "Persistent="). */
  stamps: string
  /** A file for each user whose manager stays (loginctl(1), "enable-linger"). */
  linger: string
}

export interface SystemdSources {
  run: ProcessRunner
  uid: number
  /** Other folders, and another way to ask; for tests. */
  places?: Places
  systemctl?: readonly [string, ...string[]]
}

/** A timer of systemd: of the machine for root, of the user's own manager for everybody else. */
export class Systemd implements Scheduler {
  readonly kind = 'systemd'
  readonly scope: 'system' | 'user'
  readonly #run: ProcessRunner
  readonly #uid: number
  readonly #places: Places
  readonly #systemctl: readonly [string, ...string[]]

  constructor({ run, uid, places, systemctl }: SystemdSources) {
    this.scope = uid === 0 ? 'system' : 'user'
    this.#run = run
    this.#uid = uid
    this.#places = places ?? placesOf(uid)
    this.#systemctl = systemctl ?? (uid === 0 ? ['systemctl'] : ['systemctl', '--user'])
  }

  /** Whether the manager can be asked. */
  async answers(): Promise<boolean> {
    try {
      return (await this.#ask(['show', '--property=Version'])).code === 0
    } catch (error) {
      if (error instanceof ToolError) return false
      throw error
    }
  }

  /** Whether this user's manager goes on when he logs out (loginctl(1)); undefined when nobody says. */
  async lingers(): Promise<boolean | undefined> {
    if (this.scope === 'system') return true
    if (isThere(resolve(this.#places.linger, userInfo().username))) return true
    try {
      const args = ['show-user', String(this.#uid), '--property=Linger', '--value']
      const { code, stdout, stderr } = await this.#run('loginctl', args, { deadline: DEADLINE.ask })
      if (code === 0) return stdout.trim() === 'yes'
      // "User ID 1000 is not logged in or lingering"
      return /not logged in or lingering/.test(stderr) ? false : undefined
    } catch (error) {
      if (error instanceof ToolError) return undefined
      throw error
    }
  }

  unit(name: string): string {
    return `${UNIT}${name}.timer`
  }

  plan(order: Order): PlannedFile[] {
    return this.#files(order, [])
  }

  /** `more`: what is run behind it. */
  #files(order: Order, more: readonly (readonly string[])[]): PlannedFile[] {
    const unit = resolve(this.#places.units, `${UNIT}${order.name}`)
    const values = valuesOf(order, more)
    const service = this.scope === 'system' ? 'rotate.service.hbs' : 'rotate-user.service.hbs'
    return [
      { path: `${unit}.service`, content: render(service, values, 'text') },
      { path: `${unit}.timer`, content: render('rotate.timer.hbs', values, 'text') },
      ...(this.scope === 'system'
        ? []
        : [
            {
              path: `${unit}.service.d/${SANDBOX}`,
              content: render('rotate-user-namespaces.conf.hbs', values, 'text'),
              optional: true as const,
            },
          ]),
    ]
  }

  async prove(order: Order): Promise<PlannedFile[]> {
    const files = this.plan(order)
    this.#expectOurs(order, files)
    const certain = files.filter(file => file.optional !== true)
    const [, bin] = order.command
    // The same units: the program opens the store, and rotates nothing; and the engine answers.
    const probe = this.#files(
      harmless(order),
      order.docker === undefined ? [] : [[order.docker, 'version', '--format', '{{.Server.Version}}']],
    )
    const text = (all: boolean) =>
      probe
        .filter(({ path, optional }) => !path.endsWith('.timer') && (all || optional !== true))
        .map(({ content }) => content)
        .join('\n')
    let result = await this.#start(order.name, text(true))
    if (result === 'success') return files
    if (certain.length < files.length) result = await this.#start(order.name, text(false))
    if (result === 'success') return certain
    throw new ToolError(
      'schedule_failed',
      `${bin} does not come to a good end under systemd on this machine (${result})`,
      `journalctl ${this.scope === 'user' ? '--user ' : ''}--unit ${probeOf(this.unit(order.name))} says why: the store cannot be opened, the engine cannot be reached, or the unit cannot be started. Nothing was scheduled.`,
      Exit.unknown,
    )
  }

  async install(order: Order, files: readonly PlannedFile[]): Promise<void> {
    try {
      for (const { path, content } of files) {
        mkdirSync(dirname(path), { recursive: true })
        if (readIfPresent(path) !== content) writeAtomic(path, content, 0o644)
      }
      if (!files.some(file => file.optional === true))
        rmSync(resolve(this.#places.units, `${UNIT}${order.name}.service.d/${SANDBOX}`), { force: true })
    } catch (error) {
      throw explainWriteError(error, this.#places.units)
    }
    sweep([this.#places.units])
    await this.#must(['daemon-reload'])
    await this.#must(['enable', this.unit(order.name)])
    // Not `start`: a timer that runs would keep the times it was started with.
    await this.#must(['restart', this.unit(order.name)])
  }

  #expectOurs({ name, layout }: Order, files: readonly PlannedFile[]): void {
    for (const { path } of files) {
      const owner = ownerOf(path, layout.root)
      if (owner === 'nobody' || owner === 'us') continue
      throw new ToolError(
        'schedule_taken',
        `${path} ${owner === 'somebody' ? 'was not made by this program' : `belongs to the deployment in ${owner.folder}, of the same name`}`,
        `Give this deployment another --name than ${name}, or turn that one off first, in its folder: create-openclaw-secure rotate --schedule off.`,
        Exit.usage,
      )
    }
  }

  async has(unit: string, root: string): Promise<boolean> {
    // A removal that was killed may have left nothing but a drop-in, or a link to nothing.
    return this.#isOurs(unit, root) && this.#traces(unit).some(path => lookAt(path) !== undefined)
  }

  async remove(unit: string, root: string): Promise<boolean> {
    if (!(await this.answers()))
      throw new ToolError(
        'schedule_unknown',
        `${this.#systemctl.join(' ')} does not answer: ${unit} may go on`,
        'Run the command again where it does (in a session of this user). Nothing was removed.',
        Exit.unknown,
      )
    if (!this.#isOurs(unit, root)) return false
    const present = this.#traces(unit).filter(path => lookAt(path) !== undefined)
    const service = serviceOf(unit)
    // Each of these fails where there is nothing to do; what counts is that the files go.
    await this.#ask(['disable', '--now', unit])
    for (const path of present) rmSync(path, { recursive: true, force: true })
    sweep([this.#places.units])
    await this.#must(['daemon-reload'])
    await this.#ask(['reset-failed', unit, service])
    return present.length > 0
  }

  #isOurs(unit: string, root: string): boolean {
    const owners = [unit, serviceOf(unit)].map(file => ownerOf(resolve(this.#places.units, file), root))
    return owners.every(owner => owner === 'us' || owner === 'nobody')
  }

  async missing({ files }: ScheduleNote): Promise<string[]> {
    return files
      .filter(({ path, sha256: hash }) => sha256(readIfPresent(path) ?? '') !== hash)
      .map(({ path }) => path)
  }

  async look({ unit, files }: ScheduleNote): Promise<Seen> {
    const [ofTimer, ofService, lingers] = await Promise.all([
      this.#show(unit),
      this.#show(serviceOf(unit)),
      this.lingers(),
    ])
    const dropIns = [ofTimer, ofService]
      .flatMap(({ DropInPaths = '' }) => DropInPaths.split(' '))
      .filter(path => path !== '' && !files.some(file => file.path === path))
      // Those of all services of the machine (systemd.unit(5)) are for this one as well.
      .filter(path => !/\/(service|timer)\.d\/[^/]+$/.test(path))
    const remedy = `loginctl enable-linger ${userInfo().username}`
    return {
      ...seenOf(ofTimer, ofService),
      wrong: [
        ...(dropIns.length === 0 ? [] : [`changed by ${dropIns.join(', ')}`]),
        ...(lingers === false ? [`it stops when you log out: ${remedy}`] : []),
      ],
      unsure: lingers === undefined ? [`whether it goes on when you log out: ${remedy}`] : [],
    }
  }

  /** All there can be of a deployment, drop-ins of the person's own too: without the units they are about nothing. */
  #traces(timer: string): string[] {
    const unit = timer.replace(/\.timer$/, '')
    return (
      ['.timer', '.service', '.timer.d', '.service.d']
        .map(end => resolve(this.#places.units, `${unit}${end}`))
        .concat(resolve(this.#places.units, `timers.target.wants/${timer}`))
        .concat(resolve(this.#places.runtime, probeOf(timer)))
        // When it ran last, for `Persistent=`. (`systemctl clean` would do it too, where there is a D-Bus.)
        .concat(resolve(this.#places.stamps, `stamp-${timer}`))
    )
  }

  /** Starts a unit that is gone afterwards, and returns systemd's name for how it ended. */
  async #start(name: string, text: string): Promise<string> {
    const unit = probeOf(this.unit(name))
    const path = resolve(this.#places.runtime, unit)
    try {
      mkdirSync(this.#places.runtime, { recursive: true })
      writeAtomic(path, text, 0o644)
      await this.#must(['daemon-reload'])
      const { code } = await this.#ask(['start', unit], DEADLINE.start)
      return code === 0 ? 'success' : ((await this.#show(unit)).Result ?? 'failed')
    } catch (error) {
      throw explainWriteError(error, path)
    } finally {
      rmSync(path, { force: true })
      await this.#ask(['reset-failed', unit])
      await this.#ask(['daemon-reload'])
    }
  }

  async #show(unit: string): Promise<Partial<Record<string, string>>> {
    const { code, stdout, stderr } = await this.#ask(['show', unit, `--property=${PROPERTIES.join(',')}`])
    if (code === 0) return propertiesOf(stdout)
    throw new ToolError(
      'schedule_unknown',
      `systemd does not say what became of ${unit}: ${firstLine(stderr)}`,
      `Look at ${this.#systemctl.join(' ')} status ${unit}.`,
      Exit.unknown,
    )
  }

  async #must(args: readonly string[]): Promise<void> {
    const { code, stderr } = await this.#ask(args)
    if (code === 0) return
    throw new ToolError(
      'schedule_failed',
      `${this.#systemctl.join(' ')} ${args.join(' ')} ended with ${code}: ${firstLine(stderr)}`,
      'Correct that and run the command again.',
      Exit.unknown,
    )
  }

  #ask(args: readonly string[], deadline = DEADLINE.ask): Promise<Finished> {
    const [program, ...first] = this.#systemctl
    // Times in one zone and in English, to be read here; and after a `su` nobody has said where the user's manager is.
    const environment = {
      ...{ TZ: 'UTC', LC_ALL: 'C', SYSTEMD_COLORS: '0' },
      ...(this.#uid === 0 ? {} : { XDG_RUNTIME_DIR: `/run/user/${this.#uid}` }),
    }
    return this.#run(program, [...first, '--no-ask-password', ...args], { deadline, environment })
  }
}

function placesOf(uid: number): Places {
  if (uid === 0)
    return {
      units: '/etc/systemd/system',
      runtime: '/run/systemd/system',
      stamps: '/var/lib/systemd/timers',
      linger: LINGER,
    }
  // Where a manager looks whom nobody has told of other folders (XDG_CONFIG_HOME): ours may not be what it was told.
  const home = userInfo().homedir
  return {
    units: resolve(home, '.config/systemd/user'),
    runtime: `/run/user/${uid}/systemd/user`,
    stamps: resolve(home, '.local/share/systemd/timers'),
    linger: LINGER,
  }
}

function serviceOf(timer: string): string {
  return timer.replace(/\.timer$/, '.service')
}

function probeOf(timer: string): string {
  return timer.replace(/\.timer$/, '-probe.service')
}

/** Whose a file is: nobody's where there is none; ours too where it was made for a folder in which no deployment is any more. */
function ownerOf(path: string, root: string): 'us' | 'nobody' | 'somebody' | { folder: string } {
  const text = readIfPresent(path)
  if (text === undefined) return 'nobody'
  const folder = rootIn(text)
  if (folder === undefined) return 'somebody'
  return folder === root || !isElsewhere(folder, root) ? 'us' : { folder }
}

function isThere(path: string): boolean {
  try {
    return lookAt(path) !== undefined
  } catch (error) {
    if (error instanceof ToolError) return false
    throw error
  }
}

const PROPERTIES = [
  ...['LoadState', 'UnitFileState', 'ActiveState', 'Result', 'NextElapseUSecRealtime', 'DropInPaths'],
  ...['ExecMainStartTimestamp', 'ExecMainStatus'],
] as const

/** What `systemctl show` prints, by name. */
export function propertiesOf(text: string): Partial<Record<string, string>> {
  const lines = text.split('\n').filter(line => line.includes('='))
  return Object.fromEntries(
    lines.map(line => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  )
}

/** What the timer and its service say of themselves (org.freedesktop.systemd1(5)). */
export function seenOf(
  timer: Partial<Record<string, string>>,
  service: Partial<Record<string, string>>,
): Seen {
  // Since this boot. (The timer's LastTriggerUSec is, at first, when it was installed.)
  const started = timeOf(service.ExecMainStartTimestamp)
  const nextRun = timeOf(timer.NextElapseUSecRealtime)
  const status = service.ExecMainStatus ?? '0'
  const failed = service.Result !== undefined && service.Result !== 'success'
  return {
    isEnabled: timer.LoadState === 'loaded' && timer.UnitFileState === 'enabled',
    isActive: timer.ActiveState === 'active',
    ...(failed ? { failure: `${service.Result}${status === '0' ? '' : ` (${status})`}` } : {}),
    ...(started === undefined ? {} : { started }),
    ...(nextRun === undefined ? {} : { nextRun }),
  }
}

/** "Thu 2026-11-26 03:55:00 UTC", as systemd writes a time when TZ is UTC. */
function timeOf(text: string | undefined): Date | undefined {
  const match = /(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.\d+)? UTC/.exec(text ?? '')
  return match === null ? undefined : new Date(`${match[1]}T${match[2]}Z`)
}
