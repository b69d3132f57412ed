/** The exit codes of every command (ARCHITECTURE.md, "Exit codes"). */
export const Exit = {
  done: 0,
  failed: 1,
  usage: 2,
  unknown: 3,
  interrupted: 4,
  cancelled: 130,
} as const

export type ExitCode = (typeof Exit)[keyof typeof Exit]

/** An error a person can act on: what happened, a stable `code` for machines, and what to do next. */
export class ToolError extends Error {
  readonly code: string
  readonly hint: string
  readonly exit: ExitCode

  constructor(code: string, message: string, hint: string, exit: ExitCode = Exit.unknown, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'ToolError'
    this.code = code
    this.hint = hint
    this.exit = exit
  }
}

/** One thing wrong with the input: the field, what was given (never a secret), what is allowed, how to set it. */
export interface Problem {
  field: string
  given?: string
  allowed: string
  flag?: string
  /** What was seen, as a sentence of its own; `allowed` then says what to do about it. */
  saw?: string
}

/** Everything that is wrong with the input, at once. Nothing has been written when this is thrown. */
export class UsageError extends ToolError {
  readonly problems: readonly Problem[]

  constructor(
    problems: readonly Problem[],
    hint = 'Nothing was written. Correct the input and run the command again.',
  ) {
    super('usage', problems.map(describeProblem).join('\n'), hint, Exit.usage)
    this.name = 'UsageError'
    this.problems = problems
  }
}

/** The person stopped us. `exists` says what is on the machine now. */
export class Cancelled extends ToolError {
  constructor(exists: string) {
    super('cancelled', `Cancelled. ${exists}`, '', Exit.cancelled)
    this.name = 'Cancelled'
  }
}

/** "port: got "http"; allowed: an integer from 1 to 65535; set it with --port" */
export function describeProblem(problem: Problem): string {
  if (problem.saw !== undefined) {
    const saw = visible(problem.saw)
    return `${visible(problem.field)}: ${saw}${/[.?!]$/.test(saw) ? '' : '.'} ${problem.allowed}`
  }
  const given = problem.given === undefined ? 'missing' : `got ${printable(problem.given)}`
  const flag = problem.flag === undefined ? '' : `; set it with ${problem.flag}`
  return `${visible(problem.field)}: ${given}; allowed: ${problem.allowed}${flag}`
}

/** Quotes foreign text for a message: no control characters reach the terminal, and 80 characters are enough. */
export function printable(text: string): string {
  const short = text.length > 80 ? `${text.slice(0, 80)}… (${text.length} characters)` : text
  return visible(JSON.stringify(short))
}

/** Text with nothing in it that a terminal would obey or hide. */
export function visible(text: string): string {
  return text.replace(
    /[\p{Cc}\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu,
    char => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** The same of a text of several lines: its line ends stay. */
export function visibleLines(text: string): string {
  return text.split('\n').map(visible).join('\n')
}

/** A system's refusal to write, in words. Anything else is returned as it is. */
export function explainWriteError(error: unknown, path: string): unknown {
  switch (error instanceof Error && 'code' in error ? error.code : undefined) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new ToolError(
        'disk_full',
        `no space left to write ${path}`,
        'Free some space and run the same command again; what was written so far is complete.',
        Exit.unknown,
        error,
      )
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new ToolError(
        'not_writable',
        `${path} cannot be written by this user`,
        'Choose a folder you own, or correct its permissions.',
        Exit.usage,
        error,
      )
    default:
      return error
  }
}
