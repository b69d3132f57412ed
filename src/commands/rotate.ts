import { resolve } from 'node:path'
import { renderedAnswers, storedElsewhere, unfinishedMoveProblems } from '../../steps/move/context.ts'
import { procedureOf, type RotateContext, unfinishedRotations } from '../../steps/rotate/context.ts'
import { revokeAllDevices } from '../../steps/rotate/devices.ts'
import { rotateSecret } from '../../steps/rotate/index.ts'
import { secretIdAge, secretIdSteps } from '../../steps/rotate/secret-id.ts'
import type { Answers } from '../deployment/answers.ts'
import { readIfPresent } from '../deployment/files.ts'
import { ownerOfSecrets } from '../deployment/owner.ts'
import { Cancelled, Exit, type ExitCode, ToolError, UsageError } from '../errors.ts'
import { allSecretNamesOf, GATEWAY_TOKEN } from '../gateway/policy.ts'
import { RunningGateway } from '../gateway/running.ts'
import { runProcedure } from '../procedure/run.ts'
import { envelope } from '../report/json.ts'
import { bornAt, type SecretStore } from '../stores/store.ts'
import { readDeployment } from '../wizard/saved.ts'
import { handOut } from './hand-out.ts'
import {
  composeOf,
  forbidCoreDumps,
  openSession,
  type Program,
  runtimeOf,
  type Session,
  storeOf,
} from './program.ts'
import {
  askConsent,
  askMissing,
  fleetProblems,
  isHandedOut,
  type RotateInput,
  type RotateOptions,
  STORE_CREDENTIAL,
  takeInput,
} from './rotate-input.ts'
import { bodyOf, preview, type Rotated, rotatedWords } from './rotate-words.ts'
import { savedDeployment } from './verify.ts'

/**
 * New values for the secrets named, the gateway token by default, while the gateway runs; of one deployment, or of all that
 * a pattern matches. 0: rotated, or nothing was due; 3: not, and the old value is in force; 4: half-way, both values are
 * in the store, and `--resume` goes on.
 */
export async function rotate(
  program: Program,
  secrets: readonly string[],
  options: RotateOptions,
): Promise<ExitCode> {
  const one = async (own: Program, dir: string) =>
    options.schedule === undefined
      ? rotateOne(own, secrets, { ...options, dir })
      : (await import('./schedule.ts')).rotateSchedule(own, { ...options, dir, schedule: options.schedule })
  const dir = options.dir ?? '.'
  const { deploymentsAt, isPattern, runFleet } = await import('./fleet.ts')
  if (!isPattern(program.cwd, dir)) return one(program, dir)
  const problems = fleetProblems(options)
  if (problems.length > 0) throw new UsageError(problems)
  const folders = await deploymentsAt(program.cwd, dir)
  return runFleet(program, folders, one, { ...options, command: 'rotate', done: 'rotated' })
}

async function rotateOne(
  program: Program,
  secrets: readonly string[],
  options: RotateOptions,
): Promise<ExitCode> {
  const startedAt = program.now().toISOString()
  const session = await openSession(program, resolve(program.cwd, options.dir ?? '.'), options)
  await forbidCoreDumps(session)
  const answers = answersInForce(session)
  const input = await takeInput(session, program, secrets, options, answers)
  const store = await storeOf(session, program, answers, {
    owner: () => ownerOfSecrets(session.layout, program.person),
    credential: () => input.credential,
  })
  const head = { version: program.version, command: 'rotate', deployment: session.layout.root, startedAt }
  const print = (body: Record<string, unknown>) =>
    options.json ? program.stdout.write(envelope(head, body)) : undefined
  const tell = (text: string) => (options.quiet ? undefined : program.stderr.write(text))
  try {
    const begun = await unfinishedOf(session, store, answers)
    if (begun.length > 0 && options.resume !== true) throw unfinishedError(begun)
    const due = await dueOf(session, store, input, begun, options, program.now())
    if (options.dryRun) {
      const shown = preview(answers, begun, due, options)
      if (options.json) print({ plan: shown.split('\n') })
      else program.stdout.write(`${shown}\n`)
      return Exit.done
    }
    await askMissing(session, program, answers, due, input.brought)
    if (options.revokeDevices === true) await askConsent(session, program)

    const { done, errors } = await rotateAll(session, program, options, answers, store, { input, begun, due })
    const lines: string[] = []
    try {
      if (options.revokeDevices === true && errors.length === 0)
        await revoke(session, program, options, answers, store)
      for (const { found } of done)
        if (found.next !== undefined && isHandedOut(options))
          lines.push(...(await handOut(session, program, options, found.next.value)))
    } catch (error) {
      // The rotation itself has happened: that is told first.
      if (!(error instanceof ToolError)) throw error
      errors.push(error)
    }
    tell(
      rotatedWords(answers, session.layout, done, {
        lines,
        names: input.names,
        due,
        failed: errors.length > 0,
      }),
    )
    print(bodyOf(done, errors, input.names, due))
    const [first, second] = errors
    if (first === undefined) return Exit.done
    throw second === undefined ? first : worstOf(errors)
  } finally {
    await store.close()
  }
}

/** One after the other. One that fails does not keep the rest from being rotated: in an incident, all of them have leaked. */
async function rotateAll(
  session: Session,
  program: Program,
  options: RotateOptions,
  answers: Answers,
  store: SecretStore,
  { input, begun, due }: { input: RotateInput; begun: readonly string[]; due: readonly string[] },
): Promise<{ done: Rotated[]; errors: ToolError[] }> {
  const done: Rotated[] = []
  const errors: ToolError[] = []
  const runtime = (name: string) => runtimeOf(session, program, procedureOf(name), false)
  const turns = [
    ...begun.map(name => ({ name, resume: true })),
    ...due.map(name => ({ name, resume: false })),
  ]
  // What is half-way goes first, and of that the token, which proves the others; what opens the store goes last.
  const rank = ({ name, resume }: (typeof turns)[number]) =>
    name === STORE_CREDENTIAL ? 3 : !resume ? 2 : name === GATEWAY_TOKEN ? 0 : 1
  turns.sort((a, b) => rank(a) - rank(b))
  for (const { name, resume } of turns) {
    const ctx = contextOf(session, program, options, answers, store, {
      name,
      resume,
      brought: input.brought.get(name),
    })
    try {
      if (name === STORE_CREDENTIAL) await rotateSecretId(session, program, answers)
      else await rotateSecret(ctx, () => runtime(name))
      done.push({ name, resumed: resume, found: ctx.found })
    } catch (error) {
      if (!(error instanceof ToolError) || error instanceof Cancelled) throw error
      errors.push(error)
      if (turns.length > 1)
        program.stderr.write(`\n${name}: ${error.code}: ${error.message}\n${error.hint}\n`)
    }
  }
  return { done, errors }
}

async function rotateSecretId(session: Session, program: Program, answers: Answers): Promise<void> {
  const { layout, redactor } = session
  const ctx = { layout, answers, redactor, env: program.env, found: {} }
  await runProcedure(
    procedureOf(STORE_CREDENTIAL),
    secretIdSteps,
    ctx,
    runtimeOf(session, program, procedureOf(STORE_CREDENTIAL), false),
  )
}

/** Whoever knew the old token may have paired a device meanwhile, and that has a token of its own. */
async function revoke(
  session: Session,
  program: Program,
  options: RotateOptions,
  answers: Answers,
  store: SecretStore,
): Promise<void> {
  const ctx = contextOf(session, program, options, answers, store, {
    name: GATEWAY_TOKEN,
    resume: false,
    brought: undefined,
  })
  ctx.found.container = await ctx.gateway.container()
  await runProcedure('devices', [revokeAllDevices], ctx, runtimeOf(session, program, 'rotate', false))
}

/** The answers that what runs was made from. Errors: `no_deployment`, `rotate_unfinished_setup`; a move under way. */
function answersInForce(session: Session): Answers {
  const { layout } = session
  const { answers } = savedDeployment(session)
  const moving = unfinishedMoveProblems(layout)
  if (moving.length > 0) throw new UsageError(moving)
  const rendered = readIfPresent(renderedAnswers(layout))
  if (rendered === undefined)
    throw new ToolError(
      'rotate_unfinished_setup',
      'this deployment has not been set up as a whole',
      'Finish that first: create-openclaw-secure .',
      Exit.unknown,
    )
  return storedElsewhere(layout, answers) ?? readDeployment(rendered, layout.root).answers
}

/** Rotations that were cut short: by the journal, or by what the store holds. */
async function unfinishedOf(session: Session, store: SecretStore, answers: Answers): Promise<string[]> {
  const begun = new Set(unfinishedRotations(session.journal).map(({ name }) => name))
  for (const name of allSecretNamesOf(answers)) {
    if (begun.has(name)) continue
    const stored = await store.load(name)
    if (stored?.current !== undefined && (stored.pending ?? stored.previous) !== undefined) begun.add(name)
  }
  return [...begun]
}

function unfinishedError(names: readonly string[]): ToolError {
  return new ToolError(
    'rotation_unfinished',
    `an earlier rotation of ${names.join(', ')} was cut short`,
    'Finish it first: create-openclaw-secure rotate --resume. Nobody is locked out meanwhile: the store has both values.',
    Exit.interrupted,
  )
}

/** Of the secrets asked for, those to rotate now. With `--resume` alone, none: it finishes, and begins nothing. */
async function dueOf(
  { layout }: Session,
  store: SecretStore,
  { names }: RotateInput,
  begun: readonly string[],
  { resume, ifOlderThan }: RotateOptions,
  now: Date,
): Promise<string[]> {
  if (ifOlderThan === undefined) return resume === true ? [] : [...names]
  const due: string[] = []
  for (const name of names) {
    // What is finished now is new enough.
    if (begun.includes(name)) continue
    const born = name === STORE_CREDENTIAL ? secretIdAge(layout) : await bornIn(store, name)
    // Of unknown age: too old, since nobody can say that it is not.
    if (born === undefined || now.getTime() - born.getTime() >= ifOlderThan) due.push(name)
  }
  return due
}

async function bornIn(store: SecretStore, name: string): Promise<Date | undefined> {
  const current = (await store.load(name))?.current
  return current === undefined ? undefined : bornAt(current.rotationId)
}

/** Everything one rotation is done with. */
function contextOf(
  session: Session,
  program: Program,
  options: RotateOptions,
  answers: Answers,
  store: SecretStore,
  turn: Pick<RotateContext, 'name' | 'resume' | 'brought'>,
): RotateContext {
  const { layout, docker, journal, redactor } = session
  const { proveUrl: url, proveHeader: header, startTimeout } = options
  const gateway = new RunningGateway({
    docker,
    compose: composeOf(session, answers.name),
    answers,
    layout,
    startDeadline: startTimeout * 1000,
  })
  return {
    ...turn,
    ...{ layout, answers, store, gateway, docker, journal, redactor },
    call: url === undefined ? undefined : { url, header },
    owner: () => ownerOfSecrets(layout, program.person),
    now: program.now,
    found: {},
  }
}

/** Several that failed: each was told, and the worst decides. */
function worstOf(errors: readonly ToolError[]): ToolError {
  return new ToolError(
    'rotation_failed',
    `${errors.length} did not succeed: ${errors.map(({ code }) => code).join(', ')}`,
    'create-openclaw-secure rotate --resume finishes what is half-way.',
    Math.max(...errors.map(({ exit }) => exit)) as ExitCode,
  )
}
