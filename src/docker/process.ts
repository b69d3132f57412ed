import { stripVTControlCharacters } from 'node:util'
import { Exit, ToolError } from '../errors.ts'
import type { Redactor, Secret } from '../secret.ts'

/** What a finished child left behind. Never thrown away for a non-zero code: the caller judges. */
export interface Finished {
  code: number
  stdout: string
  stderr: string
}

export interface RunOptions {
  /** Goes to stdin. The only way a secret may reach a child. */
  input?: string | Uint8Array | Secret
  cwd?: string
  /** Settings for this child, never secrets. */
  environment?: Record<string, string>
  /** Milliseconds after which the child is killed. Every child has one. */
  deadline: number
  signal?: AbortSignal
  /** Most bytes kept of each output; the rest is dropped. */
  cap?: number
  /** Called with each line of stdout and stderr as it comes, redacted. */
  onLine?: (line: string) => void
}

/** Runs one program to its end. */
export type ProcessRunner = (file: string, args: readonly string[], options: RunOptions) => Promise<Finished>

/** What a child may see of our environment: how to find programs, Docker, the proxy, the locale. No secret lives there. */
const PASSED_ON =
  /^(PATH|HOME|USER|LOGNAME|TMPDIR|LANG|LC_.*|TZ|XDG_.*|DOCKER_.*|BUILDX_.*|BUILDKIT_.*|COMPOSE_HTTP_TIMEOUT|SSH_AUTH_SOCK|SYSTEMROOT|(HTTPS?|NO|ALL)_PROXY|(https?|no|all)_proxy|SSL_CERT_(FILE|DIR))$/

/**
 * The one function that starts children: an argument array and no shell, a deadline, an abort signal, capped and
 * redacted output, its own process group (a Ctrl-C in the terminal reaches us alone, and we decide), and errors that
 * name the program but carry neither its arguments nor its output.
 *
 * Errors: `program_missing`, `deadline`, `program_failed_to_start`, and the abort reason of `signal`.
 */
export function processRunner(redactor: Redactor, environment: NodeJS.ProcessEnv): ProcessRunner {
  const env = Object.fromEntries(Object.entries(environment).filter(([name]) => PASSED_ON.test(name)))
  return async (file, args, options) => {
    // Loaded here because most commands end before they start a child, and execa takes longer to load than they run.
    const { execa } = await import('execa')
    const input = options.input
    const cap = options.cap ?? 4 * 1024 * 1024
    options.signal?.throwIfAborted()
    const child = execa(file, [...args], {
      reject: false,
      env: { ...env, ...options.environment },
      extendEnv: false,
      stdin: 'pipe',
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      input:
        input === undefined ? '' : typeof input === 'object' && 'expose' in input ? input.expose() : input,
      timeout: options.deadline,
      forceKillAfterDelay: 2000,
      maxBuffer: cap,
      detached: process.platform !== 'win32',
      cleanup: true,
      stripFinalNewline: false,
      ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
    })
    if (options.onLine !== undefined) {
      const onLine = options.onLine
      for (const stream of [child.stdout, child.stderr])
        forwardLines(stream, line => onLine(redactor.clean(stripVTControlCharacters(line))))
    }
    const result = await child
    if (result.isCanceled) options.signal?.throwIfAborted()
    if (result.timedOut)
      throw new ToolError(
        'deadline',
        `${file} did not finish within ${options.deadline / 1000} s`,
        'Look at the load of this machine and the state of the Docker engine, then run the command again.',
      )
    if (result.code === 'ENOENT')
      throw new ToolError(
        'program_missing',
        `${file} is not installed, or not on the PATH`,
        `Install ${file} and run the command again.`,
      )
    if (result.exitCode === undefined && !result.isMaxBuffer)
      throw new ToolError(
        'program_failed_to_start',
        `${file} could not be started (${result.code ?? result.signal ?? 'no reason given'})`,
        'Check that the program can be run by this user.',
        Exit.unknown,
      )
    return {
      code: result.exitCode ?? 1,
      stdout: redactor.clean(String(result.stdout)),
      stderr: redactor.clean(String(result.stderr)),
    }
  }
}

function forwardLines(stream: NodeJS.ReadableStream | null, take: (line: string) => void): void {
  let rest = ''
  stream?.on('data', (chunk: Buffer) => {
    const parts = (rest + chunk.toString('utf8')).split(/\r?\n|\r/)
    rest = (parts.pop() ?? '').slice(-4096)
    for (const part of parts) if (part.trim() !== '') take(part)
  })
}
