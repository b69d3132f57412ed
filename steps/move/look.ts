import { Exit, ToolError } from '../../src/errors.ts'
import type { Step } from '../../src/procedure/step.ts'
import { isWrapped } from '../../src/stores/credential.ts'
import type { StoredSecret } from '../../src/stores/store.ts'
import { isSwitched, type MoveContext } from './context.ts'

type Needs = Pick<MoveContext, 'layout' | 'names' | 'from' | 'answers' | 'store' | 'openers' | 'resumed'>

/** Refuses what could lose or overwrite something, before anything is written. */
export const lookAtBoth: Step<Needs> = {
  id: 'move.look',
  title: 'Look into both stores',
  effect: 'reads',
  skip: ({ openers, ...ctx }) =>
    // Without a role of its own nobody can look yet, and a wrapped secret id is not spent on it. Copying looks again.
    openers.admin !== undefined ||
    (openers.credential !== undefined && isWrapped(ctx.answers, openers.credential))
      ? 'the new store is made first'
      : isSwitched(ctx)
        ? 'the new store is in use'
        : undefined,
  async run(ctx) {
    const { names, from, store } = ctx
    for (const name of names) {
      const old = await from.store.load(name)
      expectMovable(name, old)
      expectFree(name, old, await store.load(name), ctx)
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
      'Finish that first (create-openclaw-secure rotate --resume), then move.',
      Exit.unknown,
    )
}

/**
 * What is in the new place already must be our own copy, made by a run that was cut short: copies keep their rotation ids.
 * The same id alone is not enough where others can write: a copied folder, or a restored one, has the same secrets.
 * Errors: `move_occupied`.
 */
export function expectFree(
  name: string,
  old: Required<Pick<StoredSecret, 'current'>>,
  present: StoredSecret | undefined,
  { answers, resumed }: Pick<MoveContext, 'answers' | 'resumed'>,
): void {
  const found = [present?.current, present?.pending, present?.previous].filter(value => value !== undefined)
  const mayBeOurs = resumed || answers.store === 'docker'
  if (
    present === undefined ||
    (mayBeOurs && found.every(value => value.rotationId === old.current.rotationId))
  )
    return
  throw new ToolError(
    'move_occupied',
    `the new store has another ${name} already`,
    'It may belong to another deployment: choose another place for this one (--vault-path), or remove it there.',
    Exit.usage,
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
