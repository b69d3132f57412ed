import type { Readable, Writable } from 'node:stream'
import * as clack from '@clack/prompts'
import type { Answers } from '../deployment/answers.ts'
import { Cancelled, describeProblem, type Problem } from '../errors.ts'
import { Secret } from '../secret.ts'
import { crossCheck, fillIn, type Gathered } from './gather.ts'
import type { AnswerId, Partly, Place, Question } from './questions.ts'
import { questions } from './questions.ts'

/** The terminal a conversation is held on. `accessible`: no redrawing, for screen readers and simple terminals. */
export interface Talk {
  input: Readable
  output: Writable
  accessible: boolean
}

const BACK = Symbol('back')
const BACK_KEY = '<'

/**
 * Asks what is open, one question at a time, with a way back; then shows everything for review until the person says
 * go. `wrong` is asked on every review: what it finds has to be changed before anything is done. Errors: `Cancelled`.
 */
export async function converse(
  talk: Talk,
  gathered: Gathered,
  place: Place,
  wrong: (answers: Answers) => Promise<Problem[]>,
  preview: (answers: Answers) => string,
): Promise<Answers> {
  let { answers } = gathered
  const { origins } = gathered
  const asked: Question[] = []
  for (;;) {
    const filled = fillIn(answers, origins, place, false)
    const question = filled.open[0]
    if (question === undefined) {
      const complete = filled.answers as Answers
      const problems = [...crossCheck(complete, new Set()), ...(await wrong(complete))]
      const next = await review(talk, complete, origins, problems, preview)
      if (next === 'go') return complete
      answers = await change(talk, next, complete, origins, place, answers)
      continue
    }
    const reply = await ask(talk, question, filled.answers, place, asked.length > 0)
    if (reply === BACK) {
      const last = asked.pop()
      if (last !== undefined) {
        answers = without(answers, last.id)
        origins.delete(last.id)
      }
      continue
    }
    answers = { ...answers, [question.id]: reply }
    origins.set(question.id, 'prompt')
    asked.push(question)
  }
}

/** Asks for a secret, masked. Errors: `Cancelled`. */
export async function askSecret(talk: Talk, message: string): Promise<Secret> {
  const reply = await clack.password({
    ...talk,
    message,
    validate: value => ((value ?? '').trim() === '' ? 'Paste it here; it is not shown' : undefined),
  })
  return new Secret(told(reply).trim())
}

/** A yes-or-no question outside the registry. Errors: `Cancelled`. */
export async function confirm(talk: Talk, message: string): Promise<boolean> {
  return told(await clack.confirm({ ...talk, message, initialValue: false }))
}

async function ask(
  talk: Talk,
  question: Question,
  answers: Partly,
  place: Place,
  canGoBack: boolean,
): Promise<unknown> {
  const { kind, prompt } = question
  const present = answers[question.id] ?? question.fallback(answers, place)
  const options = kind.options ?? (typeof present === 'boolean' ? YES_NO : undefined)
  if (options !== undefined) {
    const reply = told(
      await clack.select<string>({
        ...talk,
        message: prompt,
        options: [
          ...options.map(option => ({
            value: kind.toText(option.value),
            label: option.label,
            ...(option.hint === undefined ? {} : { hint: option.hint }),
          })),
          ...(canGoBack ? [{ value: BACK_KEY, label: '← back' }] : []),
        ],
        ...(present === undefined ? {} : { initialValue: kind.toText(present) }),
      }),
    )
    if (reply === BACK_KEY) return BACK
    const value = kind.fromText(reply)
    const refusal = value === undefined ? kind.allowed : question.refuses?.(value, answers)
    if (refusal === undefined) return value
    clack.log.warn(`Not possible: ${refusal}`, talk)
    return ask(talk, question, answers, place, canGoBack)
  }
  const reply = told(
    await clack.text({
      ...talk,
      message: canGoBack ? `${prompt} (${BACK_KEY} goes back)` : prompt,
      initialValue: present === undefined ? '' : kind.toText(present),
      validate: text => {
        const typed = text ?? ''
        if (typed === BACK_KEY && canGoBack) return undefined
        const value = kind.fromText(typed)
        if (value === undefined) return `Allowed: ${kind.allowed}`
        const refusal = question.refuses?.(value, answers)
        return refusal === undefined ? undefined : `Allowed: ${refusal}`
      },
    }),
  )
  return reply === BACK_KEY && canGoBack ? BACK : kind.fromText(reply)
}

/** Shows everything and lets the person start, change one answer, or leave. */
async function review(
  talk: Talk,
  answers: Answers,
  origins: ReadonlyMap<AnswerId, string>,
  problems: readonly Problem[],
  preview: (answers: Answers) => string,
): Promise<'go' | Question> {
  clack.note(summary(answers, origins), 'Your answers', talk)
  if (problems.length > 0) clack.log.error(problems.map(describeProblem).join('\n'), talk)
  else clack.note(preview(answers), 'What will be done', talk)
  const next = told(
    await clack.select<string>({
      ...talk,
      message:
        problems.length > 0 ? 'This cannot be done as it is' : 'Nothing has been changed yet. Go ahead?',
      options: [
        ...(problems.length > 0 ? [] : [{ value: 'go', label: 'Go ahead' }]),
        { value: 'change', label: 'Change an answer' },
        { value: 'leave', label: 'Leave without doing anything' },
      ],
    }),
  )
  if (next === 'go') return 'go'
  if (next === 'leave') throw new Cancelled('Nothing was changed.')
  const id = told(
    await clack.select<string>({
      ...talk,
      message: 'Which one?',
      options: applicable(answers).map(question => ({
        value: question.id,
        label: `${question.path.join('.')}: ${question.kind.toText(answers[question.id]) || '(empty)'}`,
      })),
    }),
  )
  return questions.find(question => question.id === id) ?? 'go'
}

/** Asks one question again. Answers that depend on it and were only defaults are worked out anew. */
async function change(
  talk: Talk,
  question: Question,
  complete: Answers,
  origins: Gathered['origins'],
  place: Place,
  before: Partly,
): Promise<Partly> {
  const reply = await ask(talk, question, complete, place, true)
  if (reply === BACK) return before
  origins.set(question.id, 'prompt')
  const changed: Partly = { ...before, [question.id]: reply }
  return applicable(complete).reduce(
    (kept, other) => (origins.get(other.id) === 'default' ? without(kept, other.id) : kept),
    changed,
  )
}

/** The answers as the person sees them, one a line. */
export function summary(answers: Answers, origins: ReadonlyMap<AnswerId, string>): string {
  const rows = applicable(answers).map(question => [
    question.path.join('.'),
    question.kind.toText(answers[question.id]) || '(empty)',
    origins.get(question.id) ?? 'default',
  ])
  const width = Math.max(...rows.map(row => row[0]?.length ?? 0))
  return rows
    .map(
      ([name = '', value = '', origin = '']) =>
        `${name.padEnd(width)}  ${value}${origin === 'default' ? '  (default)' : ''}`,
    )
    .join('\n')
}

const YES_NO = [
  { value: true, label: 'Yes', hint: undefined },
  { value: false, label: 'No', hint: undefined },
] as unknown as NonNullable<Question['kind']['options']>

function applicable(answers: Answers): Question[] {
  return questions.filter(question => question.when?.(answers) !== false)
}

function without(answers: Partly, id: AnswerId): Partly {
  const { [id]: _dropped, ...rest } = answers
  return rest
}

function told<T>(reply: T): Exclude<T, symbol> {
  if (typeof reply === 'symbol') throw new Cancelled('Nothing was changed.')
  return reply as Exclude<T, symbol>
}
