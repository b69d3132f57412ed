import { randomBytes } from 'node:crypto'
import { mkdirSync, realpathSync } from 'node:fs'
import { hostname } from 'node:os'
import { basename, dirname, resolve } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import type { Answers } from '../deployment/answers.ts'
import { ensureDirectory, type FileOwner, readIfPresent, sweep } from '../deployment/files.ts'
import { type Layout, layoutOf } from '../deployment/layout.ts'
import { Locked, takeLock } from '../deployment/lock.ts'
import { Compose } from '../docker/compose.ts'
import { Docker } from '../docker/engine.ts'
import { readLockdown } from '../docker/isolation.ts'
import { RUN, runOn, settleLeftovers } from '../docker/leftovers.ts'
import { type ProcessRunner, processRunner } from '../docker/process.ts'
import { Exit, explainWriteError, ToolError, UsageError } from '../errors.ts'
import { openCase } from '../evidence/open.ts'
import { Journal } from '../procedure/journal.ts'
import type { Runtime } from '../procedure/run.ts'
import { type LiveProgress, plainProgress, silentProgress, terminalProgress } from '../report/progress.ts'
import { Redactor, type Secret } from '../secret.ts'
import { openStore } from '../stores/open.ts'
import type { SecretStore } from '../stores/store.ts'

/** The process around a command, handed in by the entry file so that tests can hand in another. */
export interface Program {
  version: string
  cwd: string
  env: NodeJS.ProcessEnv
  stdin: Readable & { isTTY?: boolean }
  stdout: Writable & { isTTY?: boolean }
  stderr: Writable & { isTTY?: boolean }
  /** Shows a secret to the person: the one way past the guard of stdout. Only where stdout is a terminal. */
  reveal?: ((secret: Secret) => void) | undefined
  /** Knows every secret that lives in this process; stdout and stderr go through it. */
  redactor: Redactor
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
  /** What opens the store: `@PATH` or `@-`. */
  storeCredential?: string
}

/** One deployment with everything a command works on it with. */
export interface Session {
  layout: Layout
  redactor: Redactor
  run: ProcessRunner
  docker: Docker
  /** Redacts nothing: for a child that prints a secret to us, and to look for one that leaked. Nothing of it is shown. */
  searchingRun: ProcessRunner
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
  options: Omit<GlobalOptions, 'storeCredential'>,
): Promise<Session> {
  const { env, stderr, stdin } = program
  const layout = layoutOf(realPath(directory))
  const { redactor } = program
  const childrens = { ...env, [RUN]: runOn(layout.root) }
  const run = processRunner(redactor, childrens, program.abandon)
  const searchingRun = processRunner(new Redactor(), childrens, program.abandon)
  const terminal = stdin.isTTY === true && stderr.isTTY === true && !isSet(env.CI)
  const warning = warningOf(layout)
  if (warning !== undefined && options.quiet !== true) stderr.write(warning)
  const accessible = options.plain === true || isSet(env.ACCESSIBLE) || env.TERM === 'dumb'
  return {
    layout,
    redactor,
    run,
    docker: new Docker(run),
    searchingRun,
    searching: new Docker(searchingRun),
    journal: new Journal(layout.journal, program.now, redactor),
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

/**
 * A core dump of this program, or of a child, would hold every secret it knows: none is written, whatever the shell allows
 * (prlimit(1)). Best effort: where there is no such program, the shell's own limit counts, which is 0 as a rule.
 */
export async function forbidCoreDumps({ run }: Pick<Session, 'run'>): Promise<void> {
  try {
    await run('prlimit', ['--pid', String(process.pid), '--core=0:0'], { deadline: 5000 })
  } catch (error) {
    if (!(error instanceof ToolError)) throw error
  }
}

/** What a procedure of this session runs with. The lock and the folder it lies in are made before the first effect. */
export function runtimeOf(session: Session, program: Program, command: string, dryRun: boolean): Runtime {
  const { layout, journal, progress } = session
  refuseInIncident(layout, command)
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
      try {
        // Whoever held the lock before may have opened one.
        refuseInIncident(layout, command)
        if (!HASTY.includes(command)) await settleLeftovers(session.docker, layout.root, program.signal)
      } catch (error) {
        release()
        throw error
      }
      sweep([
        layout.root,
        layout.own,
        layout.base,
        layout.store,
        layout.sealed,
        layout.credentials,
        layout.config,
        layout.border,
        layout.sandbox,
        layout.secrets,
        layout.runbooks,
      ])
      return release
    },
  }
}

/** What takes a gateway off the network at once, and does not wait for what a killed run has left. */
const HASTY = ['incident', 'lockdown']

/** What may change a deployment while somebody looks into it. */
const RESPONSES = ['incident', 'lockdown', 'unlock']

/**
 * A runtime in which nobody else's lock keeps anything from being contained: while a command that changes the deployment has it,
 * `contain` is done without it, and says what it did. A response that has it contains already, and is left alone. Errors of its
 * lock: {@link Locked}; `locked` with exit 4 where `contain` was tried.
 */
export function containing(runtime: Runtime, contain: () => Promise<string>): Runtime {
  return {
    ...runtime,
    async lock() {
      try {
        return await runtime.lock()
      } catch (error) {
        if (!(error instanceof Locked) || RESPONSES.includes(error.command)) throw error
        const done = await contain().catch((failure: unknown) => {
          if (!(failure instanceof ToolError)) throw failure
          return `NOT contained: ${failure.message}. ${failure.hint}`
        })
        const { pid, host } = error
        const how = host === hostname() ? `(kill ${pid})` : `on ${host}`
        throw new ToolError(
          'locked',
          `${done}\nThe rest is not done: ${error.message}`,
          `Wait for it to end, or end it ${how}, then run the same command again: it goes on from there.`,
          Exit.interrupted,
          error,
        )
      }
    },
  }
}

/**
 * The tripwire: while a case is open, or the gateway is locked down, nothing else changes the deployment, and no evidence is
 * overwritten in passing. Errors: `case_open`, `locked_down`.
 */
export function refuseInIncident(layout: Layout, command: string): void {
  if (RESPONSES.includes(command)) return
  const open = openCase(layout)
  if (open !== undefined)
    throw new ToolError(
      'case_open',
      `${command} would change what is being looked into: the case ${open.id} is open since ${open.openedAt}`,
      'Go on with it: create-openclaw-secure incident --resume. Or end it where it stands: create-openclaw-secure incident close.',
      Exit.usage,
    )
  const lockdown = readLockdown(layout)
  if (lockdown !== undefined)
    throw new ToolError(
      'locked_down',
      `the gateway is locked down since ${lockdown.since}`,
      'Undo that first: create-openclaw-secure unlock. Or look into it: create-openclaw-secure incident container-compromised.',
      Exit.usage,
    )
}

/** A line for every command, as long as something is wrong; undefined: nothing is. */
function warningOf(layout: Layout): string | undefined {
  const open = openCase(layout)
  if (open !== undefined)
    return `A case is open: ${open.id}. Go on with it: create-openclaw-secure incident --resume\n`
  const lockdown = readLockdown(layout)
  return lockdown === undefined
    ? undefined
    : `Locked down since ${lockdown.since}: create-openclaw-secure unlock\n`
}

/** The store of a deployment. Errors: see {@link openStore}. */
export function storeOf(
  session: Pick<Session, 'layout' | 'redactor' | 'searchingRun'>,
  program: Pick<Program, 'env' | 'version'>,
  answers: Answers,
  given: { owner?: () => FileOwner | undefined; credential?: () => Secret | undefined } = {},
): Promise<SecretStore> {
  const { layout, redactor, searchingRun } = session
  const { env, version } = program
  const { owner = () => undefined, credential = () => undefined } = given
  return openStore({ answers, layout, redactor, run: searchingRun, owner, credential, env, version })
}

/** What `--store-credential` brings: the secret that opens the store. Errors: a usage error that never repeats it. */
export async function credentialOf(
  source: string | undefined,
  program: Pick<Program, 'stdin' | 'cwd'>,
): Promise<Secret | undefined> {
  if (source === undefined) return undefined
  const { readSecret } = await import('../wizard/secrets.ts')
  const read = await readSecret(source, program.stdin, program.cwd)
  if (typeof read !== 'string') return read
  const flag = '--store-credential @FILE'
  throw new UsageError([{ field: 'store credential', given: '(not shown)', allowed: read, flag }])
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
