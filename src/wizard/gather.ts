import type { Answers } from '../deployment/answers.ts'
import type { Problem } from '../errors.ts'
import type { Suppression } from '../procedure/step.ts'
import { type AnswersFile, readAnswers } from './answers-file.ts'
import { type AnswerId, environmentName, type Partly, type Place, type Question } from './question.ts'
import { questions } from './questions.ts'

/** Everything that may hold an answer, strongest first. */
export interface Sources {
  /** By question id; several texts where a flag was given several times. */
  flags: Partial<Record<AnswerId, readonly string[]>>
  build: boolean
  environment: Readonly<Record<string, string | undefined>>
  file?: { name: string; text: string }
  /** The `deployment.yaml` of an existing deployment. */
  saved?: { name: string; text: string }
  /** What is wrong with the sources themselves. */
  problems?: readonly Problem[]
}

/** Where an answer came from, for the review. */
export type Origin = 'flag' | 'environment' | 'answers file' | 'saved' | 'default' | 'prompt'

export interface Gathered {
  answers: Partly
  origins: Map<AnswerId, Origin>
  /** Accepted failures, from the answers file if it speaks of any, else from the saved answers. */
  suppressions: readonly Suppression[]
  problems: Problem[]
}

/**
 * Reads all sources: flag > environment > answers file > saved answers. What is malformed, contradictory or without
 * meaning becomes a problem; all of them are found in one go.
 */
export function gather(sources: Sources): Gathered {
  const file = sources.file === undefined ? undefined : readAnswers(sources.file.text, sources.file.name)
  const saved = sources.saved === undefined ? undefined : readAnswers(sources.saved.text, sources.saved.name)
  const answers: Record<string, unknown> = {}
  const origins = new Map<AnswerId, Origin>()
  // Problems of the saved file count as well: it was edited, and it is going to be built.
  const problems: Problem[] = [
    ...(sources.problems ?? []),
    ...(file?.problems ?? []),
    ...(saved?.problems ?? []),
  ]

  for (const question of questions) {
    const found = find(question, sources, file, saved, problems)
    if (found === undefined) continue
    answers[question.id] = found.value
    origins.set(question.id, found.origin)
  }
  impliedImage(sources, answers, origins, problems)
  const suppressions = file?.suppressions ?? saved?.suppressions ?? []
  return { answers: answers as Partly, origins, suppressions, problems }
}

/**
 * What is wrong with answers taken together, each with the flag that mends it. `given` are the answers somebody gave
 * (not defaults): those that have no meaning beside the others are reported too.
 */
export function crossCheck(answers: Partly, given: ReadonlySet<AnswerId>): Problem[] {
  const problems: Problem[] = []
  for (const question of questions) {
    const value = answers[question.id]
    if (value === undefined) continue
    const text = question.kind.toText(value)
    if (question.when?.(answers) === false) {
      if (given.has(question.id) && text !== '')
        problems.push({
          field: question.id,
          given: text,
          allowed: `only together with ${question.needs ?? 'another answer'}`,
          flag: question.flag,
        })
      continue
    }
    const refusal = question.refuses?.(value, answers)
    if (refusal !== undefined)
      problems.push({ field: question.id, given: text, allowed: refusal, flag: question.flag })
  }
  return problems
}

/** Fills in what a conversation would not ask: questions that do not arise, and, with `all`, every default there is. */
export function fillIn(
  answers: Partly,
  origins: Map<AnswerId, Origin>,
  place: Place,
  all: boolean,
): { answers: Partly; open: Question[] } {
  const filled: Record<string, unknown> = { ...answers }
  const open: Question[] = []
  for (const question of questions) {
    const arises = question.when?.(filled as Partly) !== false
    if (!arises && (origins.get(question.id) ?? 'saved') === 'saved') {
      // A saved answer to a question that no longer arises is forgotten, not contradicted.
      filled[question.id] = question.fallback(filled as Partly, place)
      origins.set(question.id, 'default')
      continue
    }
    if (filled[question.id] !== undefined) continue
    const fallback = question.fallback(filled as Partly, place)
    if (fallback !== undefined && (all || question.advanced?.(place) === true)) {
      filled[question.id] = fallback
      origins.set(question.id, 'default')
    } else open.push(question)
  }
  return { answers: filled as Partly, open }
}

/** The problem of a question nobody answered. */
export function missing(question: Question, answers: Partly, place: Place): Problem {
  const fallback = question.fallback(answers, place)
  const orYes =
    fallback === undefined ? '' : `, or --yes for ${JSON.stringify(question.kind.toText(fallback))}`
  return {
    field: question.id,
    allowed: question.kind.allowed,
    flag: `${question.flag} or ${environmentName(question)}${orYes}`,
  }
}

/** The arguments that repeat these answers without a question. */
export function asArguments(answers: Answers, place: Place): string[] {
  const args: string[] = []
  for (const question of questions) {
    if (question.when?.(answers) === false) continue
    const value = answers[question.id]
    const fallback = question.fallback(answers, place)
    if (fallback !== undefined && question.kind.toText(fallback) === question.kind.toText(value)) continue
    if (question.id === 'image') {
      if (value === 'build') args.push('--build')
    } else if (Array.isArray(value))
      args.push(...value.flatMap(item => [question.flag, question.kind.toText([item] as never)]))
    else if (typeof value === 'boolean') args.push(value ? question.flag : `--no-${question.flag.slice(2)}`)
    else args.push(question.flag, question.kind.toText(value))
  }
  return args
}

function find(
  question: Question,
  sources: Sources,
  file: AnswersFile | undefined,
  saved: AnswersFile | undefined,
  problems: Problem[],
): { value: unknown; origin: Origin } | undefined {
  const texts = sources.flags[question.id]
  if (texts !== undefined) {
    const isList = question.kind.isList === true
    if (!isList && new Set(texts).size > 1) {
      problems.push({
        field: question.id,
        given: texts.join(' and '),
        allowed: 'one value; the flag was given more than once',
        flag: question.flag,
      })
      return undefined
    }
    return fromText(question, isList ? texts.join(',') : (texts[0] ?? ''), question.flag, 'flag', problems)
  }
  const variable = environmentName(question)
  const text = sources.environment[variable]
  if (text !== undefined) return fromText(question, text, variable, 'environment', problems)
  const inFile = file?.answers[question.id]
  if (inFile !== undefined) return { value: inFile, origin: 'answers file' }
  const inSaved = saved?.answers[question.id]
  if (inSaved !== undefined) return { value: inSaved, origin: 'saved' }
  return undefined
}

function fromText(
  question: Question,
  text: string,
  source: string,
  origin: Origin,
  problems: Problem[],
): { value: unknown; origin: Origin } | undefined {
  const value = question.kind.fromText(text)
  if (value !== undefined) return { value, origin }
  problems.push({
    field: question.id,
    given: question.hides?.(text) ?? text,
    allowed: question.kind.allowed,
    flag: source,
  })
  return undefined
}

/** `--image REF` and `--build` say where the image comes from; saying two things is a contradiction. */
function impliedImage(
  sources: Sources,
  answers: Record<string, unknown>,
  origins: Map<AnswerId, Origin>,
  problems: Problem[],
): void {
  const named = origins.get('imageReference') === 'flag' || origins.get('imageReference') === 'environment'
  const told =
    origins.get('image') === 'flag' || origins.get('image') === 'environment' ? answers.image : undefined
  const says = [
    ...(sources.build ? ['build'] : []),
    ...(named ? ['reference'] : []),
    ...(told === undefined ? [] : [told]),
  ]
  if (new Set(says).size > 1) {
    const words = [
      sources.build && '--build',
      named && '--image',
      told !== undefined && `--image-from ${told}`,
    ].filter(Boolean)
    problems.push({
      field: 'image',
      given: words.join(' and '),
      allowed: 'one source of the image',
      flag: '--build, --image REF or --image-from official',
    })
    // What goes with one source only is no mistake of its own.
    for (const id of ['imageReference', 'baseImage', 'version'] as const) origins.delete(id)
  } else if (says[0] !== undefined) {
    answers.image = says[0]
    if (told === undefined) origins.set('image', 'flag')
  }
}
