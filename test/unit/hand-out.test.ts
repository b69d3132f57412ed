import * as fs from 'node:fs'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { describe, expect, it, vi } from 'vitest'
import { type HandOut, handOut, handOutProblems } from '../../src/commands/hand-out.ts'
import type { Program } from '../../src/commands/program.ts'
import { processRunner } from '../../src/docker/process.ts'
import { describeProblem } from '../../src/errors.ts'
import { generateToken, Redactor } from '../../src/secret.ts'
import { scratch, some, thrown } from './support.ts'

/** A disk that can be full: the first bytes are still written. */
const disk = vi.hoisted(() => ({ full: false }))
vi.mock('node:fs', async original => {
  const real = await original<typeof fs>()
  const writeSync = (file: number, bytes: Buffer, offset: number) => {
    if (disk.full && offset > 0) throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
    return real.writeSync(file, bytes, offset, disk.full ? 3 : undefined)
  }
  return { ...real, writeSync }
})

/** A program in a folder of its own, with no other program on its PATH than those named, and what it printed. */
function person({ terminal = false, xclip }: { terminal?: boolean; xclip?: string } = {}) {
  const cwd = scratch()
  const bin = join(cwd, 'bin')
  fs.mkdirSync(bin)
  if (xclip !== undefined)
    fs.writeFileSync(join(bin, 'xclip'), `#!${process.execPath}\n${xclip}\n`, { mode: 0o755 })
  const redactor = new Redactor()
  const secret = redactor.learn(generateToken())
  const printed = { text: '' }
  const revealed: string[] = []
  const output = new Writable({
    write(chunk, _, done) {
      printed.text += String(chunk)
      done()
    },
  })
  const program: Program = {
    version: '1.2.3',
    cwd,
    env: { PATH: bin, DISPLAY: ':0' },
    stdin: Readable.from([]),
    stdout: output,
    stderr: output,
    redactor,
    person: { uid: process.getuid?.() ?? 1000, gid: process.getgid?.() ?? 1000 },
    signal: new AbortController().signal,
    abandon: new AbortController().signal,
    now: () => new Date(),
    ...(terminal && { reveal: value => void revealed.push(value.expose()) }),
  }
  return {
    ...{ cwd, secret, program, printed, revealed },
    problems: (options: HandOut) => handOutProblems(program, options).map(describeProblem),
    give: (options: HandOut) =>
      handOut({ run: processRunner(redactor, program.env) }, program, options, secret),
  }
}

describe('a new value is given', () => {
  it('not at all, where nothing was asked for', async () => {
    const { problems, give, printed, cwd } = person({ terminal: true })
    expect(problems({})).toEqual([])
    expect(await give({})).toEqual([])
    expect(printed.text).toBe('')
    expect(fs.readdirSync(cwd)).toEqual(['bin'])
  })

  it('in a file that only the person may read, whatever the umask', async () => {
    for (const mask of [0o000, 0o022, 0o777]) {
      const { problems, give, cwd, secret, program } = person()
      const before = process.umask(mask)
      try {
        expect(problems({ tokenFile: 'token' })).toEqual([])
        const lines = await give({ tokenFile: 'token' })
        expect(lines).toEqual([expect.stringContaining('token (0400)')])
        expect(lines.join()).not.toContain(secret.expose())
      } finally {
        process.umask(before)
      }
      const { mode, uid, nlink } = fs.lstatSync(join(cwd, 'token'))
      expect({ mode: mode & 0o7777, uid, nlink }).toEqual({ mode: 0o400, uid: program.person.uid, nlink: 1 })
      expect(fs.readFileSync(join(cwd, 'token'), 'utf8')).toBe(secret.expose())
    }
  })

  it('in the clipboard', async () => {
    const { problems, give, cwd, secret } = person({
      xclip: `require('fs').writeFileSync(require('path').join(__dirname, '../held'), require('fs').readFileSync(0))`,
    })
    expect(problems({ clipboard: true })).toEqual([])
    expect(await give({ clipboard: true })).toEqual([expect.stringContaining('clipboard (xclip)')])
    expect(fs.readFileSync(join(cwd, 'held'), 'utf8')).toBe(secret.expose())
  })

  it('on the terminal, past the guard, and nowhere else', async () => {
    const { problems, give, secret, revealed, printed } = person({ terminal: true })
    expect(problems({ reveal: true })).toEqual([])
    const lines = await give({ reveal: true })
    expect(revealed).toEqual([secret.expose()])
    expect(lines).toHaveLength(1)
    expect(printed.text + lines.join()).not.toContain(secret.expose())
  })

  it('in every way that still works when one fails, and the error says where it is', async () => {
    const { give, cwd, secret, revealed } = person({ terminal: true, xclip: 'process.exitCode = 1' })
    const error = await thrown(() => give({ clipboard: true, tokenFile: 'token', reveal: true }))
    expect(error).toMatchObject({
      code: 'no_clipboard',
      hint: expect.stringMatching(/^See whether.*\nThe new value is in token .*\nThe new value was shown/),
    })
    expect(fs.readFileSync(join(cwd, 'token'), 'utf8')).toBe(secret.expose())
    expect(revealed).toEqual([secret.expose()])
  })
})

describe('what cannot be done is said before there is a new value', () => {
  it('all of it at once', () => {
    const { problems } = person()
    const found = problems({ reveal: true, tokenFile: 'no/such/folder/token', clipboard: true })
    expect(found).toHaveLength(3)
    expect(found[0]).toMatch(/^--reveal: got "an output that is no terminal"/)
    expect(found[1]).toMatch(/^token file: got "no\/such\/folder\/token"; .*ENOENT/)
    expect(found[2]).toMatch(/^--clipboard: no program .* xclip, xsel\. Install xclip or xsel, or/)
  })

  it.each<[string, (cwd: string) => void]>([
    ['a file', cwd => fs.writeFileSync(join(cwd, 'token'), 'kept')],
    ['a folder', cwd => fs.mkdirSync(join(cwd, 'token'))],
    ['a link', cwd => fs.symlinkSync(join(cwd, 'bin/xclip'), join(cwd, 'token'))],
    ['a link to nowhere', cwd => fs.symlinkSync('/there/is/none', join(cwd, 'token'))],
  ])('%s is in the place of the token file', async (_, make) => {
    const { problems, cwd } = person({ xclip: 'kept' })
    make(cwd)
    expect(problems({ tokenFile: 'token' })).toEqual([expect.stringContaining('not there yet')])
  })

  it('the folder of the token file is a file, or may not be written to', () => {
    const { problems, cwd } = person()
    fs.writeFileSync(join(cwd, 'file'), '')
    expect(problems({ tokenFile: 'file/token' })).toEqual([expect.stringContaining('a file in a folder')])
    expect(problems({ tokenFile: '/proc/token' })).toHaveLength(process.getuid?.() === 0 ? 0 : 1)
  })
})

describe('a token file', () => {
  it.each<[string, (path: string, target: string) => void]>([
    ['a file', path => fs.writeFileSync(path, 'theirs', { mode: 0o666 })],
    ['a link', (path, target) => fs.symlinkSync(target, path)],
  ])('is neither written to nor removed when somebody makes it in the meantime: %s', async (_, make) => {
    const { give, cwd, secret } = person()
    const [path, target] = [join(cwd, 'token'), join(cwd, 'target')]
    fs.writeFileSync(target, 'theirs')
    make(path, target)
    const error = await thrown(() => give({ tokenFile: 'token' }))
    expect(error).toMatchObject({ code: 'token_file_exists', exit: 3 })
    expect(some(error.stack)).not.toContain(secret.expose())
    expect(fs.readFileSync(path, 'utf8')).toBe('theirs')
    expect(fs.readFileSync(target, 'utf8')).toBe('theirs')
  })

  it('is removed again when it cannot be written whole', async () => {
    const { give, cwd } = person()
    disk.full = true
    try {
      expect(await thrown(() => give({ tokenFile: 'token' }))).toMatchObject({ code: 'disk_full' })
    } finally {
      disk.full = false
    }
    expect(fs.readdirSync(cwd)).toEqual(['bin'])
  })
})
