import { readIfPresent } from '../../src/deployment/files.ts'
import { Exit, ToolError } from '../../src/errors.ts'
import { pointerOf, repointed } from '../../src/gateway/pointer.ts'
import { GATEWAY_TOKEN, PROXY_PASSWORD, secretFileName } from '../../src/gateway/policy.ts'
import { SANDBOX_HOST_KEY } from '../../src/gateway/sandbox.ts'
import type { Step } from '../../src/procedure/step.ts'
import { expectUnmoved } from '../move/context.ts'
import { must, type RotateContext } from './context.ts'

type Needs = Pick<
  RotateContext,
  'name' | 'layout' | 'answers' | 'store' | 'gateway' | 'resume' | 'mayStart' | 'brought' | 'found'
>

/**
 * What is stored and what runs. A new rotation begins only where the gateway answers and takes what the store says is
 * current: otherwise nobody could tell afterwards which of the two was wrong. One that was cut short may find it stopped.
 */
export const lookAtSecret: Step<Needs> = {
  id: 'rotate.look',
  title: 'See what is stored, and what the gateway takes',
  effect: 'reads',
  async run(ctx) {
    const { name, layout, answers, gateway, resume, mayStart, found } = ctx
    // Under the lock now: while this was talked about, the secrets may have gone elsewhere.
    expectUnmoved(layout, answers)
    await recall(ctx)
    expectNew(ctx)
    if (name === PROXY_PASSWORD) return { saw: 'it is stored; the gateway never sees it' }
    const isHalfWay = found.stage !== 'none'
    if (!isHalfWay && resume) return { saw: 'nothing is half-way' }
    // The gateway is not told the sandbox's host key, but by what it is recognised.
    if (!isHalfWay && name !== SANDBOX_HOST_KEY) expectPointer(ctx)
    const state = await gateway.state()
    if (state === 'stopped' && !(isHalfWay && mayStart)) throw stopped(isHalfWay)
    if (isHalfWay) return { saw: `a rotation that was cut short (${found.stage}); the gateway: ${state}` }
    if (name !== GATEWAY_TOKEN) return { saw: 'stored, and the gateway runs' }
    const { value } = must(found, 'old')
    const ask = async () => (await gateway.ask({ accept: value, refuse: value })).refuse
    let status = await ask()
    // It has only just been started: neither yes nor no.
    if (status === undefined || status === 503) {
      await gateway.untilReady()
      status = await ask()
    }
    if (status === 404) return { saw: 'the gateway takes the token that is stored as current' }
    throw new ToolError(
      'token_not_current',
      `the gateway does not take the token that is stored as current (${status ?? 'no answer'})`,
      'Run create-openclaw-secure . first: it brings gateway and store together.',
      Exit.unknown,
    )
  },
}

/** Reads the store's truth anew. Errors: `secret_unknown`, and those of the store. */
export async function recall({
  name,
  store,
  found,
}: Pick<RotateContext, 'name' | 'store' | 'found'>): Promise<void> {
  const stored = await store.load(name)
  if (stored?.current === undefined)
    throw new ToolError(
      SECRET_UNKNOWN,
      `the store has no ${name}`,
      'Run create-openclaw-secure . first: it sets up what is missing.',
      Exit.unknown,
    )
  const { current, pending, previous, revision } = stored
  found.revision = revision
  found.stage = pending !== undefined ? 'staged' : previous !== undefined ? 'committed' : 'none'
  const [old, next] = found.stage === 'committed' ? [previous, current] : [current, pending]
  delete found.old
  delete found.next
  if (old !== undefined) found.old = old
  if (next !== undefined) found.next = next
}

export const SECRET_UNKNOWN = 'secret_unknown'

/** An earlier rotation was cut short: whether it goes on is for a person, or a timer, to say. */
export function unfinished(names: readonly string[]): ToolError {
  return new ToolError(
    'rotation_unfinished',
    `an earlier rotation of ${names.join(', ')} was cut short`,
    'Finish it first: create-openclaw-secure rotate --resume. Nobody is locked out: whatever the gateway takes is in the store.',
    Exit.interrupted,
  )
}

/** A new rotation needs a value that is new, and a resumed one has its value already. */
function expectNew({ name, resume, brought, found }: Needs): void {
  if (found.stage !== 'none' && !resume) throw unfinished([name])
  if (brought === undefined) return
  if (found.stage === 'staged' && found.next?.value.equals(brought) !== true)
    throw new ToolError(
      'value_not_staged',
      `the rotation of ${name} that was cut short has another value than the one that was brought`,
      'Finish it first, without bringing one: create-openclaw-secure rotate --resume. Then rotate once more.',
      Exit.usage,
    )
  if (found.stage === 'none' && found.old?.value.equals(brought) === true)
    throw new ToolError(
      'value_not_new',
      `the new ${name} is the one that is in use`,
      'Have the provider make another one, and revoke this one when the new one is in use.',
      Exit.usage,
    )
}

/** openclaw.json has to name the current value, in a way that can be changed: later would be half-way. */
function expectPointer({ name, layout, found }: Needs): void {
  const text = readIfPresent(layout.configFile) ?? ''
  const pointer = pointerOf(text, name)
  if (pointer === secretFileName({ name, ...must(found, 'old') })) {
    repointed(text, { name, rotationId: 'another-one' })
    return
  }
  throw new ToolError(
    'pointer_unknown',
    `openclaw.json names ${pointer ?? 'no file'} for ${name}, and not the value that is current in the store`,
    'Run create-openclaw-secure . first: it delivers what the store has.',
    Exit.unknown,
  )
}

function stopped(isHalfWay: boolean): ToolError {
  return new ToolError(
    'gateway_stopped',
    'the gateway does not run here, so nothing can be proven about it',
    isHalfWay
      ? 'A timer does not start what somebody may have stopped on purpose: create-openclaw-secure rotate --resume does.'
      : 'Start it with create-openclaw-secure . and run the command again.',
    Exit.unknown,
  )
}
