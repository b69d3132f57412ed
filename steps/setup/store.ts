import { placeOf } from '../../src/deployment/answers.ts'
import type { Step } from '../../src/procedure/step.ts'
import { isWrapped, keepCredential, keptCredential } from '../../src/stores/credential.ts'
import { vaultPlace } from '../../src/stores/open.ts'
import type { SetupContext } from './context.ts'

type Needs = Pick<SetupContext, 'answers' | 'layout' | 'redactor' | 'openers' | 'store'>

/**
 * What opens a store that is elsewhere is kept for the runs to come, and with an admin token it is made first: the
 * path, the policies and the AppRole. The admin token itself is kept nowhere.
 */
export const openTheStore: Step<Needs> = {
  id: 'store.open',
  title: 'Make the store ready, and keep what opens it',
  effect: 'writes',
  skip({ answers, layout, openers }) {
    if (answers.store === 'docker') return 'the secrets live here'
    if (openers.admin !== undefined) return undefined
    if (openers.credential === undefined) return 'what opens it is known already'
    return keptCredential(layout, answers)?.equals(openers.credential) === true ? 'it is kept' : undefined
  },
  async run({ answers, layout, redactor, openers, store }) {
    if (answers.store === 'docker') throw new Error('a store that is here needs nothing that opens it')
    if (openers.admin !== undefined) {
      const { bootstrap } = await import('../../src/stores/vault-bootstrap.ts')
      openers.credential = await bootstrap(vaultPlace(answers), answers.name, openers.admin, redactor)
      openers.admin.wipe()
      delete openers.admin
    }
    // A wrapped secret id is kept by whoever unwraps it: one that turns out to be spent must not replace a good one.
    if (openers.credential !== undefined && !isWrapped(answers, openers.credential))
      keepCredential(layout, answers.store, openers.credential)
    return { saw: await store.check(), facts: { store: placeOf(answers) } }
  },
}
