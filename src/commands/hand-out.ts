import {
  accessSync,
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  openSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname, resolve } from 'node:path'
import { errorCode, lookAt, syncDirectory } from '../deployment/files.ts'
import { Exit, explainWriteError, type Problem, ToolError } from '../errors.ts'
import { toClipboard, whyNoClipboard } from '../report/clipboard.ts'
import type { Secret } from '../secret.ts'
import type { Program, Session } from './program.ts'

/** How the person wants to be given a new value. Several ways at once are possible; without any, it is not given. */
export interface HandOut {
  clipboard?: boolean
  /** A file that is not there yet, relative to where the person is. */
  tokenFile?: string
  /** On the terminal. */
  reveal?: boolean
}

/** Why a value could not be handed out as asked. All reasons at once, and before there is a new value. */
export function handOutProblems(program: Program, options: HandOut): Problem[] {
  const { clipboard, tokenFile, reveal } = options
  const problems: Problem[] = []
  if (reveal === true && program.reveal === undefined)
    problems.push({
      field: '--reveal',
      given: 'an output that is no terminal',
      allowed: 'only on a terminal: a pipe or a log would keep the value',
      flag: '--token-file PATH instead',
    })
  if (tokenFile !== undefined) {
    const allowed = whyNoFile(resolve(program.cwd, tokenFile))
    if (allowed !== undefined)
      problems.push({ field: 'token file', given: tokenFile, allowed, flag: '--token-file' })
  }
  const missing = clipboard === true ? whyNoClipboard(program.env) : undefined
  if (missing !== undefined)
    problems.push({ field: '--clipboard', saw: missing.message, allowed: missing.hint })
  return problems
}

/**
 * Gives a value to the person in the ways asked for, each tried whatever becomes of the others, and returns lines that
 * tell where it is now. Errors: `token_file_exists`, `disk_full`, `not_writable`, `no_clipboard`; the hint then also says
 * where it is all the same.
 */
export async function handOut(
  session: Pick<Session, 'run'>,
  program: Program,
  options: HandOut,
  secret: Secret,
): Promise<string[]> {
  const { clipboard, tokenFile, reveal } = options
  const lines: string[] = []
  const failures: ToolError[] = []
  const attempt = async (give: () => Promise<string> | string) => {
    try {
      lines.push(await give())
    } catch (error) {
      if (!(error instanceof ToolError)) throw error
      failures.push(error)
    }
  }
  if (tokenFile !== undefined)
    await attempt(() => {
      writeNew(resolve(program.cwd, tokenFile), secret)
      return `The new value is in ${tokenFile} (0400): remove the file when it has been read.`
    })
  if (clipboard === true)
    await attempt(async () => {
      const by = await toClipboard(session.run, program.env, secret)
      return `The new value is in the clipboard (${by}): paste it, then copy something else.`
    })
  if (reveal === true && program.reveal !== undefined) {
    program.reveal(secret)
    lines.push('The new value was shown on this terminal: clear it when it has been copied.')
  }
  const [failure] = failures
  if (failure === undefined) return lines
  const { code, exit, cause } = failure
  const message = failures.map(one => one.message).join('; ')
  throw new ToolError(code, message, [failure.hint, ...lines].join('\n'), exit, cause)
}

/** What a file for a value must be, where this one is not so. */
function whyNoFile(path: string): string | undefined {
  try {
    if (lookAt(path) !== undefined)
      return 'a file that is not there yet: what exists is never overwritten, nor followed when it is a link'
    if (!statSync(dirname(path)).isDirectory()) return 'a file in a folder'
    accessSync(dirname(path), constants.W_OK | constants.X_OK)
    return undefined
  } catch (error) {
    return `a file in a folder that is there and that this user may write to (${errorCode(error) ?? 'not to be seen'})`
  }
}

/**
 * Writes a value into a file that only whoever runs this may read, and nobody may write. It is made here or not at all:
 * neither a file nor a link that somebody put there in the meantime is used.
 */
function writeNew(path: string, secret: Secret): void {
  const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants
  let file: number
  try {
    file = openSync(path, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0o400)
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw explainWriteError(error, path)
    throw new ToolError(
      'token_file_exists',
      `${path} was made by somebody else in the meantime`,
      'Look who writes there, and take another folder.',
      Exit.unknown,
    )
  }
  try {
    try {
      const bytes = Buffer.from(secret.expose())
      for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written)
      // Whatever the umask took away.
      fchmodSync(file, 0o400)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    syncDirectory(dirname(path))
  } catch (error) {
    rmSync(path, { force: true })
    throw explainWriteError(error, path)
  }
}
