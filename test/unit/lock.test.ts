import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { takeLock } from '../../src/deployment/lock.ts'
import { ToolError } from '../../src/errors.ts'
import { scratch, some, thrown } from './support.ts'

/** Something to happen right before the next write to a file: how another process gets in between two calls of ours. */
const inBetween = vi.hoisted(() => ({ next: undefined as (() => void) | undefined }))

vi.mock('node:fs', async original => {
  const real = await original<typeof import('node:fs')>()
  const writeSync = (file: number, text: string) => {
    const meanwhile = inBetween.next
    inBetween.next = undefined
    meanwhile?.()
    return real.writeSync(file, text)
  }
  return { ...real, default: real, writeSync }
})

const NOW = new Date('2026-11-23T01:40:00Z')

function lockPath(): string {
  return join(scratch(), 'lock')
}

/** A real process that lives until the test ends. */
async function living(command = 'sleep', args = ['60']): Promise<ChildProcess> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] })
  await once(child, 'spawn')
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  return child
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL')
  await once(child, 'exit')
}

/** When a process was started, in clock ticks since boot (proc(5), field 22). */
function startOf(pid: number | undefined): string {
  const stat = fs.readFileSync(`/proc/${some(pid, 'process id')}/stat`, 'utf8')
  return some(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19])
}

/** Writes the lock another process would have written: ours, in its name. */
function lockOf(path: string, holder: { pid?: number | undefined; started?: string; host?: string }): string {
  const release = takeLock(path, 'rotate', NOW)
  const text = `${JSON.stringify({ ...JSON.parse(fs.readFileSync(path, 'utf8')), nonce: 'theirs', ...holder })}\n`
  release()
  fs.writeFileSync(path, text)
  return text
}

describe('the lock of a deployment', () => {
  it('is a file of ours alone that says who holds it', () => {
    const path = lockPath()
    takeLock(path, 'setup', NOW)
    expect(JSON.parse(fs.readFileSync(path, 'utf8'))).toMatchObject({
      pid: process.pid,
      command: 'setup',
      host: hostname(),
      since: NOW.toISOString(),
    })
    expect((fs.statSync(path).mode & 0o777).toString(8)).toBe('600')
  })

  it('can be taken again when it was released', () => {
    const path = lockPath()
    takeLock(path, 'setup', NOW)()
    expect(fs.existsSync(path)).toBe(false)
    takeLock(path, 'setup', NOW)()
  })

  it('cannot be taken twice in one process', () => {
    const path = lockPath()
    takeLock(path, 'setup', NOW)
    expect(() => takeLock(path, 'setup', NOW)).toThrow(ToolError)
  })

  it('is refused while a living process holds it, with who that is', async () => {
    const path = lockPath()
    const { pid } = await living()
    const theirs = lockOf(path, { pid, started: startOf(pid) })
    const error = await thrown(() => takeLock(path, 'setup', NOW))
    expect(error).toMatchObject({ code: 'locked', exit: 3 })
    for (const part of ['rotate', String(pid), hostname(), NOW.toISOString()])
      expect(error.message).toContain(part)
    expect(fs.readFileSync(path, 'utf8')).toBe(theirs)
  })

  it('is taken over from a process that was killed', async () => {
    const path = lockPath()
    const child = await living()
    lockOf(path, { pid: child.pid, started: startOf(child.pid) })
    await kill(child)
    takeLock(path, 'setup', NOW)
    expect(JSON.parse(fs.readFileSync(path, 'utf8')).pid).toBe(process.pid)
  })

  it('is taken over from a killed process that its parent has not buried yet', async () => {
    const path = lockPath()
    // The parent never waits for its child: the child stays a zombie.
    const parent = await living('sh', ['-c', 'sleep 60 & echo $!; exec sleep 60'])
    const [line] = await once(some(parent.stdout), 'data')
    const pid = Number(String(line))
    lockOf(path, { pid, started: startOf(pid) })
    process.kill(pid, 'SIGKILL')
    await vi.waitFor(() => expect(fs.readFileSync(`/proc/${pid}/stat`, 'utf8')).toMatch(/\) Z /))
    takeLock(path, 'setup', NOW)
    expect(JSON.parse(fs.readFileSync(path, 'utf8')).pid).toBe(process.pid)
  })

  it('is taken over when the holder’s number belongs to another process by now', async () => {
    const path = lockPath()
    const { pid } = await living()
    lockOf(path, { pid, started: String(Number(startOf(pid)) - 1) })
    takeLock(path, 'setup', NOW)
    expect(JSON.parse(fs.readFileSync(path, 'utf8')).pid).toBe(process.pid)
  })

  it('of another machine is respected, since nobody here can tell', async () => {
    const path = lockPath()
    const theirs = lockOf(path, { host: 'elsewhere', pid: 999_999_999 })
    expect(await thrown(() => takeLock(path, 'setup', NOW))).toMatchObject({
      code: 'locked',
      message: expect.stringContaining('elsewhere'),
    })
    expect(fs.readFileSync(path, 'utf8')).toBe(theirs)
  })

  for (const [what, text] of Object.entries({
    'is empty': '',
    'is torn': '{"pid":12,"sta',
    'is garbage': 'hello\n',
  }))
    it(`is taken over when it ${what}: no living process leaves that`, () => {
      const path = lockPath()
      fs.writeFileSync(path, text)
      takeLock(path, 'setup', NOW)
      expect(JSON.parse(fs.readFileSync(path, 'utf8')).pid).toBe(process.pid)
    })

  it('that could not be written is said so and is not left behind', async () => {
    const path = lockPath()
    inBetween.next = () => {
      throw Object.assign(new Error('ENOSPC: write'), { code: 'ENOSPC' })
    }
    expect(await thrown(() => takeLock(path, 'setup', NOW))).toMatchObject({ code: 'disk_full' })
    expect(fs.readdirSync(join(path, '..'))).toEqual([])
  })

  it('leaves nothing lying about when it is taken over', () => {
    const path = lockPath()
    fs.writeFileSync(path, '')
    takeLock(path, 'setup', NOW)()
    expect(fs.readdirSync(join(path, '..'))).toEqual([])
  })

  it('has one holder, also when a second process comes in the middle of taking it', () => {
    const path = lockPath()
    const holders: string[] = []
    const take = (who: string) => {
      try {
        takeLock(path, who, NOW)
        holders.push(who)
      } catch (error) {
        expect(error).toMatchObject({ code: 'locked' })
      }
    }
    inBetween.next = () => take('second')
    take('first')
    expect(holders).toHaveLength(1)
    expect(JSON.parse(fs.readFileSync(path, 'utf8')).command).toBe(holders[0])
  })
})

describe('releasing the lock', () => {
  it('never removes somebody else’s', () => {
    const path = lockPath()
    const release = takeLock(path, 'setup', NOW)
    fs.writeFileSync(path, 'theirs')
    release()
    expect(fs.readFileSync(path, 'utf8')).toBe('theirs')
  })

  it('never removes a later one of the same process', () => {
    const path = lockPath()
    const first = takeLock(path, 'setup', NOW)
    first()
    takeLock(path, 'setup', NOW)
    first()
    expect(fs.existsSync(path)).toBe(true)
  })

  it('is content when the lock is gone already', () => {
    const path = lockPath()
    const release = takeLock(path, 'setup', NOW)
    fs.rmSync(path)
    expect(release).not.toThrow()
  })
})
