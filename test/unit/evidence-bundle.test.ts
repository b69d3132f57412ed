import { createHash } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { Program } from '../../src/commands/program.ts'
import { verifyBundle as command } from '../../src/commands/verify-bundle.ts'
import { verifyBundle } from '../../src/evidence/bundle.ts'
import { publicKeyOf, signingKey, type VerifyingKey, verifyingKey } from '../../src/evidence/key.ts'
import { Journal } from '../../src/procedure/journal.ts'
import { sealEvidence } from '../../steps/incident/seal.ts'
import { World } from './evidence-world.ts'
import { scratch, some, thrown } from './support.ts'

/** What the system does not let us open. */
const closed_ = vi.hoisted(() => ({ name: '' }))

vi.mock('node:fs/promises', async original => {
  const real = await original<typeof import('node:fs/promises')>()
  const open: typeof real.open = (path, ...rest) =>
    closed_.name !== '' && String(path).endsWith(closed_.name)
      ? Promise.reject(Object.assign(new Error('EACCES'), { code: 'EACCES' }))
      : real.open(path, ...rest)
  return { ...real, default: real, open }
})

let place: string
let world: World
let original: string
let key: VerifyingKey

beforeAll(async () => {
  place = mkdtempSync(join(tmpdir(), 'ocs-unit-'))
  world = new World(join(place, 'my-gateway'))
  original = (await world.closed()).folder
  key = some(verifyingKey(readFileSync(publicKeyOf(world.layout), 'utf8')))
})
afterAll(() => rmSync(place, { recursive: true, force: true }))

const filesIn = (folder: string) =>
  readdirSync(folder, { recursive: true })
    .map(String)
    .filter(name => statSync(join(folder, name)).isFile())
    .sort()

/** A copy of the bundle, on another machine as it were. */
function copied(from = original): string {
  const folder = join(scratch(), 'bundle')
  cpSync(from, folder, { recursive: true })
  return folder
}

/** Another content under the same name; what is there may not be written to. */
function replace(path: string, bytes: string | Uint8Array): void {
  rmSync(path, { force: true })
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, bytes)
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path)
  const bit = 1 << Math.floor(Math.random() * 8)
  bytes[at] = (bytes[at] ?? 0) ^ bit
  replace(path, bytes)
}

/** The files that a verification names, and whatever it says of them. */
async function named(folder: string, trust: VerifyingKey | { fingerprint: string } = key) {
  const { problems, closed } = await verifyBundle(folder, trust)
  expect(closed).toBe(problems.length === 0)
  return problems.map(({ file, what }) => `${file}: ${what}`).join('\n')
}

describe('a bundle', () => {
  it('is well where it lies and as a copy, with the key or with its fingerprint', async () => {
    expect(await named(original)).toBe('')
    expect(await named(copied())).toBe('')
    expect(await named(copied(), { fingerprint: key.fingerprint })).toBe('')
    expect(filesIn(original).length).toBeGreaterThan(11)
  })

  it('of which one bit was flipped, in any file and at any place, is not well, and the file is named', async () => {
    const folder = copied()
    for (const name of filesIn(original)) {
      const path = join(folder, name)
      const whole = readFileSync(path)
      // The first and the last byte are where a reader is most lenient.
      const random = Array.from({ length: 5 }, () => Math.floor(Math.random() * whole.length))
      for (const at of [0, whole.length - 2, whole.length - 1, ...random]) {
        flip(path, at)
        expect([name, at, await named(folder)]).toEqual([name, at, expect.stringContaining(name)])
        replace(path, whole)
      }
    }
    expect(await named(folder)).toBe('')
  })

  it('from which any one file was removed is not well, and the file is named', async () => {
    for (const name of filesIn(original)) {
      const folder = copied()
      rmSync(join(folder, name))
      expect([name, await named(folder)]).toEqual([name, expect.stringContaining(name)])
    }
  })

  for (const name of ['evidence/new.txt', 'x', 'share/.hidden', '.ocs-x', 'closing/manifest.json'])
    it(`to which ${name} was added is not well, and it is named`, async () => {
      const folder = copied()
      replace(join(folder, name), 'x')
      expect(await named(folder)).toBe(`${name}: it was added: nothing that is signed names it`)
    })

  it('in which two files changed places is not well, and both are named', async () => {
    const folder = copied()
    const [one, two] = ['evidence/gateway/export.tar', 'evidence/gateway/gateway.log']
    renameSync(join(folder, one), join(folder, 'x'))
    renameSync(join(folder, two), join(folder, one))
    renameSync(join(folder, 'x'), join(folder, two))
    const problems = await named(folder)
    expect(problems).toContain(`${one}: it was changed`)
    expect(problems).toContain(`${two}: it was changed`)
  })

  for (const lines of [1, 2, 5])
    it(`whose chain has lost its last ${lines} lines is not well`, async () => {
      const folder = copied()
      const path = join(folder, 'custody.jsonl')
      const all = readFileSync(path, 'utf8').trimEnd().split('\n')
      replace(path, `${all.slice(0, -lines).join('\n')}\n`)
      expect(await named(folder)).toContain('custody.jsonl: ')
    })

  it('whose chain has grown, by a line or by half a line, is not well', async () => {
    for (const more of ['{"seq":', '{"seq":99}\n', '\n']) {
      const folder = copied()
      const path = join(folder, 'custody.jsonl')
      replace(path, readFileSync(path, 'utf8') + more)
      expect(await named(folder)).toContain('custody.jsonl: ')
    }
  })

  it('that somebody else has signed anew, with a key of his own in it, is not well', async () => {
    const folder = copied()
    const other = signingKey(new World().layout)
    const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'))
    const forged = `${JSON.stringify({ ...manifest, missing: [], key: other.fingerprint }, null, 2)}\n`
    replace(join(folder, 'manifest.json'), forged)
    replace(join(folder, 'manifest.json.sig'), other.sign(Buffer.from(forged)))
    replace(join(folder, 'public-key.pem'), other.pem)
    for (const trust of [key, { fingerprint: key.fingerprint }]) {
      const problems = await named(folder, trust)
      expect(problems).toContain('public-key.pem: it is not the key')
      expect(problems).toContain('manifest.json: ')
    }
    expect((await verifyBundle(folder, key)).sealed).toBe(false)
  })

  it('whose end was cut off with all that belongs to it is not taken for one that was closed', async () => {
    const folder = copied()
    for (const name of ['closing.json', 'closing.json.sig']) rmSync(join(folder, name))
    const problems = await named(folder)
    expect(problems).toContain('closing.json: it is missing')
  })

  it('is never left by a link, and a link in it is not opened', async () => {
    const folder = copied()
    const name = 'evidence/gateway/export.tar'
    rmSync(join(folder, name))
    symlinkSync(join(original, name), join(folder, name))
    expect(await named(folder)).toBe(`${name}: it is no plain file, and was not opened`)
    const other = copied()
    rmSync(join(other, 'evidence'), { recursive: true })
    symlinkSync(join(original, 'evidence'), join(other, 'evidence'))
    expect(await named(other)).toContain('evidence: it is no plain file, and was not opened')
  })

  it('with names that lead out of it, signed or not, has nothing read by them', async () => {
    const folder = copied()
    const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'))
    for (const file of ['../../etc/passwd', '/etc/passwd', 'a/../../b'])
      manifest.artefacts.push({ ...manifest.artefacts[0], file })
    replace(join(folder, 'manifest.json'), `${JSON.stringify(manifest)}\n`)
    const own = signingKey(world.layout)
    replace(join(folder, 'manifest.json.sig'), own.sign(readFileSync(join(folder, 'manifest.json'))))
    const problems = await named(folder)
    for (const file of ['../../etc/passwd', '/etc/passwd', 'a/../../b'])
      expect(problems).toContain(`${file}: a name that leads out of the bundle`)
  })

  it('is unknown, and not well, where a file cannot be read', async () => {
    closed_.name = 'export.tar'
    const result = await verifyBundle(original, key)
    closed_.name = ''
    expect(result).toMatchObject({
      problems: [],
      unseen: [{ file: 'evidence/gateway/export.tar' }],
      sealed: false,
      closed: false,
    })
  })

  it('that is sealed and not closed yet is as it was signed, and says what is not signed', async () => {
    const of = world.begin()
    await world.collect(of)
    await world.act(sealEvidence, of)
    const { problems, sealed, closed, remarks } = await verifyBundle(of.folder, key)
    expect({ problems, sealed, closed }).toEqual({ problems: [], sealed: true, closed: false })
    expect(remarks).toEqual([{ file: 'manifest.json', what: expect.stringMatching(/not closed: 2 lines/) }])
    const lines = readFileSync(of.path('custody'), 'utf8').split('\n').slice(0, 5)
    const copy = copied(of.folder)
    replace(join(copy, 'custody.jsonl'), `${lines.join('\n')}\n`)
    expect((await verifyBundle(copy, key)).problems).toEqual([
      { file: 'custody.jsonl', what: expect.stringContaining('it ends before line') },
    ])
  })
})

it('whose end was cut off, and a piece of evidence replaced by a line that nobody has signed, is not well', async () => {
  const of = world.begin()
  await world.collect(of)
  await world.act(sealEvidence, of)
  const folder = copied(of.folder)
  const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'))
  const { file } = manifest.artefacts[0]
  const lines = readFileSync(join(folder, 'custody.jsonl'), 'utf8')
    .split('\n')
    .slice(0, manifest.chain.events)
  const forged = 'nothing happened here\n'
  replace(join(folder, file), forged)
  const hash = (text: string) => createHash('sha256').update(text).digest('hex')
  const entry = {
    ...{ seq: lines.length + 1, at: '2026-11-26T10:00:00.000Z', run: of.id, procedure: 'mine' },
    ...{ event: 'step-done', step: 'artefact' },
    facts: {
      ...{ file, command: 'none', began: '2026-11-26T10:00:00Z', ended: '2026-11-26T10:00:00Z' },
      ...{ bytes: forged.length, sha256: hash(forged) },
    },
    prev: hash(lines.at(-1) ?? ''),
  }
  replace(join(folder, 'custody.jsonl'), `${[...lines, JSON.stringify(entry)].join('\n')}\n`)
  const { problems, sealed } = await verifyBundle(folder, key)
  expect(sealed).toBe(false)
  expect(problems.map(one => one.file)).toContain(file)
})

it('a chain of custody that somebody has written anew, each line with the right hash, is not the one that was signed', async () => {
  const of = world.begin()
  await world.collect(of)
  await world.act(sealEvidence, of)
  const copy = copied(of.folder)
  const forged = new Journal(join(copy, 'forged'), () => new Date(0))
  for (const { seq, at, prev, ...event } of of.journal.read())
    if (seq > 0 && at !== '' && prev !== '') forged.append({ ...event, run: 'forged' })
  expect(forged.verifyChain().intact).toBe(true)
  renameSync(join(copy, 'forged'), join(copy, 'custody.jsonl'))
  expect((await verifyBundle(copy, key)).problems).toEqual([
    { file: 'custody.jsonl', what: expect.stringContaining('is not the one that manifest.json names') },
  ])
})

describe('incident verify-bundle', () => {
  async function run(path: string, options: Parameters<typeof command>[2] = {}) {
    const stdout = new PassThrough()
    const program: Pick<Program, 'cwd' | 'version' | 'stdout' | 'now'> = {
      ...{ cwd: place, version: '0.1.0', stdout, now: () => new Date(0) },
    }
    const code = await command(program as Program, path, options)
    stdout.end()
    return { code, said: await text(stdout) }
  }

  it('needs no key for a bundle that lies in its deployment, and ends with 0', async () => {
    const { code, said } = await run(original)
    expect(code).toBe(0)
    expect(said).toContain(key.fingerprint)
    expect(said).toMatch(/manifest sha256:[0-9a-f]{64}\n$/)
  })

  it('asks whose signature counts for a bundle that lies elsewhere: it cannot vouch for itself', async () => {
    expect(await thrown(() => run(copied()))).toMatchObject({ code: 'usage', exit: 2 })
    for (const publicKey of ['SHA256:short', join(place, 'nowhere.pem'), original])
      expect(await thrown(() => run(copied(), { publicKey }))).toMatchObject({ exit: 2 })
    copyFileSync(publicKeyOf(world.layout), join(place, 'key.pem'))
    chmodSync(join(place, 'key.pem'), 0o644)
    for (const publicKey of ['key.pem', key.fingerprint])
      expect((await run(copied(), { publicKey })).code).toBe(0)
    const secret = resolve(world.layout.own, 'evidence.key')
    expect(await thrown(() => run(copied(), { publicKey: secret }))).toMatchObject({ exit: 2 })
  })

  it('ends with 1 and names what is wrong, in words and as JSON', async () => {
    const folder = copied()
    flip(join(folder, 'evidence/gateway/export.tar'), 5)
    const { code, said } = await run(folder, { publicKey: key.fingerprint })
    expect(code).toBe(1)
    expect(said).toContain('✘ evidence/gateway/export.tar: it was changed')
    expect(said).toContain('The evidence is NOT as it was signed')
    const json = await run(folder, { publicKey: key.fingerprint, json: true })
    expect(JSON.parse(json.said)).toMatchObject({
      ...{ tool: 'create-openclaw-secure', command: 'incident verify-bundle', deployment: folder },
      ...{ sealed: false, closed: false, key: key.fingerprint },
      problems: [{ file: 'evidence/gateway/export.tar', what: 'it was changed' }],
    })
  })

  it('ends with 3 where it could not look', async () => {
    closed_.name = 'export.tar'
    expect((await run(original)).code).toBe(3)
    closed_.name = ''
    const nowhere = run(join(place, 'nowhere'), { publicKey: key.fingerprint })
    expect(await thrown(() => nowhere)).toMatchObject({ code: 'bundle_unreadable', exit: 3 })
  })

  it('shows a hostile name as text', async () => {
    const folder = copied()
    replace(join(folder, 'a\u001b[2J\nb'), 'x')
    expect((await run(folder, { publicKey: key.fingerprint })).said).toContain(
      '✘ a\\u001b[2J\\u000ab: it was added',
    )
  })
})
