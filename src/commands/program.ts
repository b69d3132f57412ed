import { randomBytes } from 'node:crypto'
import { mkdirSync, realpathSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { ensureDirectory, readIfPresent, sweep } from '../deployment/files.ts'
import { type Layout, layoutOf } from '../deployment/layout.ts'
import { takeLock } from '../deployment/lock.ts'
import { Compose } from '../docker/compose.ts'
import { Docker } from '../docker/engine.ts'
import { type ProcessRunner, processRunner } from '../docker/process.ts'
import { explainWriteError } from '../errors.ts'
import { Journal } from '../procedure/journal.ts'
import type { Runtime } from '../procedure/run.ts'
import { type LiveProgress, plainProgress, silentProgress, terminalProgress } from '../report/progress.ts'
import { Redactor } from '../secret.ts'
import { DockerSecretFiles } from '../stores/docker.ts'
import type { SecretStore } from '../stores/store.ts'

/** The process around a command, handed in by the entry file so that tests can hand in another. */
export interface Program {
  version: string
  cwd: string
  env: NodeJS.ProcessEnv
  stdin: Readable & { isTTY?: boolean }
  stdout: Writable & { isTTY?: boolean }
  stderr: Writable & { isTTY?: boolean }
  person: { uid: number; gid: number }
  signal: AbortSignal
  /** Aborted when the program ends in the middle of a step: children must not go on alone. */
  abandon: AbortSignal
  now(): Date
}

/** The flags every command has. */
export interface GlobalOptions {
  dir?: string
  yes?: boolean
  json?: boolean
  quiet?: boolean
  color?: boolean
  plain?: boolean
  dryRun?: boolean
}

/** One deployment with everything a command works on it with. */
export interface Session {
  layout: Layout
  redactor: Redactor
  run: ProcessRunner
  docker: Docker
  /** The same, redacting nothing: to look for a secret that leaked. What it returns is never shown as it is. */
  searching: Docker
  journal: Journal
  progress: LiveProgress
  colour: boolean
  /** No TTY, `CI` set, or `--yes`: nothing is ever asked. */
  interactive: boolean
  accessible: boolean
  /** The text of `deployment.yaml`, when there is one. */
  saved: string | undefined
}

export async function openSession(
  program: Program,
  directory: string,
  options: GlobalOptions,
): Promise<Session> {
  const { env, stderr, stdin } = program
  const layout = layoutOf(realPath(directory))
  const redactor = new Redactor()
  const run = processRunner(redactor, env, program.abandon)
  const terminal = stdin.isTTY === true && stderr.isTTY === true && !isSet(env.CI)
  const accessible = options.plain === true || isSet(env.ACCESSIBLE) || env.TERM === 'dumb'
  return {
    layout,
    redactor,
    run,
    docker: new Docker(run),
    searching: new Docker(processRunner(new Redactor(), env)),
    journal: new Journal(layout.journal, program.now),
    progress: options.quiet
      ? silentProgress
      : terminal && !accessible
        ? await terminalProgress(stderr)
        : plainProgress(stderr),
    colour: options.color !== false && !accessible && !isSet(env.NO_COLOR) && stderr.isTTY === true,
    interactive: terminal && options.yes !== true,
    accessible,
    saved: readIfPresent(layout.answers),
  }
}

/** What a procedure of this session runs with. The lock and the folder it lies in are made before the first effect. */
export function runtimeOf(session: Session, program: Program, command: string, dryRun: boolean): Runtime {
  const { layout, journal, progress } = session
  return {
    journal,
    progress,
    signal: program.signal,
    runId: randomBytes(6).toString('hex'),
    dryRun,
    async lock() {
      try {
        mkdirSync(layout.root, { recursive: true, mode: 0o700 })
      } catch (error) {
        throw explainWriteError(error, layout.root)
      }
      ensureDirectory(layout.own, 0o700)
      const release = takeLock(layout.lock, command, program.now())
      sweep([
        layout.root,
        layout.own,
        layout.base,
        layout.store,
        layout.config,
        layout.secrets,
        layout.runbooks,
      ])
      return release
    },
  }
}

/** The deployment's store. `owner` is set where files must be given to the gateway's user. */
export function storeOf(
  session: Pick<Session, 'layout' | 'redactor'>,
  owner: () => { uid: number; gid: number } | undefined,
): SecretStore {
  const { layout, redactor } = session
  // What is not for the gateway does not lie in the folder that is mounted into it.
  const isForGateway = (name: string) => name !== 'proxy_password'
  return new DockerSecretFiles({
    documents: layout.store,
    valuesOf: name => (isForGateway(name) ? layout.secrets : layout.store),
    ownerOf: name => (isForGateway(name) ? owner() : undefined),
    redactor,
  })
}

export function composeOf(session: Pick<Session, 'docker' | 'layout'>, name: string): Compose {
  return new Compose(session.docker, session.layout.root, name)
}

/**
 * The same folder has one name, however it was reached: Docker and Compose remember it by that name. The last part is not
 * resolved: a deployment folder that is a link itself is refused.
 */
function realPath(directory: string): string {
  const above = dirname(directory)
  try {
    return resolve(realpathSync(above), basename(directory))
  } catch {
    return above === directory ? directory : resolve(realPath(above), basename(directory))
  }
}

function isSet(variable: string | undefined): boolean {
  return variable !== undefined && variable !== '' && variable !== 'false' && variable !== '0'
}
