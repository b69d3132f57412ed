import { resolve } from 'node:path'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { UsageError } from '../errors.ts'
import type { AnswerId, Question } from '../wizard/question.ts'
import { questions } from '../wizard/questions.ts'
import type { Program } from './program.ts'

/** What opens the store, for every command that asks it. */
export const OPEN_WITH = [
  '--store-credential <@file|@->',
  'what opens the store, where it is not kept',
] as const

/** What opens a store, where it is told for the first time. */
export function withOpeners(command: Command): void {
  command
    .option(
      '--store-credential <@file|@->',
      'what opens the store: secret id (also wrapped), token, JWT, or service account token',
      collect,
    )
    .option(
      '--vault-admin <@file|@->',
      'a token that may set Vault up: makes the path, the policies and the AppRole; it is not kept',
      collect,
    )
}

/** Each question's own flag, and for a switch its opposite. */
export function withQuestions(command: Command, asked: readonly Question[]): void {
  for (const question of asked) {
    const isSwitch = question.kind.placeholder === ''
    const option = new Option(
      isSwitch ? question.flag : `${question.flag} ${question.kind.placeholder}`,
      `${question.help}: ${question.kind.allowed}`,
    )
    option.attributeName = () => `answer.${question.id}`
    command.addOption(isSwitch ? option : option.argParser(collect))
    if (!isSwitch) continue
    const negated = new Option(`--no-${question.flag.slice(2)}`).hideHelp()
    negated.attributeName = () => `answer.${question.id}`
    command.addOption(negated)
  }
}

/** What the questions' flags say, by question. */
export function givenIn(options: Record<string, unknown>): Partial<Record<AnswerId, string[]>> {
  const given: Partial<Record<AnswerId, string[]>> = {}
  for (const { id } of questions) {
    const value = options[`answer.${id}`]
    if (Array.isArray(value)) given[id] = value.map(String)
    else if (typeof value === 'boolean') given[id] = [value ? 'yes' : 'no']
  }
  return given
}

/** The flags that every command has. */
export function withGlobals(command: Command): Command {
  return command
    .option('--dir <path>', 'the deployment folder (default: .)')
    .option('-y, --yes', 'never ask: take the defaults, and accept no weakening')
    .option('--dry-run', 'show what would be done and do nothing')
    .option('--json', 'one JSON envelope on stdout')
    .option('--quiet', 'no progress on stderr')
    .option('--plain', 'no redrawing, for screen readers and simple terminals')
    .option('--no-color', 'no colour')
    .exitOverride()
}

/** The folder, named in one way or in two that agree. */
export function oneFolder(program: Program, directory: string | undefined, dir: unknown): string | undefined {
  if (typeof dir !== 'string') return directory
  if (directory !== undefined && resolve(program.cwd, directory) !== resolve(program.cwd, dir))
    throw new UsageError([
      { field: 'folder', given: `${directory} and --dir ${dir}`, allowed: 'one folder', flag: '--dir' },
    ])
  return directory ?? dir
}

/** A flag that may be given several times. */
export function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value]
}

/** Whole seconds, 1 to 3600. */
export function seconds(value: string): number {
  const number = Number(value)
  if (!Number.isInteger(number) || number < 1 || number > 3600)
    throw new InvalidArgumentError('allowed: a whole number of seconds from 1 to 3600')
  return number
}

/** "30d" in milliseconds. */
export function age(value: string): number {
  const match = /^(\d{1,4})(h|d|w)$/.exec(value)
  if (match === null)
    throw new InvalidArgumentError('allowed: a number of hours, days or weeks: 12h, 30d, 4w')
  return Number(match[1]) * { h: 3_600_000, d: 86_400_000, w: 604_800_000 }[match[2] as 'h' | 'd' | 'w']
}
