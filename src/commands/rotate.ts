import { resolve } from 'node:path'
import { renderedAnswers, storedElsewhere, unfinishedMoveProblems } from '../../steps/move/context.ts'
import { type RotateContext, unfinishedRotations } from '../../steps/rotate/context.ts'
import { revokeAllDevices } from '../../steps/rotate/devices.ts'
import { rotateSecret } from '../../steps/rotate/index.ts'
import type { Answers } from '../deployment/answers.ts'
import { readIfPresent } from '../deployment/files.ts'
import { ownerOfSecrets } from '../deployment/owner.ts'
import { Cancelled, Exit, type ExitCode, type Problem, ToolError, UsageError } from '../errors.ts'
import { allSecretNamesOf, GATEWAY_TOKEN, PROXY_PASSWORD } from '../gateway/policy.ts'
import { providerCallProblems } from '../gateway/provider-call.ts'
import { RunningGateway } from '../gateway/running.ts'
import { runProcedure } from '../procedure/run.ts'
import { envelope } from '../report/json.ts'
import type { Secret } from '../secret.ts'
import { bornAt, type SecretStore } from '../stores/store.ts'
import { readDeployment } from '../wizard/saved.ts'
import { type BroughtSecrets, readSecrets, unusableKey } from '../wizard/secrets.ts'
import { voiceOn } from '../wizard/voice.ts'
import { type HandOut, handOut, handOutProblems } from './hand-out.ts'
import {
  composeOf,
  forbidCoreDumps,
  type GlobalOptions,
  openSession,
  type Program,
  runtimeOf,
  type Session,
  storeOf,
} from './program.ts'
import { preview, type Rotated, rotatedWords } from './rotate-words.ts'
import { namedByPerson } from './secret-answers.ts'
import { savedDeployment } from './verify.ts'

export interface RotateOptions extends Omit<GlobalOptions, 'storeCredential'>, HandOut {
  /** Every secret of the deployment. */
  all?: boolean
  resume?: boolean
  /** In milliseconds: a younger secret is left as it is. */
  ifOlderThan?: number
  revokeDevices?: boolean
  proveUrl?: string
  proveHeader?: string
  providerKey?: string[]
  secretValue?: string[]
  storeCredential?: string[]
  /** How long the gateway may take to start, in seconds. */
  startTimeout: number
}

/** What opens the store is a secret as well, with a rotation of its own. */
export const STORE_CREDENTIAL = 'store_credential'

/**
 * New values for the secrets named, the gateway token by default, while the gateway runs. 0: rotated, or nothing was due;
 * 3: not, and the old value is in force; 4: half-way, both values are in the store, `--resume` goes on.
 */
export async function rotate(
  program: Program,
  secrets: readonly string[],
  options: RotateOptions,
): Promise<ExitCode> {
  const startedAt = program.now().toISOString()
  const session = await openSession(program, resolve(program.cwd, options.dir ?? '.'), options)
  await forbidCoreDumps(session)
  const answers = answersInForce(session)
  const names = namesOf(secrets, options, answers)
  const { brought, credential } = await takeValues(session, program, options, answers, names)
  const tell = (text: string) => (options.quiet ? undefined : program.stderr.write(text))
  const store = await storeOf(session, program, answers, {
    owner: () => ownerOfSecrets(session.layout, program.person),
    credential: () => credential,
  })
  try {
    const context = contextOf(session, program, options, answers, store)
    const done: Rotated[] = []
    const errors: ToolError[] = []
    const attempt = async (name: string, value: Secret | undefined, resume: boolean) => {
      const ctx = context(name, value, resume)
      try {
        await rotateSecret(ctx, () => runtimeOf(session, program, `rotate ${name}`, false))
        done.push({ name, resumed: resume, found: ctx.found })
      } catch (error) {
        // One that fails must not keep the others from being rotated: in an incident, all of them have leaked.
        if (!(error instanceof ToolError) || error instanceof Cancelled) throw error
        errors.push(error)
        if (names.length > 1) tell(`\n${name}: ${error.code}: ${error.message}\n`)
      }
    }
    const begun = await unfinishedOf(session, store, answers)
    if (begun.length > 0 && options.resume !== true) throw unfinishedError(begun)
    const due = await dueOf(store, names, begun, options, program.now())
    if (options.dryRun) {
      const shown = preview(answers, begun, due, options)
      if (options.json)
        program.stdout.write(envelope(headOf(session, program, startedAt), { plan: shown.split('\n') }))
      else program.stdout.write(`${shown}\n`)
      return Exit.done
    }
    const values = await missingValues(session, program, answers, due, brought)
    for (const name of begun) await attempt(name, undefined, true)
    for (const name of due) await attempt(name, values.get(name), false)
    const [first] = errors
    if (options.revokeDevices === true && first === undefined)
      await revoke(session, program, context(GATEWAY_TOKEN, undefined, false))

    const lines: string[] = []
    for (const { found } of done)
      if (found.next !== undefined && isAsked(options))
        lines.push(...(await handOut(session, program, options, found.next.value)))
    tell(rotatedWords(answers, session.layout, done, { lines, names, due }))
    if (options.json)
      program.stdout.write(envelope(headOf(session, program, startedAt), bodyOf(done, errors, names, due)))
    if (first === undefined) return Exit.done
    throw errors.length === 1 ? first : worstOf(errors)
  } finally {
    await store.close()
  }
}

function headOf(session: Session, program: Program, startedAt: string) {
  return { version: program.version, command: 'rotate', deployment: session.layout.root, startedAt }
}

function bodyOf(
  done: readonly Rotated[],
  errors: readonly ToolError[],
  names: readonly string[],
  due: readonly string[],
) {
  return {
    rotated: done.map(({ name, resumed, found }) => ({
      secret: name,
      resumed,
      fingerprint: (found.next ?? found.old)?.value.fingerprint(name),
      rotation: (found.next ?? found.old)?.rotationId,
      by: found.applied?.by,
      milliseconds: found.applied?.took,
      devices: found.devices?.length,
      oldValueIn: found.left,
    })),
    notDue: names.filter(name => !due.includes(name)),
    failed: errors.map(({ code, message, hint }) => ({ code, message, hint })),
  }
}

/** The answers that what runs was made from. Errors: `no_deployment`, `rotate_unfinished_setup`; a move that is under way. */
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
  const elsewhere = storedElsewhere(layout, answers)
  return elsewhere ?? readDeployment(rendered, layout.root).answers
}

/** Which secrets are asked for. Errors: a usage error that lists those there are. */
function namesOf(secrets: readonly string[], options: RotateOptions, answers: Answers): string[] {
  const known = [...allSecretNamesOf(answers)].sort(
    (a, b) => Number(a === GATEWAY_TOKEN) - Number(b === GATEWAY_TOKEN),
  )
  const problems: Problem[] = secrets
    .filter(name => !known.includes(name))
    .map(name => ({ field: 'secret', given: name, allowed: known.join(', ') }))
  if (options.all === true && secrets.length > 0)
    problems.push({ field: '--all', given: `${secrets.join(', ')} and --all`, allowed: 'one of the two' })
  if (problems.length > 0) throw new UsageError(problems)
  if (options.all === true) return known
  return secrets.length > 0 ? [...new Set(secrets)] : [GATEWAY_TOKEN]
}

/** The values that were brought, and everything that is wrong with what was asked for, at once. */
async function takeValues(
  session: Session,
  program: Program,
  options: RotateOptions,
  answers: Answers,
  names: readonly string[],
): Promise<{ brought: BroughtSecrets; credential: Secret | undefined }> {
  const flags = {
    token: [],
    providerKeys: options.providerKey ?? [],
    secretValues: options.secretValue ?? [],
    storeCredential: options.storeCredential ?? [],
    vaultAdmin: [],
  }
  const { brought, openers, problems } = await readSecrets(
    flags,
    answers,
    program.stdin,
    session.redactor,
    program.cwd,
  )
  for (const { name, field, flag } of namedByPerson(answers)) {
    if (brought.has(name) && !names.includes(name))
      problems.push({
        field,
        given: '(not shown)',
        allowed: 'only for a secret that is to be rotated',
        flag: `rotate ${name}`,
      })
    const isNeeded = names.includes(name) && !brought.has(name) && options.resume !== true
    if (isNeeded && !session.interactive && options.dryRun !== true)
      problems.push({ field, allowed: 'the new value, from its provider: a file or stdin', flag })
  }
  problems.push(...handOutProblems(program, options))
  if (options.proveUrl !== undefined)
    problems.push(...providerCallProblems(options.proveUrl, options.proveHeader))
  if (options.proveUrl !== undefined && names.filter(isFromElsewhere).length !== 1)
    problems.push({
      field: '--prove-url',
      given: names.join(', '),
      allowed: 'one secret that comes from a provider',
    })
  if (options.proveUrl === undefined && options.proveHeader !== undefined)
    problems.push({ field: '--prove-header', allowed: 'only together with --prove-url', flag: '--prove-url' })
  if (isAsked(options) && names.filter(name => !isFromElsewhere(name)).length !== 1)
    problems.push({
      field: '--clipboard, --token-file, --reveal',
      given: names.join(', '),
      allowed: 'one secret that is generated here',
    })
  if (options.revokeDevices === true && !session.interactive && options.yes !== true)
    problems.push({
      field: 'consent',
      allowed: 'all paired devices are removed, and have to be paired anew',
      flag: '--yes',
    })
  if (problems.length > 0)
    throw new UsageError(problems, 'Nothing was changed. Correct the input and run the command again.')
  return { brought, credential: openers.credential }
}

const isFromElsewhere = (name: string) => name !== GATEWAY_TOKEN && name !== PROXY_PASSWORD

function isAsked({ clipboard, tokenFile, reveal }: HandOut): boolean {
  return clipboard === true || tokenFile !== undefined || reveal === true
}

/** Asks for what only the person has, where there is somebody to ask. */
async function missingValues(
  session: Session,
  program: Program,
  answers: Answers,
  due: readonly string[],
  brought: BroughtSecrets,
): Promise<BroughtSecrets> {
  const missing = namedByPerson(answers).filter(({ name }) => due.includes(name) && !brought.has(name))
  const [first] = missing
  if (first === undefined) return brought
  if (!session.interactive)
    throw new UsageError(
      missing.map(({ field, flag }) => ({ field, allowed: 'the new value, from its provider', flag })),
    )
  const voice = voiceOn({
    input: program.stdin,
    output: program.stderr,
    accessible: session.accessible,
    signal: program.signal,
  })
  const { Secret: NewSecret } = await import('../secret.ts')
  for (const { name, what } of missing) {
    const typed = await voice.secret(`${what}: the new value`, text =>
      text === '' ? 'It cannot be empty.' : unusableKey(new NewSecret(text)),
    )
    brought.set(name, session.redactor.learn(new NewSecret(typed)))
  }
  return brought
}

/** Rotations that were cut short: by the journal, or by what the store holds. */
async function unfinishedOf(session: Session, store: SecretStore, answers: Answers): Promise<string[]> {
  const names = allSecretNamesOf(answers)
  const begun = new Set(unfinishedRotations(session.journal).map(({ name }) => name))
  for (const name of names) {
    if (begun.has(name)) continue
    const stored = await store.load(name)
    if (stored?.current !== undefined && (stored.pending ?? stored.previous) !== undefined) begun.add(name)
  }
  return names.filter(name => begun.has(name))
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
  store: SecretStore,
  names: readonly string[],
  begun: readonly string[],
  { resume, ifOlderThan }: RotateOptions,
  now: Date,
): Promise<string[]> {
  if (ifOlderThan === undefined) return resume === true ? [] : [...names]
  const due: string[] = []
  for (const name of names) {
    // What is finished now is new enough.
    if (begun.includes(name)) continue
    const current = (await store.load(name))?.current
    const born = current === undefined ? undefined : bornAt(current.rotationId)
    // Of unknown age: too old, since nobody can say that it is not.
    if (born === undefined || now.getTime() - born.getTime() >= ifOlderThan) due.push(name)
  }
  return due
}

/** Everything one rotation is done with. */
function contextOf(
  session: Session,
  program: Program,
  options: RotateOptions,
  answers: Answers,
  store: SecretStore,
) {
  const { layout, docker, journal, redactor } = session
  const gateway = new RunningGateway({
    docker,
    compose: composeOf(session, answers.name),
    answers,
    layout,
    startDeadline: options.startTimeout * 1000,
  })
  const call =
    options.proveUrl === undefined ? undefined : { url: options.proveUrl, header: options.proveHeader }
  return (name: string, brought: Secret | undefined, resume: boolean): RotateContext => ({
    ...{ layout, answers, name, store, gateway, docker, journal, redactor, brought, call, resume },
    owner: () => ownerOfSecrets(layout, program.person),
    now: program.now,
    found: {},
  })
}

/** Whoever knew the old token may have paired a device meanwhile, and that has a token of its own. */
async function revoke(session: Session, program: Program, ctx: RotateContext): Promise<void> {
  if (session.interactive) {
    const voice = voiceOn({
      input: program.stdin,
      output: program.stderr,
      accessible: session.accessible,
      signal: program.signal,
    })
    const choice = await voice.choose(
      'Remove all paired devices? Each has to be paired anew.',
      [
        { value: 'yes', label: 'Remove them' },
        { value: 'no', label: 'Leave them' },
      ],
      'yes',
    )
    if (choice === 'no') return
  }
  ctx.found.container = await ctx.gateway.container()
  await runProcedure('devices', [revokeAllDevices], ctx, runtimeOf(session, program, 'rotate', false))
}

/** Several that failed: each was told, and the worst decides. */
function worstOf(errors: readonly ToolError[]): ToolError {
  const exit = Math.max(...errors.map(error => error.exit)) as ExitCode
  return new ToolError(
    'rotation_failed',
    `${errors.length} secrets could not be rotated: ${errors.map(({ message }) => message).join('; ')}`,
    'The others are rotated. create-openclaw-secure rotate --resume finishes what is half-way.',
    exit,
  )
}
