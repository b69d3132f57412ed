import { randomUUID } from 'node:crypto'
import { resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { storedElsewhere, unfinishedMoveProblems } from '../../steps/move/context.ts'
import { unfinishedRotationProblems } from '../../steps/rotate/context.ts'
import type { Found, SetupContext } from '../../steps/setup/context.ts'
import { setupSteps } from '../../steps/setup/index.ts'
import { exitOf, type Notice } from '../../steps/setup/notice.ts'
import { inspectMachine } from '../../steps/setup/preflight.ts'
import { inspectAnswers } from '../../steps/setup/preflight-answers.ts'
import { checks } from '../../steps/verify/index.ts'
import { type Answers, placeOf } from '../deployment/answers.ts'
import { assumeOwnership } from '../deployment/owner.ts'
import { makePlan } from '../deployment/plan.ts'
import { publishesToNeighbours } from '../docker/firewall.ts'
import { Cancelled, Exit, type ExitCode, type Problem, visible } from '../errors.ts'
import { borderRecipe, imageLabel, sandboxRecipe } from '../gateway/image.ts'
import { allSecretNamesOf, secretNamesOf } from '../gateway/policy.ts'
import { runProcedure } from '../procedure/run.ts'
import type { Finding, Suppression } from '../procedure/step.ts'
import { formatReport } from '../report/format.ts'
import { envelope, findingsBody } from '../report/json.ts'
import { vaultPlace } from '../stores/open.ts'
import { readAnswers, sameAnswers, writeAnswers } from '../wizard/answers-file.ts'
import { fillIn, gather } from '../wizard/gather.ts'
import type { Place } from '../wizard/question.ts'
import type { Openers } from '../wizard/secrets.ts'
import {
  type Answered,
  askEverything,
  type Interview,
  noticesAsProblems,
  preflightError,
  type SetupOptions,
  sealProblems,
  sourcesOf,
  takeEverything,
} from './answering.ts'
import { handOver } from './hand-over.ts'
import {
  composeOf,
  forbidCoreDumps,
  openSession,
  type Program,
  refuseInIncident,
  runtimeOf,
  type Session,
} from './program.ts'
import { exitOf as exitOfFindings, verifyDeployment } from './verify.ts'

/**
 * Preflight, questions, review, and then the procedure that ends with a running and proven gateway. Nothing is asked
 * after the plan is made; nothing is written before it is shown. Returns the exit code.
 */
export async function setup(program: Program, directory: string, options: SetupOptions): Promise<ExitCode> {
  const startedAt = program.now().toISOString()
  const session = await openSession(program, resolve(program.cwd, directory), options)
  // Before the questions: nobody answers twenty to be refused.
  if (options.dryRun !== true) refuseInIncident(session.layout, 'setup')
  await forbidCoreDumps(session)
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
    // Chosen before anything is shown: the role that is made gets this id.
    ...(options.vaultAdmin === undefined ? {} : { newRole: randomUUID() }),
  }
  tell(noticeLines(preflight.notices))

  const found: Found = {}
  const gathered = gather({
    flags: options.given,
    build: options.build === true,
    environment: program.env,
    ...sourcesOf(session, options, program),
  })
  const stopped = exitOf(preflight.notices)
  // A conversation on a machine that cannot carry it out would be time lost.
  if (session.interactive && stopped !== undefined) throw preflightError(preflight.notices, stopped)

  const interview: Interview = {
    program,
    session,
    options,
    gathered,
    place,
    notices: preflight.notices,
    owner: () => (found.ownership?.by === 'chown' ? found.ownership.host : undefined),
    async look(answers) {
      const notices = await inspectAnswers(machine, answers, preflight.engine)
      tell(noticeLines(notices.filter(notice => notice.verdict !== 'stop')))
      return [
        ...storeProblem(session, answers),
        ...(await sealProblems(session, program, answers)),
        ...noticesAsProblems(notices),
      ]
    },
    preview: (answers, openers) =>
      preview(answers, openers, textOf(answers, gathered.suppressions, session, place), session, program),
    tell,
  }
  const answered = session.interactive ? await askEverything(interview) : await takeEverything(interview)
  try {
    return await carryOut(interview, answered, { launch, directory, startedAt, found })
  } finally {
    await answered.store.close()
  }
}

/** Another store would be an empty one, and a new token would be made for it: moving is another command. */
function storeProblem({ layout, journal }: Session, answers: Answers): Problem[] {
  const begun = [...unfinishedMoveProblems(layout), ...unfinishedRotationProblems(journal)]
  const present = storedElsewhere(layout, answers)
  if (begun.length > 0 || present === undefined) return begun
  return [
    {
      field: 'store',
      saw: `the secrets are in ${placeOf(present)}, not in ${placeOf(answers)}`,
      allowed: `Keep that, or move them: create-openclaw-secure store move --to ${answers.store}.`,
    },
  ]
}

/** What is decided is done, shown and proven. */
async function carryOut(
  { program, session, options, gathered, place, tell, preview }: Interview,
  { answers, brought, openers, store }: Answered,
  {
    launch,
    directory,
    startedAt,
    found,
  }: {
    launch: boolean
    directory: string
    startedAt: string
    found: Found
  },
): Promise<ExitCode> {
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
    openers,
    launch,
    startDeadline: (options.startTimeout ?? 180) * 1000,
    now: program.now,
    say: line => session.progress.say(line),
    found,
  }
  if (options.dryRun) {
    const shown = await preview(answers, openers)
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
  const isVerified = launch && options.verify !== false
  const findings = isVerified
    ? await verifyDeployment(session, deployment, store, program.now(), program.signal)
    : []
  if (program.signal.aborted)
    throw new Cancelled('The gateway runs; the checks were cut short: run create-openclaw-secure verify.')
  const code = isVerified ? exitAfterSetup(findings) : Exit.done

  if (findings.length > 0) {
    const report = { version: program.version, deployment: session.layout.root, startedAt, findings }
    tell(`\n${await formatReport(report, 'text', { colour: session.colour, verbose: false })}`)
  }
  if (launch && !isVerified)
    tell('\nNothing is proven yet (--no-verify): run create-openclaw-secure verify.\n')
  if (changed.length === 0) tell('\nNothing had to be changed.\n')
  // The id of a role that was made now is an answer from now on, and no default.
  const { newRole: _, ...known } = place
  tell(handOver(answers, context, directory, launch, known, program.cwd))
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
async function preview(
  answers: Answers,
  openers: Openers,
  written: string,
  session: Session,
  program: Program,
): Promise<string> {
  const label = imageLabel(answers)
  const border = borderRecipe(answers).label
  const sandbox = sandboxRecipe(answers).label
  const plan = makePlan({
    answers,
    written,
    layout: session.layout,
    image: { pinned: label, label },
    border: { pinned: border, label: border },
    sandbox: answers.posture === 'coding' ? { pinned: sandbox, label: sandbox } : undefined,
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
    ...(answers.store === 'docker' ? [] : [`in ${placeOf(answers)}:`]),
    ...(answers.store === 'docker' ? [] : allSecretNamesOf(answers).map(name => `  ${name}`)),
    ...(openers.admin === undefined ? [] : ['there, with the admin token:', await bootstrapOf(answers)]),
    'then:',
    ...plan.commands.map(command => `  ${command}`),
  ].join('\n')
}

/** What would be made in Vault, word for word. */
async function bootstrapOf(answers: Answers): Promise<string> {
  const { bootstrapPlan } = await import('../stores/vault-bootstrap.ts')
  return bootstrapPlan(vaultPlace(answers)).replaceAll(/^/gm, '  ')
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
