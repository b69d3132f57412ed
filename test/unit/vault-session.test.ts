/** When the Vault store logs in, renews and logs out: against a server that is told what to answer, and a clock. */
import { describe, expect, it, onTestFinished } from 'vitest'
import { Redactor, Secret } from '../../src/secret.ts'
import { VaultDocuments, type VaultOptions, type VaultPlace } from '../../src/stores/vault.ts'
import { thrown } from './support.ts'
import { type Answers, fakeServer, type Seen } from './vault-servers.ts'

const PLACE: Omit<VaultPlace, 'address'> = {
  ...{ ca: '', namespace: '', mount: 'secret', path: 'openclaw/x' },
  ...{ auth: 'approle', authMount: 'approle', role: 'role-id' },
}
const SECRET_ID = '0e5f0c9e-0000-4000-8000-5f3a7d1c2b4e'

/** A Vault with nothing in it. Each login gives `token-N` for 90 s; `also` answers first. */
async function vault(
  place: Partial<VaultPlace> = {},
  options: Partial<VaultOptions> = {},
  also: Answers = () => undefined,
) {
  let logins = 0
  const auth = () => ({ client_token: `hvs.token-${logins}`, lease_duration: 90, renewable: true })
  const server = await fakeServer(seen => {
    const special = also(seen)
    if (special !== undefined) return special
    if (seen.path.endsWith('/login')) logins += 1
    if (/login$|renew-self$/.test(seen.path)) return { body: { auth: auth() } }
    if (seen.path.endsWith('/secret') && seen.method === 'GET')
      return { body: { data: { type: 'kv', path: 'secret/', options: { version: '2' } } } }
    if (seen.path.includes('/data/')) return { status: 404, body: { errors: [] } }
    return { status: 204 }
  })
  onTestFinished(server.close)
  const clock = { seconds: 0 }
  const documents = new VaultDocuments({
    place: { ...PLACE, address: server.address, ...place },
    credential: () => new Secret(SECRET_ID),
    redactor: new Redactor(),
    deadline: 15_000,
    now: () => clock.seconds * 1000,
    ...options,
  })
  onTestFinished(() => documents.close())
  /** Calls of a kind so far, with the token each came with. */
  const calls = (end: string) =>
    server.seen.filter(({ path }) => path.endsWith(end)).map(({ headers }) => headers['x-vault-token'])
  return { documents, clock, calls, seen: server.seen }
}

const bodyOf = (seen: Seen | undefined): unknown => JSON.parse(seen?.body ?? 'null')

describe('logging in', () => {
  it('with AppRole sends the role id and the secret id, and no token', async () => {
    const { documents, seen } = await vault()
    await documents.read('x')
    expect(seen[0]).toMatchObject({ method: 'POST', path: '/v1/auth/approle/login' })
    expect(seen[0]?.headers['x-vault-token']).toBeUndefined()
    expect(bodyOf(seen[0])).toEqual({ role_id: 'role-id', secret_id: SECRET_ID })
  })

  for (const auth of ['jwt', 'kubernetes'] as const)
    it(`with ${auth} sends the role and the JWT, to the mount of that method`, async () => {
      const { documents, seen } = await vault({ auth, authMount: 'k8s/prod', role: 'openclaw' })
      await documents.read('x')
      expect(seen[0]).toMatchObject({ method: 'POST', path: '/v1/auth/k8s/prod/login' })
      expect(bodyOf(seen[0])).toEqual({ role: 'openclaw', jwt: SECRET_ID })
    })

  it('uses a token that was given although it may not look at itself, if it may do the rest', async () => {
    const { documents, calls } = await vault({ auth: 'token' }, {}, ({ path }) =>
      path.endsWith('lookup-self') ? { status: 403, body: { errors: ['permission denied'] } } : undefined,
    )
    expect(await documents.read('x')).toBeUndefined()
    await documents.close()
    expect([calls('login'), calls('renew-self'), calls('revoke-self')]).toEqual([[], [], []])
    expect(calls('/x')).toEqual([SECRET_ID])
  })

  it('goes on after a login that failed', async () => {
    let sealed = true
    const { documents } = await vault({}, {}, ({ path }) =>
      sealed && path.endsWith('login') ? { status: 503, body: { errors: ['Vault is sealed'] } } : undefined,
    )
    await expect(documents.read('x')).rejects.toMatchObject({ code: 'store_unreachable' })
    sealed = false
    expect(await documents.read('x')).toBeUndefined()
  })
})

describe('a token', () => {
  it('is renewed when less than a third of its lease is left, and not before', async () => {
    const { documents, clock, calls } = await vault()
    for (const seconds of [0, 30, 59]) {
      clock.seconds = seconds
      await documents.read('x')
    }
    expect(calls('renew-self')).toEqual([])
    clock.seconds = 61
    await Promise.all([documents.read('x'), documents.read('x'), documents.read('x')])
    expect(calls('renew-self')).toEqual(['hvs.token-1'])
    clock.seconds = 61 + 59
    await documents.read('x')
    expect(calls('renew-self')).toHaveLength(1)
    expect(calls('login')).toHaveLength(1)
  })

  it('that has expired is followed by another without being asked about', async () => {
    const { documents, clock, calls } = await vault()
    await documents.read('x')
    clock.seconds = 91
    await Promise.all([documents.read('x'), documents.read('x')])
    expect(calls('login')).toHaveLength(2)
    expect(calls('renew-self')).toEqual([])
    expect(calls('/x')).toEqual(['hvs.token-1', 'hvs.token-2', 'hvs.token-2'])
  })

  const refusals: Record<string, Answers> = {
    'past its longest time (OpenBao: HTTP 500)': () => ({
      status: 500,
      body: { errors: ['past the max TTL'] },
    }),
    'that may not renew itself': () => ({ status: 403, body: { errors: ['permission denied'] } }),
    'that gets no longer lease': () => ({ body: { auth: { lease_duration: 20, renewable: true } } }),
  }
  for (const [what, answer] of Object.entries(refusals))
    it(`${what} is followed by another, and both are revoked at the end`, async () => {
      const { documents, clock, calls } = await vault({}, {}, seen =>
        seen.path.endsWith('renew-self') ? answer(seen) : undefined,
      )
      await documents.read('x')
      clock.seconds = 70
      await documents.read('x')
      expect(calls('/x')).toEqual(['hvs.token-1', 'hvs.token-2'])
      await documents.close()
      expect(calls('revoke-self').sort()).toEqual(['hvs.token-1', 'hvs.token-2'])
    })

  it('whose login is under way at the end is revoked all the same', async () => {
    const { documents, calls } = await vault()
    const reading = documents.read('x').catch(() => undefined)
    await documents.close()
    await reading
    expect(calls('revoke-self')).toEqual(['hvs.token-1'])
  })
})

describe('a wrapped secret id', () => {
  const wrapping =
    (from = 'auth/approle/role/openclaw-x/secret-id'): Answers =>
    ({ path }) => {
      if (path.endsWith('wrapping/lookup')) return { body: { data: { creation_path: from } } }
      if (path.endsWith('wrapping/unwrap')) return { body: { data: { secret_id: SECRET_ID } } }
      return undefined
    }

  for (const token of ['hvs.wrapping', 's.wrapping', 'b.wrapping'])
    it(`that comes in ${token.split('.')[0]}.… is unwrapped, and used after it is kept`, async () => {
      const events: string[] = []
      const { documents, seen } = await vault(
        {},
        {
          credential: () => new Secret(token),
          keep: secretId => events.push(`${secretId.expose()} before ${seen.length}`),
        },
        wrapping(),
      )
      await documents.read('x')
      expect(events).toEqual([`${SECRET_ID} before 2`])
      expect(bodyOf(seen[2])).toEqual({ role_id: 'role-id', secret_id: SECRET_ID })
    })

  it('is unwrapped and kept once, however often somebody logs in with it', async () => {
    const kept: string[] = []
    const { documents, clock, calls } = await vault(
      {},
      { credential: () => new Secret('hvs.wrapping'), keep: secretId => kept.push(secretId.expose()) },
      wrapping(),
    )
    await documents.read('x')
    clock.seconds = 91
    await documents.read('x')
    expect(calls('login')).toHaveLength(2)
    expect([kept, calls('unwrap')]).toEqual([[SECRET_ID], ['hvs.wrapping']])
  })

  it('that could not be kept is not used, and is kept when the call is made again', async () => {
    let isFull = true
    const kept: string[] = []
    const keep = (secretId: Secret) => {
      if (isFull) throw new Error('no space left')
      kept.push(secretId.expose())
    }
    const { documents, calls } = await vault(
      {},
      { credential: () => new Secret('hvs.wrapping'), keep },
      wrapping(),
    )
    await expect(documents.read('x')).rejects.toThrow('no space left')
    expect(calls('login')).toEqual([])
    isFull = false
    await documents.read('x')
    expect([kept, calls('unwrap')]).toEqual([[SECRET_ID], ['hvs.wrapping']])
  })

  it('is accepted from this method’s mount alone, in whatever namespace, and nothing else is unwrapped', async () => {
    const make = (from: string) =>
      vault({ namespace: 'team' }, { credential: () => new Secret('hvs.wrapping') }, wrapping(from))
    expect(await (await make('team/auth/approle/role/a/secret-id')).documents.read('x')).toBeUndefined()
    for (const from of [
      ...['sys/wrapping/wrap', 'auth/token/create', 'auth/approle/role/a/custom-secret-id'],
      ...[
        'auth/approle2/role/a/secret-id',
        'xauth/approle/role/a/secret-id',
        'auth/approle/role/a/b/secret-id',
      ],
      ...['auth/approle/role/a/secret-id/lookup', 'auth/approle/role//secret-id', ''],
    ]) {
      const { documents, calls } = await make(from)
      const error = await thrown(() => documents.read('x'))
      expect(error, from).toMatchObject({ code: 'store_denied', hint: expect.stringMatching(/swapped/) })
      expect(calls('unwrap')).toEqual([])
    }
  })
})
