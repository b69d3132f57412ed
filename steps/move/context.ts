import * as z from 'zod'
import type { Answers } from '../../src/deployment/answers.ts'
import { readIfPresent } from '../../src/deployment/files.ts'
import type { Layout } from '../../src/deployment/layout.ts'
import { Exit, ToolError } from '../../src/errors.ts'
import { parseJson } from '../../src/json.ts'
import type { Redactor } from '../../src/secret.ts'
import type { SecretStore } from '../../src/stores/store.ts'
import type { Openers } from '../../src/wizard/secrets.ts'

/** A move from one store to another: the deployment, both stores, and what is written down about it. */
export interface MoveContext {
  layout: Layout
  redactor: Redactor
  /** Every secret of the deployment, by name. */
  names: readonly string[]
  from: { answers: Answers; store: SecretStore }
  /** As a deployment of its own, for the step that setup opens a store with. */
  answers: Answers
  store: SecretStore
  openers: Openers
  note: MoveNote
}

const MoveNote = z.strictObject({
  version: z.literal(1),
  since: z.string(),
  /** `deployment.yaml` as it was, and as it will be. Neither holds a secret. */
  from: z.string(),
  to: z.string(),
})

/** What a killed move leaves for its successor: where the secrets were, and where they go. */
export type MoveNote = z.infer<typeof MoveNote>

/** The move that has begun and not ended, or undefined. Errors: `move_corrupt`. */
export function unfinishedMove({ move }: Pick<Layout, 'move'>): MoveNote | undefined {
  const text = readIfPresent(move)
  if (text === undefined) return undefined
  const parsed = MoveNote.safeParse(parseJson(text))
  if (parsed.success) return parsed.data
  throw new ToolError(
    'move_corrupt',
    `${move} does not say which move has begun`,
    'Compare both stores by hand, then remove the file. Nothing in them has been destroyed that is not in the other.',
    Exit.unknown,
  )
}

/** Whether the deployment already names its new store: from then on that one has the truth. */
export function isSwitched({ layout, note }: Pick<MoveContext, 'layout' | 'note'>): boolean {
  return readIfPresent(layout.answers) === note.to
}
