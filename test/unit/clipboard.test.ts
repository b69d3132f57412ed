import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { processRunner } from '../../src/docker/process.ts'
import { toClipboard, whyNoClipboard } from '../../src/report/clipboard.ts'
import { generateToken, Redactor } from '../../src/secret.ts'
import { scratch, thrown } from './support.ts'

const redactor = new Redactor()
const secret = redactor.learn(generateToken())

/** What a program saw. */
interface Seen {
  argv: string[]
  stdin: string
  env: Record<string, string>
}

/** A folder of programs, which is the whole PATH; each notes what it sees and ends as it is told. */
function desktop(programs: Record<string, { code?: number; last?: string }>) {
  const folder = scratch()
  const bin = join(folder, 'bin')
  mkdirSync(bin)
  const note = (name: string) => join(folder, `${name}.json`)
  for (const [name, { code = 0, last = '' }] of Object.entries(programs))
    writeFileSync(
      join(bin, name),
      `#!${process.execPath}
let stdin = ''
process.stdin.on('data', data => { stdin += data }).on('end', () => {
  require('fs').writeFileSync(${JSON.stringify(note(name))}, JSON.stringify({ argv: process.argv.slice(2), stdin, env: process.env }))
  process.exitCode = ${code}
  ${last}
})
`,
      { mode: 0o755 },
    )
  const seen = (name: string): Seen | undefined => {
    try {
      return JSON.parse(readFileSync(note(name), 'utf8'))
    } catch {
      return undefined
    }
  }
  const copy = (env: Record<string, string>, platform: NodeJS.Platform = 'linux') => {
    const all = { PATH: bin, HOME: folder, OPENCLAW_GATEWAY_TOKEN: 'not for them', ...env }
    return toClipboard(processRunner(redactor, all), all, secret, platform)
  }
  return { bin, folder, seen, copy }
}

const ALL = ['wl-copy', 'xclip', 'xsel', 'pbcopy', 'clip.exe', 'termux-clipboard-set']
const everything = () => desktop(Object.fromEntries(ALL.map(name => [name, {}])))

describe('the clipboard', () => {
  it.each<[string, Record<string, string>, NodeJS.Platform, string[]]>([
    [
      'wl-copy',
      { WAYLAND_DISPLAY: 'wayland-0', DISPLAY: ':0' },
      'linux',
      ['--type', 'text/plain;charset=utf-8'],
    ],
    ['xclip', { DISPLAY: ':0' }, 'linux', ['-selection', 'clipboard']],
    ['pbcopy', {}, 'darwin', []],
    ['clip.exe', { WSL_DISTRO_NAME: 'Debian' }, 'linux', []],
    ['termux-clipboard-set', { TERMUX_VERSION: '0.118' }, 'android', []],
  ])('is written by %s, where that is at home, through stdin alone', async (name, env, platform, argv) => {
    const { seen, copy } = everything()
    expect(await copy(env, platform)).toBe(name)
    expect(seen(name)).toMatchObject({ argv, stdin: secret.expose() })
    for (const other of ALL.filter(one => one !== name)) expect(seen(other)).toBeUndefined()
    expect(JSON.stringify([seen(name)?.argv, seen(name)?.env])).not.toContain(secret.expose())
  })

  it('is found through what names the desktop, and its programs see nothing else of ours', async () => {
    const { seen, copy } = everything()
    const place = { DISPLAY: ':7', XAUTHORITY: '/home/me/.Xauthority', XDG_RUNTIME_DIR: '/run/user/1000' }
    await copy({ ...place, SOMETHING: 'else' })
    expect(seen('xclip')?.env).toMatchObject(place)
    for (const name of ['SOMETHING', 'OPENCLAW_GATEWAY_TOKEN'])
      expect(seen('xclip')?.env).not.toHaveProperty(name)
  })

  it('is written by the next program where one is missing, fails, or does not run', async () => {
    const { bin, seen, copy } = desktop({ xclip: { code: 1 }, xsel: {} })
    writeFileSync(join(bin, 'wl-copy'), '#!/there/is/no/such/program\n', { mode: 0o755 })
    expect(await copy({ WAYLAND_DISPLAY: 'wayland-0', DISPLAY: ':0' })).toBe('xsel')
    expect(seen('xsel')).toMatchObject({ argv: ['--clipboard', '--input'], stdin: secret.expose() })
  })

  it('is held by whom the program leaves behind, with its outputs open: nobody waits, and he lives on', async () => {
    const left = join(scratch(), 'left')
    const { copy } = desktop({
      xclip: {
        last: `require('child_process').spawn(process.execPath, ['-e', 'require("fs").writeFileSync(${JSON.stringify(left)}, String(process.pid)); setTimeout(() => {}, 9000)'], { stdio: ['ignore', 'inherit', 'inherit'] }).unref()`,
      },
    })
    const began = performance.now()
    expect(await copy({ DISPLAY: ':0' })).toBe('xclip')
    expect(performance.now() - began).toBeLessThan(4000)
    const pid = await vi.waitFor(() => {
      const found = Number(readFileSync(left, 'utf8'))
      expect(found).toBeGreaterThan(1)
      return found
    }, 4000)
    onTestFinished(() => void process.kill(pid))
    expect(process.kill(pid, 0)).toBe(true)
  })
})

describe('where there is no clipboard', () => {
  const message = (name: string) => expect.stringContaining(name)
  const hint = expect.stringMatching(/--token-file PATH.*--reveal/)

  it('the error says that there is no desktop', async () => {
    const { copy, seen } = everything()
    expect(await thrown(() => copy({}))).toMatchObject({
      ...{ code: 'no_clipboard', message: message('neither WAYLAND_DISPLAY nor DISPLAY is set'), hint },
    })
    expect(await thrown(() => copy({ DISPLAY: '' }))).toMatchObject({ code: 'no_clipboard' })
    for (const name of ALL) expect(seen(name)).toBeUndefined()
  })

  it.each<[Record<string, string>, NodeJS.Platform, string, string]>([
    [{ WAYLAND_DISPLAY: 'w' }, 'linux', 'wl-copy', 'Install wl-clipboard, or'],
    [{ DISPLAY: ':0' }, 'linux', 'xclip, xsel', 'Install xclip or xsel, or'],
    [{}, 'darwin', 'pbcopy', '/usr/bin'],
    [{ WSL_INTEROP: '/run/x' }, 'linux', 'clip.exe', 'System32'],
    [{ TERMUX_VERSION: '1' }, 'android', 'termux-clipboard-set', 'Install termux-api, or'],
  ])('the error names what is missing for %j', async (env, platform, programs, remedy) => {
    const { copy, bin } = desktop({})
    const wanted = { code: 'no_clipboard', message: message(programs), hint: message(remedy) }
    expect(await thrown(() => copy(env, platform))).toMatchObject(wanted)
    expect(whyNoClipboard({ PATH: bin, ...env }, platform)).toMatchObject(wanted)
  })

  it('it is seen before anything is tried: a program that may not be run, and a folder, are none', () => {
    const { bin } = desktop({ xclip: {} })
    const env = { DISPLAY: ':0', PATH: `/there/is/none::${bin}` }
    expect(whyNoClipboard(env, 'linux')).toBeUndefined()
    chmodSync(join(bin, 'xclip'), 0o644)
    mkdirSync(join(bin, 'xsel'))
    expect(whyNoClipboard(env, 'linux')).toMatchObject({ code: 'no_clipboard' })
  })

  it('because all programs fail, the error names each, and nothing of the secret', async () => {
    const { copy } = desktop({ xclip: { code: 1 }, xsel: { code: 7 } })
    const error = await thrown(() => copy({ DISPLAY: ':0' }))
    expect(error).toMatchObject({ code: 'no_clipboard', hint })
    expect(error.message).toMatch(/xclip ended with code 1; xsel ended with code 7$/)
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(secret.expose())
  })
})
