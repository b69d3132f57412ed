import type { Step } from '../../src/procedure/step.ts'
import type { ImportContext } from './context.ts'
import { findSecrets } from './find.ts'
import { readBack } from './read-back.ts'
import { replaceFound } from './replace.ts'
import { storeFound } from './store.ts'

export type { ImportContext, ImportFound, PlainSecret, Remark } from './context.ts'
export { scan } from './scan.ts'
export { importTable } from './table.ts'

/**
 * Store, read back, and only then replace: killed between any two, each value is in the store or in its file, usually in both,
 * and the next run goes on from there. What is done already, no step does again.
 */
export const importSteps: readonly Step<ImportContext>[] = [findSecrets, storeFound, readBack, replaceFound]
