import type { Answers } from '../deployment/answers.ts'
import { describeProblem, type Problem } from '../errors.ts'
import { Secret } from '../secret.ts'
import { crossCheck, fillIn, type Gathered } from './gather.ts'
import type { AnswerId, Partly, Place, Question } from './question.ts'
import { questions } from './questions.ts'
import { type Choice, leaving, type Talk, type Voice, voiceOn } from './voice.ts'

const BACK = Symbol('back')
const BACK_KEY = '<'
const BACK_CHOICE: Choice = { value: BACK_KEY, label: '← back' }
const YES_NO: readonly Choice[] = [
  { value: 'yes', label: 'Yes' },
  { value: 'no', label: 'No' },
]

/**
 * Help with one question, from whoever knows more than the question does: choices that only a server can list, or the
 * answer itself. Nothing of it: the question is asked as it stands.
 */
export type Assist = (
  question: Question,
  answers: Partly,
  voice: Voice,
) => Promise<{ choices?: readonly Choice[]; answer?: string }>

/**
 * Asks what is open, one question at a time, with a way back; then shows everything for review until the person says
 * go. `wrong` is asked on every review: what it finds has to be changed before anything is done. Errors: `Cancelled`.
 */
export async function converse(
  talk: Talk,
  gathered: Gathered,
  place: Place,
  wrong: (answers: Answers) => Promise<Problem[]>,
  preview: (answers: Answers) => string | Promise<string>,
  assist: Assist = async () => ({}),
  changeable: (id: AnswerId) => boolean = () => true,
): Promise<Answers> {
  const voice = voiceOn(talk)
  const given = new Map(gathered.origins)
  let { answers } = gathered
  // What somebody took back with "<" is offered again.
  let withdrawn: Partly = {}
  let asked: Question[] = []
  for (;;) {
    // Filling in marks defaults in the map it is given: a copy, for the next answer may call for another question.
    const origins = new Map(given)
    const filled = fillIn(answers, origins, place, false)
    const open = filled.open[0]
    const question =
      open ?? (await review(voice, filled.answers as Answers, origins, wrong, preview, changeable))
    if (question === 'go') return filled.answers as Answers
    if (question === BACK) continue

    const { id } = question
    const suggestion = filled.answers[id] ?? withdrawn[id] ?? question.fallback(filled.answers, place)
    const canGoBack = open === undefined || asked.length > 0
    const help = await assist(question, filled.answers, voice)
    const reply =
      question.kind.fromText(help.answer ?? '') === undefined || help.answer === undefined
        ? await ask(voice, question, filled.answers, suggestion, canGoBack, help.choices)
        : question.kind.fromText(help.answer)
    if (reply === BACK) {
      const last = open === undefined ? undefined : asked.pop()
      if (last === undefined) continue
      withdrawn = { ...withdrawn, [last.id]: answers[last.id] }
      answers = without(answers, last.id)
      given.delete(last.id)
    } else {
      const before = answers
      answers = { ...answers, [id]: reply }
      given.set(id, 'prompt')
      // What was answered without asking cannot be gone back to: it would be answered again at once.
      if (help.answer !== undefined) continue
      const others = asked.filter(other => other !== question)
      // An accepted default that is another one now (the certificate's path, with its host) is asked again.
      for (const other of others)
        if (isDefault(other, before, place) && !isDefault(other, answers, place))
          answers = without(answers, other.id)
      asked = [...others, question]
    }
  }
}

/**
 * Asks for a secret, masked. `refuse` says what is wrong with a value, without repeating it. Errors: `Cancelled`.
 */
export async function askSecret(
  talk: Talk,
  message: string,
  refuse: (value: Secret) => string | undefined = () => undefined,
): Promise<Secret> {
  const typed = await voiceOn(talk).secret(message, text =>
    text.trim() === ''
      ? 'Paste it here; it is not shown'
      : prefixed('Allowed: ', refuse(new Secret(text.trim()))),
  )
  return new Secret(typed.trim())
}

/** Asks one question until the answer is possible, or the person wants to go back. */
async function ask(
  voice: Voice,
  question: Question,
  answers: Partly,
  suggestion: Answers[AnswerId] | undefined,
  canGoBack: boolean,
  offered?: readonly Choice[],
): Promise<Answers[AnswerId] | typeof BACK> {
  const { kind, prompt } = question
  const initial = suggestion === undefined ? '' : kind.toText(suggestion)
  const refuse = (text: string) => {
    const value = kind.fromText(text)
    return value === undefined ? kind.allowed : question.refuses?.(value, answers)
  }
  const choices =
    offered ??
    (typeof suggestion === 'boolean' ? YES_NO : kind.options?.map(option => choiceOf(kind, option)))
  for (;;) {
    const reply =
      choices === undefined
        ? await voice.text(canGoBack ? `${prompt} (${BACK_KEY} goes back)` : prompt, initial, text =>
            canGoBack && text === BACK_KEY ? undefined : prefixed('Allowed: ', refuse(text)),
          )
        : await voice.choose(prompt, canGoBack ? [...choices, BACK_CHOICE] : choices, initial)
    if (canGoBack && reply === BACK_KEY) return BACK
    const value = kind.fromText(reply)
    const refusal = refuse(reply)
    if (value !== undefined && refusal === undefined) return value
    voice.warn(`Not possible: ${refusal}`)
  }
}

/** Shows everything and lets the person start, change one answer, or leave. */
async function review(
  voice: Voice,
  answers: Answers,
  origins: ReadonlyMap<AnswerId, string>,
  wrong: (answers: Answers) => Promise<Problem[]>,
  preview: (answers: Answers) => string | Promise<string>,
  changeable: (id: AnswerId) => boolean,
): Promise<'go' | Question | typeof BACK> {
  const problems = [...crossCheck(answers, new Set()), ...(await wrong(answers))]
  const possible = problems.length === 0
  voice.note('Your answers', summary(answers, origins))
  if (possible) voice.note('What will be done', await preview(answers))
  else voice.warn(problems.map(describeProblem).join('\n'))
  const next = await voice.choose(
    possible ? 'Nothing has been changed yet. Go ahead?' : 'This cannot be done as it is',
    [
      ...(possible ? [{ value: 'go', label: 'Go ahead' }] : []),
      { value: 'change', label: 'Change an answer' },
      { value: 'leave', label: 'Leave without doing anything' },
    ],
    possible ? 'go' : 'change',
  )
  if (next === 'go') return 'go'
  if (next === 'leave') throw leaving()
  const choices = rowsOf(answers)
    .filter(({ id }) => changeable(id))
    .map(({ id, name, value }) => ({ value: id, label: `${name}: ${value}` }))
  const id = await voice.choose('Which one?', [...choices, BACK_CHOICE], '')
  return questions.find(question => question.id === id) ?? BACK
}

/** The answers as the person sees them, one a line. */
export function summary(answers: Answers, origins: ReadonlyMap<AnswerId, string>): string {
  const rows = rowsOf(answers)
  const width = Math.max(...rows.map(({ name }) => name.length))
  const isDefault = (id: AnswerId) => (origins.get(id) ?? 'default') === 'default'
  return rows
    .map(({ id, name, value }) => `${name.padEnd(width)}  ${value}${isDefault(id) ? '  (default)' : ''}`)
    .join('\n')
}

function rowsOf(answers: Answers): { id: AnswerId; name: string; value: string }[] {
  return questions
    .filter(question => question.when?.(answers) !== false)
    .map(({ id, path, kind }) => ({ id, name: path.join('.'), value: kind.toText(answers[id]) || '(empty)' }))
}

function isDefault({ id, kind, fallback }: Question, answers: Partly, place: Place): boolean {
  const [answer, preset] = [answers[id], fallback(answers, place)]
  return answer !== undefined && preset !== undefined && kind.toText(answer) === kind.toText(preset)
}

function without(answers: Partly, id: AnswerId): Partly {
  const { [id]: _dropped, ...rest } = answers
  return rest
}

function prefixed(prefix: string, text: string | undefined): string | undefined {
  return text === undefined ? undefined : prefix + text
}

function choiceOf(
  kind: Question['kind'],
  option: { value: Answers[AnswerId]; label: string; hint?: string },
): Choice {
  const { label, hint } = option
  return { value: kind.toText(option.value), label, ...(hint === undefined ? {} : { hint }) }
}
