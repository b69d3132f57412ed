import { ToolError } from '../../src/errors.ts'
import type { DeliveredSecret } from '../../src/gateway/policy.ts'
import type { Step } from '../../src/procedure/step.ts'
import { count, type ImportContext, importable } from './context.ts'

/** What the store gives back is what the files say: only then may the files forget it. */
export const readBack: Step<Pick<ImportContext, 'store' | 'found'>> = {
  id: 'import.read-back',
  title: 'Read them back and compare',
  effect: 'reads',
  async skip({ store, found }) {
    const names = [...importable(found).keys()]
    if (names.length === 0) return 'nothing to import'
    // A dry run has stored nothing. After one that has, what is missing is an error.
    if (found.stored !== undefined) return undefined
    for (const name of names)
      if ((await store.load(name))?.current === undefined) return 'the store does not have them yet'
    return undefined
  },
  async run({ store, found }) {
    const verified: DeliveredSecret[] = []
    for (const [name, { value }] of importable(found)) {
      const current = (await store.load(name))?.current
      if (current?.value.equals(value) !== true)
        throw new ToolError(
          'store_mismatch',
          `the store does not give back what it was given as ${name}`,
          'No file was changed. Check the store, then run the command again.',
        )
      verified.push({ name, rotationId: current.rotationId })
    }
    found.verified = verified
    return { saw: `${count(verified.length, 'secret')}, each equal to what was found` }
  },
}
