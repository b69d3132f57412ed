/**
 * Conversations with the built program on a real pseudo-terminal. A test reads like one: what the screen shows, what
 * the person does, what the screen shows next.
 */
import { stripVTControlCharacters } from 'node:util'
import { type IPty, spawn } from '@lydell/node-pty'
import { BIN } from './harness.ts'

/** Keys as a terminal sends them. */
export const key = {
  enter: '\r',
  up: '\x1b[A',
  down: '\x1b[B',
  backspace: '\x7f',
  /** Clears the line (Ctrl-U). */
  clear: '\x15',
  ctrlC: '\x03',
  ctrlD: '\x04',
} as const

/** What the screen shows, and the keys that answer it. */
export type Line = readonly [shown: string, ...keys: string[]]

/** The terminal a person sits at. `env` is added to a bare environment: no CI, no colour settings, no answers. */
export interface Terminal {
  cols?: number
  rows?: number
  env?: Record<string, string>
  cwd?: string
  /** Another program than the one that was built here. */
  bin?: string
}

/** How it ended. */
export interface Ended {
  code: number
  /** Every byte the terminal got. */
  raw: string
  /** The same as text, without control sequences. */
  text: string
  /** The cursor is visible and the line settings (echo, canonical input, signals) are what they were. */
  restored: boolean
}

// A shell around the program compares the terminal's settings before and after: once the terminal is closed nobody
// could. It outlives Ctrl-C, and says what it saw between two record separators.
const WITNESS =
  'trap : INT; before=$(stty -g); "$@"; code=$?; printf "\\036%s %s\\036" "$before" "$(stty -g)"; exit $code'

/** One run of `create-openclaw-secure ARGS` at a terminal. */
export class Conversation {
  readonly #pty: IPty
  readonly #watchers = new Set<() => void>()
  #raw = ''
  /** How far the text was read. */
  #heard = 0
  #code: number | undefined

  constructor(args: readonly string[], { cols = 120, rows = 40, env = {}, cwd, bin = BIN }: Terminal = {}) {
    const { PATH = '', HOME = '' } = process.env
    this.#pty = spawn('/bin/sh', ['-c', WITNESS, 'sh', process.execPath, bin, ...args], {
      cols,
      rows,
      env: { PATH, HOME, TERM: 'xterm-256color', LANG: 'C.UTF-8', TZ: 'UTC', ...env },
      ...(cwd === undefined ? {} : { cwd }),
    })
    this.#pty.onData(data => {
      this.#raw += data
      this.#tell()
    })
    this.#pty.onExit(({ exitCode }) => {
      this.#code = exitCode
      this.#tell()
    })
  }

  /** Waits until the screen shows something new. */
  async sees(shown: string, deadline = 20_000): Promise<void> {
    await this.#until(`"${shown}"`, deadline, () => {
      const at = this.#text().indexOf(shown, this.#heard)
      if (at >= 0) this.#heard = at + shown.length
      return at >= 0
    })
  }

  /** Types text and presses keys. What was on the screen before does not count as an answer to it. */
  does(...keys: string[]): void {
    this.#heard = this.#text().length
    this.#pty.write(keys.join(''))
  }

  /** Plays a part of the conversation. */
  async plays(...lines: readonly Line[]): Promise<void> {
    for (const [shown, ...keys] of lines) {
      await this.sees(shown)
      if (keys.length > 0) this.does(...keys)
    }
  }

  /** Waits for the end. */
  async ends(deadline = 30_000): Promise<Ended> {
    await this.#until('the end', deadline, () => this.#code !== undefined)
    const [raw = '', settings = ''] = this.#raw.split('\x1e')
    const [before, after] = settings.split(' ')
    return {
      code: this.#code ?? -1,
      raw,
      text: this.#text().split('\x1e')[0] ?? '',
      restored:
        before !== undefined &&
        before === after &&
        raw.lastIndexOf('\x1b[?25l') <= raw.lastIndexOf('\x1b[?25h'),
    }
  }

  /** Closes the terminal, whatever runs on it. */
  close(): void {
    if (this.#code === undefined) this.#pty.kill()
  }

  /** What was printed so far, without control sequences, not even a half-received one at its end. */
  #text(): string {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control sequences are what it is about
    return stripVTControlCharacters(this.#raw.replace(/\x1b(\[[0-9;?]*)?$/, '')).replaceAll('\r', '')
  }

  #tell(): void {
    for (const watcher of this.#watchers) watcher()
  }

  #until(what: string, deadline: number, happened: () => boolean): Promise<void> {
    return new Promise((done, fail) => {
      const settle = (how: () => void) => {
        clearTimeout(timer)
        this.#watchers.delete(look)
        how()
      }
      const give = (why: string) =>
        settle(() => fail(new Error(`waited for ${what}, ${why}. The screen:\n${this.#text()}`)))
      const look = () => {
        if (happened()) settle(done)
        else if (this.#code !== undefined) give(`and the program ended with ${this.#code}`)
      }
      const timer = setTimeout(() => give(`${deadline} ms`), deadline)
      this.#watchers.add(look)
      look()
    })
  }
}
