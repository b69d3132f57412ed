import { basename, resolve } from 'node:path'
import { type Answers, keySecretOf } from '../../src/deployment/answers.ts'
import { readIfPresent, writeAtomic } from '../../src/deployment/files.ts'
import type { Layout } from '../../src/deployment/layout.ts'
import type { Step, Suppression } from '../../src/procedure/step.ts'
import { writeAnswers } from '../../src/wizard/answers-file.ts'
import { KNOWN_PROVIDERS } from '../../src/wizard/kinds.ts'
import type { ImportContext } from './context.ts'

interface Needs extends Pick<ImportContext, 'found'> {
  layout: Pick<Layout, 'answers' | 'base'>
  answers: Answers
  suppressions: readonly Suppression[]
}

/**
 * What is new to the deployment gets a place in its answers before it leaves the files: a secret that nothing names is one
 * that nobody delivers, rotates or moves.
 */
export const nameThem: Step<Needs> = {
  id: 'import.name',
  title: 'Let deployment.yaml name what is new',
  effect: 'writes',
  skip: ({ found }) => ((found.added ?? []).length === 0 ? 'nothing is new' : undefined),
  async run({ layout, answers, suppressions, found }) {
    const text = writeAnswers(withAdded(answers, found.added ?? []), suppressions)
    if (readIfPresent(layout.answers) !== text) writeAtomic(layout.answers, text, 0o644)
    return { saw: `${basename(resolve(layout.answers))}: ${(found.added ?? []).join(', ')}` }
  },
}

/** The answers with a place for each: a provider that OpenClaw knows by name, or a secret of the person's own. */
export function withAdded(answers: Answers, added: readonly string[]): Answers {
  const providers = KNOWN_PROVIDERS.map(id => ({ id })).filter(one => added.includes(keySecretOf(one)))
  const others = added.filter(name => !providers.some(provider => keySecretOf(provider) === name))
  return {
    ...answers,
    providers: [...answers.providers, ...providers],
    extraSecrets: [...answers.extraSecrets, ...others],
  }
}
