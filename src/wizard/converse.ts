import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import * as clack from '@clack/prompts'
import type { Answers } from '../deployment/answers.ts'
import { Cancelled, describeProblem, type Problem } from '../errors.ts'
import { Secret } from '../secret.ts'
import { crossCheck, fillIn, type Gathered } from './gather.ts'
import { type AnswerId, type Partly, type Place, type Question, questions } from './questions.ts'

/** The terminal a conversation is held on. */
export interface Talk {
  input: Readable
  output: Writable
  /** Line by line, without colour and without redrawing: for screen readers and simple terminals. */
  accessible: boolean
  /** Ends the conversation: Ctrl-C where the terminal itself makes a signal of it, or a terminal that is closed. */
  signal?: AbortSignal
}

const BACK = Symbol('back')
const BACK_KEY = '<'
const BACK_CHOICE: Choice = { value: BACK_KEY, label: '← back' }
const YES_NO: readonly Choice[] = [
  { value: 'yes', label: 'Yes' },
  { value: 'no', label: 'No' },
]

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
    const question = open ?? (await review(voice, filled.answers as Answers, origins, wrong, preview))
    if (question === 'go') return filled.answers as Answers
    if (question === BACK) continue

    const { id } = question
    const suggestion = filled.answers[id] ?? withdrawn[id] ?? question.fallback(filled.answers, place)
    const canGoBack = open === undefined || asked.length > 0
    const reply = await ask(voice, question, filled.answers, suggestion, canGoBack)
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
): Promise<Answers[AnswerId] | typeof BACK> {
  const { kind, prompt } = question
  const initial = suggestion === undefined ? '' : kind.toText(suggestion)
  const refuse = (text: string) => {
    const value = kind.fromText(text)
    return value === undefined ? kind.allowed : question.refuses?.(value, answers)
  }
  const choices =
    typeof suggestion === 'boolean' ? YES_NO : kind.options?.map(option => choiceOf(kind, option))
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
  preview: (answers: Answers) => string,
): Promise<'go' | Question | typeof BACK> {
  const problems = [...crossCheck(answers, new Set()), ...(await wrong(answers))]
  const possible = problems.length === 0
  voice.note('Your answers', summary(answers, origins))
  if (possible) voice.note('What will be done', preview(answers))
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
  const choices = rowsOf(answers).map(({ id, name, value }) => ({ value: id, label: `${name}: ${value}` }))
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

function leaving(): Cancelled {
  return new Cancelled('Nothing was changed.')
}

interface Choice {
  value: string
  label: string
  hint?: string
}

function choiceOf(
  kind: Question['kind'],
  option: { value: Answers[AnswerId]; label: string; hint?: string },
): Choice {
  const { label, hint } = option
  return { value: kind.toText(option.value), label, ...(hint === undefined ? {} : { hint }) }
}

/** How things are said and asked. `refuse` returns what to tell a person whose text will not do. */
interface Voice {
  text(message: string, initial: string, refuse: (text: string) => string | undefined): Promise<string>
  choose(message: string, choices: readonly Choice[], initial: string): Promise<string>
  secret(message: string, refuse: (text: string) => string | undefined): Promise<string>
  note(title: string, body: string): void
  warn(text: string): void
}

function voiceOn(talk: Talk): Voice {
  return talk.accessible ? plainVoice(talk) : clackVoice(talk)
}

/** Prompts that are redrawn in place and edited with the arrow keys. */
function clackVoice({ input, output, signal }: Talk): Voice {
  type Terminal = { input: Readable; output: Writable; signal: AbortSignal }
  const put = async <T extends string>(prompt: (terminal: Terminal) => Promise<T | symbol>): Promise<T> => {
    if (signal?.aborted) throw leaving()
    // clack waits for ever when the input ends (Ctrl-D, a closed terminal), and keeps listening to a signal it was
    // given when the question is long answered: each prompt gets its own signal. An ordinary answer pauses the input
    // as well, so clack goes first.
    const ended = new AbortController()
    let soon: NodeJS.Immediate | undefined
    const end = () => {
      soon = setImmediate(() => ended.abort())
    }
    input.once('pause', end)
    signal?.addEventListener('abort', end)
    try {
      const reply = await prompt({ input, output, signal: ended.signal })
      if (typeof reply === 'symbol') throw leaving()
      return reply
    } finally {
      clearImmediate(soon)
      input.off('pause', end)
      signal?.removeEventListener('abort', end)
    }
  }
  return {
    text: (message, initial, refuse) =>
      put(terminal =>
        clack.text({ ...terminal, message, initialValue: initial, validate: text => refuse(text ?? '') }),
      ),
    choose: (message, choices, initial) =>
      put(terminal => clack.select({ ...terminal, message, options: [...choices], initialValue: initial })),
    secret: (message, refuse) =>
      put(terminal => clack.password({ ...terminal, message, validate: text => refuse(text ?? '') })),
    note: (title, body) => clack.note(body, title, { output }),
    warn: text => clack.log.warn(text, { output }),
  }
}

/** Plain lines: a question is printed once, choices have numbers, and the terminal itself does the editing. */
function plainVoice(talk: Talk): Voice {
  const say = (text: string) => talk.output.write(`${text}\n`)
  return {
    async text(message, initial, refuse) {
      const canBeEmpty = initial !== '' && refuse('') === undefined
      for (;;) {
        say(`\n${message}`)
        const typed = await line(
          talk,
          initial === '' ? '> ' : `[${initial}${canBeEmpty ? '; - for none' : ''}] > `,
        )
        const text = typed === '' ? initial : typed === '-' && canBeEmpty ? '' : typed
        const refusal = refuse(text)
        if (refusal === undefined) return text
        say(refusal)
      }
    },
    async choose(message, choices, initial) {
      const preset = choices.findIndex(({ value }) => value === initial) + 1
      for (;;) {
        say(`\n${message}`)
        choices.forEach(({ label, hint }, i) => {
          say(`  ${i + 1}. ${label}${hint === undefined ? '' : ` (${hint})`}`)
        })
        const typed = await line(talk, preset === 0 ? '> ' : `[${preset}] > `)
        const number = typed === '' ? preset : Number(typed)
        const choice = choices[number - 1] ?? choices.find(({ value }) => value === typed.toLowerCase())
        if (choice !== undefined) return choice.value
        say(`Allowed: a number from 1 to ${choices.length}`)
      }
    },
    async secret(message, refuse) {
      // What went wrong is said with the next question: until that is put, the terminal shows what is typed.
      for (let refusal = ''; ; ) {
        const text = await line(talk, `${refusal}\n${message} (it is not shown)\n> `, true)
        const wrong = refuse(text)
        say('')
        if (wrong === undefined) return text
        refusal = `${wrong}\n`
      }
    },
    note: (title, body) => say(`\n${title}\n${body}`),
    warn: say,
  }
}

/** One line of input. Hidden: readline puts the terminal into raw mode and, having no output, echoes nothing. */
function line({ input, output, signal }: Talk, prompt: string, hidden = false): Promise<string> {
  if (signal?.aborted) throw leaving()
  const reader = createInterface({ input, terminal: hidden, ...(signal === undefined ? {} : { signal }) })
  return new Promise<string>((done, fail) => {
    reader.once('line', done)
    reader.once('close', () => fail(leaving()))
    output.write(prompt)
  }).finally(() => reader.close())
}
