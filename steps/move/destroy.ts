import { existsSync, readdirSync, rmdirSync, rmSync } from 'node:fs'
import { isApart, placeOf } from '../../src/deployment/answers.ts'
import { syncDirectory } from '../../src/deployment/files.ts'
import { PROXY_PASSWORD } from '../../src/gateway/policy.ts'
import type { Step } from '../../src/procedure/step.ts'
import { forgetCredential } from '../../src/stores/credential.ts'
import { isSwitched, type MoveContext } from './context.ts'

type Needs = Pick<MoveContext, 'layout' | 'names' | 'from' | 'answers' | 'store'>

/** A copy that nobody uses is one that only leaks. What the gateway reads stays where it is. */
export const destroyOld: Step<Needs> = {
  id: 'move.destroy',
  title: 'Destroy the copies in the old store',
  effect: 'destroys',
  skip: ({ layout }) => (existsSync(layout.move) ? undefined : 'there are none'),
  async run(ctx) {
    await destroyIn(ctx.from, ctx.store, ctx, 'all')
    end(ctx, ctx.from.answers.store, ctx.answers.store)
    return { saw: placeOf(ctx.from.answers) }
  },
}

/** For an old store that can never be reached again: nothing is destroyed there, and the move has ended. */
export const leaveOld: Step<Needs> = {
  ...destroyOld,
  title: 'Leave the copies in the old store',
  effect: 'writes',
  async run(ctx) {
    if (!isSwitched(ctx)) throw new Error('the old store has the truth until the switch')
    end(ctx, ctx.from.answers.store, ctx.answers.store)
    return { saw: `they stay in ${placeOf(ctx.from.answers)}: destroy them there` }
  },
}

/** The way back before the switch: the old store has everything, and the copies in the new one are destroyed. */
export const abandonMove: Step<Needs> = {
  id: 'move.abandon',
  title: 'Destroy the copies in the new store, and stay with the old one',
  effect: 'destroys',
  async run(ctx) {
    await destroyIn(ctx, ctx.from.store, ctx, 'copies')
    end(ctx, ctx.answers.store, ctx.from.answers.store)
    return { saw: placeOf(ctx.from.answers) }
  },
}

/**
 * Destroys the secrets in a store that is given up. `all`: it was this deployment's own. Else only what is a copy of what
 * is current in the store in use: the rest was there before us.
 */
async function destroyIn(
  { answers, store }: MoveContext['from'],
  used: MoveContext['store'],
  { layout, names }: Pick<Needs, 'layout' | 'names'>,
  which: 'all' | 'copies',
): Promise<void> {
  for (const name of names) {
    const current = (await used.load(name))?.current
    if (current === undefined) throw new Error(`the store in use lost ${name}`)
    const { current: copy, pending } = (await store.load(name)) ?? {}
    if (which === 'copies' && (copy ?? pending)?.rotationId !== current.rotationId) continue
    // Where the store's files are what the gateway reads, the one it reads stays.
    const stays = !isApart(answers) && name !== PROXY_PASSWORD
    await store.destroy(name, stays ? current.rotationId : undefined)
  }
  await store.close()
  const { sealed } = layout
  if (existsSync(sealed) && readdirSync(sealed).length === 0) rmdirSync(sealed)
}

/** The note goes before what opens the store: a run that is cut short in between has nothing left to ask there. */
function end(
  { layout }: Pick<Needs, 'layout'>,
  left: MoveContext['answers']['store'],
  used: MoveContext['answers']['store'],
): void {
  rmSync(layout.move, { force: true })
  syncDirectory(layout.own)
  if (left !== used) forgetCredential(layout, left)
}
