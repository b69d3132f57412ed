import { Cancelled, Exit, ToolError } from '../../src/errors.ts'
import { GATEWAY_TOKEN, PROXY_PASSWORD } from '../../src/gateway/policy.ts'
import { SANDBOX_CLIENT_KEY, SANDBOX_HOST_KEY } from '../../src/gateway/sandbox.ts'
import type { Journal } from '../../src/procedure/journal.ts'
import { type Runtime, runProcedure, underLock } from '../../src/procedure/run.ts'
import type { Step } from '../../src/procedure/step.ts'
import { applyNew, applyOld, NOT_PROVEN } from './apply.ts'
import { callProvider } from './call.ts'
import { closeRotation, commitNew, retireOld, searchOld, unstageNew } from './commit.ts'
import { procedureOf, type RotateContext } from './context.ts'
import { reviewDevices } from './devices.ts'
import { lookAtSecret, recall, SECRET_UNKNOWN } from './look.ts'
import { writeProxyPassword } from './proxy.ts'
import {
  admitBoth,
  expelNew,
  expelOld,
  forgetNew,
  forgetOld,
  lookAtSandbox,
  recogniseBoth,
  showNew,
  showOld,
  startBoth,
  tryNew,
} from './sandbox.ts'
import { deliverNew, stageNew } from './stage.ts'

/**
 * From one value of a secret to the next while the gateway runs. The order is the safety: the store has both values before
 * the gateway hears of the new one, and forgets the old one only after the gateway has been seen to refuse it. Killed
 * anywhere, the same steps go on from what the store and the gateway say.
 */
export function rotateSteps(name: string): readonly Step<RotateContext>[] {
  const [commit, destroy] = [commitNew, [retireOld, searchOld]]
  switch (name) {
    case PROXY_PASSWORD:
      return [lookAtSecret, stageNew, writeProxyPassword, commit, retireOld]
    case GATEWAY_TOKEN:
      return [lookAtSecret, stageNew, deliverNew, applyNew, commit, ...destroy, reviewDevices]
    case SANDBOX_CLIENT_KEY:
      return [...sandboxed, stageNew, admitBoth, deliverNew, tryNew, applyNew, commit, expelOld, ...destroy]
    case SANDBOX_HOST_KEY:
      return [...sandboxed, stageNew, recogniseBoth, showNew, commit, forgetOld, ...destroy]
    default:
      return [lookAtSecret, callProvider, stageNew, deliverNew, applyNew, commit, ...destroy]
  }
}

const sandboxed = [lookAtSecret, lookAtSandbox, startBoth]

/** Nothing is half-way: what a killed run may have left on the disk, and in the journal. */
const closingSteps: readonly Step<RotateContext>[] = [lookAtSecret, retireOld, closeRotation]

/** Back to the old value: proven first, and then the new one is forgotten. */
export const backSteps: readonly Step<RotateContext>[] = [lookAtSecret, applyOld, unstageNew]

function backStepsOf(name: string): readonly Step<RotateContext>[] {
  switch (name) {
    case SANDBOX_CLIENT_KEY:
      return [lookAtSecret, applyOld, expelNew, unstageNew]
    case SANDBOX_HOST_KEY:
      return [...sandboxed, showOld, forgetNew, unstageNew]
    default:
      return backSteps
  }
}

/**
 * Rotates one secret, or goes on with a rotation that was cut short. What the gateway does not take is taken back. All of it,
 * from the first look on, under one lock: what was seen stays so. Errors: `rotation_rolled_back` (exit 3: the old value is
 * in force, proven); anything else that happens half-way ends with 4, and `resume` goes on.
 */
export function rotateSecret(ctx: RotateContext, runtimeOf: () => Runtime): Promise<void> {
  return underLock(runtimeOf, held => (ctx.resume ? goOn(ctx, held) : goForth(ctx, held)))
}

/** Where nothing is half-way, going on must not begin anew. */
async function goOn(ctx: RotateContext, runtimeOf: () => Runtime): Promise<void> {
  const procedure = procedureOf(ctx.name)
  const wasGoingBack = isGoingBack(ctx.journal, procedure)
  try {
    await recall(ctx)
  } catch (error) {
    // A store that has lost the secret has nothing half-way either, and setup must not be kept from mending it.
    if (error instanceof ToolError && error.code === SECRET_UNKNOWN)
      await runProcedure(procedure, [closeRotation], ctx, runtimeOf())
    throw error
  }
  if (ctx.found.stage === 'none') return void (await runProcedure(procedure, closingSteps, ctx, runtimeOf()))
  return wasGoingBack && ctx.found.stage === 'staged' && ctx.name !== PROXY_PASSWORD
    ? goBack(ctx, runtimeOf, undefined)
    : goForth(ctx, runtimeOf)
}

async function goForth(ctx: RotateContext, runtimeOf: () => Runtime): Promise<void> {
  try {
    await runProcedure(procedureOf(ctx.name), rotateSteps(ctx.name), ctx, runtimeOf())
  } catch (error) {
    if (!(error instanceof ToolError)) throw error
    if (error.code !== NOT_PROVEN || ctx.found.stage !== 'staged') throw halfWay(error, ctx)
    return goBack({ ...ctx, resume: true }, runtimeOf, error)
  }
}

async function goBack(
  ctx: RotateContext,
  runtimeOf: () => Runtime,
  cause: ToolError | undefined,
): Promise<never> {
  try {
    await runProcedure(procedureOf(ctx.name), backStepsOf(ctx.name), ctx, runtimeOf())
  } catch (error) {
    throw error instanceof ToolError ? halfWay(error, ctx) : error
  }
  throw new ToolError(
    'rotation_rolled_back',
    `the rotation of ${ctx.name} was taken back: ${cause?.message ?? 'an earlier run had begun to take it back'}`,
    'The old value is in force, and proven to be. Correct the cause and run the command again.',
    Exit.unknown,
    cause,
  )
}

/** Whether the last run of this rotation was on its way back: then that is where it goes on. */
function isGoingBack(journal: Pick<Journal, 'read'>, procedure: string): boolean {
  const events = journal.read().filter(event => event.procedure === procedure)
  const own = events.filter(event => event.run === events.at(-1)?.run)
  return (
    !own.some(({ event }) => event === 'done') && own.some(({ step }) => step?.startsWith('rotate.back.'))
  )
}

/** An error in the middle of a rotation: what it says, and that nobody is locked out. */
function halfWay(error: ToolError, { name, found, journal }: RotateContext): ToolError {
  const last = journal.read().findLast(({ procedure }) => procedure === procedureOf(name))
  const isOpen = last !== undefined && last.event !== 'done'
  if (found.isOver === true && error instanceof Cancelled)
    return new Cancelled(`${name} is rotated, and its new value is in force.`)
  if (found.isOver === true)
    return new ToolError(
      error.code,
      `${name} is rotated, and its new value is in force; but ${error.message}`,
      isOpen ? `${error.hint} Then: create-openclaw-secure rotate --resume.`.trim() : error.hint,
      isOpen ? Exit.interrupted : error.exit,
      error,
    )
  if (found.stage === undefined || found.stage === 'none' || !isOpen) return error
  const hint = `The rotation of ${name} is half-way, and nobody is locked out: whatever the gateway takes is in the store. create-openclaw-secure rotate --resume goes on from here.`
  if (error instanceof Cancelled) return new Cancelled(hint)
  return new ToolError(error.code, error.message, `${error.hint} ${hint}`.trim(), Exit.interrupted, error)
}
