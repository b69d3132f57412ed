import { randomUUID } from 'node:crypto'
import { resolve } from 'node:path'
import {
  isSwitched,
  type MoveContext,
  type MoveNote,
  renderedAnswers,
  unfinishedMove,
} from '../../steps/move/context.ts'
import { abandonMove, abandonUnseen, destroyOld, leaveOld } from '../../steps/move/destroy.ts'
import { moveSteps } from '../../steps/move/index.ts'
import { withStoreOf } from '../../steps/move/switch.ts'
import { unfinishedRotationProblems } from '../../steps/rotate/context.ts'
import { type Answers, placeOf } from '../deployment/answers.ts'
import { readIfPresent } from '../deployment/files.ts'
import { ownerOfSecrets } from '../deployment/owner.ts'
import { Exit, type ExitCode, type Problem, ToolError, UsageError } from '../errors.ts'
import { allSecretNamesOf } from '../gateway/policy.ts'
import { runProcedure } from '../procedure/run.ts'
import { envelope } from '../report/json.ts'
import { isSpent } from '../stores/credential.ts'
import type { SecretStore } from '../stores/store.ts'
import { gather } from '../wizard/gather.ts'
import { type AnswerId, environmentName } from '../wizard/question.ts'
import { questions } from '../wizard/questions.ts'
import { readDeployment } from '../wizard/saved.ts'
import { readSecrets, secretFlagsOf } from '../wizard/secrets.ts'
import { STORE_QUESTIONS } from '../wizard/store-questions.ts'
import { type Answered, askEverything, type Interview, sealProblems, takeEverything } from './answering.ts'
import { type Direction, handOver, preview } from './move-words.ts'
import {
  credentialOf,
  forbidCoreDumps,
  type GlobalOptions,
  openSession,
  type Program,
  runtimeOf,
  type Session,
  storeOf,
} from './program.ts'
import { openerProblems, withoutSpent } from './secret-answers.ts'
import { savedDeployment } from './verify.ts'

export interface MoveOptions extends Omit<GlobalOptions, 'storeCredential'>, Direction {
  to?: Answers['store']
  resume?: boolean
  /** The named consent that destroying needs where nobody can be asked. */
  destroyOld?: boolean
  storeCredential?: string[]
  vaultAdmin?: string[]
  /** What opens the old store, where it is not kept: `@PATH` or `@-`. */
  oldCredential?: string
  given: Partial<Record<AnswerId, readonly string[]>>
}

/** Moves every secret into another store, while the gateway runs. 0: moved, or there already; 3: not, and nothing is lost. */
export async function storeMove(program: Program, options: MoveOptions): Promise<ExitCode> {
  const startedAt = program.now().toISOString()
  const session = await openSession(program, resolve(program.cwd, options.dir ?? '.'), options)
  await forbidCoreDumps(session)
  const { layout } = session
  savedDeployment(session)
  const begun = unfinishedMove(layout)
  refuse(session, options, begun)
  const tell = (text: string) => (options.quiet ? undefined : program.stderr.write(text))
  if (begun !== undefined)
    tell(`The move begun at ${begun.since} ${options.abandon === true ? 'is given up' : 'goes on'}.\n`)

  // What was rendered last, not what was edited since: there the secrets are.
  const base = begun?.from ?? readIfPresent(renderedAnswers(layout))
  if (base === undefined) throw unfinishedSetup()
  const from = readDeployment(base, layout.root).answers
  if (begun === undefined) refuseUnrendered(session, from)
  const { answers, openers, store } =
    begun === undefined
      ? await decide(interviewOf(session, program, options, from))
      : await goOn(session, program, options, begun)
  let source: SecretStore | undefined
  try {
    const head = { version: program.version, command: 'store move', deployment: layout.root, startedAt }
    const done = (changed: readonly string[], more: object = {}) => {
      if (options.json)
        program.stdout.write(
          envelope(head, {
            changed,
            from: placeOf(from),
            to: placeOf(options.abandon === true ? from : answers),
            ...more,
          }),
        )
      return Exit.done
    }
    if (begun === undefined && placeOf(answers) === placeOf(from)) {
      tell(`The secrets are there already: ${placeOf(from)}.\n`)
      return done([])
    }
    refuseSameKind(from, answers)
    if (options.dryRun) {
      const shown = await preview(from, answers, openers, options)
      if (!options.json) program.stdout.write(`${shown}\n`)
      return done([], { plan: shown.split('\n') })
    }
    source = options.leaveOld === true ? unasked() : await openOld(session, program, options, from)
    const context: MoveContext = {
      layout,
      redactor: session.redactor,
      names: allSecretNamesOf(from),
      from: { answers: from, store: source },
      answers,
      store,
      openers,
      resumed: begun !== undefined,
      note: begun ?? {
        version: 1,
        since: startedAt,
        from: base,
        to: withStoreOf(answers, base, layout.root).text,
      },
    }
    const runtime = runtimeOf(session, program, 'store move', false)
    const { written } = await runProcedure('store-move', stepsFor(options, context), context, runtime)
    tell(handOver(from, answers, context.names, options))
    return done(written, { secrets: context.names })
  } finally {
    await source?.close()
    await store.close()
  }
}

/** Forwards, or back, or forwards without what cannot be reached any more. */
function stepsFor({ abandon, leaveOld: leaves, leaveNew: leavesNew }: MoveOptions, context: MoveContext) {
  if (abandon !== true && leaves !== true) return moveSteps
  const switched = isSwitched(context)
  if (abandon === true && switched)
    throw new UsageError([
      {
        field: '--abandon',
        given: 'a move whose new store is in use',
        allowed: 'finish it, or without the old store',
        flag: '--resume, or --resume --leave-old',
      },
    ])
  if (leaves === true && !switched)
    throw new UsageError([
      {
        field: '--leave-old',
        given: 'a move whose old store is still in use',
        allowed: 'only after the switch; before it the move can be given up',
        flag: '--abandon',
      },
    ])
  if (abandon === true) return [leavesNew === true ? abandonUnseen : abandonMove]
  return moveSteps.map(step => (step === destroyOld ? leaveOld : step))
}

function unfinishedSetup(): ToolError {
  return new ToolError(
    'move_unfinished_setup',
    'what deployment.yaml names has not been set up as a whole',
    'Finish setting it up first: create-openclaw-secure .',
    Exit.unknown,
  )
}

/** Opens the old store with what is kept, or with what was brought for it. */
async function openOld(
  session: Session,
  program: Program,
  options: MoveOptions,
  from: Answers,
): Promise<SecretStore> {
  const { layout } = session
  const given = await credentialOf(options.oldCredential, program)
  const old = given !== undefined && isSpent(layout, from, given) ? undefined : given
  return storeOf(session, program, from, {
    owner: () => ownerOfSecrets(layout, program.person),
    credential: () => old,
  })
}

/** In the place of a store that cannot be reached: whoever asked it would have a defect. */
function unasked(): SecretStore {
  const never = async (): Promise<never> => {
    throw new Error('a store that is left alone was asked')
  }
  return {
    ...{ check: never, load: never, stage: never, commit: never, rollback: never },
    ...{ retire: never, destroy: never, close: async () => {} },
  }
}

/** A secret that was stored and not rendered yet would not be moved, and nobody would miss it. */
function refuseUnrendered(session: Session, rendered: Answers): void {
  const { answers } = savedDeployment(session)
  const names = (of: Answers) => allSecretNamesOf(of).sort().join(' ')
  const isSame = answers.name === rendered.name && names(answers) === names(rendered)
  if (!isSame || session.journal.unfinished('setup') !== undefined) throw unfinishedSetup()
}

function decide(interview: Interview): Promise<Answered> {
  return interview.session.interactive ? askEverything(interview) : takeEverything(interview)
}

/** A move that has begun goes where it was going: nothing is asked, and no setting can lead it elsewhere. */
async function goOn(
  session: Session,
  program: Program,
  options: MoveOptions,
  { to }: MoveNote,
): Promise<Pick<Answered, 'answers' | 'openers' | 'store'>> {
  const { layout, redactor } = session
  const { answers } = readDeployment(to, layout.root)
  if (options.leaveNew === true) return { answers, openers: {}, store: unasked() }
  const none = { providers: [], extraSecrets: [] }
  const { openers, problems } = await readSecrets(
    secretFlagsOf(options),
    none,
    program.stdin,
    redactor,
    program.cwd,
  )
  withoutSpent(session, answers, openers)
  problems.push(...(await openerProblems(session, program, answers, openers)))
  if (problems.length > 0) throw new UsageError(problems)
  const store = await storeOf(session, program, answers, {
    owner: () => ownerOfSecrets(layout, program.person),
    credential: () => openers.credential,
  })
  return { answers, openers, store }
}

/** Which questions a move may ask. */
const ASKED: readonly AnswerId[] = STORE_QUESTIONS.map(({ id }) => id).filter(id => id !== 'extraSecrets')

/** The questions about the new store; everything else stays as it was answered. */
function interviewOf(session: Session, program: Program, options: MoveOptions, from: Answers): Interview {
  const { to, given } = options
  // Other settings of the environment are setup's to render, not a move's to write down.
  const variables = questions
    .filter(({ id }) => ASKED.includes(id) && id !== 'credentialFile')
    .map(environmentName)
  const gathered = gather({
    flags: { ...given, ...(to === undefined ? {} : { store: [to] }) },
    build: false,
    environment: Object.fromEntries(variables.map(name => [name, program.env[name]])),
    ...(session.saved === undefined ? {} : { saved: { name: 'deployment.yaml', text: session.saved } }),
  })
  // What opened the old store does not open the new one.
  if (to !== from.store && gathered.origins.get('credentialFile') === 'saved') {
    delete gathered.answers.credentialFile
    gathered.origins.delete('credentialFile')
  }
  return {
    program,
    session,
    options,
    gathered,
    place: {
      directory: session.layout.root,
      timezone: 'UTC',
      exposedToNeighbours: false,
      ...(options.vaultAdmin === undefined ? {} : { newRole: randomUUID() }),
    },
    notices: [],
    owner: () => ownerOfSecrets(session.layout, program.person),
    moving: id => ASKED.includes(id),
    look: answers => sealProblems(session, program, answers),
    preview: (answers, openers) => preview(from, answers, openers, options),
    tell: message => (options.quiet ? undefined : program.stderr.write(message)),
  }
}

/** What must not be begun as it was asked for. All of it at once. */
function refuse(session: Session, options: MoveOptions, begun: MoveNote | undefined): void {
  const problems: Problem[] = []
  const { resume, abandon, destroyOld: agreed, leaveOld: leaves, to, given } = options
  for (const [flag, set] of [
    ['--resume', resume],
    ['--abandon', abandon],
    ['--leave-old', leaves],
    ['--leave-new', options.leaveNew],
  ] as const)
    if (set === true && begun === undefined)
      problems.push({
        field: flag,
        given: 'nothing to go on with',
        allowed: 'only after a move was cut short',
      })
  if (options.leaveNew === true && abandon !== true)
    problems.push({
      field: '--leave-new',
      given: 'without --abandon',
      allowed: 'only with it',
      flag: '--abandon',
    })
  if (abandon === true && (resume === true || leaves === true))
    problems.push({
      field: '--abandon',
      given: 'with --resume or --leave-old',
      allowed: 'one direction',
      flag: '--abandon, or --resume',
    })
  if (begun === undefined && to === undefined)
    problems.push({ field: 'store', allowed: 'docker, vault, 1password', flag: '--to' })
  if (begun === undefined) problems.push(...unfinishedRotationProblems(session.journal))
  else problems.push(...otherPlace(session, { ...given, ...(to && { store: [to] }) }, begun))
  const consent = agreed === true || resume === true || abandon === true
  if (!session.interactive && options.dryRun !== true && !(options.yes === true && consent))
    problems.push({
      field: 'consent',
      allowed: 'the copies in the old store are destroyed once the new one has given every secret back',
      flag: '--yes --destroy-old',
    })
  if (problems.length > 0) throw new UsageError(problems)
}

/** Flags that would lead a move elsewhere than it was going when it was cut short. */
function otherPlace(session: Session, given: MoveOptions['given'], { to, since }: MoveNote): Problem[] {
  const answers = readDeployment(to, session.layout.root).answers
  return questions.flatMap(({ id, kind, flag }) => {
    const text = given[id]?.[0]
    const going = kind.toText(answers[id])
    if (text === undefined || text === going) return []
    const allowed = `${going === '' ? 'nothing' : going}, where the move begun at ${since} goes; give that move up first if it is wrong`
    return [{ field: id, given: text, allowed, flag: `${flag}, or --abandon` }]
  })
}

/** Two places of one kind would share the file with what opens them, and the old one could not be emptied any more. */
function refuseSameKind(from: Answers, to: Answers): void {
  if (from.store !== to.store || from.store === 'docker') return
  throw new UsageError([
    {
      field: 'store',
      given: `${placeOf(from)} → ${placeOf(to)}`,
      allowed: 'a store of another kind: go by way of --to docker',
      flag: '--to',
    },
  ])
}
