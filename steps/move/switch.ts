import { type Answers, placeOf } from '../../src/deployment/answers.ts'
import { readIfPresent, writeAtomic } from '../../src/deployment/files.ts'
import { ToolError } from '../../src/errors.ts'
import { allSecretNamesOf } from '../../src/gateway/policy.ts'
import type { Step } from '../../src/procedure/step.ts'
import { writeAnswers } from '../../src/wizard/answers-file.ts'
import { readDeployment } from '../../src/wizard/saved.ts'
import { STORE_QUESTIONS } from '../../src/wizard/store-questions.ts'
import { isSwitched, type MoveContext, renderedAnswers } from './context.ts'

type Needs = Pick<MoveContext, 'layout' | 'answers' | 'names'>

/**
 * Two files are replaced, and with the second the new store has the truth. Before, the old one has it: never neither. What
 * was edited in deployment.yaml meanwhile stays; but a secret that was added meanwhile has not been moved.
 */
export const switchOver: Step<Needs> = {
  id: 'move.switch',
  title: 'Let deployment.yaml name the new store',
  effect: 'writes',
  skip: ctx => (isSwitched(ctx) ? 'it does' : undefined),
  async run({ layout, answers, names }) {
    const present = withStoreOf(answers, readIfPresent(layout.answers) ?? '', layout.root)
    const added = allSecretNamesOf(present.answers).filter(name => !names.includes(name))
    if (added.length > 0)
      throw new ToolError(
        'move_edited',
        `deployment.yaml names secrets that it did not name when the move began: ${added.join(', ')}`,
        'Take them out of it, finish the move with store move --resume, and add them again.',
      )
    const rendered = readIfPresent(renderedAnswers(layout)) ?? ''
    const base = withStoreOf(answers, rendered, layout.root)
    writeAtomic(layout.answers, present.text, 0o644)
    writeAtomic(renderedAnswers(layout), base.text, 0o600)
    return { saw: placeOf(answers) }
  },
}

/** A `deployment.yaml` with another store in it, and everything else as it is. */
export function withStoreOf(
  answers: Answers,
  text: string,
  root: string,
): { answers: Answers; text: string } {
  const { answers: present, suppressions } = readDeployment(text, root)
  const store = Object.fromEntries(
    STORE_QUESTIONS.filter(({ id }) => id !== 'extraSecrets').map(({ id }) => [id, answers[id]]),
  )
  const changed: Answers = { ...present, ...store }
  return { answers: changed, text: writeAnswers(changed, suppressions) }
}
