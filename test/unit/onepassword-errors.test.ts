import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { Exit } from '../../src/errors.ts'
import { listVaults } from '../../src/stores/onepassword.ts'
import {
  clientOf,
  faulty,
  filledServer,
  inProcess,
  NAME,
  onePasswordServer,
  refused,
  type Server,
  slot,
  tokenOf,
  VAULT,
  vault,
} from '../contract/onepassword-server.ts'

const [one, two] = [slot('one-1'), slot('two-2')]
const filled = () => filledServer(one)

const access = (server: Server) => ({
  ...{ run: inProcess, child: ['unused'] as const, version: '0.0.0', redactor: clientOf(server).redactor },
  credential: () => server.token,
})

describe('an error of 1Password', () => {
  const REQWEST =
    'authentication error: request library compatibility issue, check that the your environment uses compatible versions: reqwest library: error sending request'
  const says: [text: string, name: string | undefined, code: string, message: RegExp][] = [
    [REQWEST, undefined, 'store_unreachable', /cannot reach 1Password at my\.1password\.com/],
    ['Server error: request timeout', undefined, 'store_unreachable', /cannot reach 1Password/],
    [
      'authentication error: you are not authenticated',
      undefined,
      'store_denied',
      /does not accept the token/,
    ],
    ['the session is over', 'AuthExpired', 'store_denied', /does not accept the token/],
    [
      'invalid user input: encountered the following errors: service account token had invalid format, please create another token',
      ...([undefined, 'store_denied', /does not accept the token/] as const),
    ],
    [
      'bad service account token, please rotate it: x',
      undefined,
      'store_denied',
      /does not accept the token/,
    ],
    [
      "Server error: you don't have the right permissions to execute this request",
      ...([undefined, 'store_denied', /may not read the items/] as const),
    ],
    ['slow down please', 'RateLimitExceeded', 'store_limited', /too many requests/],
    ['authentication error: rate limit exceeded', undefined, 'store_limited', /too many requests/],
    ['Server error: internal server error', undefined, 'store_unreachable', /wrong on its side/],
    [
      'authentication error: unexpected status code in response: 503 Service Unavailable',
      ...([undefined, 'store_unreachable', /wrong on its side/] as const),
    ],
    ['resource not found', undefined, 'store_denied', /sees no such 1Password vault/],
    ['something nobody has heard of', undefined, 'store_unreachable', /does not know/],
  ]
  it.each(says)('is put in words: %s', async (text, name, code, message) => {
    const { server } = await filled()
    faulty(server, { on: 'init', does: 'says', text, ...(name === undefined ? {} : { name }) })
    const error = await refused(clientOf(server).documents.read(NAME))
    expect(error).toMatchObject({ code, exit: Exit.unknown, message: expect.stringMatching(message) })
    expect(error.hint).toMatch(/\w/)
    expect(inspect(error, { depth: 20, showHidden: true })).not.toContain(text)
  })

  it('names what to grant when only writing is refused, and nothing is changed', async () => {
    const { server, client } = await filled()
    const text = 'not sufficient permissions for the item update operation'
    faulty(
      server,
      ...['ItemsPut', 'ItemsCreate', 'ItemsDelete'].map(on => ({ on, does: 'says' as const, text })),
    )
    for (const call of [
      client.documents.write(NAME, { current: two }, 1),
      client.documents.write('openai_api_key', { current: two }, 0),
      client.documents.remove(NAME),
    ])
      expect(await refused(call)).toMatchObject({
        code: 'store_denied',
        message: expect.stringContaining('may not change items'),
        hint: expect.stringContaining('read_items and write_items'),
      })
    expect(await client.documents.read(NAME)).toMatchObject({ revision: 1 })
  })

  it('explains the limits of requests', async () => {
    const { server } = await filled()
    faulty(server, { on: '*', does: 'says', name: 'RateLimitExceeded', text: 'x' })
    const { hint } = await refused(clientOf(server).documents.read(NAME))
    expect(hint).toContain('1,000 writes an hour with 1Password Business')
    expect(hint).toContain('100 writes')
    expect(hint).toContain('Wait an hour')
  })

  it('for a vault that is not there names the flag', async () => {
    const { server } = await filled()
    const { documents } = clientOf(server, { vault: 'no-such-vault' })
    const calls = [
      () => documents.read(NAME),
      () => documents.check(),
      () => documents.write(NAME, { current: one }, 0),
    ]
    for (const call of calls)
      expect(await refused(call())).toMatchObject({
        code: 'store_denied',
        hint: expect.stringContaining('--onepassword-vault'),
      })
  })

  it('for an archived item that cannot be deleted says what to do', async () => {
    const { server, client } = await filled()
    faulty(server, { on: 'ItemsDelete', does: 'says', text: 'item is not in an active state' })
    expect(await refused(client.documents.remove(NAME))).toMatchObject({
      code: 'store_denied',
      message: expect.stringContaining('archived'),
    })
  })

  it('for a value that is too large says so', async () => {
    const { server, client } = await filled()
    faulty(server, { on: 'ItemsPut', does: 'says', text: 'item is too big' })
    const error = await refused(client.documents.write(NAME, { current: two }, 1))
    expect(error.message).toContain('larger than 1Password accepts')
  })

  it('comes before anything is contacted when the token leads elsewhere', async () => {
    const { server } = await filled()
    const before = server.state().calls?.length
    const token = tokenOf({ signInAddress: 'https://evil.example', email: 'x' })
    const { documents } = clientOf(server, {
      credential: () => token,
      run: async () => {
        throw new Error('a process was started')
      },
    })
    for (const call of [
      documents.read(NAME),
      documents.check(),
      documents.write(NAME, {}, 0),
      documents.remove(NAME),
    ])
      expect(await refused(call)).toMatchObject({ code: 'store_credential', exit: Exit.unknown })
    expect(server.state().calls?.length).toBe(before)
  })
})

describe('the check of a 1Password vault', () => {
  it('says which vault, which account and how much was seen, and that nothing was written', async () => {
    const { server, client } = await filled()
    const saw = await client.documents.check()
    expect(saw).toBe(
      '1Password vault "Gateway" at my.1password.com, as "gateway@1passwordserviceaccounts.com": 1 item seen; whether it may write there shows with the first secret',
    )
    expect(server.state().calls?.slice(-2)).toEqual(['VaultsGetOverview', 'ItemsList'])
  })

  it('fails when the vault is seen and its items are not', async () => {
    const { server, client } = await filled()
    faulty(server, { on: 'ItemsList', does: 'says', text: "you don't have the right permissions to x" })
    expect(await refused(client.documents.check())).toMatchObject({ code: 'store_denied' })
  })

  it.each(['personal', 'everyone', 'transfer'])(
    'fails for a vault that is never written to: %s',
    async kind => {
      const { server, client } = await filled()
      server.change(state => {
        state.vaults = [vault(VAULT, 'Private\u001b[2J', kind)]
      })
      const error = await refused(client.documents.check())
      expect(error).toMatchObject({ code: 'store_denied' })
      expect(error.message).not.toContain('\u001b')
    },
  )
})

describe('the list of 1Password vaults', () => {
  it('says which can be used, and why the others cannot', async () => {
    const server = onePasswordServer()
    server.change(state => {
      state.vaults = [
        vault('a', 'Gateway', 'userCreated', 3),
        vault('b', 'Private', 'personal', 9),
        vault('c', 'Shared', 'everyone'),
        vault('d', 'Moving', 'transfer'),
        vault('e', 'New kind', 'unsupported'),
      ]
    })
    const found = await listVaults(access(server))
    expect(found.map(({ id, usable, items }) => [id, usable, items])).toEqual([
      ['a', true, 3],
      ['b', false, 9],
      ['c', false, 0],
      ['d', false, 0],
      ['e', true, 0],
    ])
    expect(found.map(({ why }) => why)).toEqual([
      undefined,
      expect.stringContaining('Personal, Private or Employee'),
      expect.stringContaining('default Shared vault'),
      expect.stringContaining('move items'),
      undefined,
    ])
  })

  it('is empty for an account that sees none, and an error for one that is refused', async () => {
    const server = onePasswordServer()
    server.change(state => {
      state.vaults = []
    })
    expect(await listVaults(access(server))).toEqual([])
    faulty(server, { on: 'init', does: 'says', text: 'you are not authenticated' })
    expect(await refused(listVaults(access(server)))).toMatchObject({ code: 'store_denied' })
  })
})
