/** The Vault store against real OpenBao servers: the contract of all stores, and what Vault alone has. */
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { Redactor } from '../../src/secret.ts'
import { DocumentStore } from '../../src/stores/document.ts'
import { VaultDocuments } from '../../src/stores/vault.ts'
import { bootstrap } from '../../src/stores/vault-bootstrap.ts'
import { type Place, storeContract } from '../contract/store.ts'
import { forwarder } from '../unit/vault-servers.ts'
import { type Bao, hasBao, madePlace, open, opened, startDev, startSealable, value } from './bao.ts'

const NAME = 'gateway_token'

describe.runIf(hasBao())('OpenBao', () => {
  let dev: Bao
  let secure: Bao
  let count = 0
  beforeAll(async () => {
    ;[dev, secure] = await Promise.all([startDev(), startSealable()])
  })
  afterAll(async () => {
    await Promise.all([dev.stop(), secure.stop()])
  })

  /** A path of its own on a server, behind a line that can be cut. */
  async function placeOn(bao: Bao): Promise<Place> {
    count += 1
    const line = await forwarder(bao.port)
    const address = bao.address.replace(/\d+$/, String(line.port))
    const { place, secretId, deployment } = await madePlace(bao, `contract-${count}`, { mount: 'kv' })
    const stores: DocumentStore[] = []
    onTestFinished(async () => {
      await Promise.all(stores.map(store => store.close()))
      await line.close()
    })
    const data = `kv/data/${place.path}/${NAME}`
    return {
      open() {
        const options = { credential: () => secretId, redactor: new Redactor(), deadline: 3000 }
        const store = new DocumentStore(new VaultDocuments({ place: { ...place, address }, ...options }))
        stores.push(store)
        return store
      },
      async obstruct(obstacle) {
        switch (obstacle) {
          case 'refuses this client': {
            await bao.ask('DELETE', `sys/policies/acl/openclaw-${deployment}-rotator`)
            return async () => {
              await bootstrap(place, bao.root, new Redactor())
            }
          }
          case 'cannot be reached':
            return line.refuse()
          case 'never answers':
            return line.hang()
          case 'holds what this tool never wrote': {
            const { body } = await bao.ask('GET', data)
            const { data: before } = body as { data: { data: object; metadata: { version: number } } }
            const write = (content: object, cas: number) =>
              bao.ask('POST', data, { data: content, options: { cas } })
            await write({ token: 'of somebody else' }, before.metadata.version)
            return async () => {
              await write(before.data, before.metadata.version + 1)
            }
          }
        }
      },
    }
  }

  storeContract('OpenBao, dev server', () => placeOn(dev))
  storeContract('OpenBao with TLS and a private CA', () => placeOn(secure))
  documentTests(() => secure)
})

function documentTests(server: () => Bao): void {
  describe('a document in Vault', () => {
    it('holds flat fields, is marked as ours, and can be changed by compare and swap alone', async () => {
      const { place, store } = await opened(server())
      await store.commit(NAME, 'one-1', await store.stage(NAME, value('one-1'), 0))
      const data = `secret/data/${place.path}/${NAME}`
      const read = await server().ask('GET', data)
      expect(read.body).toMatchObject({
        data: {
          data: { current: value('one-1').value.expose(), current_id: 'one-1' },
          metadata: { version: 2, custom_metadata: { managed_by: 'create-openclaw-secure' } },
        },
      })
      const blind = await server().ask('POST', data, { data: { current: 'x' } })
      expect(blind).toMatchObject({ status: 400, body: { errors: [expect.stringMatching(/check-and-set/)] } })
    })

    it('keeps nothing of a retired value: no version to read, none to undelete, and none in storage (disclosure)', async () => {
      const { place, store } = await opened(server())
      // Somebody had the server keep ten versions; the next write is the last of it.
      const one = await store.commit(NAME, 'one-1', await store.stage(NAME, value('one-1'), 0))
      const below = `${place.path}/${NAME}`
      await server().ask('POST', `secret/metadata/${below}`, { max_versions: 10, cas_required: true })
      const stored = () => versionsStored(server())
      const others = (await stored()) - 1
      const two = await store.commit(NAME, 'two-2', await store.stage(NAME, value('two-2'), one))
      const revision = await store.retire(NAME, two)
      for (let version = 1; version < revision; version += 1) {
        await server().ask('POST', `secret/undelete/${below}`, { versions: [version] })
        const { status } = await server().ask('GET', `secret/data/${below}?version=${version}`)
        expect(status, `version ${version}`).toBe(404)
      }
      const metadata = await server().ask('GET', `secret/metadata/${below}`)
      expect(metadata.body).toMatchObject({ data: { max_versions: 1, oldest_version: revision } })
      expect(await stored()).toBe(others + 1)
      await store.destroy(NAME)
      expect(await stored()).toBe(others)
      expect((await server().ask('GET', `secret/metadata/${below}`)).status).toBe(404)
    })

    const foreign: Record<string, object> = {
      'of somebody else': { password: 'theirs' },
      'with a field too many': { current: 'a', current_id: 'one-1', note: 'x' },
      'with a value and no id': { current: 'a' },
      'with an id and no value': { pending_id: 'one-1' },
      'with an id that leads elsewhere': { current: 'a', current_id: '../../etc/passwd' },
      'with a value that is no text': { current: { a: 1 }, current_id: 'one-1' },
    }
    for (const [what, data] of Object.entries(foreign))
      it(`${what} is store_corrupt to every call, and is left as it is (tampering)`, async () => {
        const { place, store } = await opened(server())
        const path = `secret/data/${place.path}/${NAME}`
        await server().ask('POST', path, { data })
        const calls = [
          store.load(NAME),
          store.stage(NAME, value('one-1'), 1),
          store.commit(NAME, 'one-1', 1),
          store.retire(NAME, 1),
          store.destroy(NAME),
        ]
        for (const result of await Promise.allSettled(calls))
          expect(result).toMatchObject({ status: 'rejected', reason: { code: 'store_corrupt' } })
        expect((await server().ask('GET', path)).body).toMatchObject({
          data: { data, metadata: { version: 1 } },
        })
      })

    it('that somebody deleted says how to bring it back, and nothing is lost when he does', async () => {
      const { place, store } = await opened(server())
      const staged = await store.stage(NAME, value('one-1'), 0)
      await server().ask('DELETE', `secret/data/${place.path}/${NAME}`)
      await expect(store.load(NAME)).rejects.toMatchObject({
        code: 'store_corrupt',
        message: expect.stringContaining('somebody deleted version 1'),
        hint: expect.stringContaining(`bao kv undelete -versions=1 -mount=secret ${place.path}/${NAME}`),
      })
      await server().ask('POST', `secret/undelete/${place.path}/${NAME}`, { versions: [1] })
      expect(await store.commit(NAME, 'one-1', staged)).toBe(2)
    })

    it('that somebody destroyed says so, and how to begin anew', async () => {
      const { place, store } = await opened(server())
      await store.stage(NAME, value('one-1'), 0)
      await server().ask('POST', `secret/destroy/${place.path}/${NAME}`, { versions: [1] })
      await expect(store.load(NAME)).rejects.toMatchObject({
        code: 'store_corrupt',
        message: expect.stringContaining('somebody destroyed version 1'),
        hint: expect.stringContaining(`bao kv metadata delete -mount=secret ${place.path}/${NAME}`),
      })
      await server().ask('DELETE', `secret/metadata/${place.path}/${NAME}`)
      expect(await store.stage(NAME, value('two-2'), 0)).toBe(1)
    })

    it('whose metadata was written and whose data was not can be begun anew', async () => {
      const { place, store } = await opened(server())
      await server().ask('POST', `secret/metadata/${place.path}/${NAME}`, { cas_required: true })
      expect(await store.load(NAME)).toBeUndefined()
      expect(await store.stage(NAME, value('one-1'), 0)).toBe(1)
    })

    it('teaches the redactor its values when it is loaded', async () => {
      const { place, secretId, store } = await opened(server())
      await store.stage(NAME, value('one-1'), 0)
      const other = open(place, secretId)
      await other.store.load(NAME)
      expect(other.redactor.clean(value('one-1').value.expose())).toBe('[secret]')
    })
  })
}

/** How many versions of whatever document are in the server's storage, encrypted or not. */
async function versionsStored(bao: Bao): Promise<number> {
  const list = async (path: string): Promise<number> => {
    const { body } = await bao.ask('GET', `sys/raw/${path}?list=true`)
    const keys = (body as { data?: { keys: string[] } } | undefined)?.data?.keys ?? []
    let found = 0
    for (const key of keys)
      found += key.endsWith('/') ? await list(`${path}${key}`) : path.includes('/versions/') ? 1 : 0
    return found
  }
  return list('logical/')
}
