/** `npm run docs`: writes docs/answers.md from the questions, which are declared once. A unit test keeps it current. */
import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { environmentName } from '../src/wizard/question.ts'
import { questions } from '../src/wizard/questions.ts'

/** The reference of every answer, in Markdown. */
export function answersReference(): string {
  const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('<', '&lt;')
  const rows = questions.map(question =>
    [
      `\`${question.path.join('.')}\``,
      `\`${question.flag}\``,
      `\`${environmentName(question)}\``,
      question.help + (question.needs === undefined ? '' : ` (with ${question.needs})`),
      question.kind.allowed,
    ].map(cell),
  )
  return [
    '# Answers',
    '',
    'Every question of the wizard, with its place in `deployment.yaml` or an answers file, its flag and its environment',
    'variable. A flag counts before the environment, the environment before an answers file (`--answers FILE`), that before',
    'the saved `deployment.yaml`, and all before the default. Made by `npm run docs`; do not edit.',
    '',
    '| answer | flag | environment | what it is | allowed |',
    '|---|---|---|---|---|',
    ...rows.map(row => `| ${row.join(' | ')} |`),
    '',
    'Secrets are no answers: they come from a masked prompt, a file or stdin, and never stand in a file of answers, a flag',
    'or the environment.',
    '',
    '| secret | flag |',
    '|---|---|',
    '| the gateway token (generated when you bring none) | `--token @FILE` or `--token @-` |',
    "| a provider's key | `--provider-key NAME=@FILE` or `--provider-key NAME=@-` |",
    '| a secret of your own, named with `--secret` | `--secret-value NAME=@FILE` or `--secret-value NAME=@-` |',
    '| what opens a store that is elsewhere | `--store-credential @FILE` or `--store-credential @-` |',
    '| a token that may set Vault up; it is not kept | `--vault-admin @FILE` or `--vault-admin @-` |',
    '',
    'Failures of `verify` that somebody accepts are no answers either, and have no flag: they stand in `deployment.yaml` or an',
    'answers file, each with a reason and the last day it holds. They stay visible, and an `unknown` cannot be accepted.',
    '',
    '```yaml',
    'suppress:',
    '  - { check: monitor.configured, reason: "our log server alerts", until: "2027-03-31" }',
    '```',
    '',
  ].join('\n')
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href)
  writeFileSync(resolve('docs/answers.md'), answersReference())
