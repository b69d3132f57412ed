import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { Found, SetupContext } from '../../steps/setup/context.ts'
import { setupSteps } from '../../steps/setup/index.ts'
import { exitOf, type Notice } from '../../steps/setup/notice.ts'
import { inspectMachine } from '../../steps/setup/preflight.ts'
import { inspectAnswers } from '../../steps/setup/preflight-answers.ts'
import { checks } from '../../steps/verify/index.ts'
import type { Answers } from '../deployment/answers.ts'
import { keySecretOf } from '../deployment/answers.ts'
import { errorCode } from '../deployment/files.ts'
import { assumeOwnership } from '../deployment/owner.ts'
import { makePlan } from '../deployment/plan.ts'
import { publishesToNeighbours } from '../docker/firewall.ts'
import {
  Cancelled,
  describeProblem,
  Exit,
  type ExitCode,
  type Problem,
  ToolError,
  UsageError,
  visible,
} from '../errors.ts'
import { imageLabel } from '../gateway/image.ts'
import { secretNamesOf } from '../gateway/policy.ts'
import { runProcedure } from '../procedure/run.ts'
import type { Finding, Suppression } from '../procedure/step.ts'
import { formatReport } from '../report/format.ts'
import { envelope, findingsBody } from '../report/json.ts'
import type { SecretStore } from '../stores/store.ts'
import { readAnswers, sameAnswers, writeAnswers } from '../wizard/answers-file.ts'
import { crossCheck, fillIn, type Gathered, gather, missing, type Sources } from '../wizard/gather.ts'
import type { AnswerId, Place } from '../wizard/question.ts'
import { type BroughtSecrets, readSecrets, type SecretFlags, unusableKey } from '../wizard/secrets.ts'
import { handOver } from './hand-over.ts'
import {
  composeOf,
  type GlobalOptions,
  openSession,
  type Program,
  runtimeOf,
  type Session,
  storeOf,
} from './program.ts'
import { exitOf as exitOfFindings, verifyDeployment } from './verify.ts'

export interface SetupOptions extends GlobalOptions {
  answers?: string
  build?: boolean
  launch?: boolean
  token?: string[]
  providerKey?: string[]
  startTimeout?: number
  /** The questions' own flags, by question id. */
  given: Partial<Record<AnswerId, readonly string[]>>
}

/**
 * Preflight, questions, review, and then the procedure that ends with a running and proven gateway. Nothing is asked
 * after the plan is made; nothing is written before it is shown. Returns the exit code.
 */
export async function setup(program: Program, directory: string, options: SetupOptions): Promise<ExitCode> {
  const startedAt = program.now().toISOString()
  const session = await openSession(program, resolve(program.cwd, directory), options)
  const tell = (text: string) => (options.quiet ? undefined : program.stderr.write(text))
  const launch = options.launch !== false

  const machine = {
    docker: session.docker,
    run: session.run,
    layout: session.layout,
    launch,
    isRoot: program.person.uid === 0,
    env: program.env,
    now: program.now(),
  }
  const preflight = await inspectMachine(machine)
  const place: Place = {
    directory: session.layout.root,
    timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    exposedToNeighbours: preflight.engine !== undefined && publishesToNeighbours(preflight.engine),
  }
  tell(noticeLines(preflight.notices))

  const found: Found = {}
  const store = storeOf(session, () => (found.ownership?.by === 'chown' ? found.ownership.host : undefined))
  const gathered = gather({
    flags: options.given,
    build: options.build === true,
    environment: program.env,
    ...sourcesOf(session, options, program),
  })
  const stopped = exitOf(preflight.notices)
  // A conversation on a machine that cannot carry it out would be time lost.
  if (session.interactive && stopped !== undefined) throw preflightError(preflight.notices, stopped)

  const look = async (answers: Answers) => {
    const notices = await inspectAnswers(machine, answers, preflight.engine)
    tell(noticeLines(notices.filter(notice => notice.verdict !== 'stop')))
    return noticesAsProblems(notices)
  }
  const { answers, brought } = session.interactive
    ? await askEverything(program, session, options, gathered, place, store, look)
    : await takeEverything(program, session, options, gathered, place, store, look, preflight.notices)

  const written = textOf(answers, gathered.suppressions, session, place)
  const context: SetupContext = {
    answers,
    written,
    layout: session.layout,
    person: program.person,
    docker: session.docker,
    run: session.run,
    compose: composeOf(session, answers.name),
    store,
    journal: session.journal,
    redactor: session.redactor,
    brought,
    launch,
    startDeadline: (options.startTimeout ?? 180) * 1000,
    now: program.now,
    say: line => session.progress.say(line),
    found,
  }
  if (options.dryRun) {
    const shown = preview(answers, written, session, program)
    const head = { version: program.version, command: 'setup', deployment: session.layout.root, startedAt }
    program.stdout.write(
      options.json ? envelope(head, { changed: [], plan: shown.split('\n') }) : `${shown}\n`,
    )
    return Exit.done
  }
  const earlier = session.journal.unfinished('setup')
  if (earlier !== undefined)
    tell(
      `Going on with the setup begun at ${earlier.since}; done so far: ${earlier.done.join(', ') || 'nothing'}.\n`,
    )

  const { written: changed, took } = await runProcedure(
    'setup',
    setupSteps,
    context,
    runtimeOf(session, program, 'setup', false),
  )
  const verifying = performance.now()
  const deployment = { answers, suppressions: gathered.suppressions }
  const findings = launch
    ? await verifyDeployment(session, deployment, store, program.now(), program.signal)
    : []
  if (program.signal.aborted)
    throw new Cancelled('The gateway runs; the checks were cut short: run create-openclaw-secure verify.')
  const code = launch ? exitAfterSetup(findings) : Exit.done

  if (findings.length > 0) {
    const report = { version: program.version, deployment: session.layout.root, startedAt, findings }
    tell(`\n${await formatReport(report, 'text', { colour: session.colour, verbose: false })}`)
  }
  if (changed.length === 0) tell('\nNothing had to be changed.\n')
  tell(handOver(answers, context, directory, launch, place, program.cwd))
  if (options.json)
    program.stdout.write(
      envelope(
        { version: program.version, command: 'setup', deployment: session.layout.root, startedAt },
        {
          changed,
          took: { ...took, verify: Math.round(performance.now() - verifying) },
          image: found.image?.pinned,
          container: found.container,
          port: answers.port,
          ...findingsBody(findings),
        },
      ),
    )
  return code
}

/** Asks what is open, and for every provider key that the store does not have. */
async function askEverything(
  program: Program,
  session: Session,
  options: SetupOptions,
  gathered: Gathered,
  place: Place,
  store: SecretStore,
  look: (answers: Answers) => Promise<Problem[]>,
): Promise<{ answers: Answers; brought: BroughtSecrets }> {
  const { askSecret, converse } = await import('../wizard/converse.ts')
  const { accessible } = session
  const talk = { input: program.stdin, output: program.stderr, accessible, signal: program.signal }
  if (gathered.problems.length > 0) throw new UsageError(gathered.problems)
  const flags = secretFlagsOf(options)
  const answers = await converse(talk, gathered, place, look, complete =>
    preview(complete, textOf(complete, gathered.suppressions, session, place), session, program),
  )
  const { brought, problems } = await readSecrets(
    flags,
    answers.providers,
    program.stdin,
    session.redactor,
    program.cwd,
  )
  problems.push(...(await secretConflicts(store, secretNamesOf(answers), brought)))
  if (problems.length > 0) throw new UsageError(problems)
  for (const provider of answers.providers) {
    const name = keySecretOf(provider)
    if (!brought.has(name) && (await store.load(name)) === undefined)
      brought.set(
        name,
        session.redactor.learn(await askSecret(talk, `API key of ${provider.id}`, unusableKey)),
      )
  }
  return { answers, brought }
}

/** Takes what was given, and lists everything that is missing, malformed or contradictory in one error. */
async function takeEverything(
  program: Program,
  session: Session,
  options: SetupOptions,
  gathered: Gathered,
  place: Place,
  store: SecretStore,
  look: (answers: Answers) => Promise<Problem[]>,
  notices: readonly Notice[],
): Promise<{ answers: Answers; brought: BroughtSecrets }> {
  const given = new Set([...gathered.origins].filter(([, origin]) => origin !== 'saved').map(([id]) => id))
  const { answers, open } = fillIn(gathered.answers, gathered.origins, place, options.yes === true)
  const invalid = new Set(gathered.problems.map(problem => problem.field))
  const problems = [
    ...noticesAsProblems(notices.filter(notice => notice.exit === Exit.usage)),
    ...gathered.problems,
    ...open.filter(question => !invalid.has(question.id)).map(question => missing(question, answers, place)),
    ...crossCheck(answers, given),
  ]
  const { providers = [], extraSecrets = [] } = answers
  const flags = secretFlagsOf(options)
  const { brought, problems: secretProblems } = await readSecrets(
    flags,
    providers,
    program.stdin,
    session.redactor,
    program.cwd,
  )
  problems.push(
    ...secretProblems,
    ...(await secretConflicts(store, secretNamesOf({ providers, extraSecrets }), brought)),
  )
  for (const provider of providers)
    if (
      !brought.has(keySecretOf(provider)) &&
      !secretProblems.some(problem => problem.field === keySecretOf(provider)) &&
      (await store.load(keySecretOf(provider))) === undefined
    )
      problems.push({
        field: `key of ${provider.id}`,
        allowed: 'a file or stdin that holds it',
        flag: `--provider-key ${provider.id}=@FILE (or =@-)`,
      })
  // What is asked of the machine can be looked at as soon as it is known, whatever else is wrong.
  const asked = ['name', 'port', 'cpus', 'memory', 'firewall'] as const
  const complete = asked.every(id => answers[id] !== undefined) ? await look(answers as Answers) : []
  if (problems.length + complete.length > 0)
    throw new UsageError([
      ...problems,
      ...complete,
      ...noticesAsProblems(notices.filter(notice => notice.exit !== Exit.usage)),
    ])
  const stopped = exitOf(notices)
  if (stopped !== undefined) throw preflightError(notices, stopped)
  return { answers: answers as Answers, brought }
}

/** What the command line says about secrets: where they are. */
function secretFlagsOf(options: SetupOptions): SecretFlags {
  return { providerKeys: options.providerKey ?? [], token: options.token ?? [] }
}

/** A secret somebody brings although another one is stored: setup keeps what is stored, so saying nothing would deceive. */
async function secretConflicts(
  store: SecretStore,
  names: readonly string[],
  brought: BroughtSecrets,
): Promise<Problem[]> {
  const problems: Problem[] = []
  for (const name of names) {
    const value = brought.get(name)
    const found = value === undefined ? undefined : await store.load(name)
    const stored = (found?.current ?? found?.pending)?.value
    if (value !== undefined && stored !== undefined && !stored.equals(value))
      problems.push({
        field: name,
        given: '(not shown)',
        allowed: 'the value that is stored already, or none: setup does not replace a secret',
        flag: 'leave the flag out',
      })
  }
  return problems
}

function sourcesOf(session: Session, options: SetupOptions, program: Program): Partial<Sources> {
  const saved = session.saved === undefined ? {} : { saved: { name: 'deployment.yaml', text: session.saved } }
  if (options.answers === undefined) return saved
  try {
    return {
      ...saved,
      file: { name: options.answers, text: readFileSync(resolve(program.cwd, options.answers), 'utf8') },
    }
  } catch (error) {
    const unreadable = {
      field: 'answers file',
      given: options.answers,
      allowed: `a file that can be read (${errorCode(error) ?? 'unreadable'})`,
      flag: '--answers',
    }
    return { ...saved, problems: [unreadable] }
  }
}

/** The person's own `deployment.yaml`, comments and all, when it asks for the same; else a new one. */
function textOf(
  answers: Answers,
  suppressions: readonly Suppression[],
  session: Session,
  place: Place,
): string {
  if (session.saved === undefined) return writeAnswers(answers, suppressions)
  const saved = readAnswers(session.saved, 'deployment.yaml')
  const filled = fillIn(saved.answers, new Map(), place, true)
  const same =
    saved.problems.length === 0 &&
    filled.open.length === 0 &&
    sameAnswers(filled.answers as Answers, answers) &&
    isDeepStrictEqual(saved.suppressions ?? [], suppressions)
  return same ? session.saved : writeAnswers(answers, suppressions)
}

/** What would be written and run, with a placeholder where only the engine or the store knows the value. */
function preview(answers: Answers, written: string, session: Session, program: Program): string {
  const label = imageLabel(answers)
  const plan = makePlan({
    answers,
    written,
    layout: session.layout,
    image: { pinned: label, label },
    ownership: assumeOwnership(program.person),
    secrets: secretNamesOf(answers).map(name => ({ name, rotationId: 'new' })),
  })
  const mode = (bits: number) => `0${bits.toString(8)}`
  return [
    `in ${session.layout.root}:`,
    ...plan.directories
      .filter(directory => directory.path !== '')
      .map(({ path, mode: bits }) => `  ${mode(bits).padEnd(5)} ${path}/`),
    ...plan.files.map(
      file => `  ${mode(file.mode).padEnd(5)} ${file.path}  (${Buffer.byteLength(file.content)} bytes)`,
    ),
    ...secretNamesOf(answers).map(name => `  0400  secrets/${name}.*`),
    'then:',
    ...plan.commands.map(command => `  ${command}`),
  ].join('\n')
}

/** Setup answers for what it sets up. What comes later (alerting, a restore drill) is shown red and does not fail it. */
function exitAfterSetup(findings: readonly Finding[]): ExitCode {
  const later = new Set(checks.filter(check => check.later).map(check => check.id))
  return exitOfFindings(findings.filter(finding => !later.has(finding.check)))
}

const MARK = { pass: 'ok', warn: 'note', stop: 'STOP' } as const

function noticeLines(notices: readonly Notice[]): string {
  return notices
    .map(
      ({ id, verdict, saw, fix }) =>
        `${MARK[verdict].padEnd(7)} ${id}: ${visible(saw)}${fix === undefined ? '' : `\n          ${fix}`}\n`,
    )
    .join('')
}

function noticesAsProblems(notices: readonly Notice[]): Problem[] {
  return notices
    .filter(notice => notice.verdict === 'stop')
    .map(({ id, saw, fix }) => ({ field: id, saw, allowed: fix ?? '' }))
}

function preflightError(notices: readonly Notice[], exit: ExitCode): ToolError {
  const problems = noticesAsProblems(notices)
  if (exit === Exit.usage) return new UsageError(problems)
  return new ToolError(
    'preflight',
    problems.map(describeProblem).join('\n'),
    'Nothing was written. Correct this and run the same command again.',
    exit,
  )
}
