import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, resolve } from 'node:path'
import type { ProcessRunner } from '../docker/process.ts'
import { ToolError } from '../errors.ts'
import type { Secret } from '../secret.ts'

interface Writer {
  program: string
  args: readonly string[]
  /** Whether there is what it writes to. */
  suits(env: NodeJS.ProcessEnv, platform: NodeJS.Platform): boolean
  /** What to do where it suits and is missing. */
  remedy: string
}

/**
 * What writes to a clipboard, in the order in which it is tried: wl-copy(1), xclip(1), xsel(1), pbcopy(1), clip.exe of
 * Windows, termux-clipboard-set. All of them take the text from stdin. wl-copy keeps it in a file in /tmp, in a folder
 * of its own that nobody else can open, until something else is copied.
 */
const WRITERS: readonly Writer[] = [
  {
    program: 'wl-copy',
    // Named, because to find the type out it would start a program and show it the text.
    args: ['--type', 'text/plain;charset=utf-8'],
    suits: env => isSet(env.WAYLAND_DISPLAY),
    remedy: 'Install wl-clipboard',
  },
  {
    program: 'xclip',
    args: ['-selection', 'clipboard'],
    suits: env => isSet(env.DISPLAY),
    remedy: 'Install xclip or xsel',
  },
  {
    program: 'xsel',
    args: ['--clipboard', '--input'],
    suits: env => isSet(env.DISPLAY),
    remedy: 'Install xclip or xsel',
  },
  {
    program: 'pbcopy',
    args: [],
    suits: (_, platform) => platform === 'darwin',
    remedy: 'Put /usr/bin on the PATH',
  },
  {
    program: 'clip.exe',
    args: [],
    suits: env => isSet(env.WSL_DISTRO_NAME) || isSet(env.WSL_INTEROP),
    remedy: 'Put the System32 folder of Windows on the PATH',
  },
  {
    program: 'termux-clipboard-set',
    args: [],
    suits: env => isSet(env.TERMUX_VERSION),
    remedy: 'Install termux-api',
  },
]

/** How these programs find the desktop. None of it is a secret: XAUTHORITY names a file. */
const PASSED_ON =
  /^(DISPLAY|WAYLAND_DISPLAY|XAUTHORITY|XDG_RUNTIME_DIR|WSL_DISTRO_NAME|WSL_INTEROP|PREFIX|ANDROID_(ROOT|DATA|ART_ROOT|I18N_ROOT|TZDATA_ROOT)|BOOTCLASSPATH|DEX2OATBOOTCLASSPATH)$/

/** All of them answer at once, or never: a desktop that does not answer is not waited for. In milliseconds. */
const DEADLINE = 5000

/**
 * Writes a secret to the person's clipboard, through the stdin of the first program that does it, and returns that
 * program's name. Who then holds the clipboard lives on after us. Errors: `no_clipboard`.
 */
export async function toClipboard(
  run: ProcessRunner,
  env: NodeJS.ProcessEnv,
  secret: Secret,
  platform: NodeJS.Platform = process.platform,
): Promise<string> {
  const environment = Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) =>
      value !== undefined && PASSED_ON.test(name) ? [[name, value]] : [],
    ),
  )
  const failed: string[] = []
  for (const { program, args } of writersHere(env, platform))
    try {
      const { code } = await run(program, args, {
        ...{ input: secret, environment, deadline: DEADLINE, leaves: true },
      })
      if (code === 0) return program
      failed.push(`${program} ended with code ${code}`)
    } catch (error) {
      if (!(error instanceof ToolError)) throw error
      failed.push(error.message)
    }
  throw failed.length === 0 ? noClipboard(env, platform) : failure(failed)
}

/** Why nothing can be written to a clipboard here, as far as that can be seen without trying: `no_clipboard`. */
export function whyNoClipboard(
  env: NodeJS.ProcessEnv,
  platform: NodeJS.Platform = process.platform,
): ToolError | undefined {
  return writersHere(env, platform).length === 0 ? noClipboard(env, platform) : undefined
}

function writersHere(env: NodeJS.ProcessEnv, platform: NodeJS.Platform): Writer[] {
  return WRITERS.filter(({ suits, program }) => suits(env, platform) && isOnPath(program, env))
}

function noClipboard(env: NodeJS.ProcessEnv, platform: NodeJS.Platform): ToolError {
  const suitable = WRITERS.filter(({ suits }) => suits(env, platform))
  const [first] = suitable
  if (first === undefined)
    return new ToolError(
      'no_clipboard',
      'there is no clipboard here: neither WAYLAND_DISPLAY nor DISPLAY is set',
      `Run the command in a terminal of your desktop, or ${ALTERNATIVES}.`,
    )
  return new ToolError(
    'no_clipboard',
    `no program that writes to the clipboard is installed: ${suitable.map(({ program }) => program).join(', ')}`,
    `${first.remedy}, or ${ALTERNATIVES}.`,
  )
}

const ALTERNATIVES =
  'have the value written to a file with --token-file PATH, or shown on the terminal with --reveal'

function failure(failed: readonly string[]): ToolError {
  return new ToolError(
    'no_clipboard',
    `nothing could be written to the clipboard: ${failed.join('; ')}`,
    `See whether the desktop lets this terminal write to it, or ${ALTERNATIVES}.`,
  )
}

function isOnPath(program: string, { PATH = '' }: NodeJS.ProcessEnv): boolean {
  return PATH.split(delimiter).some(folder => {
    // An empty entry means the current folder, where we look for nothing.
    if (folder === '') return false
    const path = resolve(folder, program)
    try {
      accessSync(path, constants.X_OK)
      return statSync(path).isFile()
    } catch {
      return false
    }
  })
}

function isSet(variable: string | undefined): boolean {
  return variable !== undefined && variable !== ''
}
