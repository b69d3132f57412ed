import { randomUUID } from 'node:crypto'
import { resolve } from 'node:path'
import { type MoveContext, type MoveNote, unfinishedMove } from '../../steps/move/context.ts'
import { moveSteps } from '../../steps/move/index.ts'
import { type Answers, isApart, placeOf } from '../deployment/answers.ts'
import { type FileOwner, lookAt } from '../deployment/files.ts'
import { Exit, type ExitCode, UsageError } from '../errors.ts'
import { allSecretNamesOf } from '../gateway/policy.ts'
import { runProcedure } from '../procedure/run.ts'
import { envelope } from '../report/json.ts'
import { vaultPlace } from '../stores/open.ts'
import { writeAnswers } from '../wizard/answers-file.ts'
import { gather } from '../wizard/gather.ts'
import type { AnswerId } from '../wizard/question.ts'
import { readDeployment } from '../wizard/saved.ts'
import type { Openers } from '../wizard/secrets.ts'
import { type Answered, askEverything, type Interview, sealProblems, takeEverything } from './answering.ts'
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
import { savedAnswers, savedDeployment } from './verify.ts'

/** Says where the secrets live and whether that store can be reached, read and written. 0: it can; 3: it cannot. */
export async function storeCheck(program: Program, options: GlobalOptions): Promise<ExitCode> {
  const startedAt = program.now().toISOString()
  const session = await openSession(program, resolve(program.cwd, options.dir ?? '.'), options)
  await forbidCoreDumps(session)
  const answers = savedAnswers(session)
  const credential = await credentialOf(options.storeCredential, program)
  const store = await storeOf(session, program, answers, { credential: () => credential })
  try {
    const saw = await store.check()
    const stored = await Promise.all(
      allSecretNamesOf(answers).map(async name => ({
        name,
        rotation: (await store.load(name))?.current?.rotationId,
      })),
    )
    const head = {
      version: program.version,
      command: 'store check',
      deployment: session.layout.root,
      startedAt,
    }
    const lines = [saw, ...stored.map(({ name, rotation }) => `${name}  ${rotation ?? 'not stored'}`)]
    program.stdout.write(
      options.json
        ? envelope(head, { store: answers.store, place: placeOf(answers), saw, secrets: stored })
        : `${lines.join('\n')}\n`,
    )
    return stored.some(one => one.rotation === undefined) ? Exit.failed : Exit.done
  } finally {
    await store.close()
  }
}

export interface MoveOptions extends Omit<GlobalOptions, 'storeCredential'> {
  to?: Answers['store']
  resume?: boolean
  /** The named consent that destroying needs where nobody can be asked. */
  destroyOld?: boolean
  storeCredential?: string[]
  vaultAdmin?: string[]
  given: Partial<Record<AnswerId, readonly string[]>>
}

/** Moves every secret into another store, while the gateway runs. 0: moved, or there already; 3: not, and nothing is lost. */
export async function storeMove(program: Program, options: MoveOptions): Promise<ExitCode> {
  const startedAt = program.now().toISOString()
  const session = await openSession(program, resolve(program.cwd, options.dir ?? '.'), options)
  await forbidCoreDumps(session)
  const deployment = savedDeployment(session)
  const begun = unfinishedMove(session.layout)
  refuse(session, options, begun)
  const tell = (text: string) => (options.quiet ? undefined : program.stderr.write(text))
  if (begun !== undefined) tell(`Going on with the move begun at ${begun.since}.\n`)

  const from =
    begun === undefined ? deployment.answers : readDeployment(begun.from, session.layout.root).answers
  const target = begun === undefined ? undefined : readDeployment(begun.to, session.layout.root).answers
  const interview = interviewOf(session, program, options, target, from)
  const answered =
    session.interactive && begun === undefined
      ? await askEverything(interview)
      : await takeEverything(interview)
  const { answers, openers, store }: Answered = answered
  const source = await storeOf(session, program, from, { owner: () => gatewayUser(session, program) })
  try {
    if (begun === undefined && placeOf(answers) === placeOf(from)) {
      tell(`The secrets are there already: ${placeOf(from)}.\n`)
      return Exit.done
    }
    refuseSameKind(from, answers)
    const note: MoveNote = begun ?? {
      version: 1,
      since: startedAt,
      from: session.saved ?? '',
      to: writeAnswers(answers, deployment.suppressions),
    }
    const context: MoveContext = {
      layout: session.layout,
      redactor: session.redactor,
      names: allSecretNamesOf(answers),
      from: { answers: from, store: source },
      answers,
      store,
      openers,
      note,
    }
    const head = {
      version: program.version,
      command: 'store move',
      deployment: session.layout.root,
      startedAt,
    }
    if (options.dryRun) {
      const shown = await preview(from, answers, openers)
      program.stdout.write(
        options.json ? envelope(head, { changed: [], plan: shown.split('\n') }) : `${shown}\n`,
      )
      return Exit.done
    }
    const runtime = runtimeOf(session, program, 'store move', false)
    const { written } = await runProcedure('store-move', moveSteps, context, runtime)
    tell(handOver(from, answers, context.names))
    if (options.json)
      program.stdout.write(
        envelope(head, {
          changed: written,
          from: placeOf(from),
          to: placeOf(answers),
          secrets: context.names,
        }),
      )
    return Exit.done
  } finally {
    await source.close()
    await store.close()
  }
}

/** The questions about the new store; everything else stays as it was answered. */
function interviewOf(
  session: Session,
  program: Program,
  options: MoveOptions,
  target: Answers | undefined,
  from: Answers,
): Interview {
  const { to } = options
  const text = target === undefined ? session.saved : writeAnswers(target)
  const gathered = gather({
    flags: { ...options.given, ...(to === undefined ? {} : { store: [to] }) },
    build: false,
    environment: program.env,
    ...(text === undefined ? {} : { saved: { name: 'deployment.yaml', text } }),
  })
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
    owner: () => gatewayUser(session, program),
    moving: true,
    look: answers => sealProblems(session, program, answers),
    preview: (answers, openers) => preview(from, answers, openers),
    tell: message => (options.quiet ? undefined : program.stderr.write(message)),
  }
}

/** What must not be begun as it was asked for. All of it at once. */
function refuse(session: Session, options: MoveOptions, begun: MoveNote | undefined): void {
  const problems = []
  const consent = options.destroyOld === true || options.resume === true
  if (options.resume === true && begun === undefined)
    problems.push({
      field: '--resume',
      given: 'nothing to go on with',
      allowed: 'only after a move was cut short',
    })
  if (begun === undefined && options.to === undefined)
    problems.push({ field: 'store', allowed: 'docker, vault, 1password', flag: '--to' })
  if (begun !== undefined && options.to !== undefined) {
    const { store } = readDeployment(begun.to, session.layout.root).answers
    if (store !== options.to)
      problems.push({
        field: '--to',
        given: options.to,
        allowed: `${store}, where the move begun at ${begun.since} goes`,
        flag: '--resume',
      })
  }
  if (!session.interactive && options.dryRun !== true && !(options.yes === true && consent))
    problems.push({
      field: 'consent',
      allowed: 'the copies in the old store are destroyed once the new one has given every secret back',
      flag: '--yes --destroy-old',
    })
  if (problems.length > 0) throw new UsageError(problems)
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

/** Who owns what the gateway reads; undefined where that is the person. */
export function gatewayUser(
  { layout }: Pick<Session, 'layout'>,
  { person }: Pick<Program, 'person'>,
): FileOwner | undefined {
  const folder = lookAt(layout.secrets)
  if (folder === undefined || Number(folder.uid) === person.uid) return undefined
  return { uid: Number(folder.uid), gid: Number(folder.gid) }
}

async function preview(from: Answers, to: Answers, openers: Openers): Promise<string> {
  const { bootstrapPlan } =
    openers.admin === undefined ? { bootstrapPlan: undefined } : await import('../stores/vault-bootstrap.ts')
  return [
    `from ${placeOf(from)}`,
    `to   ${placeOf(to)}`,
    ...allSecretNamesOf(to).map(name => `  ${name}`),
    ...(bootstrapPlan === undefined
      ? []
      : ['there, with the admin token:', bootstrapPlan(vaultPlace(to), to.name).replaceAll(/^/gm, '  ')]),
    'Each is read back from the new store before deployment.yaml names it; then the copies in the old store are destroyed.',
    'What the gateway reads stays as it is; it is not restarted.',
  ].join('\n')
}

function handOver(from: Answers, to: Answers, names: readonly string[]): string {
  return [
    '',
    `${names.length} secrets live in ${placeOf(to)} now; ${placeOf(from)} has none of them any more.`,
    ...(from.store === 'vault' ? ['The policies and the AppRole in Vault stay: remove them there.'] : []),
    ...(from.store === '1password'
      ? [
          '1Password keeps a history of deleted items that no program can clear: empty "Recently deleted" there.',
        ]
      : []),
    ...(isApart(to)
      ? ['The gateway reads its copies in secrets/, as before.']
      : ['The files in secrets/ are the store.']),
    'Prove it: npx create-openclaw-secure verify',
    '',
  ].join('\n')
}
