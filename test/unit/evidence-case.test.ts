import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Decrypter, generateIdentity, identityToRecipient } from 'age-encryption'
import { describe, expect, it, vi } from 'vitest'
import { listCases } from '../../src/evidence/case.ts'
import { openCase } from '../../src/evidence/open.ts'
import { recipientProblems } from '../../src/evidence/recipients.ts'
import { generateToken } from '../../src/secret.ts'
import { keep, World, written } from './evidence-world.ts'
import { thrown } from './support.ts'

/** Where the disk is full: file names that end so take this many bytes. */
const disk = vi.hoisted(() => ({ full: '' }))

vi.mock('node:fs', async original => {
  const real = await original<typeof import('node:fs')>()
  const createWriteStream: typeof real.createWriteStream = (path, options) => {
    const stream = real.createWriteStream(path, options)
    if (disk.full !== '' && String(path).includes(disk.full))
      stream._write = (_chunk, _encoding, done) =>
        done(Object.assign(new Error('ENOSPC: write'), { code: 'ENOSPC' }))
    // Without it, what was waiting is written at once, by another function.
    Object.assign(stream, { _writev: null })
    return stream
  }
  return { ...real, default: real, createWriteStream }
})

const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex')
const LOG = { name: 'gateway/a.log', command: 'docker logs a', share: true }

describe('a case', () => {
  it('is opened with its own copy of the runbook, who opened it, and a note that it is open', () => {
    const world = new World()
    const of = world.begin()
    expect(of.id).toMatch(/^20261126T\d{6}Z-container-compromised$/)
    expect(openCase(world.layout)).toMatchObject({ id: of.id, runbook: 'container-compromised' })
    expect(readFileSync(of.path('runbook'), 'utf8')).toContain('containers.pause')
    expect(of.journal.read()).toMatchObject([
      { step: 'case.opened', facts: { by: expect.stringMatching(/.@./) } },
    ])
  })

  it('shares its name with no other of the same second', () => {
    const world = new World()
    const names = [1, 2, 3].map(() => world.begin().id)
    expect(new Set(names).size).toBe(3)
  })

  it('keeps what it is given to the byte, once, with its hash in the chain', async () => {
    const world = new World()
    const of = world.begin()
    const bytes = Buffer.from([0, 1, 2, 255, 10, 13])
    const kept = await keep(of, { name: 'x/y.bin', command: 'read y' }, bytes)
    expect(kept).toMatchObject({ file: 'evidence/x/y.bin', bytes: 6, sha256: sha256(bytes), cut: undefined })
    expect(readFileSync(join(of.folder, kept.file))).toEqual(bytes)
    expect((statSync(join(of.folder, kept.file)).mode & 0o777).toString(8)).toBe('400')
    expect(await keep(of, { name: 'x/y.bin', command: 'read y' }, 'something else')).toEqual(kept)
    expect(of.artefacts()).toEqual([kept])
  })

  for (const name of ['../x', '/etc/x', 'a/../../x', '', 'a//b'])
    it(`refuses the name ${JSON.stringify(name)}: nothing is written outside of it`, async () => {
      await expect(keep(new World().begin(), { name, command: 'c' }, 'x')).rejects.toThrow('not a name')
    })

  it('has nothing of what a producer that fails has written', async () => {
    const of = new World().begin()
    const error = await thrown(() =>
      of.keep(LOG, async into => {
        await written(into, 'half')
        throw new Error('the container is gone')
      }),
    )
    expect(error.message).toBe('the container is gone')
    expect(readdirSync(join(of.folder, 'evidence/gateway'))).toEqual([])
    expect(readdirSync(join(of.folder, 'share/gateway'))).toEqual([])
    expect(of.artefacts()).toEqual([])
  })

  for (const where of ['/evidence/', '/share/'])
    it(`swallows what comes after the disk is full in ${where}, says so to the producer, and calls nothing evidence`, async () => {
      const of = new World().begin()
      disk.full = where
      try {
        let told = false
        const error = await thrown(() =>
          of.keep(LOG, async (into, failed) => {
            for (let i = 0; i < 200; i++) await written(into, Buffer.from('a line\n'.repeat(9000)))
            told = failed.aborted
            return undefined
          }),
        )
        expect(error).toMatchObject({ code: 'disk_full' })
        expect(told).toBe(true)
        expect(
          readdirSync(of.folder, { recursive: true }).filter(name => /a\.log/.test(String(name))),
        ).toEqual([])
      } finally {
        disk.full = ''
      }
      expect(await keep(of, LOG, 'again\n')).toMatchObject({ bytes: 6 })
    })

  it('has as missing what no later try has had, and says why it was so in the end', async () => {
    const of = new World().begin()
    of.missing(LOG, 'the engine was busy')
    of.missing({ name: 'b', command: 'b' }, 'first')
    of.missing({ name: 'b', command: 'b' }, 'second')
    expect(of.missed().map(({ why }) => why)).toEqual(['the engine was busy', 'second'])
    await keep(of, LOG, 'x')
    expect(of.missed().map(({ why }) => why)).toEqual(['second'])
    expect([of.has('gateway/a.log'), of.has('b')]).toEqual([true, false])
  })

  it('is listed as open, then as closed; and as damaged when its end is not signed by this deployment', async () => {
    const world = new World()
    expect(listCases(world.layout)).toEqual([])
    const of = world.begin()
    expect(listCases(world.layout)).toMatchObject([{ id: of.id, folder: of.folder, state: 'open' }])
    await world.collect(of)
    const closed = await world.closed()
    expect(listCases(world.layout).map(({ state }) => state)).toEqual(['damaged', 'closed'])
    const path = closed.path('closingSignature')
    const forged = readFileSync(path, 'utf8').replace(/./, char => (char === 'A' ? 'B' : 'A'))
    rmSync(path)
    writeFileSync(path, forged)
    expect(listCases(world.layout).map(({ state }) => state)).toEqual(['damaged', 'damaged'])
  })
})

describe('a case that was cut short', () => {
  it('is taken up again: what was half-written goes, and a file that no line enters is collected anew', async () => {
    const world = new World()
    const of = world.begin()
    const kept = await keep(of, LOG, 'whole\n')
    const half = join(of.folder, 'evidence/gateway/.b.log.0a1b2c3d.ocs-tmp')
    writeFileSync(half, 'half')
    writeFileSync(join(of.folder, 'evidence/gateway/b.log'), 'of a killed run')
    const again = world.resume()
    expect(existsSync(half)).toBe(false)
    expect(again.artefacts()).toEqual([kept])
    const anew = await keep(again, { ...LOG, name: 'gateway/b.log' }, 'anew\n')
    expect(readFileSync(join(of.folder, anew.file), 'utf8')).toBe('anew\n')
    expect(again.journal.read().map(({ step }) => step)).toEqual([
      ...['case.opened', 'artefact', 'case.resumed', 'artefact'],
    ])
  })

  it('is encrypted to whom it was opened for', async () => {
    const world = new World()
    const recipient = await identityToRecipient(await generateIdentity())
    world.begin([recipient])
    expect(world.resume().recipients).toEqual([recipient])
  })
})

describe('a case with recipients', () => {
  it('keeps every byte encrypted, readable with their key alone, and has the hash of both', async () => {
    const world = new World()
    const identity = await generateIdentity()
    const of = world.begin([await identityToRecipient(identity)])
    const bytes = Buffer.from('a line with nothing in it\n'.repeat(20_000))
    const kept = await keep(of, LOG, bytes)
    const lies = readFileSync(join(of.folder, kept.file))
    expect(kept).toMatchObject({
      file: 'evidence/gateway/a.log.age',
      sha256: sha256(lies),
      bytes: lies.length,
    })
    expect(kept.plain).toEqual({ bytes: bytes.length, sha256: sha256(bytes) })
    expect(lies.includes('nothing in it')).toBe(false)
    const age = new Decrypter()
    age.addIdentity(identity)
    expect(Buffer.from(await age.decrypt(lies)).equals(bytes)).toBe(true)
    expect(readFileSync(join(of.folder, kept.shared?.file ?? ''), 'utf8')).toBe(bytes.toString())
    expect(of.artefacts()).toEqual([kept])
  })

  it('is needed for what holds secrets whatever is done', async () => {
    const world = new World()
    const order = { name: 'memory.bin', command: 'memory', sealed: 'always' as const }
    expect(await thrown(() => keep(world.begin(), order, 'x'))).toMatchObject({ code: 'recipient_missing' })
    const of = world.begin([await identityToRecipient(await generateIdentity())])
    expect((await keep(of, order, 'x')).file).toBe('evidence/memory.bin.age')
  })

  it('is asked for public keys of age alone, and never repeats a private one', async () => {
    const identity = await generateIdentity()
    expect(recipientProblems([await identityToRecipient(identity)])).toEqual([])
    expect(recipientProblems(['age1nonsense', identity])).toMatchObject([
      { given: 'age1nonsense' },
      { given: '(not shown)', flag: '--encrypt-to' },
    ])
  })
})

it('holds no known secret in its chain and its shared copies, and has the original intact', async () => {
  const world = new World()
  const token = world.redactor.learn(generateToken())
  const of = world.begin()
  const kept = await keep(of, { ...LOG, command: `curl -H ${token.expose()}` }, `x ${token.expose()} y\n`)
  expect(readFileSync(join(of.folder, kept.shared?.file ?? ''), 'utf8')).toBe('x [secret] y\n')
  expect(token.isIn(readFileSync(join(of.folder, kept.file)))).toBe(true)
  expect(token.isIn(readFileSync(of.path('custody')))).toBe(false)
})
