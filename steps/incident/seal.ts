import { sealCase } from '../../src/evidence/seal.ts'
import type { Action } from './context.ts'
import { lineOf } from './report.ts'

/** What was kept is signed before anything is ended: from here on, a change to it can be seen by anybody with the public key. */
export const sealEvidence: Action = {
  id: 'evidence.seal',
  title: 'Sign the evidence',
  effect: 'contains',
  async run(ctx) {
    const { manifest, key, artefacts, missing, strays } = await sealCase(ctx)
    const unknown = strays.length === 0 ? '' : `; ${strays.length} files of which the chain says nothing`
    ctx.say(`Keep this line elsewhere: ${lineOf(ctx.case, manifest, key)}`)
    return {
      saw: `${artefacts} artefacts signed, ${missing} could not be had${unknown}; manifest sha256:${manifest}`,
      facts: { manifest, key, artefacts, missing, strays: strays.length },
    }
  },
}
