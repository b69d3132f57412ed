/**
 * The store's contract at 1Password itself, through the program as it is built. It needs an account, so it runs only
 * where one is given (CONTRIBUTING.md); everywhere else it is skipped.
 */
import { randomBytes } from 'node:crypto'
import { createClient, type Item, type ItemOverview } from '@1password/sdk'
import { afterAll, describe, expect, it } from 'vitest'
import { processRunner } from '../../src/docker/process.ts'
import { Redactor, Secret } from '../../src/secret.ts'
import { DocumentStore } from '../../src/stores/document.ts'
import { listVaults, OnePasswordDocuments, type OnePasswordOptions } from '../../src/stores/onepassword.ts'
import { onePasswordChild } from '../../src/stores/open.ts'
import { type Obstacle, storeContract } from '../contract/store.ts'

const token = process.env.OP_SERVICE_ACCOUNT_TOKEN ?? ''
const vault = process.env.OP_TEST_VAULT ?? ''

/** In the title and the tags of every item of this run, so that nothing else is touched. */
const RUN = `ocs-live-${randomBytes(4).toString('hex')}`
const TAG = 'create-openclaw-secure'

const access = {
  credential: () => new Secret(token),
  run: processRunner(new Redactor(), process.env),
  child: onePasswordChild(),
  redactor: new Redactor(),
  version: '0.0.0',
}

function client(deployment: string, options: Partial<OnePasswordOptions> = {}): DocumentStore {
  let ids: Record<string, string> = {}
  const itemIds = {
    read: () => ids,
    write: (next: Record<string, string>) => {
      ids = next
    },
  }
  return new DocumentStore(new OnePasswordDocuments({ ...access, vault, deployment, itemIds, ...options }))
}

const direct = async () => createClient({ auth: token, integrationName: TAG, integrationVersion: '0.0.0' })

async function itemsOf(isOurs: (item: ItemOverview) => boolean): Promise<ItemOverview[]> {
  const { items } = await direct()
  return (await items.list(vault)).filter(item => item.tags.includes(TAG) && isOurs(item))
}

/** The child with a network that is not there, or that swallows everything. */
const withoutFetch = (fetch: string): OnePasswordOptions['child'] => [
  '--import',
  `data:text/javascript,globalThis.fetch=${fetch}`,
  ...access.child,
]

const HANDICAPS: Partial<Record<Obstacle, Partial<OnePasswordOptions>>> = {
  // A wrong token could lock the account: a vault that it does not get is refused as well.
  'refuses this client': { vault: 'aaaaaaaaaaaaaaaaaaaaaaaaaa' },
  'cannot be reached': { child: withoutFetch(`()=>Promise.reject(new TypeError('fetch failed'))`) },
  'never answers': { child: withoutFetch('()=>new Promise(done=>setTimeout(done,1e6))') },
}

describe.skipIf(token === '' || vault === '')('1Password itself', { timeout: 600_000 }, () => {
  afterAll(async () => {
    const { items } = await direct()
    for (const { id } of await itemsOf(({ tags }) => tags.some(tag => tag.startsWith(RUN))))
      await items.delete(vault, id)
  }, 600_000)

  let places = 0
  storeContract('1Password, live', async () => {
    places += 1
    const deployment = `${RUN}-${places}`
    let handicap: Partial<OnePasswordOptions> = {}
    return {
      open: () => client(deployment, handicap),
      async obstruct(obstacle) {
        handicap = HANDICAPS[obstacle] ?? {}
        const spoilt = obstacle in HANDICAPS ? [] : await spoil(deployment)
        return async () => {
          handicap = {}
          for (const item of spoilt) await replace(item.id, ({ fields }) => [...fields, ...item.fields])
        }
      },
    }
  })

  it('tells the vaults of this account, and that the one for tests can be used', async () => {
    const found = await listVaults(access)
    expect(found.find(({ id }) => id === vault)).toMatchObject({ usable: true })
    for (const { usable, why } of found) expect(why === undefined).toBe(usable)
  })

  it('says in the check which vault it is, and nothing of the token', async () => {
    const saw = await client(RUN).check()
    expect(saw).toMatch(/^1Password vault ".+" at .*1password\.(com|eu|ca), as "/)
    expect(saw).not.toContain(token)
  })

  it('refuses a version of an item that is not the present one', async () => {
    const { items } = await direct()
    await client(`${RUN}-stale`).stage('gateway_token', { rotationId: 'one-1', value: new Secret('a') }, 0)
    const [found] = await itemsOf(({ tags }) => tags.includes(`${RUN}-stale`))
    const item = await items.get(vault, found?.id ?? '')
    await items.put({ ...item, notes: 'first' })
    await expect(items.put({ ...item, notes: 'second' })).rejects.toThrow(/conflict|version/)
  })
})

/** Takes everything out of the items but the value, and returns what they were. */
async function spoil(deployment: string): Promise<Item[]> {
  const { items } = await direct()
  const taken: Item[] = []
  for (const { id } of await itemsOf(({ tags }) => tags.includes(deployment))) {
    const before = await items.get(vault, id)
    await replace(id, ({ fields }) => fields.filter(field => field.id === 'credential'))
    taken.push({ ...before, fields: before.fields.filter(field => field.id !== 'credential') })
  }
  return taken
}

async function replace(id: string, fields: (item: Item) => Item['fields']): Promise<void> {
  const { items } = await direct()
  const item = await items.get(vault, id)
  await items.put({ ...item, fields: fields(item) })
}
