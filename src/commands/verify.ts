import { resolve } from 'node:path'
import { attackChecks } from '../../steps/attack/checks.ts'
import { factsOf } from '../../steps/verify/facts.ts'
import { type FileSources, ownFiles } from '../../steps/verify/files.ts'
import { checks } from '../../steps/verify/index.ts'
import { judge, unlessReplaced, withSuppressions } from '../../steps/verify/judge.ts'
import { NotApplicable, type World } from '../../steps/verify/world.ts'
import type { Answers } from '../deployment/answers.ts'
import { readIfPresent, writeAtomic } from '../deployment/files.ts'
import { INGRESS, SANDBOX_SERVICE } from '../docker/compose.ts'
import { removeLeftovers } from '../docker/leftovers.ts'
import { Cancelled, Exit, type ExitCode, type Problem, ToolError, UsageError } from '../errors.ts'
import type { Finding } from '../procedure/step.ts'
import { driftSince, recall, remember } from '../report/drift.ts'
import { type Format, formatReport } from '../report/format.ts'
import { type Control, type Drift, type Report, summarize } from '../report/report.ts'
import { generateToken } from '../secret.ts'
import { DeliveredSecrets } from '../stores/delivered.ts'
import type { SecretStore } from '../stores/store.ts'
import { type Deployment, readDeployment } from '../wizard/saved.ts'
import {
  composeOf,
  credentialOf,
  forbidCoreDumps,
  type GlobalOptions,
  openSession,
  type Program,
  type Session,
  storeOf,
} from './program.ts'

/** What can be named. The attacks take a minute of the whole machine: they run when they are, and never by themselves. */
const nameable = [...checks, ...attackChecks]

export interface VerifyOptions extends GlobalOptions {
  only?: string[]
  format?: Format
  verbose?: boolean
  /** Files only: no engine is asked. */
  static?: boolean
  /** Also shows that every check can fail. */
  prove?: boolean
  /** A container to judge that cannot be found by its folder. */
  container?: string
}

/** Proves the checklist against the running gateway. 0: all passed; 1: something failed; 3: something could not be looked at. */
export async function verify(program: Program, options: VerifyOptions): Promise<ExitCode> {
  const startedAt = program.now().toISOString()
  const session = await openSession(program, resolve(program.cwd, options.dir ?? '.'), options)
  const own = session.saved === undefined ? undefined : savedDeployment(session)
  refuse([
    ...unknownChecks(options.only ?? [], '--only'),
    ...unknownChecks(own?.suppressions.map(one => one.check) ?? [], 'suppress in deployment.yaml'),
    ...contradictions(options, own !== undefined),
  ])
  if (own === undefined)
    return show(await foreignWorld(session, program, options), own, session, program, options, startedAt)
  const filesOnly = options.static === true
  if (filesOnly && own.answers.store !== 'docker') {
    // Nobody is asked, the store neither: what was delivered has to do.
    const store = new DeliveredSecrets(session.layout.secrets, session.redactor)
    const world = await ownWorld(session, own, program.now(), { store, stored: notAsked }, true)
    return show(world, own, session, program, options, startedAt)
  }
  // Beside everything else, because it need not be waited for; and not where no child is started otherwise.
  const guarded = filesOnly ? undefined : forbidCoreDumps(session)
  const credential = await credentialOf(options.storeCredential, program)
  const store = await storeOf(session, program, own.answers, { credential: () => credential })
  try {
    const world = await ownWorld(session, own, program.now(), { store }, filesOnly)
    return await show(world, own, session, program, options, startedAt)
  } finally {
    await Promise.all([guarded, store.close()])
  }
}

/** Looks, and shows what was seen. */
async function show(
  world: World,
  own: Deployment | undefined,
  session: Session,
  program: Program,
  options: VerifyOptions,
  startedAt: string,
): Promise<ExitCode> {
  if (options.static !== true) await removeLeftovers(session.docker, program.signal)
  const { findings, drift } = await look(world, session, program, options, startedAt)
  if (program.signal.aborted) throw new Cancelled('Nothing was changed.')
  const say = (line: string) => (options.quiet ? undefined : program.stderr.write(`${line}\n`))
  const controls =
    options.prove === true && own !== undefined
      ? await proveChecks(session, program, { ...world, own: own.answers }, findings, say)
      : undefined

  const shown: Report = {
    version: program.version,
    deployment: session.layout.root,
    startedAt,
    findings,
    ...(drift === undefined ? {} : { drift }),
    ...(controls === undefined ? {} : { controls }),
  }
  const format = options.json === true ? 'json' : (options.format ?? 'text')
  program.stdout.write(
    await formatReport(shown, format, { colour: session.colour, verbose: options.verbose === true }),
  )
  const code = exitOf(findings)
  return code === Exit.done && controls?.some(control => !control.red) ? Exit.failed : code
}

/** 3 before 1: with something unseen, what failed is not yet all that is wrong. */
export function exitOf(findings: readonly Finding[]): ExitCode {
  const { fail, unknown } = summarize(findings)
  return unknown > 0 ? Exit.unknown : fail > 0 ? Exit.failed : Exit.done
}

/** Runs the checks that were asked for, and compares with what the last run left. */
async function look(
  world: World,
  session: Session,
  program: Program,
  options: Pick<VerifyOptions, 'only' | 'static'>,
  startedAt: string,
): Promise<{ findings: Finding[]; drift?: Drift }> {
  const only = options.only ?? []
  const chosen = (only.length === 0 ? checks : nameable).filter(
    check =>
      (only.length === 0 || only.some(one => matches(check.id, one))) &&
      !(options.static === true && check.kind === 'live'),
  )
  const findings = await judgeAll(world, session, program.signal, chosen)
  if (world.own === undefined || program.signal.aborted) return { findings }
  const facts = await factsOf(world, options.static !== true)
  const path = resolve(session.layout.own, 'verify.json')
  const last = recall(readIfPresent(path))
  try {
    writeAtomic(path, `${JSON.stringify(remember(last, startedAt, findings, facts))}\n`, 0o600)
  } catch (error) {
    // What was found is worth more than what the next run compares it with.
    if (!(error instanceof ToolError)) throw error
    program.stderr.write(`Not kept for the next run to compare with: ${error.message}\n`)
  }
  return last === undefined ? { findings } : { findings, drift: driftSince(last, findings, facts) }
}

async function judgeAll(
  world: World,
  session: Session,
  signal: AbortSignal,
  chosen: typeof checks,
): Promise<Finding[]> {
  const seen = await judge(chosen, world, text => session.redactor.clean(text), signal)
  const live = chosen.some(check => check.kind === 'live')
  const sure = live ? await unlessReplaced(seen, world) : seen
  return withSuppressions(sure, world.suppressions, world.now)
}

/** Every check on the deployment that setup has just made. */
export async function verifyDeployment(
  session: Session,
  deployment: Deployment,
  store: SecretStore,
  now: Date,
  signal: AbortSignal,
): Promise<Finding[]> {
  return judgeAll(await ownWorld(session, deployment, now, { store }, false), session, signal, checks)
}

async function ownWorld(
  session: Session,
  { answers, suppressions }: Deployment,
  now: Date,
  seen: Pick<FileSources, 'store' | 'stored'>,
  filesOnly: boolean,
): Promise<World> {
  const { layout, journal, run, docker, searching, redactor } = session
  const files = ownFiles({ layout, answers, suppressions, journal, run, now, ...seen })
  if (filesOnly) return filesAlone(files)
  const { liveWorld } = await import('../../steps/verify/live.ts')
  const compose = composeOf(session, answers.name)
  const find = async () => {
    const id = await compose.containerId()
    return id === undefined ? undefined : searching.container(id)
  }
  const wrongToken = redactor.learn(generateToken())
  return { ...files, ...liveWorld(files, { docker, searching, run, compose, find, wrongToken }) }
}

async function notAsked(): Promise<never> {
  throw new NotApplicable('the store is not asked with --static')
}

async function foreignWorld(
  session: Session,
  program: Program,
  { container, static: filesOnly }: Pick<VerifyOptions, 'container' | 'static'>,
): Promise<World> {
  const { layout, docker, searching, run, redactor } = session
  const { findForeign, foreignFiles, looksLikeDeployment } = await import('../../steps/verify/foreign.ts')
  const { liveWorld } = await import('../../steps/verify/live.ts')
  const sources = { directory: layout.root, container, docker, searching, run, redactor, now: program.now() }
  const find = filesOnly === true ? async () => undefined : findForeign({ ...sources, docker: searching })
  if (
    container === undefined &&
    !looksLikeDeployment(layout.root) &&
    (await find().catch(() => undefined)) === undefined
  )
    throw noDeployment(layout.root)
  const files = foreignFiles(sources, find)
  const wrongToken = redactor.learn(generateToken())
  return { ...files, ...liveWorld(files, { docker, searching, run, compose: undefined, find, wrongToken }) }
}

/** With --static nobody asks the engine; a check that does is not chosen, and would be a defect. */
function filesAlone(files: Awaited<ReturnType<typeof ownFiles>>): World {
  return new Proxy(files, {
    get(target, name) {
      // Whoever awaits it asks whether it is a promise.
      if (Object.hasOwn(target, name) || name === 'then') return Reflect.get(target, name)
      return () => Promise.reject(new Error(`a static check asked for ${String(name)}`))
    },
  }) as World
}

/** Runs the negative controls of the checks that were asked for. */
async function proveChecks(
  session: Session,
  program: Program,
  { own, service, companions }: World & { own: Answers },
  findings: readonly Finding[],
  say: (line: string) => void,
): Promise<Control[]> {
  const { prove } = await import('../../steps/prove/prove.ts')
  const { recordedOwnership } = await import('../../steps/setup/owner.ts')
  const { assumeOwnership } = await import('../deployment/owner.ts')
  const { docker, searching, run, redactor, layout, journal } = session
  const { person, signal, now } = program
  const chosen = nameable.filter(check => findings.some(finding => finding.check === check.id))
  const skipped = new Set(findings.filter(({ verdict }) => verdict === 'skip').map(({ check }) => check))
  const beside = await companions()
  const imageOf = (name: string) => beside.find(one => one.name === name)?.image
  const controls = await prove(chosen, {
    answers: own,
    image: (await service()).image ?? '',
    border: imageOf(INGRESS) ?? '',
    sandbox: imageOf(SANDBOX_SERVICE),
    ownership:
      recordedOwnership(journal.read(), (await docker.info()).ID, person.uid) ?? assumeOwnership(person),
    layout,
    docker,
    searching,
    run,
    redactor,
    person,
    now: () => now(),
    signal,
    say,
  }).catch(error => {
    if (signal.aborted) throw new Cancelled('The weak copies are removed; nothing else was changed.')
    throw error
  })
  // What this deployment does not have, its copies do not have either: there is nothing to be red.
  return controls.filter(({ check, verdict }) => verdict !== 'skip' || !skipped.has(check))
}

/** The answers of an existing deployment. Errors: `no_deployment`, and a usage error when the file was spoilt. */
export function savedAnswers(session: Session): Answers {
  return savedDeployment(session).answers
}

/** The answers and accepted failures of an existing deployment. Errors: as {@link savedAnswers}. */
export function savedDeployment(session: Pick<Session, 'saved' | 'layout'>): Deployment {
  if (session.saved === undefined) throw noDeployment(session.layout.root)
  return readDeployment(session.saved, session.layout.root)
}

function noDeployment(root: string): ToolError {
  return new ToolError(
    'no_deployment',
    `${root} is no deployment of this tool: it has no deployment.yaml`,
    'Name one with --dir, or make one: npx create-openclaw-secure DIRECTORY. verify also judges a folder with a Compose file or an openclaw.json, and any container with --container NAME.',
    Exit.usage,
  )
}

function refuse(problems: readonly Problem[]): void {
  if (problems.length > 0) throw new UsageError(problems)
}

function unknownChecks(ids: readonly string[], where: string): Problem[] {
  return ids
    .filter(id => !nameable.some(check => matches(check.id, id)))
    .map(id => ({
      field: 'check',
      given: id,
      allowed: nameable.map(check => check.id).join(', '),
      flag: where,
    }))
}

function contradictions(options: VerifyOptions, isOwn: boolean): Problem[] {
  const both = (flag: string, other: string): Problem => ({
    field: flag,
    given: `${flag} and ${other}`,
    allowed: 'one of the two',
    flag: `leave ${other} out`,
  })
  return [
    ...(options.json === true && options.format !== undefined && options.format !== 'json'
      ? [both('--json', `--format ${options.format}`)]
      : []),
    ...(options.static === true && options.prove === true ? [both('--static', '--prove')] : []),
    ...(options.static === true && options.container !== undefined ? [both('--static', '--container')] : []),
    ...(isOwn && options.container !== undefined
      ? [
          {
            field: '--container',
            given: options.container,
            allowed: 'only for a folder that this tool did not make',
          },
        ]
      : []),
    ...(!isOwn && options.prove === true
      ? [
          {
            field: '--prove',
            allowed: 'only for a deployment of this tool, of which it makes a weak copy',
            flag: '--dir',
          },
        ]
      : []),
  ]
}

/** `ports.*` stands for every check that begins with `ports.`. */
function matches(id: string, pattern: string): boolean {
  return pattern.endsWith('*') ? id.startsWith(pattern.slice(0, -1)) : id === pattern
}
