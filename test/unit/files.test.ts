import { spawn } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, it, vi } from 'vitest'
import { ensureDirectory, lookAt, readIfPresent, sweep, writeAtomic } from '../../src/deployment/files.ts'
import { Secret } from '../../src/secret.ts'
import { scratch, some, thrown } from './support.ts'

/** What happens at the next writes: the bytes the disk takes, the error it answers with, or something in between. */
const disk = vi.hoisted(() => ({ next: [] as (number | string | (() => void))[] }))

vi.mock('node:fs', async original => {
  const real = await original<typeof import('node:fs')>()
  const writeSync = (file: number, buffer: Buffer, offset: number) => {
    const answer = disk.next.shift()
    if (typeof answer === 'string') throw Object.assign(new Error(`${answer}: write`), { code: answer })
    if (typeof answer === 'function') answer()
    return real.writeSync(
      file,
      buffer,
      offset,
      Math.min(typeof answer === 'number' ? answer : buffer.length, buffer.length - offset),
    )
  }
  return { ...real, default: real, writeSync }
})

const root = process.getuid?.() === 0

function mode(path: string): string {
  return (fs.lstatSync(path).mode & 0o7777).toString(8)
}

describe('writing a file as one step', () => {
  for (const bits of [0o400, 0o600, 0o640, 0o644])
    it(`gives it exactly mode ${bits.toString(8)}, whatever the umask`, () => {
      const path = join(scratch(), 'file')
      for (const umask of [0, 0o077, 0o777]) {
        const before = process.umask(umask)
        try {
          writeAtomic(path, 'text', bits)
        } finally {
          process.umask(before)
        }
        expect(mode(path)).toBe(bits.toString(8))
      }
    })

  it('takes text, bytes and secrets', () => {
    const path = join(scratch(), 'file')
    for (const content of ['tëxt', Buffer.from('tëxt'), new Secret('tëxt')]) {
      writeAtomic(path, content, 0o600)
      expect(fs.readFileSync(path, 'utf8')).toBe('tëxt')
    }
  })

  it.runIf(root)('gives it to its owner', () => {
    const path = join(scratch(), 'file')
    writeAtomic(path, 'text', 0o400, { uid: 12_345, gid: 23_456 })
    expect(fs.statSync(path)).toMatchObject({ uid: 12_345, gid: 23_456 })
  })

  it('makes a new file each time: who has the old one open keeps the old bytes', () => {
    const path = join(scratch(), 'file')
    writeAtomic(path, 'old', 0o600)
    const before = fs.openSync(path, 'r')
    writeAtomic(path, 'new', 0o600)
    expect(fs.readFileSync(before, 'utf8')).toBe('old')
    fs.closeSync(before)
    expect(fs.statSync(path).nlink).toBe(1)
  })

  it('replaces a link and leaves alone what it points at', () => {
    const folder = scratch()
    fs.writeFileSync(join(folder, 'elsewhere'), 'theirs')
    fs.symlinkSync('elsewhere', join(folder, 'file'))
    writeAtomic(join(folder, 'file'), 'ours', 0o600)
    expect(fs.lstatSync(join(folder, 'file')).isFile()).toBe(true)
    expect(fs.readFileSync(join(folder, 'elsewhere'), 'utf8')).toBe('theirs')
  })

  it('leaves the other names of a file alone', () => {
    const folder = scratch()
    fs.writeFileSync(join(folder, 'elsewhere'), 'theirs')
    fs.linkSync(join(folder, 'elsewhere'), join(folder, 'file'))
    writeAtomic(join(folder, 'file'), 'ours', 0o600)
    expect(fs.readFileSync(join(folder, 'elsewhere'), 'utf8')).toBe('theirs')
  })

  it('never shows a reader half of it', async () => {
    const path = join(scratch(), 'file')
    const contents = ['a', 'b'].map(letter => letter.repeat(300_000))
    writeAtomic(path, some(contents[0]), 0o644)
    const reader = `const fs=require('fs');const seen=new Set();for(let n=0;n<200;n++){const t=fs.readFileSync(${JSON.stringify(path)},'utf8');seen.add(t.length+t[0]+(t===t[0].repeat(t.length)))}console.log(JSON.stringify([...seen]))`
    const child = spawn(process.execPath, ['-e', reader], { stdio: ['ignore', 'pipe', 'inherit'] })
    let said = ''
    child.stdout.on('data', chunk => {
      said += String(chunk)
    })
    const ended = once(child, 'close').then(() => 'ended')
    for (let i = 0; (await Promise.race([ended, nextTurn(i)])) !== 'ended'; i++)
      writeAtomic(path, some(contents[i % 2]), 0o644)
    const seen: string[] = JSON.parse(said)
    expect(seen.sort()).toEqual(['300000atrue', '300000btrue'])
  })

  it('goes on when the disk takes only a part at a time', () => {
    const path = join(scratch(), 'file')
    disk.next = [3, 1, 2]
    writeAtomic(path, 'a longer text', 0o600)
    expect(fs.readFileSync(path, 'utf8')).toBe('a longer text')
  })

  for (const code of ['ENOSPC', 'EDQUOT'])
    it(`says disk_full on ${code}, keeps the old file and leaves nothing else`, async () => {
      const folder = scratch()
      const path = join(folder, 'file')
      fs.writeFileSync(path, 'old')
      disk.next = [2, code]
      const error = await thrown(() => writeAtomic(path, 'new text', 0o600))
      expect(error).toMatchObject({ code: 'disk_full', exit: 3, message: expect.stringContaining(path) })
      expect(fs.readdirSync(folder)).toEqual(['file'])
      expect(fs.readFileSync(path, 'utf8')).toBe('old')
    })

  for (const code of ['EACCES', 'EPERM', 'EROFS'])
    it(`says not_writable on ${code}, with the path`, async () => {
      const path = join(scratch(), 'file')
      disk.next = [code]
      expect(await thrown(() => writeAtomic(path, 'x', 0o600))).toMatchObject({
        code: 'not_writable',
        exit: 2,
        message: expect.stringContaining(path),
      })
    })

  it('says not_writable where nobody may make a file', async () => {
    expect(await thrown(() => writeAtomic('/sys/kernel/ocs-test', 'x', 0o600))).toMatchObject({
      code: 'not_writable',
    })
  })

  it('never quotes the content in an error', async () => {
    disk.next = ['EIO']
    const error = await thrown(() =>
      writeAtomic(join(scratch(), 'file'), new Secret('hunter2-hunter2'), 0o600),
    )
    expect(`${error.message}${error.stack}`).not.toContain('hunter2')
  })
})

describe('making a folder', () => {
  it('gives it exactly the mode, whatever the umask, and its parents too exist', () => {
    const path = join(scratch(), 'a/b')
    const before = process.umask(0o077)
    try {
      ensureDirectory(path, 0o755)
    } finally {
      process.umask(before)
    }
    expect(mode(path)).toBe('755')
  })

  it('corrects the mode of one that is there and keeps what is in it', () => {
    const path = join(scratch(), 'a')
    fs.mkdirSync(path, { mode: 0o777 })
    fs.writeFileSync(join(path, 'kept'), '')
    ensureDirectory(path, 0o700)
    expect(mode(path)).toBe('700')
    expect(fs.readdirSync(path)).toEqual(['kept'])
  })

  it.runIf(root)('gives it to its owner', () => {
    const path = join(scratch(), 'a')
    ensureDirectory(path, 0o700, { uid: 12_345, gid: 23_456 })
    expect(fs.statSync(path)).toMatchObject({ uid: 12_345, gid: 23_456 })
  })

  it('refuses a link to a folder and does not touch that folder', async () => {
    const folder = scratch()
    fs.mkdirSync(join(folder, 'elsewhere'), { mode: 0o755 })
    fs.symlinkSync('elsewhere', join(folder, 'a'))
    expect(await thrown(() => ensureDirectory(join(folder, 'a'), 0o700))).toMatchObject({
      code: 'not_a_folder',
      exit: 2,
    })
    expect(mode(join(folder, 'elsewhere'))).toBe('755')
  })

  for (const [what, make] of Object.entries({
    'a link that leads nowhere': (path: string) => fs.symlinkSync('nowhere', path),
    'a file': (path: string) => fs.writeFileSync(path, ''),
  }))
    it(`refuses ${what} in its place, in words a person understands`, async () => {
      const path = join(scratch(), 'a')
      make(path)
      expect(await thrown(() => ensureDirectory(path, 0o700))).toMatchObject({
        code: 'not_a_folder',
        exit: 2,
        message: expect.stringContaining(path),
      })
    })
})

describe('looking and sweeping', () => {
  it('finds nothing where nothing is, also below a file', () => {
    const folder = scratch()
    fs.writeFileSync(join(folder, 'file'), 'text')
    for (const path of ['missing', 'file/below']) {
      expect(readIfPresent(join(folder, path))).toBeUndefined()
      expect(lookAt(join(folder, path))).toBeUndefined()
    }
    expect(readIfPresent(join(folder, 'file'))).toBe('text')
  })

  it('looks at a link itself', () => {
    const folder = scratch()
    fs.symlinkSync('/etc', join(folder, 'link'))
    expect(lookAt(join(folder, 'link'))?.isSymbolicLink()).toBe(true)
  })

  it('removes exactly the unfinished files of ours', () => {
    const folder = scratch()
    const kept = [
      '.gitignore',
      '.file.ocs-tmp',
      'file.0123abcd.ocs-tmp',
      '.file.0123abcd.tmp',
      '.file.0123ABCD.ocs-tmp',
      'gateway_token.x',
    ]
    for (const name of [...kept, '.file.0123abcd.ocs-tmp', '.gateway_token.x.deadbeef.ocs-tmp'])
      fs.writeFileSync(join(folder, name), '')
    sweep([folder, join(folder, 'missing'), join(folder, '.gitignore')])
    expect(fs.readdirSync(folder).sort()).toEqual(kept.sort())
  })

  it('removes what a writer leaves that was killed in the middle', () => {
    const folder = scratch()
    let left: string[] = []
    disk.next = [
      () => {
        left = fs.readdirSync(folder)
      },
    ]
    writeAtomic(join(folder, 'target'), 'text', 0o600)
    expect(left).toHaveLength(1)
    for (const name of left) fs.writeFileSync(join(folder, name), 'te')
    sweep([folder])
    expect(fs.readdirSync(folder)).toEqual(['target'])
  })
})
