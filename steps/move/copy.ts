import { ToolError } from '../../src/errors.ts'
import type { Step } from '../../src/procedure/step.ts'
import type { SecretStore, StoredSecret, StoredValue } from '../../src/stores/store.ts'
import { isSwitched, type MoveContext } from './context.ts'
import { expectFree, expectMovable, isSame } from './look.ts'

type Needs = Pick<MoveContext, 'layout' | 'names' | 'from' | 'answers' | 'store' | 'resumed'>

/** Each value keeps its rotation id: what the gateway reads stays as it is, and notices nothing. */
export const copySecrets: Step<Needs> = {
  id: 'move.copy',
  title: 'Copy every secret into the new store',
  effect: 'writes',
  async skip(ctx) {
    if (isSwitched(ctx)) return 'the new store is in use'
    if (!ctx.resumed) return undefined
    for (const name of ctx.names)
      if (!isSame(await ctx.from.store.load(name), await ctx.store.load(name))) return undefined
    return 'they are there'
  },
  async run(ctx) {
    const { names, from, store } = ctx
    const facts: Record<string, string> = {}
    for (const name of names) {
      const old = await from.store.load(name)
      expectMovable(name, old)
      const present = await store.load(name)
      expectFree(name, old, present, ctx)
      if (!isSame(old, present)) await put(store, name, old.current, present)
      facts[name] = old.current.value.fingerprint(name)
    }
    return { saw: names.join(', '), facts }
  },
}

/** Asked anew, and compared by value: only then is the old store given up. */
export const readBack: Step<Needs> = {
  id: 'move.read-back',
  title: 'Read every secret back from the new store',
  effect: 'reads',
  skip: ctx => (isSwitched(ctx) ? 'the new store is in use' : undefined),
  async run({ names, from, store }) {
    for (const name of names)
      if (!isSame(await from.store.load(name), await store.load(name)))
        throw new ToolError(
          'move_not_proven',
          `the new store does not give back the ${name} that was put into it`,
          'The old store is untouched and still in use. Run the same command again.',
        )
    return { saw: `${names.length} equal` }
  },
}

/** Makes a value current. A copy that was cut short has staged the very same. */
async function put(
  store: SecretStore,
  name: string,
  value: StoredValue,
  found: StoredSecret | undefined,
): Promise<void> {
  const staged = await store.stage(name, value, found?.revision ?? 0)
  await store.commit(name, value.rotationId, staged)
}
