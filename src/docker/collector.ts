import { randomBytes } from 'node:crypto'
import { Transform, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import * as z from 'zod'
import { ToolError } from '../errors.ts'
import { type ArchiveOrder, archive, asProgram, type Summary, walk } from '../gateway/inside-collect.ts'
import { copyDatabase, databases } from '../gateway/inside-databases.ts'
import { memory } from '../gateway/inside-memory.ts'
import { type ProcessesOrder, processes } from '../gateway/inside-processes.ts'
import { parseJson } from '../json.ts'
import { type Docker, mountFlag, THROWAWAY_LABEL } from './engine.ts'
import type { Finished, RunOptions } from './process.ts'

/** What is to be read: a container's processes and temporary folders, or folders of this machine (below `/from`). */
export type Source = { container: string } | { folders: readonly { source: string; name: string }[] }

/** What is to be done with it. */
export type Task =
  | { program: 'archive'; order: ArchiveOrder }
  | { program: 'processes'; order: ProcessesOrder }
  | { program: 'memory'; order: { bytes: number } }
  | { program: 'databases'; order: Pick<ArchiveOrder, 'base' | 'names' | 'bytes' | 'entries'> }

const PROGRAMS: Readonly<Record<Task['program'], string>> = {
  archive: asProgram(archive, walk),
  processes: asProgram(processes),
  memory: asProgram(memory),
  databases: asProgram(databases, walk, copyDatabase),
}

const Said = z.object({
  bytes: z.number(),
  entries: z.number(),
  cut: z.array(z.string()),
  notes: z.optional(z.unknown()),
})

/** Bytes of memory that the collector's own temporary folder may take. */
export const WORK = 512 * 1024 ** 2

/**
 * Reads what may be hostile in a throw-away container of the clean image `image`: no network, nothing to write to but a folder in
 * memory, and of root's rights the two that reading takes. What it finds goes to `into`, as it is, and never more than the order's
 * bytes allow. A link in what it reads leads at most into the clean image. It is removed whatever happens.
 * Errors: `collector_failed`; those of the process runner; the error of `into`.
 */
export async function collect(
  docker: Docker,
  image: string,
  source: Source,
  task: Task,
  into: Writable,
  options: { deadline: number; signal?: AbortSignal },
): Promise<Summary> {
  const name = `ocs-collector-${randomBytes(6).toString('hex')}`
  const isJoined = 'container' in source
  const flags = [
    ...['run', '--rm', '--interactive', '--pull', 'never', '--name', name, '--label', THROWAWAY_LABEL],
    // Without this the engine would keep a second copy of all evidence as the collector's log.
    ...['--log-driver', 'none', '--no-healthcheck', '--network', 'none', '--read-only', '--user', '0:0'],
    ...['--cap-drop', 'ALL', '--cap-add', 'DAC_READ_SEARCH', '--security-opt', 'no-new-privileges:true'],
    ...['--pids-limit', '64', '--memory', '1g', '--memory-swap', '1g', '--workdir', '/'],
    ...['--tmpfs', `/work:rw,noexec,nosuid,nodev,size=${WORK},mode=0700`],
    // What these keep a container from is reading another one, and that is its task. Engines without either ignore it.
    ...['--security-opt', 'apparmor=unconfined', '--security-opt', 'label=disable'],
    ...(isJoined
      ? ['--cap-add', 'SYS_PTRACE', '--pid', `container:${source.container}`]
      : source.folders.flatMap(folder => [
          '--mount',
          mountFlag({ source: folder.source, target: `/from/${folder.name}`, readOnly: true }),
        ])),
    ...['--entrypoint', 'node', image, '-e', PROGRAMS[task.program]],
  ]
  try {
    const { code, stderr, isCut } = await pour(docker, flags, into, {
      ...options,
      input: JSON.stringify(task.order),
      // Room for what a format adds; an archive that was cut here would end in the middle of a file.
      most: task.order.bytes + 1_048_576,
    })
    const lines = stderr.trim().split('\n')
    const said = Said.safeParse(parseJson(lines.at(-1) ?? ''))
    if (isCut) throw failed('it wrote more than was allowed')
    if (code !== 0 || !said.success) throw failed(`it ended with ${code}`)
    return said.data
  } catch (error) {
    // The command-line client is gone; the container it started may not be.
    await docker.discard(name)
    throw error
  }
}

function failed(why: string): ToolError {
  return new ToolError(
    'collector_failed',
    `the container that reads the evidence did not: ${why}`,
    'Look at the engine’s memory and log, and run the command again with --resume.',
  )
}

/** What stops a child that has more to say than there is room for. */
const FULL = new Error('the bound is reached')

/**
 * Pours what `docker ARGS` prints into `into`, as it is, `most` bytes of it, and does not end it; with `stream` what it prints
 * to its stderr, or to both as it comes. A writer that fails ends the child,
 * which would otherwise wait for it until its deadline. Errors: those of the process runner, and of `into`.
 */
export async function pour(
  docker: Pick<Docker, 'call'>,
  args: readonly string[],
  into: Writable,
  options: Omit<RunOptions, 'into' | 'intoErrors' | 'signal'> & {
    most: number
    signal?: AbortSignal
    stream?: 'stdout' | 'stderr' | 'both'
  },
): Promise<Finished & { isCut: boolean }> {
  const { most, stream = 'stdout', ...rest } = options
  const stop = new AbortController()
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal])
  let room = most
  const bound = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const part = chunk.subarray(0, room)
      room -= part.length
      if (part.length < chunk.length) stop.abort(FULL)
      done(null, part)
    },
  })
  // A writer that has failed may never take what is on its way: then the signal ends the waiting.
  const given = options.signal === undefined ? {} : { signal: options.signal }
  const poured = pipeline(bound, into, { end: false, ...given })
  poured.catch((error: unknown) => stop.abort(error))
  const settle = async () => {
    bound.end()
    await poured
  }
  try {
    const where = {
      into: stream === 'stderr' ? nowhere() : bound,
      ...(stream === 'stdout' ? {} : { intoErrors: bound }),
    }
    const finished = await docker.call(args, { ...rest, signal, ...where })
    await settle()
    return { ...finished, isCut: false }
  } catch (error) {
    if (error === FULL) {
      await settle()
      return { code: 0, stdout: '', stderr: '', isCut: true }
    }
    bound.destroy()
    await poured.catch(() => {})
    throw error
  }
}

/** Where to pour what is not wanted. */
export function nowhere(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() })
}
