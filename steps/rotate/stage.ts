import { basename, resolve } from 'node:path'
import { writeAtomic } from '../../src/deployment/files.ts'
import { generateSecret } from '../../src/gateway/generated.ts'
import { PROXY_PASSWORD, secretFileName } from '../../src/gateway/policy.ts'
import type { Step } from '../../src/procedure/step.ts'
import { isDelivered } from '../../src/stores/delivered.ts'
import { rotationId, type StoredValue } from '../../src/stores/store.ts'
import { must, type RotateContext } from './context.ts'

/** From here on both values are in the store: whichever the gateway takes can be found there. */
export const stageNew: Step<
  Pick<RotateContext, 'name' | 'store' | 'redactor' | 'brought' | 'now' | 'found'>
> = {
  id: 'rotate.stage',
  title: 'Put the new value into the store, beside the old one',
  effect: 'writes',
  skip: ({ found }) => (found.stage === 'none' ? undefined : 'it is there'),
  async run({ name, store, redactor, brought, now, found }) {
    const value = redactor.learn(brought ?? generateSecret(name))
    const next = { rotationId: rotationId(now()), value }
    // Before the call: when only its answer is lost, the value is in the store all the same.
    found.stage = 'staged'
    found.next = next
    found.revision = await store.stage(name, next, found.revision ?? 0)
    const fingerprint = value.fingerprint(name)
    return { saw: `${name} ${fingerprint}`, facts: { rotation: next.rotationId, fingerprint } }
  },
}

type Needs = Pick<RotateContext, 'name' | 'layout' | 'owner' | 'found'>

/** A file of its own, 0400 and the gateway's: nothing that is read already changes under its name. */
export const deliverNew: Step<Needs> = {
  id: 'rotate.deliver',
  title: 'Hand the new value to the gateway’s user',
  effect: 'writes',
  skip(ctx) {
    if (ctx.name === PROXY_PASSWORD) return 'it is not for the gateway'
    const next = must(ctx.found, 'next')
    return isDelivered(placeOf(next, ctx), next.value, ctx.owner()) ? 'it is there' : undefined
  },
  async run(ctx) {
    return { saw: deliver(must(ctx.found, 'next'), ctx) }
  },
}

/** Writes a value where the gateway reads it, if it is not there. Returns the file's name. */
export function deliver(value: StoredValue, ctx: Needs): string {
  const path = placeOf(value, ctx)
  if (!isDelivered(path, value.value, ctx.owner())) writeAtomic(path, value.value, 0o400, ctx.owner())
  return basename(path)
}

function placeOf(value: StoredValue, { name, layout }: Needs): string {
  return resolve(layout.secrets, secretFileName({ name, ...value }))
}
