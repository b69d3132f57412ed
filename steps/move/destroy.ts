import { existsSync, rmSync } from 'node:fs'
import { isApart, placeOf } from '../../src/deployment/answers.ts'
import { syncDirectory } from '../../src/deployment/files.ts'
import { PROXY_PASSWORD } from '../../src/gateway/policy.ts'
import type { Step } from '../../src/procedure/step.ts'
import { forgetCredential } from '../../src/stores/credential.ts'
import type { MoveContext } from './context.ts'

type Needs = Pick<MoveContext, 'layout' | 'names' | 'from' | 'answers' | 'store'>

/** A copy that nobody uses is one that only leaks. What the gateway reads stays where it is. */
export const destroyOld: Step<Needs> = {
  id: 'move.destroy',
  title: 'Destroy the copies in the old store',
  effect: 'destroys',
  skip: ({ layout }) => (existsSync(layout.move) ? undefined : 'there are none'),
  async run({ layout, names, from, answers, store }) {
    for (const name of names) {
      const current = (await store.load(name))?.current
      if (current === undefined) throw new Error(`the new store lost ${name}`)
      const stays = !isApart(from.answers) && name !== PROXY_PASSWORD
      await from.store.destroy(name, stays ? current.rotationId : undefined)
    }
    await from.store.close()
    if (from.answers.store !== answers.store) forgetCredential(layout, from.answers.store)
    if (from.answers.store === 'docker' && isApart(from.answers))
      rmSync(layout.sealed, { recursive: true, force: true })
    rmSync(layout.move, { force: true })
    syncDirectory(layout.own)
    return { saw: placeOf(from.answers) }
  },
}
