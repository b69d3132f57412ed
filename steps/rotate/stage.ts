import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { lookAt, writeAtomic } from '../../src/deployment/files.ts'
import { PROXY_PASSWORD, secretFileName } from '../../src/gateway/policy.ts'
import type { Step } from '../../src/procedure/step.ts'
import { generateToken, Secret } from '../../src/secret.ts'
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
    const value = redactor.learn(brought ?? generateToken())
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
    return isDelivered(must(ctx.found, 'next'), ctx) ? 'it is there' : undefined
  },
  async run(ctx) {
    return { saw: deliver(must(ctx.found, 'next'), ctx) }
  },
}

/** Writes a value where the gateway reads it, if it is not there. Returns the file's name. */
export function deliver(value: StoredValue, ctx: Needs): string {
  const file = secretFileName({ name: ctx.name, ...value })
  if (!isDelivered(value, ctx))
    writeAtomic(resolve(ctx.layout.secrets, file), value.value, 0o400, ctx.owner())
  return file
}

function isDelivered(value: StoredValue, { name, layout, owner }: Needs): boolean {
  const path = resolve(layout.secrets, secretFileName({ name, ...value }))
  const there = lookAt(path)
  const uid = owner()?.uid
  return (
    there?.isFile() === true &&
    there.nlink === 1 &&
    (Number(there.mode) & 0o7777) === 0o400 &&
    (uid === undefined || there.uid === uid) &&
    value.value.equals(new Secret(readFileSync(path)))
  )
}
