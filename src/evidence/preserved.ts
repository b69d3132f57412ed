import { resolve } from 'node:path'
import { lookAt, readIfPresent } from '../deployment/files.ts'
import type { Layout } from '../deployment/layout.ts'
import { Journal } from '../procedure/journal.ts'
import { CASE_FILES, type ListedCase } from './case.ts'
import { publicKeyOf, verifyingKey } from './key.ts'
import { standingSeal } from './seal.ts'

/** An image that a case has preserved in the engine. */
export interface Preserved {
  /** Its name there, which anybody can give to another one. */
  reference: string
  /** The image itself, as the chain of custody has it. */
  id: string
  /** Why nobody vouches for that; undefined: the line of the chain is signed. */
  unsigned: string | undefined
}

/**
 * The images that a case has preserved, by service. A line of the chain is signed when the manifest's signature fits and names a
 * line at or after it, up to which the chain is whole; it counts before any that is not.
 */
export function preservedImages(
  layout: Pick<Layout, 'own'>,
  { id, folder }: Pick<ListedCase, 'id' | 'folder'>,
): Map<string, Preserved> {
  const path = (file: keyof typeof CASE_FILES) => resolve(folder, CASE_FILES[file])
  const chain = new Journal(path('custody'), () => new Date(0))
  const state = chain.verifyChain()
  const key = verifyingKey(readIfPresent(publicKeyOf(layout)) ?? '')
  const seal = key === undefined ? undefined : standingSeal({ id, path }, key)
  const end = seal?.manifest.chain.events ?? 0
  const signed = state.intact || state.broken > end ? end : 0
  const why = () => {
    if (lookAt(path('manifest')) === undefined) return 'the case is not sealed'
    if (signed === 0) return 'its seal or its chain of custody is not as it was signed'
    return 'it was entered after the seal'
  }
  const entries = chain.read().flatMap(({ step, facts }, line) => {
    if (step !== 'preserved') return []
    const unsigned = line < signed ? undefined : why()
    const { service, reference, id } = facts ?? {}
    return [{ service: String(service), reference: String(reference), id: String(id), unsigned }]
  })
  const images = new Map<string, Preserved>()
  for (const { service, ...image } of entries) {
    const known = images.get(service)
    // The last one counts, and never one that nobody has signed for one that somebody has: those come later.
    if (known === undefined || known.unsigned === image.unsigned) images.set(service, image)
  }
  return images
}
