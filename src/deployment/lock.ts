import { randomBytes } from 'node:crypto'
import {
  closeSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { hostname } from 'node:os'
import * as z from 'zod'
import { Exit, explainWriteError, ToolError } from '../errors.ts'
import { parseJson } from '../json.ts'
import { isAlive, statOf } from './alive.ts'
import { errorCode, readIfPresent, unfinishedName } from './files.ts'

const Holder = z.strictObject({
  pid: z.int(),
  /** The process's start time in clock ticks since boot: a number used again does not look like the old process. */
  started: z.string(),
  host: z.string(),
  command: z.string(),
  since: z.string(),
  /** Makes each lock's text its own. */
  nonce: z.string(),
})
type Holder = z.infer<typeof Holder>

/** `locked`: a process that lives has the lock. */
export class Locked extends ToolError {
  /** What it runs. */
  readonly command: string
  readonly pid: number
  /** The machine on which that runs. */
  readonly host: string

  constructor({ command, pid, host, since }: Pick<Holder, 'command' | 'pid' | 'host' | 'since'>) {
    super(
      'locked',
      `another ${command} is running here (process ${pid} on ${host}, since ${since})`,
      'Wait for it to end, then run the command again.',
      Exit.unknown,
    )
    this.name = 'Locked'
    this.command = command
    this.pid = pid
    this.host = host
  }
}

/**
 * Takes the deployment's lock and returns its release. The lock of a process that has died is taken over; one that
 * lives is respected: {@link Locked}, with who holds it. On another machine (a shared folder) nobody can tell, so that lock
 * is respected too.
 */
export function takeLock(path: string, command: string, now: Date): () => void {
  const own: Holder = {
    pid: process.pid,
    started: statOf(process.pid).started ?? '',
    host: hostname(),
    command,
    since: now.toISOString(),
    nonce: randomBytes(8).toString('hex'),
  }
  const text = `${JSON.stringify(own)}\n`
  for (let attempt = 0; attempt < 10; attempt++) {
    if (create(path, text)) return () => release(path, text)
    const found = readIfPresent(path)
    if (found === undefined) continue
    const holder = Holder.safeParse(parseJson(found))
    if (holder.success && (holder.data.host !== hostname() || isAlive(holder.data)))
      throw new Locked(holder.data)
    takeOver(path, found)
  }
  throw new ToolError(
    'locked',
    `the lock ${path} changes hands too fast`,
    'Run the command again.',
    Exit.unknown,
  )
}

/** Written under another name first: a lock that is seen half-written would be taken for a dead one. */
function create(path: string, text: string): boolean {
  const temporary = unfinishedName(path)
  try {
    const file = openSync(temporary, 'wx', 0o600)
    try {
      writeSync(file, text)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    linkSync(temporary, path)
    return true
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false
    throw explainWriteError(error, path)
  } finally {
    rmSync(temporary, { force: true })
  }
}

/**
 * Moves a dead holder's lock away. Between reading and moving, somebody faster may have put a live one there: then it
 * is put back, and the next round respects it.
 */
function takeOver(path: string, dead: string): void {
  const aside = unfinishedName(path)
  try {
    renameSync(path, aside)
    if (readFileSync(aside, 'utf8') !== dead) linkSync(aside, path)
  } catch (error) {
    if (!['ENOENT', 'EEXIST'].includes(errorCode(error) ?? '')) throw error
  } finally {
    rmSync(aside, { force: true })
  }
}

function release(path: string, own: string): void {
  if (readIfPresent(path) === own) rmSync(path, { force: true })
}
