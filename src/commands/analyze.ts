import { existsSync, readdirSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { analysisArguments } from '../docker/analysis.ts'
import type { Docker } from '../docker/engine.ts'
import { Exit, type ExitCode, ToolError, UsageError, visibleLines } from '../errors.ts'
import { listCases } from '../evidence/case.ts'
import { type Preserved, preservedImages } from '../evidence/preserved.ts'
import { type GlobalOptions, openSession, type Program } from './program.ts'
import { savedDeployment } from './verify.ts'

/** Nobody looks longer than this at a stretch. Milliseconds. */
const SHIFT = 8 * 3_600_000
/** Of what a program there prints. Bytes. */
const MOST = 64 * 1024 ** 2

/** Where to look first, in this order: the small files that say what is unusual. */
const FIRST = [/findings\//, /processes-brief\.json$/, /changes\.txt$/, /network-before-cut\.txt$/]

/**
 * Opens the image that a case has preserved, where it can do nothing: a shell on a terminal, else the program that is
 * named. Returns that one's own exit code as 0 or 1. Errors: `no_image`, a usage error for a case that is not there.
 */
export async function analyze(
  program: Program,
  named: string,
  command: readonly string[],
  options: Omit<GlobalOptions, 'storeCredential'> & { service?: string },
): Promise<ExitCode> {
  const session = await openSession(program, resolve(program.cwd, options.dir ?? '.'), options)
  savedDeployment(session)
  const { layout, run, docker } = session
  const known = listCases(layout)
  const id = basename(named)
  const found = known.find(one => one.id === id)
  if (found === undefined)
    throw new UsageError([
      { field: 'case', given: named, allowed: known.map(one => one.id).join(', ') || 'there is none yet' },
    ])
  const images = preservedImages(layout, found)
  const wanted = options.service ?? [...images.keys()][0]
  const preserved = images.get(wanted ?? '')
  if (preserved === undefined) throw noImage(`the case ${id} has preserved no image`)
  const elsewhere = await lookAtImage(docker, preserved)
  if (elsewhere !== undefined) program.stderr.write(`${elsewhere}\n`)
  if (preserved.unsigned !== undefined)
    program.stderr.write(
      `No signature says that this is the image that was preserved: ${preserved.unsigned}. Look at the case first: create-openclaw-secure incident verify-bundle ${found.folder}\n`,
    )
  if (options.quiet !== true) program.stderr.write(advice(found.folder, [...images.keys()]))
  const isOnTerminal = command.length === 0
  if (isOnTerminal && !session.interactive)
    throw new UsageError([
      { field: 'program', allowed: 'a program of the image to run, where there is no terminal for a shell' },
    ])
  const seccomp = resolve(layout.root, 'seccomp-profile.json')
  const args = analysisArguments({ image: preserved.id, seccomp, program: command, terminal: isOnTerminal })
  const { code, stdout, stderr } = await run('docker', args, {
    deadline: SHIFT,
    cap: MOST,
    ...(isOnTerminal ? { terminal: true } : {}),
  })
  if (!isOnTerminal) {
    // The intruder's words are shown, and not obeyed.
    program.stdout.write(program.stdout.isTTY === true ? visibleLines(stdout) : stdout)
    program.stderr.write(visibleLines(stderr))
    if (stdout.length >= MOST) program.stderr.write('\nThat was not all of it: the rest was dropped.\n')
  }
  return code === 0 ? Exit.done : Exit.failed
}

/**
 * Whether the engine still has the image that was preserved, whatever its name means by now: then, what else that means.
 * Errors: `no_image`. Exported for its tests.
 */
export async function lookAtImage(
  docker: Pick<Docker, 'image'>,
  { reference, id }: Pick<Preserved, 'reference' | 'id'>,
): Promise<string | undefined> {
  const named = await docker.image(reference)
  const other =
    named === undefined || named.Id === id
      ? undefined
      : `${reference} is another image by now (${named.Id}), which nobody has signed.`
  if ((await docker.image(id)) !== undefined) return other && `${other} The one that was preserved is opened.`
  throw noImage(`the engine has the preserved image no more: ${id}${other === undefined ? '' : `. ${other}`}`)
}

function noImage(message: string): ToolError {
  return new ToolError(
    'no_image',
    message,
    'Its files are in the case itself: evidence/ has the export of the file system.',
    Exit.unknown,
  )
}

function advice(folder: string, services: readonly string[]): string {
  const share = resolve(folder, 'share')
  const files = existsSync(share) ? readdirSync(share, { recursive: true }).map(String).sort() : []
  const first = FIRST.flatMap(pattern => files.filter(file => pattern.test(file))).map(file =>
    resolve(share, file),
  )
  return [
    `Preserved here: ${services.join(', ')}. No network, nothing to write to, no capabilities, none of the secrets.`,
    'What its programs print is the intruder’s word. Look first at what was taken from outside:',
    ...[...first, resolve(folder, 'timeline.md')].map(path => `  ${path}`),
    'Then in here: files newer than the image (find / -xdev -newermt DATE), /etc/passwd, /usr/local/bin, shell start-up files.',
    '',
  ].join('\n')
}
