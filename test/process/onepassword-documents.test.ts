import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { Exit } from '../../src/errors.ts'
import {
  clientOf,
  faulty,
  filledServer,
  NAME,
  onePasswordServer,
  refused,
  slot,
  VAULT,
} from '../contract/onepassword-server.ts'
import { some } from '../unit/support.ts'

const [one, two, three] = [slot('one-1'), slot('two-2'), slot('three-3')]
const filled = () => filledServer(one)

describe('a secret at 1Password', () => {
  it('is one item, with the current value where 1Password looks for a credential', async () => {
    const { client, item } = await filled()
    await client.documents.write(NAME, { current: two, pending: three, previous: one }, 1)
    const { title, category, vaultId, tags, sections, fields } = item()
    expect({ title, category, vaultId, tags, sections }).toEqual({
      title: 'openclaw my-gateway gateway_token',
      category: 'ApiCredentials',
      vaultId: VAULT,
      tags: ['create-openclaw-secure', 'my-gateway'],
      sections: [{ id: 'rotation', title: 'Rotation' }],
    })
    expect(fields.map(field => [field.id, field.fieldType, field.sectionId ?? '', field.value])).toEqual([
      ['credential', 'Concealed', '', two.value.expose()],
      ['current_id', 'Text', 'rotation', 'two-2'],
      ['pending', 'Concealed', 'rotation', three.value.expose()],
      ['pending_id', 'Text', 'rotation', 'three-3'],
      ['previous', 'Concealed', 'rotation', one.value.expose()],
      ['previous_id', 'Text', 'rotation', 'one-1'],
      ['revision', 'Text', 'rotation', '2'],
    ])
  })

  it('leaves what people add to the item: notes, tags, fields, sections, another title', async () => {
    const { server, client, item } = await filled()
    server.change(state => {
      const kept = some(state.items[0]).item
      kept.title = 'our gateway'
      kept.notes = 'ask Ada'
      kept.tags.push('production')
      kept.sections.push({ id: 'own', title: 'Own' })
      kept.fields.push({
        id: 'own',
        title: 'own',
        sectionId: 'own',
        fieldType: 'Text' as never,
        value: 'kept',
      })
    })
    await client.documents.write(NAME, { current: two }, 1)
    expect(item()).toMatchObject({ title: 'our gateway', notes: 'ask Ada' })
    expect(item().tags).toContain('production')
    expect(item().sections.map(({ id }) => id)).toEqual(['own', 'rotation'])
    expect(item().fields.find(({ id }) => id === 'own')?.value).toBe('kept')
    expect(item().fields.find(({ id }) => id === 'credential')?.value).toBe(two.value.expose())
  })

  it('is found by the id it had, and by title and tags where none is remembered', async () => {
    const { server, client, item } = await filled()
    expect(client.ids()).toEqual({ [NAME]: item().id })
    const other = clientOf(server)
    expect((await other.documents.read(NAME))?.current?.rotationId).toBe('one-1')
    expect(other.ids()).toEqual(client.ids())
    const before = server.state().calls?.length
    await other.documents.read(NAME)
    expect(server.state().calls?.slice(before)).toEqual(['ItemsGet'])
  })

  it('whose item is gone is looked for again by its title, and forgotten where there is none', async () => {
    const { server, client } = await filled()
    server.change(state => {
      some(state.items[0]).item.id = 'restored-as-another'
    })
    expect((await client.documents.read(NAME))?.current?.rotationId).toBe('one-1')
    expect(client.ids()).toEqual({ [NAME]: 'restored-as-another' })
    server.change(state => {
      some(state.items[0]).state = 'archived'
    })
    expect(await client.documents.read(NAME)).toBeUndefined()
    expect(client.ids()).toEqual({})
  })

  it('is not an item that has only the title, or the tags of another deployment', async () => {
    const { server, item } = await filled()
    for (const tags of [[], ['create-openclaw-secure'], ['create-openclaw-secure', 'another']]) {
      server.change(state => {
        some(state.items[0]).item.tags = tags
      })
      expect(await clientOf(server).documents.read(NAME)).toBeUndefined()
    }
    expect(await clientOf(server, { deployment: 'another' }).documents.read(NAME)).toBeUndefined()
    expect(item().title).toContain('my-gateway')
  })

  it('that has two items is refused, with their number', async () => {
    const { server } = await filled()
    server.change(state => {
      const { item } = some(state.items[0])
      state.items.push({ item: { ...item, id: 'its-double' }, state: 'active' })
    })
    for (const call of [
      clientOf(server).documents.read(NAME),
      clientOf(server).documents.write(NAME, { current: two }, 1),
    ])
      expect(await refused(call)).toMatchObject({
        code: 'store_corrupt',
        message: expect.stringContaining('2 items for gateway_token'),
      })
  })

  it('is removed with all its items, archived and renamed ones too, and nobody else’s', async () => {
    const { server, client } = await filled()
    await client.documents.write('openai_api_key', { current: two }, 0)
    server.change(state => {
      const { item } = some(state.items[0])
      state.items.push({ item: { ...item, id: 'its-double' }, state: 'archived' })
      state.items.push({ item: { ...item, id: 'theirs', tags: [] }, state: 'active' })
      item.title = 'renamed'
    })
    await client.documents.remove(NAME)
    expect(server.state().items.map(({ item }) => item.id)).toEqual([client.ids().openai_api_key, 'theirs'])
    expect(Object.keys(client.ids())).toEqual(['openai_api_key'])
  })

  it('is not touched by a copy of its deployment, which remembers its item', async () => {
    const { server, client, item } = await filled()
    const itemIds = { read: client.ids, write: () => {} }
    const copy = clientOf(server, { deployment: 'my-copy', itemIds }).documents
    expect(await copy.read(NAME)).toBeUndefined()
    await copy.write(NAME, { current: two }, 0)
    await copy.remove(NAME)
    expect(server.state().items).toHaveLength(1)
    expect(item().fields.find(({ id }) => id === 'credential')?.value).toBe(one.value.expose())
  })

  it('is never removed through a remembered id that leads to somebody else’s item', async () => {
    const { server } = await filled()
    server.change(state => {
      some(state.items[0]).item.tags = ['family']
    })
    const itemIds = { read: () => ({ [NAME]: some(server.state().items[0]).item.id }), write: () => {} }
    await clientOf(server, { itemIds }).documents.remove(NAME)
    expect(server.state().items).toHaveLength(1)
  })

  it.each<[what: string, break_: (fields: Record<string, string>) => Record<string, string>]>([
    ['without a revision', ({ revision: _, ...rest }) => rest],
    ['with a revision that is no number', fields => ({ ...fields, revision: 'two' })],
    ['with a revision of zero', fields => ({ ...fields, revision: '0' })],
    ['with a value without a rotation id', ({ current_id: _, ...rest }) => rest],
    ['with a rotation id without a value', fields => ({ ...fields, credential: '' })],
    ['with a rotation id that is none', fields => ({ ...fields, current_id: '../../etc' })],
    ['with half a pending value', fields => ({ ...fields, pending_id: 'two-2' })],
    ['without any field', () => ({})],
  ])('is refused %s', async (_, damage) => {
    const { server, client } = await filled()
    server.change(state => {
      const { item } = some(state.items[0])
      const damaged = damage(Object.fromEntries(item.fields.map(({ id, value }) => [id, value])))
      item.fields = Object.entries(damaged).map(([id, value]) => ({
        ...{ id, title: id, value, fieldType: 'Text' as never },
      }))
    })
    for (const call of [client.documents.read(NAME), client.documents.write(NAME, { current: two }, 1)])
      expect(await refused(call)).toMatchObject({ code: 'store_corrupt', exit: Exit.unknown })
  })

  it('is learnt by the redactor when it is read, and so is the token', async () => {
    const { server } = await filled()
    const { documents, redactor } = clientOf(server)
    await documents.read(NAME)
    expect(redactor.clean(`${one.value.expose()} ${server.token.expose()}`)).toBe('[secret] [secret]')
  })
})

describe('a change at 1Password', () => {
  const CONFLICT = 'Server error: data conflict occurred on the server: performing a vault operation'

  it('that another client was quicker with is refused', async () => {
    const { server, client, item } = await filled()
    const theirs = { revision: '2', current_id: 'three-3', credential: three.value.expose() }
    faulty(server, { on: 'ItemsGet', does: 'touches', after: true, times: 1, fields: theirs })
    expect(await refused(client.documents.write(NAME, { current: two }, 1))).toMatchObject({
      code: 'store_conflict',
    })
    expect(item().fields.find(({ id }) => id === 'credential')?.value).toBe(three.value.expose())
  })

  it('goes through beside a change of something else about the item, such as its notes', async () => {
    const { server, client } = await filled()
    faulty(server, { on: 'ItemsGet', does: 'touches', after: true, times: 1 })
    await client.documents.write(NAME, { current: two }, 1)
    expect((await client.documents.read(NAME))?.current?.rotationId).toBe('two-2')
  })

  it.each(['ItemsPut', 'ItemsCreate', 'ItemsDelete'])(
    'goes through beside a change of another item in the vault (%s)',
    async on => {
      const { server, client } = await filled()
      faulty(server, { on, does: 'says', text: CONFLICT, times: 2 })
      if (on === 'ItemsPut') await client.documents.write(NAME, { current: two }, 1)
      if (on === 'ItemsCreate') await client.documents.write('openai_api_key', { current: two }, 0)
      if (on === 'ItemsDelete') await client.documents.remove(NAME)
      expect(server.state().items).toHaveLength({ ItemsPut: 1, ItemsCreate: 2, ItemsDelete: 0 }[on] ?? -1)
    },
  )

  it('is given up as a conflict when 1Password goes on speaking of one', async () => {
    const { server, client } = await filled()
    faulty(server, { on: 'ItemsPut', does: 'says', text: CONFLICT })
    expect(await refused(client.documents.write(NAME, { current: two }, 1))).toMatchObject({
      code: 'store_conflict',
    })
    expect(server.state().calls?.filter(call => call === 'ItemsPut')).toHaveLength(0)
  })

  it.each(['ItemsPut', 'ItemsCreate'])(
    'is known again when it was made and a conflict was reported all the same (%s)',
    async on => {
      const { server, client } = await filled()
      faulty(server, { on, does: 'says', text: CONFLICT, after: true, times: 1 })
      const name = on === 'ItemsPut' ? NAME : 'openai_api_key'
      await client.documents.write(name, { current: two }, on === 'ItemsPut' ? 1 : 0)
      expect(await client.documents.read(name)).toMatchObject({ revision: on === 'ItemsPut' ? 2 : 1 })
      expect(server.state().items).toHaveLength(on === 'ItemsPut' ? 1 : 2)
    },
  )

  it('is seen to have been lost even by a server that takes old versions', async () => {
    const { server, client } = await filled()
    server.change(state => {
      state.careless = true
    })
    const theirs = { revision: '2', current_id: 'three-3', credential: three.value.expose() }
    faulty(server, { on: 'ItemsPut', does: 'touches', after: true, times: 1, fields: theirs })
    expect(await refused(client.documents.write(NAME, { current: two }, 1))).toMatchObject({
      code: 'store_conflict',
    })
  })

  it('that was kept otherwise than it was written is said to be', async () => {
    const { server, client } = await filled()
    faulty(server, {
      on: 'ItemsPut',
      does: 'touches',
      after: true,
      times: 1,
      fields: { credential: 'trimmed' },
    })
    const error = await refused(client.documents.write(NAME, { current: two }, 1))
    expect(error).toMatchObject({ code: 'store_corrupt' })
    expect(inspect(error, { depth: 20 })).not.toContain('trimmed')
  })

  it('that makes a secret is made by one of two who begin it at the same time, or by neither', async () => {
    for (let round = 0; round < 8; round++) {
      const server = onePasswordServer()
      const tries = await Promise.allSettled([
        clientOf(server).documents.write(NAME, { pending: one }, 0),
        clientOf(server).documents.write(NAME, { pending: two }, 0),
      ])
      const won = tries.filter(({ status }) => status === 'fulfilled')
      expect(won.length).toBeLessThan(2)
      expect(server.state().items).toHaveLength(won.length)
      for (const attempt of tries)
        if (attempt.status === 'rejected') expect(attempt.reason).toMatchObject({ code: 'store_conflict' })
    }
  })

  it('that makes a secret gives way to whoever was earlier, or is not known to have been later', async () => {
    for (const [createdAt, stays] of [
      ['2020-01-01T00:00:00Z', false],
      ['2999-01-01T00:00:00Z', true],
    ] as const) {
      const server = onePasswordServer()
      const theirs = {
        ...{
          id: 'theirs',
          title: `openclaw my-gateway ${NAME}`,
          tags: ['create-openclaw-secure', 'my-gateway'],
        },
        ...{ vaultId: VAULT, version: 1, fields: [], sections: [], createdAt, updatedAt: createdAt },
      }
      faulty(server, {
        ...{ on: 'ItemsCreate', does: 'touches', after: true, times: 1 },
        again: [{ item: theirs, state: 'active' }],
      })
      const call = clientOf(server).documents.write(NAME, { pending: one }, 0)
      if (stays) await call
      else expect(await refused(call)).toMatchObject({ code: 'store_conflict' })
      expect(server.state().items).toHaveLength(stays ? 2 : 1)
    }
  })
})
