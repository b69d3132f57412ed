import { resolve } from 'node:path'
import * as z from 'zod'
import { type Answers, placeOf } from '../../src/deployment/answers.ts'
import { readIfPresent } from '../../src/deployment/files.ts'
import type { Layout } from '../../src/deployment/layout.ts'
import { Exit, type Problem, ToolError } from '../../src/errors.ts'
import { parseJson } from '../../src/json.ts'
import type { Redactor } from '../../src/secret.ts'
import type { SecretStore } from '../../src/stores/store.ts'
import { readDeployment } from '../../src/wizard/saved.ts'
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
  /** Whether an earlier run has begun this move: what is in the new store may be its copies. */
  resumed: boolean
}

const MoveNote = z.strictObject({
  version: z.literal(1),
  since: z.string(),
  /** A `deployment.yaml` that names the store where the secrets are, and one that names where they go. No secret is in them. */
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

/** What is wrong with doing anything else to the secrets while a move has begun and not ended. */
export function unfinishedMoveProblems(layout: Pick<Layout, 'move'>): Problem[] {
  const begun = unfinishedMove(layout)
  if (begun === undefined) return []
  return [
    {
      field: 'store',
      saw: `a move to another store was cut short (begun at ${begun.since})`,
      allowed: 'Finish it first: create-openclaw-secure store move --resume.',
    },
  ]
}

/** The answers rendered last, where they name another kind of store than these: there the secrets are. */
export function storedElsewhere(
  layout: Pick<Layout, 'base' | 'root'>,
  answers: Pick<Answers, 'store' | 'seal'>,
): Answers | undefined {
  const rendered = answersInForce(layout)
  // The same kind of store at another address may be the same store: what is not in it will be noticed.
  return rendered?.store === answers.store && rendered.seal === answers.seal ? undefined : rendered
}

/**
 * Under the lock: a move may have begun or ended while something else was being talked about, and the store would be the wrong
 * one. Errors: `store_moved`.
 */
export function expectUnmoved(
  layout: Pick<Layout, 'base' | 'root' | 'move'>,
  answers: Pick<Answers, 'store' | 'seal'>,
): void {
  if (storedElsewhere(layout, answers) === undefined && unfinishedMove(layout) === undefined) return
  throw new ToolError(
    'store_moved',
    'the secrets are being moved to another store, or have been moved',
    'Finish that (create-openclaw-secure store move --resume), then run this command again.',
    Exit.unknown,
  )
}

/**
 * Whether the new store has the truth already. What was rendered last says so, and not `deployment.yaml`, which a person
 * may have edited to name a store that nothing has been moved to.
 */
export function isSwitched({ layout, answers }: Pick<MoveContext, 'layout' | 'answers'>): boolean {
  const present = answersInForce(layout)
  return present !== undefined && placeOf(present) === placeOf(answers)
}

/** The answers that what runs was made from, whatever was edited since; undefined before it was set up as a whole. */
export function answersInForce(layout: Pick<Layout, 'base' | 'root'>): Answers | undefined {
  const text = readIfPresent(renderedAnswers(layout))
  return text === undefined ? undefined : readDeployment(text, layout.root).answers
}

/** The answers that the deployment was made from, as they were rendered last. */
export function renderedAnswers({ base }: Pick<Layout, 'base'>): string {
  return resolve(base, 'deployment.yaml')
}
