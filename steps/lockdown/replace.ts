import { readLockdown } from '../../src/docker/isolation.ts'
import { Exit, ToolError } from '../../src/errors.ts'
import { GATEWAY_TOKEN } from '../../src/gateway/policy.ts'
import type { Step } from '../../src/procedure/step.ts'
import { isRenewed, type Renewal, renew } from '../incident/rotation.ts'
import type { LockdownContext } from './context.ts'

/** Inside its container the gateway takes up a new token as always: it needs no network for that. */
export const replaceToken: Step<LockdownContext> = {
  id: 'lockdown.token',
  title: 'Replace the gateway token',
  effect: 'writes',
  async skip(ctx) {
    return (await isTokenReplaced(ctx)) ? 'it was replaced since the lockdown began' : undefined
  },
  async run(ctx) {
    const { old, next } = await renew(await renewalOf(ctx), GATEWAY_TOKEN, undefined)
    const fingerprint = (value: typeof old) => value?.value.fingerprint(GATEWAY_TOKEN) ?? 'unknown'
    return {
      saw: `${fingerprint(old)} → ${fingerprint(next)}; the gateway takes the new one and refuses the old one`,
      facts: { rotation: next.rotationId },
    }
  },
}

/** Opening up with the token that leaked would be worse than staying closed. */
export const expectReplaced: Step<LockdownContext> = {
  id: 'unlock.look',
  title: 'See that the token was replaced',
  effect: 'reads',
  async run(ctx) {
    if (await isTokenReplaced(ctx)) return { saw: 'it is another one than before the lockdown' }
    throw new ToolError(
      'lockdown_unfinished',
      'the lockdown was cut short: the token is still the one from before',
      'Finish it first: create-openclaw-secure lockdown. If it cannot: create-openclaw-secure incident container-compromised.',
      Exit.interrupted,
    )
  },
}

async function isTokenReplaced(ctx: LockdownContext): Promise<boolean> {
  return isRenewed(await renewalOf(ctx), GATEWAY_TOKEN)
}

async function renewalOf(ctx: LockdownContext): Promise<Renewal> {
  const { layout, answers, docker, journal, redactor, gateway } = ctx
  const since = readLockdown(layout)?.since
  if (since === undefined) throw new Error('no earlier step has recorded the lockdown')
  return {
    ...{ layout, answers, docker, journal, redactor, gateway, since },
    store: await ctx.store(),
    owner: () => ctx.owner(),
    now: () => ctx.now(),
    runtimeOf: () => ctx.runtimeOf(),
  }
}
