import { appendFileSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { Journal, type NewEvent } from '../../src/procedure/journal.ts'
import { generateToken, Redactor, Secret } from '../../src/secret.ts'
import { scratch } from './support.ts'

/** What the disk does with the next writes: the bytes it takes, or the error it answers with. */
const disk = vi.hoisted(() => ({ next: [] as (number | string)[] }))

vi.mock('node:fs', async original => {
  const real = await original<typeof import('node:fs')>()
  const writeSync = (file: number, bytes: Buffer, offset = 0) => {
    const answer = disk.next.shift()
    if (typeof answer === 'string') throw Object.assign(new Error(`${answer}: write`), { code: answer })
    return real.writeSync(file, bytes, offset, Math.min(answer ?? bytes.length, bytes.length - offset))
  }
  return { ...real, default: real, writeSync }
})

const NOW = new Date('2026-11-23T01:40:00Z')

function journal(): Journal {
  return new Journal(join(scratch(), 'journal.jsonl'), () => NOW)
}

function write(into: Journal, ...events: (Partial<NewEvent> & Pick<NewEvent, 'event'>)[]): void {
  for (const event of events) into.append({ run: 'run-1', procedure: 'setup', ...event })
}

/** A journal of five lines, and a way to damage it. */
function five() {
  const written = journal()
  write(
    written,
    { event: 'begun' },
    { event: 'step-begun', step: 'a' },
    { event: 'step-done', step: 'a' },
    { event: 'step-begun', step: 'b' },
    { event: 'done' },
  )
  return {
    journal: written,
    damage(change: (lines: string[]) => string[]) {
      const lines = readFileSync(written.path, 'utf8').trimEnd().split('\n')
      writeFileSync(written.path, `${change(lines).join('\n')}\n`)
    },
  }
}

describe('a journal', () => {
  it('reads back what was appended, numbered and dated', () => {
    const log = journal()
    write(
      log,
      { event: 'begun' },
      {
        event: 'step-done',
        step: 'token.store',
        note: 'n',
        facts: { fingerprint: 'abc', tries: 2, kept: true },
      },
    )
    expect(log.read()).toEqual([
      {
        seq: 1,
        at: NOW.toISOString(),
        run: 'run-1',
        procedure: 'setup',
        event: 'begun',
        prev: '0'.repeat(64),
      },
      expect.objectContaining({
        seq: 2,
        step: 'token.store',
        note: 'n',
        facts: { fingerprint: 'abc', tries: 2, kept: true },
      }),
    ])
  })

  it('is empty, intact and not made when nothing was written', () => {
    const log = journal()
    expect(log.read()).toEqual([])
    expect(log.verifyChain()).toEqual({ intact: true, events: 0 })
    expect(log.unfinished('setup')).toBeUndefined()
    expect(() => statSync(log.path)).toThrow('ENOENT')
  })

  it('can be read by its owner alone', () => {
    const before = process.umask(0)
    try {
      const log = journal()
      write(log, { event: 'begun' })
      expect((statSync(log.path).mode & 0o7777).toString(8)).toBe('600')
    } finally {
      process.umask(before)
    }
  })

  it('keeps every event on one line, whatever the note holds', () => {
    const log = journal()
    write(log, { event: 'step-failed', note: 'a\nb\r\n{"seq":9}\u2028' }, { event: 'failed' })
    expect(log.read()).toHaveLength(2)
    expect(log.read()[0]?.note).toBe('a\nb\r\n{"seq":9}\u2028')
    expect(log.verifyChain().intact).toBe(true)
  })

  it('shows [secret] when somebody hands it one by mistake', () => {
    const log = journal()
    const token = generateToken()
    write(log, { event: 'step-failed', note: `failed with ${token}` })
    expect(readFileSync(log.path, 'utf8')).not.toContain(token.expose())
  })

  it('holds no secret that its redactor knows, wherever a step put it and however it was written, and its chain holds', () => {
    const redactor = new Redactor()
    const token = redactor.learn(generateToken()).expose()
    redactor.learn(new Secret('20261126'))
    const log = new Journal(join(scratch(), 'journal.jsonl'), () => NOW, redactor)
    const base64 = Buffer.from(`user:${token}`).toString('base64')
    write(
      log,
      { event: 'step-begun', step: `a ${token}` },
      {
        event: 'step-done',
        step: 'token.store',
        note: `${token}\n${base64}`,
        facts: { token, [token]: base64, pin: 20_261_126, tries: 2, kept: true },
      },
    )
    const text = readFileSync(log.path, 'utf8')
    expect(redactor.finds(text)).toBe(false)
    expect(log.read()).toMatchObject([
      { event: 'step-begun', step: 'a [secret]' },
      {
        step: 'token.store',
        note: expect.stringContaining('[secret]\n'),
        facts: { token: '[secret]', '[secret]': expect.any(String), pin: '[secret]', tries: 2, kept: true },
      },
    ])
    expect(log.verifyChain()).toEqual({ intact: true, events: 2 })
  })

  it('is the same, line by line, whether its redactor finds nothing or there is none', () => {
    const redactor = new Redactor()
    redactor.learn(generateToken())
    const logs = [undefined, redactor].map(
      one => new Journal(join(scratch(), 'journal.jsonl'), () => NOW, one),
    )
    for (const log of logs)
      write(log, { event: 'begun' }, { event: 'step-done', step: 'a', note: 'n', facts: { a: 1, b: 'c' } })
    const [plain, cleaned] = logs.map(log => readFileSync(log.path, 'utf8'))
    expect(cleaned).toBe(plain)
  })

  it('goes on where another writer stopped', () => {
    const first = journal()
    write(first, { event: 'begun' })
    const second = new Journal(first.path, () => NOW)
    write(second, { event: 'done' })
    write(first, { event: 'begun' })
    expect(first.verifyChain()).toEqual({ intact: true, events: 3 })
  })
})

describe('the chain of a journal', () => {
  it('holds as it was written', () => {
    expect(five().journal.verifyChain()).toEqual({ intact: true, events: 5 })
  })

  for (const line of [1, 2, 3, 4])
    it(`breaks after line ${line} when that line is changed`, () => {
      const { journal: log, damage } = five()
      damage(lines =>
        lines.map((text, index) => (index === line - 1 ? text.replace('run-1', 'run-2') : text)),
      )
      expect(log.verifyChain()).toMatchObject({ intact: false, broken: line + 1 })
    })

  for (const line of [1, 2, 3, 4])
    it(`breaks at line ${line} when that line is removed`, () => {
      const { journal: log, damage } = five()
      damage(lines => lines.toSpliced(line - 1, 1))
      expect(log.verifyChain()).toMatchObject({ intact: false, broken: line })
    })

  for (const line of [1, 2, 3, 4, 5])
    it(`breaks behind a forged line that is put in before line ${line}`, () => {
      const { journal: log, damage } = five()
      damage(lines => lines.toSpliced(line - 1, 0, (lines[line - 1] ?? '').replace('run-1', 'run-2')))
      expect(log.verifyChain()).toMatchObject({ intact: false, broken: line + 1 })
    })

  it('breaks where lines changed places', () => {
    const { journal: log, damage } = five()
    damage(([one = '', two = '', ...rest]) => [two, one, ...rest])
    expect(log.verifyChain()).toMatchObject({ intact: false, broken: 1 })
    const other = five()
    other.damage(([one = '', two = '', three = '', four = '', last = '']) => [one, two, four, three, last])
    expect(other.journal.verifyChain()).toMatchObject({ intact: false, broken: 3 })
  })

  it('breaks at a renumbered copy: a number alone does not forge a place', () => {
    const { journal: log, damage } = five()
    damage(lines =>
      lines.toSpliced(2, 1).map((text, index) => text.replace(/"seq":\d+/, `"seq":${index + 1}`)),
    )
    expect(log.verifyChain()).toMatchObject({ intact: false, broken: 3 })
  })

  for (const [what, text] of Object.entries({
    'no JSON': 'garbage',
    'an empty line': '',
    'another JSON value': '[]',
    'an event with a key too many':
      '{"seq":3,"at":"","run":"","procedure":"","event":"done","prev":"","x":1}',
  }))
    it(`breaks at ${what}, and nothing after it is believed`, () => {
      const { journal: log, damage } = five()
      damage(lines => lines.with(2, text))
      expect(log.verifyChain()).toEqual({ intact: false, broken: 3, why: 'not a journal event' })
      expect(log.read()).toHaveLength(2)
    })

  it('stays broken when something is appended', () => {
    const { journal: log, damage } = five()
    damage(lines => lines.toSpliced(1, 1))
    write(log, { event: 'begun' })
    expect(log.verifyChain()).toMatchObject({ intact: false, broken: 2 })
  })
})

describe('a last line that a power cut tore off', () => {
  it('does not count', () => {
    const { journal: log } = five()
    appendFileSync(log.path, '{"seq":6,"at":"2026-')
    expect(log.read()).toHaveLength(5)
    expect(log.verifyChain()).toEqual({ intact: true, events: 5 })
  })

  it('is dropped by the next append, and the chain holds', () => {
    const { journal: log } = five()
    appendFileSync(log.path, '{"seq":6,"at":"2026-')
    write(log, { event: 'begun' })
    expect(log.verifyChain()).toEqual({ intact: true, events: 6 })
    expect(readFileSync(log.path, 'utf8')).not.toContain('"2026-{')
  })

  it('may be all there is', () => {
    const log = journal()
    writeFileSync(log.path, '{"seq":1')
    expect(log.read()).toEqual([])
    write(log, { event: 'begun' })
    expect(log.verifyChain()).toEqual({ intact: true, events: 1 })
  })
})

describe('a disk that is full', () => {
  it('and takes a part at a time gets the line whole', () => {
    const { journal: log } = five()
    disk.next = [5, 1, 20]
    write(log, { event: 'begun' })
    expect(log.verifyChain()).toEqual({ intact: true, events: 6 })
  })

  it('is said so, and the journal is as it was', () => {
    const { journal: log } = five()
    disk.next = [7, 'ENOSPC']
    expect(() => write(log, { event: 'begun' })).toThrow(expect.objectContaining({ code: 'disk_full' }))
    expect(readFileSync(log.path, 'utf8').endsWith('}\n')).toBe(true)
    expect(log.verifyChain()).toEqual({ intact: true, events: 5 })
    write(log, { event: 'begun' })
    expect(log.verifyChain()).toEqual({ intact: true, events: 6 })
  })
})

describe('what is unfinished', () => {
  it('is a run that began and never ended, with the steps it had done', () => {
    const log = journal()
    write(
      log,
      { event: 'begun' },
      { event: 'step-begun', step: 'a' },
      { event: 'step-done', step: 'a' },
      { event: 'step-begun', step: 'b' },
    )
    expect(log.unfinished('setup')).toEqual({ run: 'run-1', since: NOW.toISOString(), done: ['a'] })
  })

  for (const end of ['failed', 'cancelled'] as const)
    it(`is a run that ${end}: the same command goes on from there`, () => {
      const log = journal()
      write(log, { event: 'begun' }, { event: 'step-done', step: 'a' }, { event: end })
      expect(log.unfinished('setup')?.done).toEqual(['a'])
    })

  it('is nothing when the run is done', () => {
    expect(five().journal.unfinished('setup')).toBeUndefined()
  })

  it('is nothing when a later run of the same procedure is done', () => {
    const log = journal()
    write(
      log,
      { event: 'begun' },
      { event: 'failed' },
      { event: 'begun', run: 'run-2' },
      { event: 'done', run: 'run-2' },
    )
    expect(log.unfinished('setup')).toBeUndefined()
  })

  it('counts the steps of the last run only', () => {
    const log = journal()
    write(
      log,
      { event: 'begun' },
      { event: 'step-done', step: 'a' },
      { event: 'failed' },
      { event: 'begun', run: 'run-2' },
      { event: 'step-done', run: 'run-2', step: 'b' },
    )
    expect(log.unfinished('setup')).toMatchObject({ run: 'run-2', done: ['b'] })
  })

  it('is told apart by procedure', () => {
    const log = journal()
    write(log, { event: 'begun', procedure: 'rotate', run: 'run-9' }, { event: 'begun' }, { event: 'done' })
    expect(log.unfinished('setup')).toBeUndefined()
    expect(log.unfinished('rotate')?.run).toBe('run-9')
    expect(log.unfinished('incident')).toBeUndefined()
  })
})
