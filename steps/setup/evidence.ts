import { lookAt } from '../../src/deployment/files.ts'
import { ensureSigningKey, publicKeyOf } from '../../src/evidence/key.ts'
import type { Step } from '../../src/procedure/step.ts'
import type { SetupContext } from './context.ts'

/** Made long before it is needed: a key that appears with an incident proves nothing about it. */
export const makeEvidenceKey: Step<Pick<SetupContext, 'layout'>> = {
  id: 'evidence.key',
  title: 'Make the key that signs evidence',
  effect: 'writes',
  skip: ({ layout }) => (lookAt(publicKeyOf(layout)) === undefined ? undefined : 'it is there'),
  async run({ layout }) {
    const fingerprint = ensureSigningKey(layout)
    return { saw: `${fingerprint}: keep this fingerprint elsewhere`, facts: { key: fingerprint } }
  },
}
