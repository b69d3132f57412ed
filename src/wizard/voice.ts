import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import * as clack from '@clack/prompts'
import { Cancelled } from '../errors.ts'

/** The terminal a conversation is held on. */
export interface Talk {
  input: Readable
  output: Writable
  /** Line by line, without colour and without redrawing: for screen readers and simple terminals. */
  accessible: boolean
  /** Ends the conversation: Ctrl-C where the terminal itself makes a signal of it, or a terminal that is closed. */
  signal?: AbortSignal
}

/** One of several answers; `value` is what comes back. */
export interface Choice {
  value: string
  label: string
  hint?: string
}

/** How things are said and asked. `refuse` returns what to tell a person whose text will not do. */
export interface Voice {
  text(message: string, initial: string, refuse: (text: string) => string | undefined): Promise<string>
  choose(message: string, choices: readonly Choice[], initial: string): Promise<string>
  secret(message: string, refuse: (text: string) => string | undefined): Promise<string>
  note(title: string, body: string): void
  warn(text: string): void
}

/** The voice that suits the terminal. */
export function voiceOn(talk: Talk): Voice {
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

/** The person does not want to go on. */
export function leaving(): Cancelled {
  return new Cancelled('Nothing was changed.')
}
