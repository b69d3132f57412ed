import { mkdirSync, rmSync } from 'node:fs'
import { userInfo } from 'node:os'
import { dirname, resolve } from 'node:path'
import { lookAt, readIfPresent, sweep, writeAtomic } from '../deployment/files.ts'
import { render } from '../deployment/render.ts'
import type { Finished, ProcessRunner } from '../docker/process.ts'
import { Exit, explainWriteError, ToolError } from '../errors.ts'
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

/** What a unit of ours is called, before the deployment's name. */
const UNIT = 'create-openclaw-secure-rotate-'

/** What the units hide by an empty folder in its place (templates/rotate.service.hbs). */
const HIDDEN = ['/root', '/home', '/run/user', '/tmp', '/var/tmp', '/dev/shm']

const USUAL_PATH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

/** Milliseconds. Starting a unit that has nothing to do takes one. */
const DEADLINE = { ask: 15_000, start: 60_000 }

/**
 * All addresses of IPv4 and IPv6 but the link-local ones, where clouds hand out credentials to whoever asks, and those
 * that are nobody's. systemd.resource-control(5): what is allowed wins over what is denied, so the gap has to be cut out.
 */
const ANYWHERE =
  '1.0.0.0/8 2.0.0.0/7 4.0.0.0/6 8.0.0.0/5 16.0.0.0/4 32.0.0.0/3 64.0.0.0/2 128.0.0.0/3 160.0.0.0/5 168.0.0.0/8 ' +
  '169.0.0.0/9 169.128.0.0/10 169.192.0.0/11 169.224.0.0/12 169.240.0.0/13 169.248.0.0/14 169.252.0.0/15 169.255.0.0/16 ' +
  '170.0.0.0/7 172.0.0.0/6 176.0.0.0/4 192.0.0.0/3 ::1/128 2000::/3 fc00::/7'

/** Folders of systemd. */
export interface Places {
  /** Units (systemd.unit(5), "Unit File Load Path"). */
  units: string
  /** Units that end with this boot. */
  runtime: string
  /** When timers ran last (systemd.timer(5), "Persistent="). */
  stamps: string
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
    try {
      const args = ['show-user', String(this.#uid), '--property=Linger', '--value']
      const { code, stdout } = await this.#run('loginctl', args, { deadline: DEADLINE.ask })
      return code === 0 ? stdout.trim() === 'yes' : undefined
    } catch (error) {
      if (error instanceof ToolError) return undefined
      throw error
    }
  }

  unit(name: string): string {
    return `${UNIT}${name}.timer`
  }

  plan(order: Order): PlannedFile[] {
    const unit = resolve(this.#places.units, `${UNIT}${order.name}`)
    const values = valuesOf(order)
    const service = render(
      this.scope === 'system' ? 'rotate.service.hbs' : 'rotate-user.service.hbs',
      values,
      'text',
    )
    return [
      { path: `${unit}.service`, content: service },
      { path: `${unit}.timer`, content: render('rotate.timer.hbs', values, 'text') },
      ...(this.scope === 'system'
        ? []
        : [
            {
              path: `${unit}.service.d/50-namespaces.conf`,
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
    const [node, bin] = order.command
    // The same units, and the program says its version instead of rotating.
    const harmless = this.plan({ ...order, command: [node, bin, '--version'] })
    const text = (all: boolean) =>
      harmless
        .filter(({ path, optional }) => !path.endsWith('.timer') && (all || optional !== true))
        .map(({ content }) => content)
        .join('\n')
    let result = await this.#start(order.name, text(true))
    if (result === 'success') return files
    if (certain.length < files.length) result = await this.#start(order.name, text(false))
    if (result === 'success') return certain
    throw new ToolError(
      'schedule_failed',
      `systemd cannot start ${node} ${bin} on this machine (${result})`,
      `journalctl ${this.scope === 'user' ? '--user ' : ''}--unit ${this.#probe(order.name)} says why. Nothing was scheduled.`,
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
        rmSync(resolve(this.#places.units, `${UNIT}${order.name}.service.d/50-namespaces.conf`), {
          force: true,
        })
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
    const mark = markOf(layout.root)
    for (const { path } of files) {
      const present = readIfPresent(path)
      if (present === undefined || present.includes(mark)) continue
      throw new ToolError(
        'schedule_taken',
        `${path} belongs to another deployment of the name ${name}`,
        'Turn that one off first, in its folder: create-openclaw-secure rotate --schedule off. Or remove the file.',
        Exit.usage,
      )
    }
  }

  async has(name: string, root: string): Promise<boolean> {
    const traces = this.#traces(name)
    const texts = traces.slice(0, 2).map(path => readIfPresent(path))
    if (texts.some(text => text !== undefined)) return texts.some(text => text?.includes(markOf(root)))
    // A removal that was killed may have left nothing but a drop-in, or a link to nothing.
    return traces.some(path => lookAt(path) !== undefined)
  }

  async remove(name: string, root: string): Promise<boolean> {
    if (!(await this.has(name, root))) return false
    const unit = `${UNIT}${name}`
    // Each of these fails where there is nothing to do; what counts is that the files go.
    await this.#ask(['disable', '--now', `${unit}.timer`])
    for (const path of this.#traces(name)) rmSync(path, { recursive: true, force: true })
    sweep([this.#places.units])
    await this.#must(['daemon-reload'])
    await this.#ask(['reset-failed', `${unit}.timer`, `${unit}.service`])
    return true
  }

  async missing({ files }: ScheduleNote): Promise<string[]> {
    return files
      .filter(({ path, sha256: hash }) => sha256(readIfPresent(path) ?? '') !== hash)
      .map(({ path }) => path)
  }

  async look({ unit }: ScheduleNote): Promise<Seen> {
    const service = unit.replace(/\.timer$/, '.service')
    const [ofTimer, ofService] = await Promise.all([this.#show(unit), this.#show(service)])
    return seenOf(ofTimer, ofService)
  }

  /** All there can be of a deployment, drop-ins of the person's own too: without the units they are about nothing. */
  #traces(name: string): string[] {
    const unit = `${UNIT}${name}`
    return (
      ['.timer', '.service', '.timer.d', '.service.d']
        .map(end => resolve(this.#places.units, `${unit}${end}`))
        .concat(resolve(this.#places.units, `timers.target.wants/${unit}.timer`))
        // When it ran last, for `Persistent=`. (`systemctl clean` would do it too, where there is a D-Bus.)
        .concat(resolve(this.#places.stamps, `stamp-${unit}.timer`))
    )
  }

  #probe(name: string): string {
    return `${UNIT}${name}-probe.service`
  }

  /** Starts a unit that is gone afterwards, and returns systemd's name for how it ended. */
  async #start(name: string, text: string): Promise<string> {
    const unit = this.#probe(name)
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
    }
  // Where a manager looks whom nobody has told of other folders (XDG_CONFIG_HOME): ours may not be what it was told.
  const home = userInfo().homedir
  return {
    units: resolve(home, '.config/systemd/user'),
    runtime: `/run/user/${uid}/systemd/user`,
    stamps: resolve(home, '.local/share/systemd/timers'),
  }
}

const PROPERTIES = [
  ...['LoadState', 'UnitFileState', 'ActiveState', 'Result', 'LastTriggerUSec', 'NextElapseUSecRealtime'],
  ...['ExecMainStartTimestamp', 'ExecMainExitTimestamp', 'ExecMainStatus'],
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
  // A service that has not run since the machine was started says "success" too.
  const ended = timeOf(service.ExecMainExitTimestamp)
  const lastRun = timeOf(service.ExecMainStartTimestamp) ?? timeOf(timer.LastTriggerUSec)
  const nextRun = timeOf(timer.NextElapseUSecRealtime)
  const failed = service.Result !== undefined && service.Result !== 'success'
  const status = service.ExecMainStatus ?? '0'
  const lastResult = failed
    ? `${service.Result}${status === '0' ? '' : ` (${status})`}`
    : ended === undefined
      ? undefined
      : 'success'
  return {
    isEnabled: timer.LoadState === 'loaded' && timer.UnitFileState === 'enabled',
    isActive: timer.ActiveState === 'active',
    ...(lastRun === undefined ? {} : { lastRun }),
    ...(lastResult === undefined ? {} : { lastResult }),
    ...(nextRun === undefined ? {} : { nextRun }),
  }
}

/** "Thu 2026-11-26 03:55:00 UTC", as systemd writes a time when TZ is UTC. */
function timeOf(text: string | undefined): Date | undefined {
  const match = /(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.\d+)? UTC/.exec(text ?? '')
  return match === null ? undefined : new Date(`${match[1]}T${match[2]}Z`)
}

/** What tells a unit of this deployment from one of another deployment of the same name. */
function markOf(root: string): string {
  return `X-Deployment=${sha256(root).slice(0, 32)}`
}

function valuesOf(order: Order): Record<string, unknown> {
  const { layout, command, credential, docker } = order
  const [node, bin, ...args] = command
  const isHidden = (path: string) => HIDDEN.some(folder => path.startsWith(`${folder}/`))
  const hidden = [node, ...(docker === undefined ? [] : [docker]), ...order.reads].filter(isHidden)
  const folders = docker === undefined ? USUAL_PATH : [...new Set([dirname(docker), ...USUAL_PATH])]
  const environment = { ...order.environment, PATH: folders.join(':') }
  const assigned = (all: Record<string, string>) =>
    Object.entries(all).map(([name, value]) => word(`${name}=${value}`))
  return {
    name: order.name,
    monthly: order.every === 'monthly',
    mark: markOf(layout.root),
    // The program itself is no place for variables, and so has no `$` to be doubled (systemd.service(5)).
    command: [word(node), ...[bin, ...args].map(part => word(part).replaceAll('$', '$$$$'))].join(' '),
    environment: assigned(environment),
    home: word(`HOME=${order.home}`),
    root: word(layout.root),
    hidden: hidden.map(path => word(path)),
    programs: hidden.filter(path => path === node || path === docker).map(path => word(path)),
    dockerConfig: word(`-${order.dockerConfig}`),
    credential: credential === undefined ? '' : `${credential.id}:${rest(credential.path)}`,
    addresses: order.isLocal ? 'localhost' : ANYWHERE,
    isLocal: order.isLocal,
  }
}

/**
 * One word of a list in a unit file (systemd.syntax(7), "Quoting"): what has a meaning there is escaped. Errors:
 * `schedule_path`, for what no unit file can hold.
 */
export function word(text: string): string {
  return `"${withoutControls(text).replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('%', '%%')}"`
}

/** A setting that is taken as it stands to the end of the line; only specifiers have a meaning. Errors: `schedule_path`. */
export function rest(text: string): string {
  if (/^\s|\s$|\\$/.test(text)) throw unwritable(text, 'systemd')
  return withoutControls(text).replaceAll('%', '%%')
}

function withoutControls(text: string): string {
  if (/\p{Cc}|\ufffd/u.test(text)) throw unwritable(text, 'systemd')
  return text
}
