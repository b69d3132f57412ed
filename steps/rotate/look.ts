import { readIfPresent } from '../../src/deployment/files.ts'
import { Exit, ToolError } from '../../src/errors.ts'
import { pointerOf } from '../../src/gateway/pointer.ts'
import { GATEWAY_TOKEN, PROXY_PASSWORD, secretFileName } from '../../src/gateway/policy.ts'
import type { Step } from '../../src/procedure/step.ts'
import { must, type RotateContext } from './context.ts'

/**
 * What is stored and what runs. A new rotation begins only where the gateway answers and takes what the store says is
 * current: otherwise nobody could tell afterwards which of the two was wrong. One that was cut short may find it stopped.
 */
export const lookAtSecret: Step<
  Pick<RotateContext, 'name' | 'layout' | 'store' | 'gateway' | 'resume' | 'brought' | 'found'>
> = {
  id: 'rotate.look',
  title: 'See what is stored, and what the gateway takes',
  effect: 'reads',
  async run(ctx) {
    const { name, layout, gateway, resume, brought, found } = ctx
    await recall(ctx)
    if (found.stage !== 'none' && !resume) throw unfinished(name)
    if (brought !== undefined && found.old?.value.equals(brought) === true) throw notNew(name)
    if (name === PROXY_PASSWORD) return { saw: 'it is stored; the gateway never sees it' }
    const pointer = pointerOf(readIfPresent(layout.configFile) ?? '', name)
    const known = [found.old, found.next].map(value => value && secretFileName({ name, ...value }))
    if (pointer === undefined || !known.includes(pointer))
      throw new ToolError(
        'pointer_unknown',
        `openclaw.json names ${pointer ?? 'no file'} for ${name}, and the store knows of none like it`,
        'Run create-openclaw-secure . first: it delivers what the store has.',
        Exit.unknown,
      )
    const state = await gateway.state()
    if (state === 'running') found.container = await gateway.container()
    if (found.stage === 'none' && resume) return { saw: 'nothing is half-way' }
    if (found.stage !== 'none')
      return { saw: `a rotation that was cut short (${found.stage}); the gateway: ${state}` }
    if (state === 'stopped')
      throw new ToolError(
        'gateway_stopped',
        'the gateway does not run here, so nothing can be proven about it',
        'Start it with create-openclaw-secure . and run the command again.',
        Exit.unknown,
      )
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
      'secret_unknown',
      `the store has no ${name}`,
      'Run create-openclaw-secure . first: it sets up what is missing.',
      Exit.unknown,
    )
  const { current, pending, previous, revision } = stored
  found.revision = revision
  found.stage = pending !== undefined ? 'staged' : previous !== undefined ? 'committed' : 'none'
  const [old, next] = found.stage === 'committed' ? [previous, current] : [current, pending]
  if (old !== undefined) found.old = old
  if (next !== undefined) found.next = next
}

function notNew(name: string): ToolError {
  return new ToolError(
    'value_not_new',
    `the new ${name} is the one that is in use`,
    'Have the provider make another one, and revoke this one when the new one is in use.',
    Exit.usage,
  )
}

/** An earlier rotation was cut short: whether it goes on is for a person, or a timer, to say. */
export function unfinished(name: string): ToolError {
  return new ToolError(
    'rotation_unfinished',
    `an earlier rotation of ${name} was cut short`,
    'Finish it first: create-openclaw-secure rotate --resume. Nobody is locked out meanwhile: the store has both values.',
    Exit.interrupted,
  )
}
