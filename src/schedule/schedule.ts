import { accessSync, constants, existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Answers } from '../deployment/answers.ts'
import type { Layout } from '../deployment/layout.ts'
import type { ProcessRunner } from '../docker/process.ts'
import { Exit, ToolError } from '../errors.ts'
import {
  type Every,
  OLDEST,
  type Order,
  type ScheduleNote,
  type Scheduler,
  type Seen,
  scheduleNote,
  unwritable,
} from './port.ts'

/** The schedule as it is now. */
export interface ScheduleState extends Seen {
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
}

/** Who asks, and how. */
export interface Asking {
  /** Redacts nothing: what cron has is written back as it was. */
  run: ProcessRunner
  uid: number
}

/**
 * What was asked for and what has become of it; undefined when nothing was asked for. What is not there as it was written
 * counts as neither enabled nor active, and nobody is asked about it. Errors: `schedule_corrupt`, `schedule_elsewhere`,
 * `schedule_unknown`.
 */
export async function scheduleState(
  layout: Layout,
  asking: Asking,
  now: Date,
): Promise<ScheduleState | undefined> {
  const note = scheduleNote(layout)
  if (note === undefined) return undefined
  const { every, kind, scope, unit, since, store } = note
  const scheduler = await schedulerOf(note, asking)
  const lost = [
    ...(await scheduler.missing(note)),
    ...note.command.filter(part => part.startsWith('/')).filter(path => !existsSync(path)),
  ]
  const seen =
    lost.length > 0 ? { isEnabled: false, isActive: false } : await scheduler.look(note, layout, now)
  return { every, kind, scope, unit, since, store, isInstalled: lost.length === 0, missing: lost, ...seen }
}

/** The scheduler that a note names. Errors: `schedule_elsewhere`, for one of another user. */
export async function schedulerOf(
  note: Pick<ScheduleNote, 'kind' | 'scope' | 'uid'>,
  { run, uid }: Asking,
): Promise<Scheduler> {
  if (note.uid !== uid)
    throw new ToolError(
      'schedule_elsewhere',
      `the rotation was scheduled by the user with the number ${note.uid}`,
      'Run the command as that user.',
      Exit.unknown,
    )
  if (note.kind === 'cron') return new (await import('./cron.ts')).Cron({ run })
  return new (await import('./systemd.ts')).Systemd({ run, uid })
}

/** All schedulers that this machine has, the preferred one first. */
export async function schedulersHere(
  asking: Asking,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Scheduler[]> {
  const found: Scheduler[] = []
  // systemd's own way to say that it runs this machine (sd_booted(3)).
  if (existsSync('/run/systemd/system') && programPath('systemctl', env.PATH) !== undefined) {
    const systemd = new (await import('./systemd.ts')).Systemd(asking)
    if (await systemd.answers()) found.push(systemd)
  }
  if (programPath('crontab', env.PATH) !== undefined) found.push(new (await import('./cron.ts')).Cron(asking))
  return found
}

/** The one to use. Errors: `no_scheduler`. */
export async function chooseScheduler(
  asking: Asking,
  env: Readonly<Record<string, string | undefined>>,
  every: Every,
): Promise<Scheduler> {
  const [first] = await schedulersHere(asking, env)
  if (first !== undefined) return first
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

/** Whether what opens the store is a secret id that is kept here, and so is rotated as well. */
export function rotatesCredential(answers: Pick<Answers, 'store' | 'vaultAuth' | 'credentialFile'>): boolean {
  return answers.store === 'vault' && answers.vaultAuth === 'approle' && answers.credentialFile === ''
}

/**
 * What the daily run of a deployment is. `env` and `home` are those of the person who schedules it. Errors:
 * `schedule_path`.
 */
export function orderOf(sources: {
  answers: Answers
  layout: Layout
  every: Every
  node: string
  env: Readonly<Record<string, string | undefined>>
  home: string
}): Order {
  const { answers, layout, every, node, env, home } = sources
  const { store, credentialFile } = answers
  // Node takes no file for a module that has one in its path (ERR_INVALID_MODULE_SPECIFIER).
  if (layout.root.includes('\\')) throw unwritable(layout.root, 'Node')
  const secrets = ['gateway_token', ...(rotatesCredential(answers) ? ['store_credential'] : [])]
  const age = ['--resume', '--if-older-than', OLDEST[every], '--yes']
  const bin = resolve(layout.tool, 'bin/create-openclaw-secure.js')
  const kept = credentialFile === '' ? resolve(layout.credentials, store) : credentialFile
  const settings = ['DOCKER_HOST', 'DOCKER_CONTEXT', 'DOCKER_CONFIG', 'DOCKER_CERT_PATH', 'DOCKER_TLS_VERIFY']
  const environment = Object.fromEntries(
    settings.flatMap(name => (env[name] === undefined ? [] : [[name, env[name]]])),
  )
  const isFar = /^(tcp|ssh|https?):/.test(env.DOCKER_HOST ?? '') || (env.DOCKER_CONTEXT ?? '') !== ''
  return {
    ...{ every, name: answers.name, layout, home, environment },
    command: [node, bin, 'rotate', ...secrets, '--dir', layout.root, ...age],
    // A secret id that is replaced by the run itself must be read where it is replaced.
    credential:
      store === 'docker' || rotatesCredential(answers)
        ? undefined
        : { id: `${store}_credential`, path: kept },
    isLocal: store === 'docker' && !isFar,
    docker: programPath('docker', env.PATH),
    dockerConfig: env.DOCKER_CONFIG ?? resolve(home, '.docker'),
    reads: [answers.vaultCa, env.DOCKER_CERT_PATH ?? ''].filter(path => path.startsWith('/')),
  }
}
