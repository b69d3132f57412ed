import { readdirSync, rmSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import { errorCode, syncDirectory } from '../../src/deployment/files.ts'
import { searchFolder } from '../../src/deployment/search.ts'
import { visible } from '../../src/errors.ts'
import { replacedOf } from '../../src/evidence/replaced.ts'
import { secretFileName } from '../../src/gateway/policy.ts'
import type { Step } from '../../src/procedure/step.ts'
import { must, type RotateContext } from './context.ts'

/** The proven value is the current one from here on, and the one before is still there. */
export const commitNew: Step<Pick<RotateContext, 'name' | 'store' | 'found'>> = {
  id: 'rotate.commit',
  title: 'Make the new value the current one in the store',
  effect: 'writes',
  skip: ({ found }) => (found.stage === 'committed' ? 'it is' : undefined),
  async run({ name, store, found }) {
    const { rotationId, value } = must(found, 'next')
    found.revision = await store.commit(name, rotationId, must(found, 'revision'))
    found.stage = 'committed'
    const fingerprint = value.fingerprint(name)
    return { saw: `${name} ${fingerprint}`, facts: { [name]: fingerprint, rotation: rotationId } }
  },
}

/** A value that nobody takes any more is only good for being found. */
export const retireOld: Step<Pick<RotateContext, 'name' | 'layout' | 'store' | 'found'>> = {
  id: 'rotate.retire',
  title: 'Destroy the old value, in the store and on the disk',
  effect: 'writes',
  skip: ctx =>
    ctx.found.stage === 'committed' || others(ctx).length > 0 ? undefined : 'nothing of it is left',
  async run(ctx) {
    const { name, layout, store, found } = ctx
    if (found.stage === 'committed') found.revision = await store.retire(name, must(found, 'revision'))
    const removed = others(ctx)
    for (const file of removed) rmSync(resolve(layout.secrets, file), { force: true })
    syncDirectory(layout.secrets)
    found.stage = 'none'
    found.isOver = true
    return { saw: `${name} ${must(found, 'old').value.fingerprint(name)}` }
  },
}

/**
 * What stands in transcripts is not ours to change; but who reads them should know. The rotation has happened when this
 * looks, so not being able to look does not make it fail.
 */
export const searchOld: Step<Pick<RotateContext, 'layout' | 'found'>> = {
  id: 'rotate.search',
  title: 'Look for the old value in everything of this deployment',
  effect: 'reads',
  skip: ({ found }) => (found.old === undefined ? 'it is not known any more' : undefined),
  async run({ layout, found }) {
    try {
      const { searched, left, found: all } = await searchFolder(layout.root, [must(found, 'old').value])
      // What an incident keeps to know it by is no leak, and goes when its case is closed.
      const kept = `${relative(layout.root, replacedOf(layout))}/`
      const where = all.filter(path => !path.startsWith(kept))
      found.left = where
      const unseen = left === 0 ? '' : `; ${left} files are too many to be searched`
      // An agent may have chosen these names.
      const named = where.slice(0, 5).map(visible).join(', ')
      return {
        saw: `${searched} files: ${where.length === 0 ? 'in none' : `it stands in ${named}`}${unseen}`,
      }
    } catch (error) {
      return { saw: `could not be searched (${errorCode(error) ?? 'unknown reason'})` }
    }
  },
}

/** Forgets the new value, after the gateway has gone back to the old one. */
export const unstageNew: Step<Pick<RotateContext, 'name' | 'layout' | 'store' | 'found'>> = {
  id: 'rotate.back.store',
  title: 'Take the new value out of the store, and off the disk',
  effect: 'writes',
  async run({ name, layout, store, found }) {
    const { rotationId, value } = must(found, 'next')
    found.revision = await store.rollback(name, rotationId, must(found, 'revision'))
    rmSync(resolve(layout.secrets, secretFileName({ name, rotationId })), { force: true })
    syncDirectory(layout.secrets)
    found.stage = 'none'
    return { saw: `${name} ${value.fingerprint(name)}` }
  },
}

/** Files of this secret that the gateway does not read: the one before, and what a killed run has left. */
function others({ name, layout, found }: Pick<RotateContext, 'name' | 'layout' | 'found'>): string[] {
  const current = found.next ?? found.old
  const kept = current && secretFileName({ name, ...current })
  return readdirSync(layout.secrets).filter(file => file.startsWith(`${name}.`) && file !== kept)
}

/** A run that was killed at its very end, or before its beginning, has left a rotation in the journal and nowhere else. */
export const closeRotation: Step<Pick<RotateContext, 'found'>> = {
  id: 'rotate.close',
  title: 'Note that nothing is half-way',
  effect: 'writes',
  run: async ({ found }) => ({ saw: `current: ${found.old?.rotationId ?? 'none'}` }),
}
