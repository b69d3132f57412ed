import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { answersReference } from '../reference.ts'

it('docs/answers.md is what `npm run docs` would write now', () => {
  expect(readFileSync('docs/answers.md', 'utf8')).toBe(answersReference())
})
