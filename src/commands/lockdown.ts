import { resolve } from 'node:path'
import type { LockdownContext } from '../../steps/lockdown/context.ts'
import { cutAtOnce } from '../../steps/lockdown/cut.ts'
import { lockdownSteps, unlockSteps } from '../../steps/lockdown/index.ts'
import { answersInForce } from '../../steps/move/context.ts'
import type { Answers } from '../deployment/answers.ts'
import { ownerOfSecrets } from '../deployment/owner.ts'
import { readLockdown } from '../docker/isolation.ts'
import { Cancelled, Exit, type ExitCode, ToolError, UsageError } from '../errors.ts'
import { GATEWAY_TOKEN } from '../gateway/policy.ts'
import { RunningGateway } from '../gateway/running.ts'
import { type ProcedureResult, runProcedure, underLock } from '../procedure/run.ts'
import type { Step } from '../procedure/step.ts'
import { envelope } from '../report/json.ts'
import type { SecretStore } from '../stores/store.ts'
import { voiceOn } from '../wizard/voice.ts'
import {
  composeOf,
  containing,
  credentialOf,
  forbidCoreDumps,
  type GlobalOptions,
  openSession,
  type Program,
  runtimeOf,
  type Session,
  storeOf,
} from './program.ts'
import { savedDeployment } from './verify.ts'

/** A gateway that only has to be connected again is there at once. Milliseconds. */
const START = 60_000

/**
 * Takes the gateway off its networks, replaces its token and removes its devices, and keeps everything else. Cut short, the
 * same command goes on; while somebody else has the lock, the network is cut all the same. 0: it is locked down; 3 or 4: the network
 * is off if the lines above say so, and the rest is not done.
 */
export async function lockdown(program: Program, options: GlobalOptions): Promise<ExitCode> {
  const startedAt = program.now().toISOString()
  const session = await openSession(program, resolve(program.cwd, options.dir ?? '.'), options)
  const answers = answersToLock(session)
  if (options.dryRun) return preview(program, session, options, 'lockdown', startedAt, lockdownSteps)
  const before = readLockdown(session.layout)
  if (before === undefined) await askConsent(session, program, options)
  const { written, took } = await carryOut(program, session, options, answers, 'lockdown', lockdownSteps)
  const since = readLockdown(session.layout)?.since
  if (options.json)
    program.stdout.write(
      envelope(headOf(program, session, 'lockdown', startedAt), { since, changed: written, took }),
    )
  if (!options.quiet)
    program.stderr.write(
      [
        '',
        written.length === 0
          ? `Locked down since ${since}. Nothing had to be done.`
          : 'Locked down: the gateway runs, keeps its state, and is on no network. Its token is a new one, and no device is paired.',
        'Look into it: create-openclaw-secure incident container-compromised',
        'Or undo it:   create-openclaw-secure unlock',
        '',
      ].join('\n'),
    )
  return Exit.done
}

/**
 * Connects the gateway exactly as it was, and proves that it serves whoever has the new token. 0: it does, or there was no
 * lockdown; 3: it could not be proven; 4: the lockdown itself was cut short.
 */
export async function unlock(program: Program, options: GlobalOptions): Promise<ExitCode> {
  const startedAt = program.now().toISOString()
  const session = await openSession(program, resolve(program.cwd, options.dir ?? '.'), options)
  const answers = answersToLock(session)
  const isLocked = readLockdown(session.layout) !== undefined
  if (isLocked && options.dryRun) return preview(program, session, options, 'unlock', startedAt, unlockSteps)
  const { written, took } = isLocked
    ? await carryOut(program, session, options, answers, 'unlock', unlockSteps)
    : { written: [], took: {} }
  if (options.json)
    program.stdout.write(envelope(headOf(program, session, 'unlock', startedAt), { changed: written, took }))
  if (!options.quiet)
    program.stderr.write(
      isLocked
        ? `\nThe gateway is back on 127.0.0.1:${answers.port}, with a new token (secrets/${GATEWAY_TOKEN}.*).\nDevices have to be paired anew.\n`
        : 'It is not locked down. Nothing had to be done.\n',
    )
  return Exit.done
}

async function carryOut(
  program: Program,
  session: Session,
  options: GlobalOptions,
  answers: Answers,
  command: 'lockdown' | 'unlock',
  steps: readonly Step<LockdownContext>[],
): Promise<ProcedureResult> {
  // Beside everything else: the network is not kept on for it, and until the end of it nobody knows a secret.
  const guarded = forbidCoreDumps(session)
  const stores: SecretStore[] = []
  const store = async () => {
    const [open] = stores
    if (open !== undefined) return open
    await guarded
    const credential = await credentialOf(options.storeCredential, program)
    const opened = await storeOf(session, program, answers, {
      owner: () => ownerOfSecrets(session.layout, program.person),
      credential: () => credential,
    })
    stores.push(opened)
    return opened
  }
  try {
    return await underLock(
      () => {
        const runtime = runtimeOf(session, program, command, false)
        const { layout, docker } = session
        const atOnce = () => cutAtOnce({ layout, docker, answers, now: program.now })
        return command === 'lockdown' ? containing(runtime, atOnce) : runtime
      },
      held => runProcedure(command, steps, contextOf(program, session, answers, store, held), held()),
    )
  } finally {
    await Promise.all([guarded, ...stores.map(one => one.close())])
  }
}

function contextOf(
  program: Program,
  session: Session,
  answers: Answers,
  store: LockdownContext['store'],
  runtimeInside: LockdownContext['runtimeOf'],
): LockdownContext {
  const { layout, docker, journal, redactor } = session
  const compose = composeOf(session, answers.name)
  const sources = { docker, compose, answers, layout, startDeadline: START }
  return {
    ...{ layout, answers, docker, compose, journal, redactor, store },
    gateway: new RunningGateway({ ...sources, isCutOff: true }),
    back: new RunningGateway(sources),
    owner: () => ownerOfSecrets(layout, program.person),
    now: program.now,
    runtimeOf: () => ({ ...runtimeInside(), progress: session.progress.within() }),
    found: {},
  }
}

/** The answers that what runs was made from. Errors: `no_deployment`, `lockdown_unfinished_setup`. */
function answersToLock(session: Session): Answers {
  const answers = answersInForce(session.layout)
  if (answers !== undefined) return answers
  savedDeployment(session)
  throw new ToolError(
    'lockdown_unfinished_setup',
    'this deployment has not been set up as a whole',
    'Stop what runs of it: docker compose stop in the deployment folder.',
    Exit.unknown,
  )
}

/** It interrupts everybody at work: where somebody can be asked, he is; else the flag has to say so. */
async function askConsent(session: Session, program: Program, { yes }: GlobalOptions): Promise<void> {
  if (yes === true) return
  if (!session.interactive)
    throw new UsageError(
      [{ field: 'lockdown', allowed: 'only when it is agreed to', flag: '--yes' }],
      'Nothing was changed.',
    )
  const { stdin: input, stderr: output, signal } = program
  const choice = await voiceOn({ input, output, signal, accessible: session.accessible }).choose(
    'Take the gateway off the network, replace its token and remove all its devices?',
    [
      { value: 'yes', label: 'Lock it down' },
      { value: 'no', label: 'No: stop here' },
    ],
    'yes',
  )
  if (choice === 'no') throw new Cancelled('Nothing was changed.')
}

function preview(
  program: Program,
  session: Session,
  { json }: GlobalOptions,
  command: string,
  startedAt: string,
  steps: readonly Step<LockdownContext>[],
): ExitCode {
  const plan = steps.map(({ title }) => title)
  program.stdout.write(
    json
      ? envelope(headOf(program, session, command, startedAt), { changed: [], plan })
      : `${plan.join('\n')}\n`,
  )
  return Exit.done
}

function headOf({ version }: Program, { layout }: Session, command: string, startedAt: string) {
  return { version, command, deployment: layout.root, startedAt }
}
