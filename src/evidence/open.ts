import { basename, resolve } from 'node:path'
import * as z from 'zod'
import { readIfPresent } from '../deployment/files.ts'
import type { Layout } from '../deployment/layout.ts'
import { ToolError } from '../errors.ts'
import { parseJson } from '../json.ts'
import { isInside } from './tree.ts'

/** What `.secure/case.json` has while a case is open. */
const Pointer = z.strictObject({
  id: z.string(),
  runbook: z.string(),
  openedAt: z.string(),
  /** age recipients: everything that is kept is encrypted to them. */
  recipients: z.optional(z.array(z.string())),
  wishes: z.optional(z.string()),
})
export type OpenCase = z.infer<typeof Pointer>

/** Where it says that a case is open. */
export function pointerOf({ own }: Pick<Layout, 'own'>): string {
  return resolve(own, 'case.json')
}

/** The case that is open in this deployment, if there is one. Errors: `case_unreadable`. */
export function openCase(layout: Pick<Layout, 'own'>): OpenCase | undefined {
  const text = readIfPresent(pointerOf(layout))
  if (text === undefined) return undefined
  const pointer = Pointer.safeParse(parseJson(text))
  if (pointer.success && basename(pointer.data.id) === pointer.data.id && isInside(pointer.data.id))
    return pointer.data
  throw new ToolError(
    'case_unreadable',
    `${pointerOf(layout)} does not say which case is open`,
    'A case is open: look into cases/, and write its name back, or remove the file if you are sure that it is over.',
  )
}
