/** How one logs in to a real OpenBao, stays logged in, and logs out. */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Redactor, Secret } from '../../src/secret.ts'
import { some, thrown } from '../unit/support.ts'
import { forwarder } from '../unit/vault-servers.ts'
import { type Bao, hasBao, open, opened, startDev, value } from './bao.ts'
import { patience } from './harness.ts'

const NAME = 'gateway_token'

describe.runIf(hasBao())('OpenBao', () => {
  let dev: Bao
  const server = () => dev
  beforeAll(async () => {
    dev = await startDev()
  })
  afterAll(() => dev.stop())

  const alive = async (token: string) =>
    (await server().ask('GET', 'auth/token/lookup-self', undefined, token)).status

  describe('logging in to Vault', () => {
    it('says as whom, where, and in which version, and nothing secret', async () => {
      const { place, deployment, secretId, store } = await opened(server())
      const saw = await store.check()
      expect(saw).toMatch(
        new RegExp(
          `^Vault at ${server().address} \\(2\\.\\d+\\.\\d+\\): secret/${place.path}/\\* can be read and written as AppRole role "openclaw-${deployment}"$`,
        ),
      )
      expect(saw).not.toContain(secretId.expose())
    })

    it('happens once, however many calls begin at the same time', async () => {
      let asked = 0
      const { place, secretId } = await opened(server())
      const { store } = open(place, secretId, {
        credential: () => {
          asked += 1
          return secretId
        },
      })
      await Promise.all([store.load(NAME), store.load('other'), store.check(), store.load(NAME)])
      expect(asked).toBe(1)
    })

    it('with a wrong secret id is denied, with what to do, and is tried again at the next call', async () => {
      const { place, secretId } = await opened(server())
      let secret = new Secret('00000000-0000-0000-0000-000000000000')
      const { store } = open(place, secret, { credential: () => secret })
      await expect(store.load(NAME)).rejects.toMatchObject({
        code: 'store_denied',
        message: expect.stringMatching(/does not know this role id with this secret id/),
        hint: expect.stringMatching(/--store-credential @FILE.*--vault-role/),
      })
      secret = secretId
      expect(await store.load(NAME)).toBeUndefined()
    })

    it('at a mount that is none is denied, naming the options', async () => {
      const { place, secretId } = await opened(server())
      const { store } = open({ ...place, authMount: 'nowhere' }, secretId)
      await expect(store.check()).rejects.toMatchObject({
        code: 'store_denied',
        message: expect.stringContaining('auth/nowhere/login'),
        hint: expect.stringContaining('--vault-auth-mount'),
      })
    })

    it('revokes its token at the end, and can be ended twice (a token left behind)', async () => {
      const { store, redactor } = await opened(server())
      const tokens = spied(redactor)
      await store.load(NAME)
      const token = some(tokens().at(-1))
      expect(await alive(token)).toBe(200)
      await store.close()
      expect(await alive(token)).toBe(403)
      await store.close()
      await expect(store.load(NAME)).rejects.toThrow('has been closed')
    })

    it('ends in a few seconds when the server is gone', async () => {
      const line = await forwarder(server().port)
      const address = `http://127.0.0.1:${line.port}`
      const { place, secretId } = await opened(server())
      const { store } = open({ ...place, address }, secretId)
      await store.load(NAME)
      await line.hang()
      const began = performance.now()
      await store.close()
      expect(performance.now() - began).toBeLessThan(patience(6000))
      await line.close()
    })
  })

  describe('a wrapped secret id', () => {
    const wrapped = async (path: string, body: object = {}) => {
      // The server's own client: the product wraps through code that is under test here.
      const answer = await askWrapped(server(), path, body)
      return new Secret(answer)
    }

    it('is unwrapped once, kept before it is used, and good for later logins', async () => {
      const { place, deployment } = await opened(server())
      const wrapping = await wrapped(`auth/approle/role/openclaw-${deployment}/secret-id`)
      const kept: string[] = []
      const { store, redactor } = open(place, wrapping, { keep: secretId => kept.push(secretId.expose()) })
      await Promise.all([store.check(), store.load(NAME)])
      expect(kept).toHaveLength(1)
      expect(redactor.clean(`${kept[0]} ${wrapping.expose()}`)).toBe('[secret] [secret]')
      expect(await open(place, new Secret(some(kept[0]))).store.check()).toMatch(/can be read/)
      const second = await thrown(() => open(place, wrapping).store.check())
      expect(second).toMatchObject({ code: 'store_denied', hint: expect.stringContaining('somebody else') })
    })

    it('whose token was swapped for one that wraps something else is refused, and not unwrapped (spoofing)', async () => {
      const { deployment, place } = await opened(server())
      const swapped = {
        'a secret of the attacker': await wrapped('sys/wrapping/wrap', { secret_id: 'of the attacker' }),
        'a token': await wrapped('auth/token/create', { ttl: '1m' }),
        'a secret id that the attacker chose': await wrapped(
          `auth/approle/role/openclaw-${deployment}/custom-secret-id`,
          { secret_id: 'chosen-by-the-attacker' },
        ),
      }
      for (const [what, token] of Object.entries(swapped)) {
        const kept: Secret[] = []
        const { store } = open(place, token, { keep: secretId => kept.push(secretId) })
        const error = await thrown(() => store.check())
        expect(error, what).toMatchObject({ code: 'store_denied', hint: expect.stringMatching(/swapped/) })
        expect(inspect(error, { depth: 20, showHidden: true })).not.toContain(token.expose())
        expect(kept).toEqual([])
        const lookup = { token: token.expose() }
        expect((await server().ask('POST', 'sys/wrapping/lookup', lookup, '')).status).toBe(200)
      }
    })

    it('of another login method’s mount is refused', async () => {
      await server().ask('POST', 'sys/auth/other', { type: 'approle' })
      await server().ask('POST', 'auth/other/role/evil', {})
      const { place } = await opened(server())
      const wrapping = await wrapped('auth/other/role/evil/secret-id')
      await expect(open(place, wrapping).store.check()).rejects.toMatchObject({
        code: 'store_denied',
        message: expect.stringContaining('auth/other/role/evil/secret-id'),
      })
    })
  })

  describe('a token that somebody gave us', () => {
    const given = async (body: object) => {
      const { place, deployment } = await opened(server())
      const made = await server().ask('POST', 'auth/token/create', {
        policies: [`openclaw-${deployment}-rotator`],
        no_default_policy: true,
        ...body,
      })
      const token = (made.body as { auth: { client_token: string } }).auth.client_token
      return { token, place: { ...place, auth: 'token' as const, authMount: '', role: '' } }
    }

    it('is used, and never revoked', async () => {
      const { token, place } = await given({ ttl: '1h', display_name: 'carol' })
      const { store } = open(place, new Secret(token))
      expect(await store.check()).toMatch(/as token "token-carol"$/)
      await store.stage(NAME, value('one-1'), 0)
      await store.close()
      expect(await alive(token)).toBe(200)
    })

    it('is renewed while it is in use, when little of it is left', async () => {
      const { token, place } = await given({ ttl: '3s', renewable: true })
      const { store } = open(place, new Secret(token))
      for (let call = 0; call < 9; call += 1) {
        await store.load(NAME)
        await pause(500)
      }
      expect(await alive(token)).toBe(200)
    })

    it('that has expired is denied, and the next one asked for', async () => {
      const { token, place } = await given({ ttl: '2s', renewable: false })
      const { store } = open(place, new Secret(token))
      await store.load(NAME)
      await pause(2500)
      await expect(store.load(NAME)).rejects.toMatchObject({
        code: 'store_denied',
        message: expect.stringContaining('has expired'),
        hint: expect.stringContaining('--store-credential'),
      })
    })

    it('and that is worth nothing is denied', async () => {
      const { place } = await given({ ttl: '1h' })
      const error = await thrown(() => open(place, new Secret('hvs.not-a-token-at-all')).store.check())
      expect(error).toMatchObject({
        code: 'store_denied',
        hint: expect.stringContaining('--store-credential'),
      })
      expect(inspect(error, { depth: 20, showHidden: true })).not.toContain('hvs.not-a-token-at-all')
    })
  })

  describe('a token that we logged in for', () => {
    /** The role's token lives for so long. */
    const short = async (ttl: string, max: string) => {
      const made = await opened(server())
      const role = `auth/approle/role/openclaw-${made.deployment}`
      await server().ask('POST', role, { token_ttl: ttl, token_max_ttl: max })
      let logins = 0
      const { store, redactor } = open(made.place, made.secretId, {
        credential: () => {
          logins += 1
          return made.secretId
        },
      })
      return { ...made, store, redactor, tokens: spied(redactor), logins: () => logins }
    }

    it('is renewed while it is in use', async () => {
      const { store, logins, tokens } = await short('3s', '1h')
      for (let call = 0; call < 9; call += 1) {
        await store.load(NAME)
        await pause(500)
      }
      expect(logins()).toBe(1)
      expect(await alive(some(tokens().at(-1)))).toBe(200)
    })

    it('is followed by another where it cannot be renewed, and each is revoked at the end', async () => {
      const { store, logins, tokens } = await short('2s', '2s')
      for (let call = 0; call < 7; call += 1) {
        await store.load(NAME)
        await pause(400)
      }
      expect(logins()).toBeGreaterThan(1)
      await store.close()
      for (const token of tokens()) expect(await alive(token)).toBe(403)
    })

    it('that somebody revoked is followed by another, and the call goes through', async () => {
      const { store, logins, tokens } = await short('1h', '1h')
      const staged = await store.stage(NAME, value('one-1'), 0)
      await server().ask('POST', 'auth/token/revoke', { token: tokens().at(-1) })
      expect(await Promise.all([store.commit(NAME, 'one-1', staged), store.load('other')])).toEqual([
        2,
        undefined,
      ])
      expect(logins()).toBe(2)
    })

    it('that is really denied something is not followed by another', async () => {
      const { deployment, store, logins } = await short('1h', '1h')
      await store.load(NAME)
      const policy = 'path "auth/token/lookup-self" { capabilities = ["read"] }'
      await server().ask('POST', `sys/policies/acl/openclaw-${deployment}-rotator`, { policy })
      await expect(store.load(NAME)).rejects.toMatchObject({ code: 'store_denied' })
      expect(logins()).toBe(1)
    })
  })

  describe('logging in with a JWT', () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const policy = async () => {
      const { place, deployment } = await opened(server())
      const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
      await server().ask('POST', 'sys/auth/jwt', { type: 'jwt' })
      await server().ask('POST', 'auth/jwt/config', { jwt_validation_pubkeys: [pem] })
      await server().ask('POST', `auth/jwt/role/${deployment}`, {
        ...{ role_type: 'jwt', user_claim: 'sub', bound_audiences: ['vault'], token_ttl: '1h' },
        token_policies: [`openclaw-${deployment}-rotator`],
        token_no_default_policy: true,
      })
      return { ...place, auth: 'jwt', authMount: 'jwt', role: deployment } as const
    }
    const now = () => Math.floor(Date.now() / 1000)

    it('works, and the JWT is read anew at each login', async () => {
      const place = await policy()
      let read = 0
      const credential = () => {
        read += 1
        return jwt(privateKey, { sub: 'host', aud: 'vault', exp: now() + 60, jti: String(read) })
      }
      const { store, redactor } = open(place, new Secret(''), { credential })
      const tokens = spied(redactor)
      expect(await store.check()).toMatch(new RegExp(`as JWT role "${place.role}"$`))
      await server().ask('POST', 'auth/token/revoke', { token: tokens().at(-1) })
      expect(await store.stage(NAME, value('one-1'), 0)).toBe(1)
      expect(read).toBe(2)
    })

    it('that has expired, or is signed by another, is denied without being shown', async () => {
      const place = await policy()
      const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
      for (const token of [
        jwt(privateKey, { sub: 'host', aud: 'vault', exp: now() - 600 }),
        jwt(stranger, { sub: 'host', aud: 'vault', exp: now() + 60 }),
      ]) {
        const error = await thrown(() => open(place, token).store.check())
        expect(error).toMatchObject({ code: 'store_denied', message: expect.stringContaining('this JWT') })
        expect(inspect(error, { depth: 20, showHidden: true })).not.toContain(token.expose())
      }
    })
  })

  describe('a namespace', () => {
    it('holds its own secrets, and another one sees nothing of them', async () => {
      for (const namespace of ['team', 'others'])
        await server().ask('POST', `sys/namespaces/${namespace}`, {})
      const { place, store } = await opened(server(), { namespace: 'team', mount: 'kv' })
      expect(await store.check()).toMatch(/can be read and written/)
      await store.stage(NAME, value('one-1'), 0)
      const other = await opened(server(), { namespace: 'others', mount: 'kv' })
      expect(await other.store.load(NAME)).toBeUndefined()
      const path = `kv/data/${place.path}/${NAME}`
      expect((await server().ask('GET', path, undefined, undefined, 'team')).status).toBe(200)
      expect((await server().ask('GET', path, undefined, undefined, 'others')).status).toBe(404)
    })

    it('that is none is denied, naming the option', async () => {
      const { place, secretId } = await opened(server())
      await expect(open({ ...place, namespace: 'nowhere' }, secretId).store.load(NAME)).rejects.toMatchObject(
        {
          code: 'store_denied',
          hint: expect.stringContaining('--vault-namespace'),
        },
      )
    })
  })
})

/** The tokens of Vault that a redactor has learnt since. */
function spied(redactor: Redactor): () => string[] {
  const tokens: string[] = []
  const learn = redactor.learn.bind(redactor)
  redactor.learn = secret => {
    if (secret.expose().startsWith('s.')) tokens.push(secret.expose())
    return learn(secret)
  }
  return () => tokens
}

/** Has an answer wrapped, by fetch: not through the product. */
async function askWrapped(bao: Bao, path: string, body: object): Promise<string> {
  const answer = await fetch(`${bao.address}/v1/${path}`, {
    method: 'POST',
    headers: { 'X-Vault-Token': bao.root.expose(), 'X-Vault-Wrap-TTL': '60s' },
    body: JSON.stringify(body),
  })
  const { wrap_info } = (await answer.json()) as { wrap_info: { token: string } }
  return wrap_info.token
}

function jwt(key: KeyObject, claims: object): Secret {
  const part = (data: object) => Buffer.from(JSON.stringify(data)).toString('base64url')
  const signed = `${part({ alg: 'ES256', typ: 'JWT' })}.${part(claims)}`
  const signature = sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' })
  return new Secret(`${signed}.${signature.toString('base64url')}`)
}
