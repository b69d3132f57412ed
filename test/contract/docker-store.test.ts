import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { processRunner } from '../../src/docker/process.ts'
import { Redactor, Secret } from '../../src/secret.ts'
import { DockerSecretFiles } from '../../src/stores/docker.ts'
import { hostSeal, type Seal, sealProblem } from '../../src/stores/seal.ts'
import type { SecretStore } from '../../src/stores/store.ts'
import { scratch, some, thrown } from '../unit/support.ts'
import { type Obstacle, storeContract } from './store.ts'

const NAME = 'gateway_token'
const VALUE = `value-${'x9Qz'.repeat(15)}`
const OLD = `older-${'k3Jw'.repeat(15)}`

function place(owner?: { uid: number; gid: number }) {
  const folder = scratch()
  const [documents, values] = [join(folder, 'store'), join(folder, 'secrets')]
  fs.mkdirSync(documents)
  fs.mkdirSync(values)
  const redactor = new Redactor()
  const open = () =>
    new DockerSecretFiles({ documents, valuesOf: () => values, ownerOf: () => owner, redactor })
  const names = () => fs.readdirSync(values).sort()
  const path = (rotationId: string) => join(values, `${NAME}.${rotationId}`)
  return { documents, values, redactor, open, names, path, document: join(documents, `${NAME}.json`) }
}

/** A place with VALUE current and OLD previous, and the revision it is at. */
async function filled<Here extends { open(): SecretStore }>(here: Here) {
  const store = here.open()
  const one = await store.commit(
    NAME,
    'one-1',
    await store.stage(NAME, { rotationId: 'one-1', value: new Secret(OLD) }, 0),
  )
  const revision = await store.commit(
    NAME,
    'two-2',
    await store.stage(NAME, { rotationId: 'two-2', value: new Secret(VALUE) }, one),
  )
  return { ...here, store, revision }
}

/** What gets in the way of a store whose documents lie in this folder. */
function obstructed({ documents, document }: { documents: string; document: string }) {
  const aside = `${documents}.aside`
  return async (obstacle: Obstacle): Promise<() => Promise<void>> => {
    switch (obstacle) {
      case 'refuses this client': {
        if (process.geteuid?.() !== 0) {
          fs.chmodSync(documents, 0)
          return async () => fs.chmodSync(documents, 0o700)
        }
        fs.chmodSync(documents, 0o700)
        process.seteuid?.(65_534)
        return async () => process.seteuid?.(0)
      }
      case 'cannot be reached':
        fs.renameSync(documents, aside)
        fs.writeFileSync(documents, '')
        return async () => {
          fs.rmSync(documents)
          fs.renameSync(aside, documents)
        }
      case 'never answers':
        fs.renameSync(document, aside)
        execFileSync('mkfifo', [document])
        return async () => fs.renameSync(aside, document)
      case 'holds what this tool never wrote':
        fs.copyFileSync(document, aside)
        fs.writeFileSync(document, '{"current": "gateway_token"}')
        return async () => fs.renameSync(aside, document)
    }
  }
}

storeContract('Docker secret files', async () => {
  const here = place()
  return { open: here.open, obstruct: obstructed(here) }
})

const run = processRunner(new Redactor(), process.env)
const problem = await sealProblem(run, process.getuid?.() === 0)

/** A place whose values are sealed, beside their documents. */
function sealedPlace(seal: Seal = hostSeal(run)) {
  const documents = join(scratch(), 'sealed')
  fs.mkdirSync(documents)
  const redactor = new Redactor()
  const open = () =>
    new DockerSecretFiles({
      documents,
      valuesOf: () => documents,
      ownerOf: () => ({ uid: 12_345, gid: 23_456 }),
      redactor,
      seal,
    })
  const path = (rotationId: string, name = NAME) => join(documents, `${name}.${rotationId}`)
  return { documents, redactor, open, path, document: join(documents, `${NAME}.json`) }
}

describe.skipIf(problem !== undefined && process.env.LIVE !== 'required')(
  `with systemd credentials (${problem ?? 'they work here'})`,
  () => {
    storeContract('Docker secret files, sealed', async () => {
      const here = sealedPlace()
      return { open: here.open, obstruct: obstructed(here) }
    })

    describe('a sealed value', () => {
      it('is in no file of the store, in no encoding, and the store says that it seals', async () => {
        const { documents, open } = await filled(sealedPlace())
        const finder = new Redactor()
        for (const value of [VALUE, OLD]) finder.learn(new Secret(value))
        const files = fs.readdirSync(documents)
        expect(files.sort()).toEqual([`${NAME}.json`, `${NAME}.one-1`, `${NAME}.two-2`])
        for (const file of files)
          expect(finder.finds(fs.readFileSync(join(documents, file), 'latin1'))).toBe(false)
        expect(await open().check()).toMatch(/sealed/)
      })

      it('is 0400, one link, and belongs to whoever runs this, not to the gateway’s user', async () => {
        const { path } = await filled(sealedPlace())
        const { mode, nlink, uid } = fs.lstatSync(path('two-2'))
        expect([(mode & 0o7777).toString(8), nlink, uid]).toEqual(['400', 1, process.getuid?.()])
      })

      it('is learnt by the redactor when it is loaded', async () => {
        const { open, redactor } = await filled(sealedPlace())
        await open().load(NAME)
        expect(redactor.clean(`${VALUE} ${OLD}`)).toBe('[secret] [secret]')
      })

      const damages: Record<string, (here: ReturnType<typeof sealedPlace>) => void> = {
        'one byte of it is changed': ({ path }) => {
          const bytes = fs.readFileSync(path('two-2'))
          bytes.writeUInt8(bytes.readUInt8(70) ^ 1, 70)
          replace(path('two-2'), bytes)
        },
        'it is cut short': ({ path }) => fs.truncateSync(path('two-2'), 60),
        'it is emptied': ({ path }) => fs.truncateSync(path('two-2'), 0),
        'it is the value itself': ({ path }) => replace(path('two-2'), VALUE),
        'it is an older one under its name': ({ path }) => fs.renameSync(path('one-1'), path('two-2')),
      }
      for (const [what, damage] of Object.entries(damages))
        it(`is refused when ${what}: store_corrupt, what to do, and no value`, async () => {
          const here = await filled(sealedPlace())
          damage(here)
          const error = await thrown(() => here.open().load(NAME))
          expect(error).toMatchObject({ code: 'store_corrupt', hint: expect.stringMatching(/restore/i) })
          for (const value of [VALUE, OLD])
            expect(inspect(error, { depth: 20, showHidden: true })).not.toContain(value)
        })

      it('is refused under the name of another secret', async () => {
        const { documents, open, path } = await filled(sealedPlace())
        fs.copyFileSync(path('two-2'), path('two-2', 'openai_api_key'))
        fs.writeFileSync(
          join(documents, 'openai_api_key.json'),
          '{"version":1,"revision":2,"current":"two-2"}',
        )
        expect(await thrown(() => open().load('openai_api_key'))).toMatchObject({ code: 'store_corrupt' })
        expect(some(await open().load(NAME)).current?.value.expose()).toBe(VALUE)
      })
    })
  },
)

describe('a store that seals', () => {
  const slow: Seal = {
    seal: async (name, value) => Buffer.from(`${name}:${value.expose()}`),
    open: async (name, bytes) => {
      await new Promise(resolve => setTimeout(resolve, 20))
      return new Secret(Buffer.from(bytes).subarray(name.length + 1))
    },
  }

  it('loads what belongs together, although another writer comes while it opens the values', async () => {
    const { open, store, revision } = await filled(sealedPlace(slow))
    const loading = open().load(NAME)
    await store.retire(NAME, revision)
    const loaded = some(await loading)
    expect(loaded.revision).toBe(revision)
    expect([loaded.current?.value.expose(), loaded.previous?.value.expose()]).toEqual([VALUE, OLD])
    expect(await open().load(NAME)).toEqual({ revision: revision + 1, current: expect.anything() })
  })

  it('hands the seal nothing that could not be stored', async () => {
    const sealed: string[] = []
    const { store, revision } = await filled(
      sealedPlace({
        ...slow,
        seal: (name, value) => {
          sealed.push(name)
          return slow.seal(name, value)
        },
      }),
    )
    await thrown(() => store.stage(NAME, { rotationId: '../x', value: new Secret(VALUE) }, revision))
    await thrown(() => store.stage(NAME, { rotationId: 'three-3', value: new Secret(VALUE) }, revision - 1))
    expect(sealed).toEqual([`${NAME}.one-1`, `${NAME}.two-2`])
  })

  it('changes nothing when the value cannot be sealed', async () => {
    const { documents, open, store, revision } = await filled(sealedPlace(slow))
    const before = fs.readdirSync(documents)
    const broken = new DockerSecretFiles({
      documents,
      valuesOf: () => documents,
      ownerOf: () => undefined,
      redactor: new Redactor(),
      seal: { ...slow, seal: () => Promise.reject(new Error('no key')) },
    })
    const staged = broken.stage(NAME, { rotationId: 'three-3', value: new Secret('x') }, revision)
    await expect(staged).rejects.toThrow('no key')
    expect(fs.readdirSync(documents)).toEqual(before)
    expect((await open().load(NAME))?.revision).toBe((await store.load(NAME))?.revision)
  })
})

function replace(path: string, content: string | Uint8Array): void {
  fs.rmSync(path)
  fs.writeFileSync(path, content, { mode: 0o400 })
}

describe('a value of the Docker store', () => {
  it('is a file of its own, named by its rotation id, 0400, one link, never shared with its predecessor', async () => {
    const { names, path } = await filled(place())
    expect(names()).toEqual([`${NAME}.one-1`, `${NAME}.two-2`])
    for (const rotationId of ['one-1', 'two-2']) {
      const { mode, nlink } = fs.lstatSync(path(rotationId))
      expect([(mode & 0o7777).toString(8), nlink]).toEqual(['400', 1])
    }
    expect(fs.readFileSync(path('two-2'), 'utf8')).toBe(VALUE)
  })

  it('is in no document: those only name it', async () => {
    const { document } = await filled(place())
    const text = fs.readFileSync(document, 'utf8')
    expect(text).not.toContain(VALUE)
    expect((fs.statSync(document).mode & 0o7777).toString(8)).toBe('600')
    expect(JSON.parse(text)).toEqual({ version: 1, revision: 4, current: 'two-2', previous: 'one-1' })
  })

  it.runIf(process.getuid?.() === 0)('belongs to the gateway’s user', async () => {
    const { open, path } = place({ uid: 12_345, gid: 23_456 })
    await open().stage(NAME, { rotationId: 'one-1', value: new Secret(VALUE) }, 0)
    expect(fs.statSync(path('one-1'))).toMatchObject({ uid: 12_345, gid: 23_456 })
  })

  it('is learnt by the redactor when it is loaded', async () => {
    const { open, redactor } = await filled(place())
    await open().load(NAME)
    expect(redactor.clean(`${VALUE} ${OLD}`)).toBe('[secret] [secret]')
  })

  it('is gone from the disk when it is retired, rolled back, replaced or destroyed', async () => {
    const { names, revision, store } = await filled(place())
    const retired = await store.retire(NAME, revision)
    expect(names()).toEqual([`${NAME}.two-2`])
    const staged = await store.stage(NAME, { rotationId: 'three-3', value: new Secret('x') }, retired)
    const replaced = await store.stage(NAME, { rotationId: 'four-4', value: new Secret('y') }, staged)
    expect(names()).toEqual([`${NAME}.four-4`, `${NAME}.two-2`])
    await store.rollback(NAME, 'four-4', replaced)
    expect(names()).toEqual([`${NAME}.two-2`])
    await store.destroy(NAME)
    expect(names()).toEqual([])
  })

  it('that lost a race is not left on the disk', async () => {
    const { names, open, revision, store } = await filled(place())
    await store.stage(NAME, { rotationId: 'three-3', value: new Secret('x') }, revision)
    await thrown(() => open().stage(NAME, { rotationId: 'four-4', value: new Secret('y') }, revision))
    expect(names()).toEqual([`${NAME}.one-1`, `${NAME}.three-3`, `${NAME}.two-2`])
  })
})

describe('a Docker store somebody tampered with', () => {
  const damages: Record<string, (path: string) => void> = {
    removed: path => fs.rmSync(path),
    'replaced by a link': path => {
      fs.renameSync(path, `${path}.moved`)
      fs.symlinkSync(`${path}.moved`, path)
    },
    'replaced by a link that leads nowhere': path => {
      fs.rmSync(path)
      fs.symlinkSync('/nowhere', path)
    },
    'given a second name': path => fs.linkSync(path, `${path}.copy`),
    'replaced by a folder': path => {
      fs.rmSync(path)
      fs.mkdirSync(path)
    },
  }
  for (const [what, damage] of Object.entries(damages))
    it(`says store_corrupt when a value was ${what}, with its path and without any value`, async () => {
      const { open, path } = await filled(place())
      damage(path('two-2'))
      const error = await thrown(() => open().load(NAME))
      expect(error).toMatchObject({ code: 'store_corrupt', message: expect.stringContaining(path('two-2')) })
      for (const value of [VALUE, OLD])
        expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(value)
    })

  const documents: Record<string, string> = {
    empty: '',
    torn: '{"version":1,"revi',
    'of another version': '{"version":2,"revision":1}',
    'without a revision': '{"version":1,"current":"two-2"}',
    'with a revision of nought': '{"version":1,"revision":0}',
    'with a key too many': '{"version":1,"revision":4,"current":"two-2","x":1}',
    'with an id that leads elsewhere': '{"version":1,"revision":4,"current":"../../../etc/passwd"}',
    'not a mapping': '[]',
  }
  for (const [what, text] of Object.entries(documents))
    it(`says store_corrupt when its document is ${what}, to every call, and keeps the values`, async () => {
      const { document, names, store } = await filled(place())
      fs.writeFileSync(document, text)
      const calls = [
        store.load(NAME),
        store.stage(NAME, { rotationId: 'three-3', value: new Secret('x') }, 4),
        store.commit(NAME, 'two-2', 4),
        store.retire(NAME, 4),
        store.destroy(NAME),
      ]
      for (const result of await Promise.allSettled(calls))
        expect(result).toMatchObject({ status: 'rejected', reason: { code: 'store_corrupt' } })
      expect(names()).toEqual([`${NAME}.one-1`, `${NAME}.two-2`])
    })
})

describe('a Docker store after a kill', () => {
  it('between the new value and its document has the old state, and the next stage goes through', async () => {
    const { open, path, revision } = await filled(place())
    fs.writeFileSync(path('three-3'), 'half-written', { mode: 0o400 })
    const store = open()
    expect((await store.load(NAME))?.current?.value.expose()).toBe(VALUE)
    await store.stage(NAME, { rotationId: 'three-3', value: new Secret('whole') }, revision)
    expect((await store.load(NAME))?.pending?.value.expose()).toBe('whole')
  })

  it('leaves no value behind that no document names, once the next change is made', async () => {
    const { names, open, path, revision } = await filled(place())
    fs.writeFileSync(path('never-1'), 'staged by a run that was killed', { mode: 0o400 })
    const store = open()
    await store.commit(
      NAME,
      'three-3',
      await store.stage(NAME, { rotationId: 'three-3', value: new Secret('x') }, revision),
    )
    expect(names()).toEqual([`${NAME}.three-3`, `${NAME}.two-2`])
  })

  const halfDone: Record<
    string,
    [call: (store: DockerSecretFiles, revision: number) => Promise<unknown>, left: string[]]
  > = {
    retire: [(store, revision) => store.retire(NAME, revision), ['two-2']],
    destroy: [store => store.destroy(NAME), []],
  }
  for (const [what, [call, left]] of Object.entries(halfDone))
    it(`in the middle of ${what} has the value off the disk when ${what} is tried again`, async () => {
      const { names, open, path, revision } = await filled(place())
      const old = fs.readFileSync(path('one-1'))
      await call(open(), revision)
      // As if the kill had come after the document was written and before the file was removed.
      fs.writeFileSync(path('one-1'), old, { mode: 0o400 })
      await call(open(), revision)
      expect(names()).toEqual(left.map(rotationId => `${NAME}.${rotationId}`))
    })

  it('never removes a value of another secret', async () => {
    const { names, store, revision, values } = await filled(place())
    for (const other of ['gateway_token_2.one-1', 'openai_api_key.one-1'])
      fs.writeFileSync(join(values, other), 'theirs')
    await store.retire(NAME, revision)
    await store.destroy(NAME)
    expect(names()).toEqual(['gateway_token_2.one-1', 'openai_api_key.one-1'])
  })

  it('leaves unfinished files, which are no value to anybody', async () => {
    const { values, open } = await filled(place())
    fs.writeFileSync(join(values, `.${NAME}.two-2.0123abcd.ocs-tmp`), 'half')
    expect(some(await open().load(NAME)).current?.value.expose()).toBe(VALUE)
  })
})
