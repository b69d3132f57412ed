import { resolve } from 'node:path'
import { answersInForce, unfinishedMoveProblems } from '../../steps/move/context.ts'
import {
  procedureOf,
  type RotateContext,
  STORE_CREDENTIAL,
  unfinishedRotations,
} from '../../steps/rotate/context.ts'
import { revokeAllDevices } from '../../steps/rotate/devices.ts'
import { rotateSecret } from '../../steps/rotate/index.ts'
import { unfinished } from '../../steps/rotate/look.ts'
import { secretIdAge, secretIdSteps } from '../../steps/rotate/secret-id.ts'
import type { Answers } from '../deployment/answers.ts'
import { ownerOfSecrets } from '../deployment/owner.ts'
import { Cancelled, Exit, type ExitCode, ToolError, UsageError } from '../errors.ts'
import { allSecretNamesOf, GATEWAY_TOKEN } from '../gateway/policy.ts'
import { RunningGateway } from '../gateway/running.ts'
import { type Runtime, runProcedure, underLock } from '../procedure/run.ts'
import { envelope } from '../report/json.ts'
import { bornAt, type SecretStore } from '../stores/store.ts'
import { handOut } from './hand-out.ts'
import {
  composeOf,
  forbidCoreDumps,
  openSession,
  type Program,
  refuseInIncident,
  runtimeOf,
  type Session,
  storeOf,
} from './program.ts'
import {
  askConsent,
  askMissing,
  fleetProblems,
  isHandedOut,
  isMadeHere,
  type RotateInput,
  type RotateOptions,
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
  options: RotateOptions & { scheduled?: boolean },
): Promise<ExitCode> {
  const { schedule, scheduled } = options
  const one = async (own: Program, dir: string) => {
    const rotateHere = () => rotateOne(own, secrets, { ...options, dir })
    if (schedule === undefined && scheduled !== true) return rotateHere()
    const { recordRun, rotateSchedule } = await import('./schedule.ts')
    if (schedule === undefined) return recordRun(own, dir, rotateHere)
    return rotateSchedule(own, secrets, { ...options, dir, schedule })
  }
  const dir = options.dir ?? '.'
  const { deploymentsAt, isPattern, runFleet } = await import('./fleet.ts')
  if (!isPattern(program.cwd, dir)) return one(program, dir)
  const problems = fleetProblems(options)
  if (problems.length > 0) throw new UsageError(problems)
  const folders = await deploymentsAt(program.cwd, dir)
  const done = schedule === undefined ? 'rotated' : schedule === 'off' ? 'unscheduled' : 'scheduled'
  // All deployments of a user have one crontab.
  const more = schedule === undefined ? {} : { concurrency: 1 }
  return runFleet(program, folders, one, { ...options, ...more, command: 'rotate', done })
}

/** What one deployment is rotated with. */
interface Work {
  session: Session
  program: Program
  options: RotateOptions
  answers: Answers
  store: SecretStore
  input: RotateInput
}

/** What has become of it. One that fails does not keep the rest from being rotated: in an incident, all have leaked. */
interface Outcome {
  done: Rotated[]
  errors: ToolError[]
  cancelled?: Cancelled
}

async function rotateOne(
  program: Program,
  secrets: readonly string[],
  options: RotateOptions,
): Promise<ExitCode> {
  const startedAt = program.now().toISOString()
  const session = await openSession(program, resolve(program.cwd, options.dir ?? '.'), options)
  if (options.dryRun !== true) refuseInIncident(session.layout, 'rotate')
  await forbidCoreDumps(session)
  const answers = answersToRotate(session)
  const input = await takeInput(session, program, secrets, options, answers)
  const store = await storeOf(session, program, answers, {
    owner: () => ownerOfSecrets(session.layout, program.person),
    credential: () => input.credential,
  })
  const work: Work = { session, program, options, answers, store, input }
  const head = { version: program.version, command: 'rotate', deployment: session.layout.root, startedAt }
  const print = (body: Record<string, unknown>) =>
    options.json ? program.stdout.write(envelope(head, body)) : undefined
  try {
    const begun = await unfinishedOf(work)
    if (options.dryRun) {
      const shown = preview(answers, begun, await dueOf(work), options)
      if (options.json) print({ plan: shown.split('\n') })
      else program.stdout.write(`${shown}\n`)
      return Exit.done
    }
    if (options.revokeDevices === true) await askConsent(session, program)
    const outcome: Outcome = { done: [], errors: [] }
    // The token first: it proves the others. What opens the store goes last, since until then the store is open.
    for (const name of inOrder(begun)) await turn(work, outcome, name, true)
    const due = await dueOf(work)
    await askMissing(session, program, answers, due, input.brought)
    for (const name of due) await turn(work, outcome, name, false)
    const lines = outcome.cancelled === undefined ? await afterwards(work, outcome) : []

    const { done, errors, cancelled } = outcome
    if (!options.quiet)
      program.stderr.write(rotatedWords(answers, session.layout, done, { lines, names: input.names, due }))
    print(bodyOf(done, errors, input.names, due))
    if (cancelled !== undefined) throw cancelled
    if (errors.length > 0) throw worstOf(errors, done.length > 0)
    return Exit.done
  } finally {
    await store.close()
  }
}

function inOrder(names: readonly string[]): string[] {
  const rank = (name: string) => (name === GATEWAY_TOKEN ? 0 : name === STORE_CREDENTIAL ? 2 : 1)
  return [...names].sort((a, b) => rank(a) - rank(b))
}

/** One secret's turn. What goes wrong is kept for the end. */
async function turn(work: Work, outcome: Outcome, name: string, resume: boolean): Promise<void> {
  if (outcome.cancelled !== undefined) return
  const { session, program, input } = work
  const runtime = () => runtimeOf(session, program, procedureOf(name), false)
  const ctx = contextOf(work, { name, resume, brought: input.brought.get(name) })
  try {
    if (name === STORE_CREDENTIAL) await rotateSecretId(work, runtime)
    else await rotateSecret(ctx, runtime)
    outcome.done.push({ name, resumed: resume, found: ctx.found })
  } catch (error) {
    if (!(error instanceof ToolError)) throw error
    if (ctx.found.isOver === true) outcome.done.push({ name, resumed: resume, found: ctx.found })
    if (error instanceof Cancelled) outcome.cancelled = error
    else outcome.errors.push(error)
  }
}

async function rotateSecretId(
  { session, answers, program, input }: Work,
  runtimeOf: () => Runtime,
): Promise<void> {
  const { layout, redactor } = session
  const given = input.credential === undefined ? {} : { given: input.credential }
  const ctx = { layout, answers, redactor, env: program.env, found: {}, ...given }
  await underLock(runtimeOf, async held => {
    await runProcedure(procedureOf(STORE_CREDENTIAL), secretIdSteps, ctx, held())
  })
}

/** What was asked for besides: the new value for a person, and no devices that were paired with the old one. */
async function afterwards(work: Work, outcome: Outcome): Promise<string[]> {
  const { session, program, options, store, input } = work
  const lines: string[] = []
  const attempt = async (act: () => Promise<string[]>) => {
    try {
      lines.push(...(await act()))
    } catch (error) {
      if (!(error instanceof ToolError)) throw error
      outcome.errors.push(error)
    }
  }
  // An explicit `--resume` asks for what the run that was killed had been asked for.
  const isExplicit = options.resume === true && options.ifOlderThan === undefined
  const found = (name: string) => outcome.done.find(one => one.name === name)?.found
  const name = input.names.find(isMadeHere)
  if (isHandedOut(options) && name !== undefined)
    await attempt(async () => {
      const rotated = found(name)
      const current = isExplicit ? (await store.load(name))?.current : (rotated?.next ?? rotated?.old)
      if (current === undefined) return [`${name} was not rotated, so it was not handed out.`]
      return handOut(session, program, options, current.value)
    })
  if (options.revokeDevices === true)
    await attempt(async () => {
      if (found(GATEWAY_TOKEN) === undefined && !isExplicit)
        return ['The token was not rotated, so no device was removed: whoever has it could pair one again.']
      const ctx = contextOf(work, { name: GATEWAY_TOKEN, resume: false, brought: undefined })
      await runProcedure('devices', [revokeAllDevices], ctx, runtimeOf(session, program, 'rotate', false))
      return ['All paired devices are removed: each has to be paired anew.']
    })
  return lines
}

/** The answers that what runs was made from, whatever was edited since. Errors: `no_deployment`, `rotate_unfinished_setup`. */
function answersToRotate(session: Session): Answers {
  const { layout } = session
  const answers = answersInForce(layout)
  if (answers === undefined) {
    savedDeployment(session)
    throw new ToolError(
      'rotate_unfinished_setup',
      'this deployment has not been set up as a whole',
      'Finish that first: create-openclaw-secure .',
      Exit.unknown,
    )
  }
  const moving = unfinishedMoveProblems(layout)
  if (moving.length > 0) throw new UsageError(moving)
  return answers
}

/**
 * Rotations that were cut short and are to go on: by the journal, or by what the store holds; with `--resume NAME`, of these
 * secrets alone. Errors: `rotation_unfinished`, where there are some and nobody said `--resume`.
 */
async function unfinishedOf({ session, store, answers, options, input }: Work): Promise<string[]> {
  const begun = new Set(unfinishedRotations(session.journal).map(({ name }) => name))
  for (const name of allSecretNamesOf(answers)) {
    if (begun.has(name)) continue
    const stored = await store.load(name)
    if (stored?.current !== undefined && (stored.pending ?? stored.previous) !== undefined) begun.add(name)
  }
  const isOfInterest = (name: string) =>
    input.isNamed && options.ifOlderThan === undefined ? input.names.includes(name) : true
  if (options.resume === true) return [...begun].filter(isOfInterest)
  // What opens the store is apart from what is in it.
  const stuck = [...begun].filter(name => name !== STORE_CREDENTIAL || input.names.includes(name))
  if (stuck.length > 0) throw unfinished(stuck)
  return []
}

/** Of the secrets asked for, those to rotate now. With `--resume` alone, none: it finishes, and begins nothing. */
async function dueOf({ session, program, store, options, input }: Work): Promise<string[]> {
  const { resume, ifOlderThan } = options
  if (ifOlderThan === undefined) return resume === true ? [] : [...input.names]
  const due: string[] = []
  for (const name of input.names) {
    const born = name === STORE_CREDENTIAL ? secretIdAge(session.layout) : await bornIn(store, name)
    const age = born === undefined ? undefined : program.now().getTime() - born.getTime()
    // Of unknown age, or from the future: too old, since nobody can say that it is not.
    if (age === undefined || age >= ifOlderThan || age < -DAY) due.push(name)
  }
  return due
}

const DAY = 86_400_000

async function bornIn(store: SecretStore, name: string): Promise<Date | undefined> {
  const current = (await store.load(name))?.current
  return current === undefined ? undefined : bornAt(current.rotationId)
}

/** Everything one rotation is done with. */
function contextOf(
  { session, program, options, answers, store }: Work,
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
    mayStart: options.ifOlderThan === undefined,
    owner: () => ownerOfSecrets(layout, program.person),
    now: program.now,
    found: {},
  }
}

/** The one error, or what several come to: the worst decides. `changed`: something has been rotated all the same. */
function worstOf(errors: readonly ToolError[], changed: boolean): ToolError {
  const exit = Math.max(...errors.map(error => error.exit)) as ExitCode
  const [first] = errors
  // 2 says that nothing was changed.
  const honest = exit === Exit.usage && changed ? Exit.unknown : exit
  if (first !== undefined && errors.length === 1)
    return honest === first.exit ? first : new ToolError(first.code, first.message, first.hint, honest, first)
  return new ToolError(
    'rotation_failed',
    errors.map(({ code, message }) => `${code}: ${message}`).join('\n'),
    [...new Set(errors.map(({ hint }) => hint))].join('\n'),
    honest,
  )
}
