import { existsSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { analysisArguments } from '../docker/analysis.ts'
import { Exit, type ExitCode, ToolError, UsageError, visible } from '../errors.ts'
import { listCases, preservedImages } from '../evidence/case.ts'
import { type GlobalOptions, openSession, type Program } from './program.ts'
import { savedDeployment } from './verify.ts'

/** Nobody looks longer than this at a stretch. Milliseconds. */
const SHIFT = 8 * 3_600_000

/** Where to look first, in this order: the small redacted files that say what is unusual. */
const FIRST = ['suspicious', 'findings', 'changes', 'processes', 'network']

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
  const images = preservedImages(layout, id, program.now)
  const wanted = options.service ?? [...images.keys()][0]
  const image = images.get(wanted ?? '')
  if (image === undefined || (await docker.image(image)) === undefined)
    throw new ToolError(
      'no_image',
      image === undefined
        ? `the case ${id} has preserved no image`
        : `the engine has the preserved image no more: ${image}`,
      'Its files are in the case itself: evidence/ has the export of the file system.',
      Exit.unknown,
    )
  const share = resolve(layout.cases, id, 'share')
  if (options.quiet !== true) program.stderr.write(advice(found.folder, share, [...images.keys()]))
  const isOnTerminal = command.length === 0
  if (isOnTerminal && !session.interactive)
    throw new UsageError([
      { field: 'program', allowed: 'a program of the image to run, where there is no terminal for a shell' },
    ])
  const seccomp = resolve(layout.root, 'seccomp-profile.json')
  const args = analysisArguments({ image, seccomp, share, program: command, terminal: isOnTerminal })
  const { code, stdout, stderr } = await run('docker', args, {
    deadline: SHIFT,
    ...(isOnTerminal ? { terminal: true } : {}),
  })
  if (!isOnTerminal) {
    program.stdout.write(stdout)
    program.stderr.write(stderr.split('\n').map(visible).join('\n'))
  }
  return code === 0 ? Exit.done : Exit.failed
}

function advice(folder: string, share: string, services: readonly string[]): string {
  const first = FIRST.filter(name => existsSync(resolve(share, name)))
  return [
    `The preserved image of ${services.join(', ')}: no network, nothing to write to, no capabilities, none of the secrets.`,
    'What its programs print is the intruder’s word. Look first at what was taken from outside:',
    ...first.map(name => `  /case/${name}`),
    `  ${resolve(folder, 'timeline.md')}`,
    'Then: files newer than the image (find / -xdev -newermt DATE), /etc/passwd, cron and shell files, /usr/local/bin.',
    '',
  ].join('\n')
}
