import { existsSync } from 'node:fs'
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
  /**
   * The child leaves somebody behind who is to live on (what holds a clipboard does) and keeps the child's outputs open:
   * they are not read, and not waited for. Until the child itself has ended, deadline and signals end all of them.
   */
  leaves?: boolean
  /**
   * Where stdout goes as it is, neither capped nor redacted: for evidence alone, which has to be as it was found. It is not
   * ended; `stdout` of the result is empty.
   */
  into?: NodeJS.WritableStream
  /** The same of stderr; `stdout` is then kept as usual. */
  intoErrors?: NodeJS.WritableStream
  /** The child talks to the person itself, on our terminal; nothing it says is seen here. */
  terminal?: boolean
  /** The child removes what another one has left: it is started although the program is about to end. */
  tidies?: boolean
}

/** Runs one program to its end. */
export type ProcessRunner = (file: string, args: readonly string[], options: RunOptions) => Promise<Finished>

/**
 * What a child may see of our environment: whose child it is, and how to find programs, Docker, the proxy, the locale.
 * Nothing that holds a secret.
 */
const PASSED_ON =
  /^(CREATE_OPENCLAW_SECURE_RUN|PATH|HOME|USER|LOGNAME|TMPDIR|LANG|LC_.*|TZ|XDG_.*|DOCKER_(HOST|CONTEXT|CONFIG|CERT_PATH|TLS|TLS_VERIFY|API_VERSION|DEFAULT_PLATFORM)|BUILDX_.*|BUILDKIT_.*|COMPOSE_HTTP_TIMEOUT|SSH_AUTH_SOCK|SYSTEMROOT|(HTTPS?|NO|ALL)_PROXY|(https?|no|all)_proxy|SSL_CERT_(FILE|DIR))$/

/**
 * The one function that starts children: an argument array and no shell, a deadline, an abort signal, capped and
 * redacted output, its own process group (a Ctrl-C in the terminal reaches us alone, and we decide), and errors that
 * name the program but carry neither its arguments nor its output.
 *
 * `abandon` ends every child at once and without ceremony, and lets none begin: the program itself is about to end.
 *
 * Errors: `program_missing`, `deadline`, `program_failed_to_start`, and the abort reason of `signal`.
 */
export function processRunner(
  redactor: Redactor,
  environment: NodeJS.ProcessEnv,
  abandon?: AbortSignal,
): ProcessRunner {
  const env = Object.fromEntries(Object.entries(environment).filter(([name]) => PASSED_ON.test(name)))
  return async (file, args, options) => {
    // Loaded here because most commands end before they start a child, and execa takes longer to load than they run.
    const { execa } = await import('execa')
    const cap = options.cap ?? 4 * 1024 * 1024
    options.signal?.throwIfAborted()
    if (options.tidies !== true) abandon?.throwIfAborted()
    const child = execa(file, [...args], {
      reject: false,
      env: { ...env, ...options.environment },
      extendEnv: false,
      stdin: options.terminal === true ? 'inherit' : 'pipe',
      ...(options.terminal === true ? { stdout: 'inherit' as const, stderr: 'inherit' as const } : {}),
      ...(options.leaves === true ? { stdout: 'ignore' as const, stderr: 'ignore' as const } : {}),
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.terminal === true ? {} : { input: inputOf(options) }),
      buffer: false,
      // The terminal's keys go to the group that is in its foreground: ours.
      detached: options.terminal !== true,
    })
    const clean = (text: string) => redactor.clean(text)
    const stdout = options.into === undefined ? keep(child.stdout, cap, clean) : () => ''
    if (options.into !== undefined) child.stdout?.pipe(options.into, { end: false })
    const stderr = options.intoErrors === undefined ? keep(child.stderr, cap, clean) : () => ''
    if (options.intoErrors !== undefined) child.stderr?.pipe(options.intoErrors, { end: false })
    if (options.onLine !== undefined)
      for (const [stream, raw] of [
        [child.stdout, options.into],
        [child.stderr, options.intoErrors],
      ] as const)
        if (raw === undefined) forwardLines(stream, clean, options.onLine)
    const ending = endGroup(child.pid, options.deadline, options.signal, abandon)
    const result = await child.finally(ending.settled)
    options.signal?.throwIfAborted()
    if (ending.late())
      throw new ToolError(
        'deadline',
        `${file} did not finish within ${options.deadline / 1000} s`,
        'Look at the load of this machine and the state of the Docker engine, then run the command again.',
      )
    if (result.code === 'ENOENT' && (options.cwd === undefined || existsSync(options.cwd)))
      throw new ToolError(
        'program_missing',
        `${file} is not installed, or not on the PATH`,
        `Install ${file} and run the command again.`,
      )
    if (result.exitCode === undefined)
      throw new ToolError(
        'program_failed_to_start',
        `${file} could not be started (${result.code ?? result.signal ?? 'no reason given'})`,
        'Check that the program can be run by this user.',
        Exit.unknown,
      )
    return {
      code: result.exitCode,
      stdout: stdout(),
      stderr: stderr(),
    }
  }
}

function inputOf({ input }: RunOptions): string | Uint8Array {
  if (input === undefined) return ''
  return typeof input === 'object' && 'expose' in input ? input.expose() : input
}

/** A secret that begins before the cap is read to its end, so that it is found and not shown in part. */
const MARGIN = 16_384

/** Reads everything, so that the child never waits, and keeps the beginning: cleaned first, then cut. */
function keep(
  stream: NodeJS.ReadableStream | null,
  cap: number,
  clean: (text: string) => string,
): () => string {
  const chunks: Buffer[] = []
  let size = 0
  stream?.on('data', (chunk: Buffer) => {
    if (size < cap + MARGIN) chunks.push(chunk)
    size += chunk.length
  })
  return () =>
    clean(
      Buffer.concat(chunks)
        .subarray(0, cap + MARGIN)
        .toString('utf8'),
    ).slice(0, cap)
}

/**
 * Ends the child's whole group at its deadline, or when the person stops: a grandchild (`docker compose` is one) would
 * otherwise go on, and hold the pipes open so that nobody comes back before it is done.
 */
function endGroup(
  pid: number | undefined,
  deadline: number,
  signal: AbortSignal | undefined,
  abandon: AbortSignal | undefined,
) {
  let late = false
  let force: NodeJS.Timeout | undefined
  const kill = (name: NodeJS.Signals) => {
    try {
      if (pid !== undefined) process.kill(-pid, name)
    } catch {
      // All of them have ended already.
    }
  }
  const end = () => {
    kill('SIGTERM')
    force ??= setTimeout(() => kill('SIGKILL'), 2000)
  }
  const timer = setTimeout(() => {
    late = true
    end()
  }, deadline)
  const endNow = () => kill('SIGKILL')
  signal?.addEventListener('abort', end, { once: true })
  abandon?.addEventListener('abort', endNow)
  return {
    late: () => late,
    settled() {
      clearTimeout(timer)
      clearTimeout(force)
      signal?.removeEventListener('abort', end)
      abandon?.removeEventListener('abort', endNow)
      // Who let go of the pipes and went on is not waited for, and not left behind either.
      if (force !== undefined) kill('SIGKILL')
    },
  }
}

/** Cleans before it cuts: a secret cut in two would not be found. */
function forwardLines(
  stream: NodeJS.ReadableStream | null,
  clean: (text: string) => string,
  take: (line: string) => void,
): void {
  let rest = ''
  const show = (line: string) => {
    const shown = clean(stripVTControlCharacters(line))
    if (shown.trim() !== '') take(shown)
  }
  stream?.on('data', (chunk: Buffer) => {
    const parts = (rest + chunk.toString('utf8')).split(/\r?\n|\r/)
    rest = clean(parts.pop() ?? '').slice(-4096)
    for (const part of parts) show(part)
  })
  stream?.on('end', () => show(rest))
}
