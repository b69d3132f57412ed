import type { Answers } from '../deployment/answers.ts'
import { UsageError } from '../errors.ts'
import type { Suppression } from '../procedure/step.ts'
import { readAnswers } from './answers-file.ts'
import { fillIn } from './gather.ts'

/** Answers, and the failures of verify that somebody accepts. */
export interface Deployment {
  answers: Answers
  suppressions: readonly Suppression[]
}

/**
 * The deployment that a `deployment.yaml` describes, complete. Errors: a usage error with everything that is wrong in
 * it, or missing from it.
 */
export function readDeployment(text: string, directory: string): Deployment {
  const { answers, suppressions, problems } = readAnswers(text, 'deployment.yaml')
  if (problems.length > 0) throw new UsageError(problems, 'Correct deployment.yaml.')
  const place = { directory, timezone: 'UTC', exposedToNeighbours: false }
  const { answers: complete, open } = fillIn(answers, new Map(), place, true)
  if (open.length > 0)
    throw new UsageError(
      open.map(question => ({
        field: question.path.join('.'),
        allowed: question.kind.allowed,
        flag: question.flag,
      })),
      'Correct deployment.yaml.',
    )
  return { answers: complete as Answers, suppressions: suppressions ?? [] }
}
