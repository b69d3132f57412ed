import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Answers } from '../deployment/answers.ts'
import { errorCode, lookAt } from '../deployment/files.ts'
import { type Layout, layoutOf } from '../deployment/layout.ts'
import type { ProcessRunner } from '../docker/process.ts'
import { Exit, ToolError } from '../errors.ts'
import { ownsSecretId } from '../stores/credential.ts'
import {
  type Every,
  OLDEST,
  type Order,
  type ScheduleNote,
  type Scheduler,
  type Seen,
  scheduleNote,
  type ToolCopy,
  unwritable,
} from './port.ts'
import { recordedRun } from './record.ts'
import { unsafePaths } from './safe.ts'
import type { Places } from './systemd.ts'
import { isToolWhole, toolEntries, toolFolder, toolVersion } from './tool.ts'

/** The schedule as it is now. */
export interface ScheduleState {
  every: Every
  kind: Scheduler['kind']
  scope: Scheduler['scope']
  unit: string
  since: string
  /** For which kind of store it was made. */
  store: string
  /** Whether everything is there as it was written. */
  isInstalled: boolean
  /** What is not there, or is something else. */
  missing: string[]
  /** undefined: nobody can tell. */
  isEnabled?: boolean | undefined
  isActive?: boolean | undefined
  lastRun?: Date
  /** `success`, or how it failed. */
  lastResult?: string
  nextRun?: Date
  /** Which secrets it rotates. */
  secrets?: string[]
  /** What is wrong beside that, what nobody can tell, and what is good to know. */
  wrong?: string[]
  unsure?: string[]
  notes?: string[]
}

/** Who asks, and how. */
export interface Asking {
  /** Redacts nothing: what cron has is written back as it was. */
  run: ProcessRunner
  uid: number
  /** Other folders than systemd's own; for tests. */
  places?: Places
}

/** A run that has not ended after so long will not: systemd and the script of cron end it after 15 minutes. */
const LONGEST_RUN = 20 * 60_000

/**
 * What was asked for and what has become of it; undefined when nothing was asked for. What is not there as it was written
 * counts as neither enabled nor active, and nobody is asked about it. Errors: `schedule_corrupt`, `schedule_elsewhere`,
 * `schedule_unknown`; `not_readable`.
 */
export async function scheduleState(
  layout: Layout,
  asking: Asking,
  now: Date,
): Promise<ScheduleState | undefined> {
  const note = scheduleNote(layout)
  if (note === undefined) {
    expectNoTraces(layout)
    return undefined
  }
  const { every, kind, scope, unit, since, store } = note
  const scheduler = await schedulerOf(note, asking)
  const lost = [
    ...(await scheduler.missing(note)),
    ...note.command.filter(part => part.startsWith('/')).filter(path => !isThere(path)),
    ...(isToolWhole(layoutOf(note.root), note.tool) ? [] : [toolFolder(layoutOf(note.root), note.tool)]),
  ]
  const seen: Seen = lost.length > 0 ? { isEnabled: false, isActive: false } : await scheduler.look(note, now)
  const last = lastRunOf(layout, seen, now)
  const inTool = toolEntries(layoutOf(note.root), note.tool)?.values() ?? []
  const unsafe = unsafePaths([...note.trusted, ...inTool], { uid: asking.uid, gid: process.getgid?.() ?? 0 })
  const running = toolVersion()
  return {
    ...{ every, kind, scope, unit, since, store, isInstalled: lost.length === 0, missing: lost },
    ...{ isEnabled: seen.isEnabled, isActive: seen.isActive },
    ...(last.start === undefined ? {} : { lastRun: last.start }),
    ...(last.result === undefined ? {} : { lastResult: last.result }),
    ...(seen.nextRun === undefined ? {} : { nextRun: seen.nextRun }),
    secrets: note.command.slice(3, note.command.indexOf('--dir')),
    wrong: [
      ...(note.root === layout.root ? [] : [`made for ${note.root}`]),
      ...unsafe,
      ...(seen.wrong ?? []),
    ],
    unsure: [...last.unsure, ...(seen.unsure ?? [])],
    notes: [
      ...(note.tool.version === running
        ? []
        : [
            `it runs a copy of version ${note.tool.version}, this is ${running}: rotate --schedule ${every} copies it anew`,
          ]),
      ...(scope === 'user' && kind === 'systemd' && !note.files.some(({ path }) => path.endsWith('.conf'))
        ? ['without a sandbox of namespaces, which this machine does not let users have']
        : []),
    ],
  }
}

/** By what the run itself has written down, and what the scheduler says of one that could not. */
function lastRunOf(
  layout: Layout,
  { failure, started }: Seen,
  now: Date,
): { start?: Date | undefined; result?: string; unsure: string[] } {
  const run = recordedRun(layout)
  const start = run?.start ?? started
  if (failure !== undefined) return { start, result: failure, unsure: [] }
  if (start === undefined) return { unsure: [] }
  const isRecorded =
    run !== undefined && (started === undefined || started.getTime() - run.start.getTime() < 60_000)
  if (isRecorded && run.exit !== undefined)
    return { start, result: run.exit === Exit.done ? 'success' : `exit-code (${run.exit})`, unsure: [] }
  const latest = isRecorded || started === undefined ? start : started
  if (now.getTime() - latest.getTime() < LONGEST_RUN) return { start: latest, unsure: [] }
  return { start: latest, unsure: [`what became of the run of ${latest.toISOString()}`] }
}

/** A schedule whose note is gone goes on, and nobody looks after it. Errors: `schedule_corrupt`. */
function expectNoTraces(layout: Layout): void {
  if (lookAt(layout.tool) === undefined) return
  throw new ToolError(
    'schedule_corrupt',
    `${layout.schedule} is gone, and ${layout.tool} is still there: something may run that nobody looks after`,
    'Schedule it again, or turn it off: create-openclaw-secure rotate --schedule off.',
    Exit.unknown,
  )
}

/** What may not be looked at is not taken for missing. Errors: `schedule_unknown`. */
function isThere(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined
  } catch (error) {
    if (errorCode(error) === 'ENOTDIR') return false
    throw new ToolError(
      'schedule_unknown',
      `${path} cannot be looked at`,
      'Run the command as the user who scheduled it.',
    )
  }
}

/** The scheduler that a note names. Errors: `schedule_elsewhere`, for one of another user. */
export async function schedulerOf(
  note: Pick<ScheduleNote, 'kind' | 'scope' | 'uid'>,
  asking: Asking,
): Promise<Scheduler> {
  if (note.uid !== asking.uid)
    throw new ToolError(
      'schedule_elsewhere',
      `the rotation was scheduled by the user with the number ${note.uid}`,
      'Run the command as that user.',
      Exit.unknown,
    )
  if (note.kind === 'cron') return new (await import('./cron.ts')).Cron(asking)
  return new (await import('./systemd.ts')).Systemd(asking)
}

/** Everything on this machine that could have the schedule; whether it answers, it says when something is to be removed. */
export async function allSchedulers(
  asking: Asking,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Scheduler[]> {
  const systemd = new (await import('./systemd.ts')).Systemd(asking)
  if (programPath('crontab', env.PATH) === undefined) return [systemd]
  return [systemd, new (await import('./cron.ts')).Cron(asking)]
}

/** The one to use. Errors: `no_scheduler`. */
export async function chooseScheduler(
  asking: Asking,
  env: Readonly<Record<string, string | undefined>>,
  every: Every,
): Promise<Scheduler> {
  // systemd's own way to say that it runs this machine (sd_booted(3)).
  if (existsSync('/run/systemd/system') && programPath('systemctl', env.PATH) !== undefined) {
    const systemd = new (await import('./systemd.ts')).Systemd(asking)
    if (await systemd.answers()) return systemd
  }
  if (programPath('crontab', env.PATH) !== undefined) return new (await import('./cron.ts')).Cron(asking)
  throw new ToolError(
    'no_scheduler',
    'there is neither a systemd that answers nor a crontab program on this machine',
    `Let any scheduler call this once a day: create-openclaw-secure rotate gateway_token --dir DIRECTORY --resume --if-older-than ${OLDEST[every]} --yes`,
    Exit.unknown,
  )
}

/** Where a program lies that is found by its name; undefined when it is not found. */
export function programPath(name: string, path: string | undefined): string | undefined {
  return (path ?? '')
    .split(':')
    .filter(folder => folder.startsWith('/'))
    .map(folder => resolve(folder, name))
    .find(isProgram)
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/**
 * Where the engine listens that the person's docker talks to: DOCKER_HOST, or the context in use. undefined when docker
 * does not say. Errors: those of the process runner, but for a docker that is missing.
 */
export async function engineEndpoint(
  run: ProcessRunner,
  env: Readonly<Record<string, string | undefined>>,
): Promise<string | undefined> {
  if (env.DOCKER_HOST) return env.DOCKER_HOST
  if (programPath('docker', env.PATH) === undefined) return undefined
  const args = ['context', 'inspect', '--format', '{{.Endpoints.docker.Host}}']
  const { code, stdout } = await run('docker', args, { deadline: 15_000 })
  return code === 0 && stdout.trim() !== '' ? stdout.trim() : undefined
}

/**
 * What the daily run of a deployment is. `env`, `cwd` and `home` are those of the person who schedules it. Errors:
 * `schedule_path`.
 */
export function orderOf(sources: {
  answers: Answers
  layout: Layout
  every: Every
  node: string
  env: Readonly<Record<string, string | undefined>>
  cwd: string
  home: string
  tool: ToolCopy
  /** See {@link engineEndpoint}. */
  endpoint: string | undefined
  /** Whether the secret id that opens the store is rotated as well. */
  withCredential: boolean
}): Order {
  const { answers, layout, every, node, env, cwd, home, tool, endpoint, withCredential } = sources
  const { store, credentialFile } = answers
  // Node takes no file for a module that has one in its path (ERR_INVALID_MODULE_SPECIFIER).
  if (layout.root.includes('\\')) throw unwritable(layout.root, 'Node')
  const secrets = ['gateway_token', ...(withCredential ? ['store_credential'] : [])]
  const age = ['--resume', '--if-older-than', OLDEST[every], '--yes', '--scheduled']
  const bin = resolve(toolFolder(layout, tool), 'bin/create-openclaw-secure.js')
  const kept = credentialFile === '' ? resolve(layout.credentials, store) : credentialFile
  // The run begins in another folder.
  const settings: Record<string, string | undefined> = {
    ...{ DOCKER_HOST: env.DOCKER_HOST, DOCKER_CONTEXT: env.DOCKER_CONTEXT },
    ...{
      DOCKER_CONFIG: absolute(env.DOCKER_CONFIG, cwd),
      DOCKER_CERT_PATH: absolute(env.DOCKER_CERT_PATH, cwd),
    },
    DOCKER_TLS_VERIFY: env.DOCKER_TLS_VERIFY,
  }
  const environment = Object.fromEntries(
    Object.entries(settings).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  )
  const socket = endpoint?.startsWith('unix://') === true ? endpoint.slice('unix://'.length) : undefined
  return {
    ...{ every, name: answers.name, layout, home, environment, tool, socket },
    command: [node, bin, 'rotate', ...secrets, '--dir', layout.root, ...age],
    // A secret id that is replaced by the run itself must be read where it is replaced.
    credential:
      store === 'docker' || ownsSecretId(answers) ? undefined : { id: `${store}_credential`, path: kept },
    isLocal: store === 'docker' && (endpoint === undefined || socket !== undefined),
    docker: programPath('docker', env.PATH),
    dockerConfig: settings.DOCKER_CONFIG ?? resolve(home, '.docker'),
    reads: [answers.vaultCa, settings.DOCKER_CERT_PATH ?? ''].filter(path => path.startsWith('/')),
  }
}

function absolute(path: string | undefined, cwd: string): string | undefined {
  return path === undefined || path === '' ? undefined : resolve(cwd, path)
}
