import {
  Document,
  isCollection,
  isMap,
  isScalar,
  LineCounter,
  type Node,
  parseDocument,
  visit,
  type YAMLMap,
} from 'yaml'
import type { Answers } from '../deployment/answers.ts'
import type { Problem } from '../errors.ts'
import type { Suppression } from '../procedure/step.ts'
import type { AnswerId, Partly, Question } from './question.ts'
import { questions } from './questions.ts'
import { readSuppressions } from './suppressions.ts'

/** What an answers file says. `problems` holds everything wrong with it; `answers` what is well formed. */
export interface AnswersFile {
  answers: Partly
  /** Accepted failures; undefined when the file does not speak of any. */
  suppressions?: Suppression[]
  problems: Problem[]
}

/**
 * Reads an answers file or a `deployment.yaml` (YAML 1.2, JSON included). Unknown keys are problems: a misspelt
 * security setting must not be ignored.
 */
export function readAnswers(text: string, name: string): AnswersFile {
  const lines = new LineCounter()
  const document = parseDocument(text, { uniqueKeys: true, lineCounter: lines })
  const at = (offset: number | undefined) =>
    offset === undefined ? name : `${name}, line ${lines.linePos(offset).line}`
  if (document.errors.length > 0)
    return {
      answers: {},
      problems: document.errors.slice(0, 5).map(error => ({
        field: at(error.pos[0]),
        given: error.message.split('\n')[0] ?? error.code,
        allowed: 'a YAML mapping',
        flag: '--answers',
      })),
    }
  if (document.contents === null) return { answers: {}, problems: [] }
  if (!isMap(document.contents))
    return {
      answers: {},
      problems: [
        {
          field: name,
          given: isCollection(document.contents) ? 'a list' : 'a single value',
          allowed: 'a YAML mapping',
          flag: '--answers',
        },
      ],
    }

  const answers: Record<string, unknown> = {}
  let suppressions: Suppression[] | undefined
  const problems: Problem[] = []
  const plain = (value: unknown): unknown =>
    isScalar(value) || (isCollection(value) && !hasAlias(value))
      ? value.toJS(document, { maxAliasCount: 0 })
      : undefined
  const walk = (map: YAMLMap, above: readonly string[]) => {
    for (const { key, value } of map.items) {
      const path = [...above, isScalar(key) ? String(key.value) : '?']
      const place = isScalar(key) ? key.range?.[0] : undefined
      const field = `${path.join('.')} (${at(place)})`
      if (path.join('.') === 'version' && isScalar(value)) {
        if (value.value !== 1)
          problems.push({ field, given: String(value.value), allowed: '1, the version of this file format' })
        continue
      }
      if (path.join('.') === SUPPRESS) {
        const data = plain(value)
        if (value !== null && data === undefined) {
          problems.push({ field, given: 'an alias', allowed: 'every entry written out' })
          continue
        }
        const read = readSuppressions(data, field)
        suppressions = read.suppressions
        problems.push(...read.problems)
        continue
      }
      const question = questions.find(one => begins(one.path, path) && one.path.length === path.length)
      if (question !== undefined) {
        const data = plain(value)
        const read = question.kind.fromData(data)
        if (read === undefined)
          problems.push({
            field,
            given: question.hides?.(describe(data)) ?? describe(data),
            allowed: question.kind.allowed,
            flag: question.flag,
          })
        else answers[question.id] = read
      } else if (questions.some(one => begins(one.path, path))) {
        if (isMap(value)) walk(value, path)
        else if (!(isScalar(value) && value.value === null))
          problems.push({ field, given: describe(isScalar(value) ? value.value : []), allowed: 'a mapping' })
      } else {
        const known = [...questions.map(candidate => candidate.path.join('.')), SUPPRESS]
        // A misspelt section is compared with sections, a misspelt key with keys.
        const sections = known
          .map(key => key.split('.'))
          .filter(parts => isMap(value) && parts.length > path.length)
          .map(parts => parts.slice(0, path.length).join('.'))
        const best = nearest(path.join('.'), sections.length > 0 ? sections : known)
        const meant = known.find(key => key === best || key.startsWith(`${best}.`)) ?? best
        problems.push({
          field,
          given: 'an unknown key',
          allowed: `${meant} perhaps; all keys: ${known.join(', ')}`,
        })
      }
    }
  }
  walk(document.contents, [])
  return { answers: answers as Partly, problems, ...(suppressions === undefined ? {} : { suppressions }) }
}

/** Where accepted failures stand. Not an answer to a question: nobody is asked for them. */
const SUPPRESS = 'suppress'

/** `deployment.yaml`: the answers with the question's own words beside each, to be edited and run again. */
export function writeAnswers(answers: Answers, suppressions: readonly Suppression[] = []): string {
  const document = new Document({ version: 1 }, { version: '1.2' })
  document.commentBefore =
    ' What this deployment is. Edit it and run create-openclaw-secure here again: what changes is shown first.\n It holds no secret.'
  for (const question of questions) {
    if (question.when?.(answers) === false) continue
    document.setIn(question.path, question.kind.toData(answers[question.id]))
    const comment = ` ${question.help}: ${question.kind.allowed}`
    const parent = question.path.length === 1 ? document.contents : document.getIn(question.path.slice(0, -1))
    if (!isMap(parent)) continue
    const pair = parent.items.find(item =>
      isScalar(item.key) ? item.key.value === question.path.at(-1) : item.key === question.path.at(-1),
    )
    if (pair !== undefined) {
      const key = document.createNode(question.path.at(-1))
      key.commentBefore = comment
      pair.key = key
    }
  }
  if (suppressions.length > 0) {
    document.setIn([SUPPRESS], suppressions)
    const pair = isMap(document.contents) ? document.contents.items.at(-1) : undefined
    const key = document.createNode(SUPPRESS)
    key.commentBefore =
      ' Failures of verify that somebody accepts, each with its reason and the last day it holds.'
    if (pair !== undefined) pair.key = key
  }
  return document.toString({ lineWidth: 0, defaultStringType: 'QUOTE_DOUBLE', defaultKeyType: 'PLAIN' })
}

/** Whether two complete sets of answers ask for the same deployment. */
export function sameAnswers(one: Answers, other: Answers): boolean {
  const forms = (answers: Answers) =>
    questions.map((question: Question<AnswerId>) => question.kind.toText(answers[question.id]))
  return forms(one).join('\0') === forms(other).join('\0')
}

/** Whether a question's place is this one or lies below it. A key with a dot in it is no path. */
function begins(place: readonly string[], path: readonly string[]): boolean {
  return path.every((key, depth) => place[depth] === key)
}

/** Aliases are refused: nobody needs them here, and nested ones grow without end. */
function hasAlias(node: Node): boolean {
  let found = false
  visit(node, {
    Alias() {
      found = true
      return visit.BREAK
    },
  })
  return found
}

function describe(data: unknown): string {
  if (data === undefined) return 'an alias'
  const text = JSON.stringify(data)
  return `${Array.isArray(data) ? 'a list' : data === null ? 'nothing' : typeof data === 'object' ? 'a mapping' : `a ${typeof data}`}: ${text}`
}

/** The candidate that shares the most letter pairs: enough to catch a slip of the finger. */
function nearest(word: string, candidates: readonly string[]): string {
  const pairs = (text: string) => new Set([...text].map((char, i) => char + (text[i + 1] ?? '')))
  const own = pairs(word)
  const score = (candidate: string) =>
    [...pairs(candidate)].filter(pair => own.has(pair)).length / candidate.length
  return candidates.reduce((best, candidate) => (score(candidate) > score(best) ? candidate : best))
}
