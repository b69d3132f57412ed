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
    const made = openers.admin !== undefined
    if (openers.admin !== undefined) {
      const { bootstrap } = await import('../../src/stores/vault-bootstrap.ts')
      openers.credential = await bootstrap(vaultPlace(answers), openers.admin, redactor)
      openers.admin.wipe()
      delete openers.admin
    }
    // What was made now is kept at once. What was brought must open the store before it replaces what did so far; a wrapped
    // secret id is kept by whoever unwraps it.
    const { credential } = openers
    if (credential !== undefined && made) keepCredential(layout, answers.store, credential)
    const saw = await store.check()
    if (credential !== undefined && !made && !isWrapped(answers, credential))
      keepCredential(layout, answers.store, credential)
    return { saw, facts: { store: placeOf(answers) } }
  },
}
