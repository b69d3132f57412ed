import { existsSync, readdirSync, rmdirSync, rmSync } from 'node:fs'
import { isApart, placeOf } from '../../src/deployment/answers.ts'
import { readIfPresent, syncDirectory, writeAtomic } from '../../src/deployment/files.ts'
import { ToolError } from '../../src/errors.ts'
import type { Step } from '../../src/procedure/step.ts'
import { forgetCredential } from '../../src/stores/credential.ts'
import { isForGateway } from '../../src/stores/open.ts'
import { readDeployment } from '../../src/wizard/saved.ts'
import { isSwitched, type MoveContext } from './context.ts'
import { withStoreOf } from './switch.ts'

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
    expectUnswitched(ctx)
    await destroyIn(ctx, ctx.from.store, ctx, 'copies')
    stay(ctx)
    end(ctx, ctx.answers.store, ctx.from.answers.store)
    return { saw: placeOf(ctx.from.answers) }
  },
}

/** The same for a new store that can never be reached again. */
export const abandonUnseen: Step<Needs> = {
  ...abandonMove,
  title: 'Stay with the old store, and leave what may be in the new one',
  effect: 'writes',
  async run(ctx) {
    expectUnswitched(ctx)
    stay(ctx)
    end(ctx, ctx.answers.store, ctx.from.answers.store)
    return { saw: `copies may be in ${placeOf(ctx.answers)}: destroy them there` }
  },
}

/** Another run may have switched while this one waited for the lock. */
function expectUnswitched(ctx: Needs): void {
  if (!isSwitched(ctx)) return
  throw new ToolError(
    'move_switched',
    'the new store is in use already',
    'Finish the move: create-openclaw-secure store move --resume.',
  )
}

/** `deployment.yaml` may have been switched already, or edited to name the new store. */
function stay({ layout, from }: Needs): void {
  const text = readIfPresent(layout.answers)
  if (text === undefined) return
  const kept = withStoreOf(from.answers, text, layout.root).text
  if (placeOf(readDeployment(text, layout.root).answers) !== placeOf(from.answers))
    writeAtomic(layout.answers, kept, 0o644)
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
    const found = await store.load(name)
    const copy = found?.current ?? found?.pending
    // Without a document there may be a value that a killed copy has left: in a store that is here, it is ours.
    const isCopy = found === undefined ? answers.store === 'docker' : copy?.rotationId === current.rotationId
    if (which === 'copies' && !isCopy) continue
    // Where the store's files are what the gateway reads, the one it reads stays.
    const stays = !isApart(answers) && isForGateway(name)
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
