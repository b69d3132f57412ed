import { ToolError } from '../../src/errors.ts'
import type { Step } from '../../src/procedure/step.ts'
import { rotationId } from '../../src/stores/store.ts'
import { type ImportContext, importable, type PlainSecret } from './context.ts'

type Needs = Pick<ImportContext, 'store' | 'now' | 'found'>

/** Every secret is in the store before anything is taken out of a file. */
export const storeFound: Step<Needs> = {
  id: 'import.store',
  title: 'Put them into the store',
  effect: 'writes',
  async skip({ store, found }) {
    const names = importable(found)
    if (names.size === 0) return 'nothing to import'
    for (const [name, { value }] of names)
      if ((await store.load(name))?.current?.value.equals(value) !== true) return undefined
    return 'the store has them'
  },
  async run(ctx) {
    const facts: Record<string, string> = {}
    ctx.found.stored = []
    for (const secret of importable(ctx.found).values()) {
      const id = await keep(ctx, secret)
      // Not its fingerprint: a secret that a person made up could be guessed from one.
      facts[secret.name] = id
      ctx.found.stored.push(secret.name)
    }
    return { saw: Object.keys(facts).join(', '), facts }
  },
}

/** Stage, then commit. Returns the rotation id. Errors: `import_conflict`, and those of the store. */
async function keep({ store, now }: Needs, { name, value }: PlainSecret): Promise<string> {
  const found = await store.load(name)
  if (found?.current?.value.equals(value) === true) return found.current.rotationId
  if (found?.current !== undefined)
    throw new ToolError(
      'import_conflict',
      `the store has got another value of ${name} in the meantime`,
      'Run the command again: it starts from what is stored now.',
    )
  // What an earlier run has staged and not committed. Another value that never became current was never in use.
  const staged = found?.pending?.value.equals(value) === true ? found.pending : undefined
  const pending = staged ?? { rotationId: rotationId(now()), value }
  const revision =
    staged === undefined ? await store.stage(name, pending, found?.revision ?? 0) : (found?.revision ?? 0)
  await store.commit(name, pending.rotationId, revision)
  return pending.rotationId
}
