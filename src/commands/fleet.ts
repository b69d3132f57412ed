import { existsSync, realpathSync } from 'node:fs'
import { basename, dirname, relative, resolve } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { lookAt } from '../deployment/files.ts'
import { layoutOf } from '../deployment/layout.ts'
import { Exit, type ExitCode, ToolError, UsageError, visible } from '../errors.ts'
import { parseJson } from '../json.ts'
import { envelope } from '../report/json.ts'
import type { Program } from './program.ts'

/**
 * Whether `--dir` means several folders: it holds `*`, `?`, `[` or `{…}`, and there is no folder of exactly that name.
 * A relative one starts at `cwd`.
 */
export function isPattern(cwd: string, dir: string): boolean {
  return /[*?[]|\{.*\}/.test(dir) && !existsSync(resolve(cwd, dir))
}

/**
 * The deployments that a pattern means, as absolute paths, sorted, each once: of a folder and a link to it, the folder.
 * `*` does not match what begins with a dot. What is no deployment is left out, and so is what lies inside of one: there
 * an agent may write, and could make itself something that looks like a deployment. A folder that cannot be looked into
 * is kept: whoever works on it will say so, and nobody takes it for done. Errors: a usage error, where nothing is left.
 */
export async function deploymentsAt(cwd: string, pattern: string): Promise<string[]> {
  const { glob } = await import('tinyglobby')
  const base = pattern.replace(/(?<=.)\/+$/, '')
  const options = { cwd, absolute: true, expandDirectories: false }
  // It shows a link to a folder only by what is in there, and a folder that is closed to us only by itself.
  const [files, directories] = await Promise.all([
    glob(`${base}/${basename(layoutOf('/').answers)}`, options),
    glob(base, { ...options, onlyDirectories: true }),
  ])
  const folders = [...files.map(file => dirname(file)), ...directories].map(path => resolve(path)).sort()
  const byPlace = new Map<string, string>()
  for (const folder of folders.filter(isDeployment)) {
    const place = realpathSync(folder)
    if (!isInsideAnother(place) && (!byPlace.has(place) || !isLink(folder))) byPlace.set(place, folder)
  }
  if (byPlace.size > 0) return [...byPlace.values()].sort()
  const allowed = 'a pattern that matches at least one folder with a deployment.yaml'
  throw new UsageError([{ field: 'folder', given: pattern, allowed, flag: '--dir' }])
}

function isDeployment(folder: string): boolean {
  try {
    return lookAt(layoutOf(folder).answers) !== undefined
  } catch (error) {
    if (error instanceof ToolError) return true
    throw error
  }
}

function isLink(folder: string): boolean {
  return lookAt(folder)?.isSymbolicLink() === true
}

function isInsideAnother(folder: string): boolean {
  const above = dirname(folder)
  return above !== folder && (existsSync(layoutOf(above).answers) || isInsideAnother(above))
}

export interface FleetOptions {
  /** One envelope on stdout instead of a table; `one` then has to print one as well. */
  json?: boolean
  /** No progress on stderr. */
  quiet?: boolean
  /** How many at the same time; 4 where it is left out. */
  concurrency?: number
  /** What the envelope calls the command. */
  command: string
  /** The word for a deployment with which all went well: "rotated". */
  done?: string
}

/** How it went with one deployment. */
interface Result {
  /** Relative to where the person is. */
  folder: string
  code: ExitCode
  /** What befell it, in a word or two. */
  word: string
  seconds: number
  stdout: string
  stderr: string
  /** What was thrown, where it has a name. */
  error?: Pick<ToolError, 'code' | 'message' | 'hint'>
}

/** The better an exit code is, the earlier. */
const WORSE: readonly ExitCode[] = [
  Exit.done,
  Exit.usage,
  Exit.failed,
  Exit.unknown,
  Exit.interrupted,
  Exit.cancelled,
]

const WORDS: Record<ExitCode, string> = {
  [Exit.done]: 'done',
  [Exit.usage]: 'refused',
  [Exit.failed]: 'failed',
  [Exit.unknown]: 'not finished',
  [Exit.interrupted]: 'interrupted',
  [Exit.cancelled]: 'cancelled',
}

/**
 * Runs `one` for every folder, a few at a time, and shows all results at the end: a table, or one envelope with all of
 * theirs. None of them can ask anything, and what they say does not get mixed up. One that fails, or throws, stops no
 * other. After a Ctrl-C none is begun any more; those that run share the signal and end by themselves. Returns the exit
 * code of the worst: done < usage < failed < unknown < interrupted < cancelled. Throws nothing that `one` throws.
 */
export async function runFleet(
  program: Program,
  folders: readonly string[],
  one: (program: Program, folder: string) => Promise<ExitCode>,
  options: FleetOptions,
): Promise<ExitCode> {
  const startedAt = program.now().toISOString()
  const results = folders.map(folder => notBegun(relative(program.cwd, folder) || '.'))
  const queue = folders.entries()
  let ended = 0
  const worker = async () => {
    // All workers take from the same queue.
    for (const [index, folder] of queue) {
      if (program.signal.aborted) return
      const result = await runOne(program, folder, one, options)
      results[index] = result
      ended += 1
      if (!options.quiet)
        program.stderr.write(`${ended} of ${folders.length}: ${visible(result.folder)} ${result.word}\n`)
    }
  }
  await Promise.all(Array.from({ length: options.concurrency ?? 4 }, worker))

  const { version, cwd } = program
  const head = { version, command: options.command, deployment: cwd, startedAt }
  program.stdout.write(
    options.json ? envelope(head, { deployments: results.map(forMachines) }) : table(results),
  )
  for (const { code, folder, stderr } of results)
    if (code !== Exit.done && stderr.trim() !== '')
      program.stderr.write(`\n${visible(folder)}:\n${indented(stderr)}\n`)
  return results
    .map(({ code }) => code)
    .reduce((a, b) => (WORSE.indexOf(a) < WORSE.indexOf(b) ? b : a), Exit.done)
}

function notBegun(folder: string): Result {
  return { folder, code: Exit.cancelled, word: 'not begun', seconds: 0, stdout: '', stderr: '' }
}

async function runOne(
  program: Program,
  folder: string,
  one: (program: Program, folder: string) => Promise<ExitCode>,
  options: FleetOptions,
): Promise<Result> {
  const [stdout, stderr] = [new Collected(), new Collected()]
  const { version, cwd, env, redactor, person, signal, abandon } = program
  const began = performance.now()
  // Name by name: what is not named, one of many does not get.
  const own: Program = {
    ...{ version, cwd, env, redactor, person, signal, abandon, now: () => program.now() },
    ...{ stdin: Readable.from([]), stdout, stderr },
  }
  let code: ExitCode
  let failure: unknown
  try {
    code = await one(own, folder)
  } catch (error) {
    failure = error
    code = error instanceof ToolError ? error.exit : Exit.unknown
    stderr.write(lastWords(program, error))
  }
  return {
    folder: relative(cwd, folder) || '.',
    code,
    word: code === Exit.done ? (options.done ?? WORDS[code]) : WORDS[code],
    seconds: Math.round((performance.now() - began) / 100) / 10,
    // Cleaned as a whole: of what is taken apart afterwards, the guard of the real streams may see too little.
    stdout: redactor.clean(stdout.text),
    stderr: redactor.clean(stderr.text),
    ...(failure instanceof ToolError && {
      error: { code: failure.code, message: failure.message, hint: failure.hint },
    }),
  }
}

/** Keeps what is written to it; it is no terminal. */
class Collected extends Writable {
  readonly #chunks: Buffer[] = []

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.#chunks.push(chunk)
    done()
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString('utf8')
  }
}

/** What the command itself would have said, had it been the only one. */
function lastWords({ version }: Program, error: unknown): string {
  if (error instanceof ToolError) return `${error.code}: ${error.message}\n${error.hint}\n`
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return `This is a defect of create-openclaw-secure ${version}, not of your input. Please report it with these lines:\n${stack}\n`
}

function forMachines({ folder, code, seconds, stdout, error }: Result): Record<string, unknown> {
  const printed = parseJson(stdout)
  return {
    ...{ folder, code, seconds },
    ...(printed !== undefined && { envelope: printed }),
    ...(error !== undefined && { error }),
  }
}

function table(results: readonly Result[]): string {
  const rows = results.map(result => [
    visible(result.folder),
    result.word,
    result.word === 'not begun' ? '' : `${result.seconds.toFixed(1)} s`,
    lastLine(result),
  ])
  const all = [['deployment', 'result', 'took', 'last words'], ...rows]
  const widths = [0, 1, 2].map(column => Math.max(...all.map(row => row[column]?.length ?? 0)))
  return all
    .map(row =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .map(line => `${line}\n`)
    .join('')
}

/** The last thing that was said: of a success on stdout, of anything else on stderr, as far as there is any. */
function lastLine({ code, stdout, stderr }: Result): string {
  const [first, second] = code === Exit.done ? [stdout, stderr] : [stderr, stdout]
  const lines = (first.trim() === '' ? second : first).trim().split('\n')
  return visible(lines.at(-1)?.trim() ?? '')
}

function indented(text: string): string {
  return text
    .replace(/^\n+|\s+$/g, '')
    .split('\n')
    .map(line => `  ${visible(line)}`.trimEnd())
    .join('\n')
}
