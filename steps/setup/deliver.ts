import { relative, resolve } from 'node:path'
import { type FileOwner, lookAt, writeAtomic } from '../../src/deployment/files.ts'
import { type DeliveredSecret, secretFileName } from '../../src/gateway/policy.ts'
import type { Step } from '../../src/procedure/step.ts'
import { isDelivered } from '../../src/stores/delivered.ts'
import { conflict } from '../../src/stores/store.ts'
import { must, type SetupContext } from './context.ts'

type Needs = Pick<SetupContext, 'layout' | 'store' | 'found'>

/**
 * Puts each secret where the gateway reads it: a file of its own in the folder mounted at /run/secrets, 0400, owned by
 * the container's user, one link. OpenClaw accepts nothing laxer, and a new value is a new file.
 */
export const deliverSecrets: Step<Needs> = {
  id: 'secrets.deliver',
  title: 'Hand the secrets to the gateway’s user',
  effect: 'writes',
  async skip(ctx) {
    for (const secret of must(ctx.found, 'secrets')) if (!(await isThere(secret, ctx))) return undefined
    return 'they are there, 0400 and owned by the gateway’s user'
  },
  async run(ctx) {
    const { layout, store, found } = ctx
    const delivered: string[] = []
    for (const secret of must(found, 'secrets')) {
      if (await isThere(secret, ctx)) continue
      const path = resolve(layout.secrets, secretFileName(secret))
      const current = (await store.load(secret.name))?.current
      // Rotated since the files were planned: under the old name would be the new value.
      if (current?.rotationId !== secret.rotationId) throw conflict(secret.name)
      writeAtomic(path, current.value, 0o400, gatewaysOwn(ctx))
      delivered.push(relative(layout.root, path))
    }
    return { saw: delivered.join(', ') }
  },
}

async function isThere(secret: DeliveredSecret, ctx: Needs): Promise<boolean> {
  const path = resolve(ctx.layout.secrets, secretFileName(secret))
  // A store may be far away: asked only where there is something to compare with.
  if (lookAt(path) === undefined) return false
  const value = (await ctx.store.load(secret.name))?.current?.value
  return value !== undefined && isDelivered(path, value, gatewaysOwn(ctx))
}

/** Who must own what the gateway reads; undefined: whoever runs this. */
export function gatewaysOwn({ found }: Pick<SetupContext, 'found'>): FileOwner | undefined {
  const { by, host } = must(found, 'ownership')
  return by === 'chown' ? host : undefined
}
