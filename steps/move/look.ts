import { Exit, ToolError } from '../../src/errors.ts'
import type { Step } from '../../src/procedure/step.ts'
import type { StoredSecret } from '../../src/stores/store.ts'
import { isSwitched, type MoveContext, unfinishedMove } from './context.ts'

type Needs = Pick<MoveContext, 'layout' | 'names' | 'from' | 'store' | 'openers' | 'note'>

/** Refuses what could lose or overwrite something, before anything is written. */
export const lookAtBoth: Step<Needs> = {
  id: 'move.look',
  title: 'Look into both stores',
  effect: 'reads',
  skip: ({ openers, ...ctx }) =>
    // A new AppRole sees an empty path, and a wrapped secret id is not spent on a look.
    openers.admin !== undefined
      ? 'the new store is made first'
      : isSwitched(ctx)
        ? 'the new store is in use'
        : undefined,
  async run(ctx) {
    const { names, from, store, layout } = ctx
    const resumed = unfinishedMove(layout) !== undefined
    for (const name of names) {
      const [old, present] = [await from.store.load(name), await store.load(name)]
      expectMovable(name, old)
      if (present !== undefined && !resumed && !isSame(old, present))
        throw new ToolError(
          'move_occupied',
          `the new store has another ${name} already`,
          'It may belong to another deployment: choose another place for this one (--vault-path), or remove it there.',
          Exit.usage,
        )
    }
    return { saw: `${names.length} secrets to move: ${names.join(', ')}` }
  },
}

/** What the old store must be able to give. Errors: `move_missing`, `move_pending`. */
export function expectMovable(
  name: string,
  old: StoredSecret | undefined,
): asserts old is StoredSecret & Required<Pick<StoredSecret, 'current'>> {
  if (old?.current === undefined)
    throw new ToolError(
      'move_missing',
      `the old store has no ${name}`,
      'Run create-openclaw-secure . first: it completes the deployment.',
      Exit.unknown,
    )
  if (old.pending !== undefined)
    throw new ToolError(
      'move_pending',
      `${name} is being changed: a new value waits in the old store`,
      'Finish that first (create-openclaw-secure .), then move.',
      Exit.unknown,
    )
}

/** The same value under the same name, and nothing waiting. */
export function isSame(old: StoredSecret | undefined, present: StoredSecret | undefined): boolean {
  const [one, other] = [old?.current, present?.current]
  return (
    one !== undefined &&
    other !== undefined &&
    present?.pending === undefined &&
    one.rotationId === other.rotationId &&
    one.value.equals(other.value)
  )
}
