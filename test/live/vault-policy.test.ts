/** What the product makes in a real OpenBao, and that nobody it makes can do more than he needs. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Redactor, Secret } from '../../src/secret.ts'
import { bootstrap, bootstrapPlan } from '../../src/stores/vault-bootstrap.ts'
import { thrown } from '../unit/support.ts'
import { type Bao, hasBao, open, opened, startDev, value } from './bao.ts'

const NAME = 'gateway_token'

/** A call: verb, path and body. */
type Try = [method: string, path: string, body?: object]

/** What rotating needs. PATH is the deployment's own, SECRET the document in it. */
const GRANTED: Try[] = [
  ['POST', 'secret/metadata/SECRET', { max_versions: 1 }],
  ['POST', 'secret/data/SECRET', { data: { current: 'a' }, options: { cas: 0 } }],
  ['GET', 'secret/data/SECRET'],
  ['POST', 'secret/data/SECRET', { data: { current: 'b' }, options: { cas: 1 } }],
  ['GET', 'secret/metadata/SECRET'],
  ['DELETE', 'secret/metadata/SECRET'],
  ['GET', 'auth/token/lookup-self'],
  ['POST', 'auth/token/renew-self', {}],
  ['POST', 'sys/capabilities-self', { paths: ['secret/data/SECRET'] }],
  ['POST', 'auth/approle/role/openclaw-DEPLOYMENT/secret-id', {}],
  ['LIST', 'auth/approle/role/openclaw-DEPLOYMENT/secret-id'],
  ['POST', 'auth/approle/role/openclaw-DEPLOYMENT/secret-id/lookup', { secret_id: 'x' }],
]

/** What is next to it. Each would give away, or break, something that rotating has nothing to do with. */
const REFUSED: Record<string, Try[]> = {
  'see which secrets there are': [
    ['LIST', 'secret/metadata/PATH'],
    ['LIST', 'secret/metadata/openclaw'],
    ['LIST', 'secret/metadata'],
  ],
  'reach another deployment’s secrets': [
    ['GET', 'secret/data/openclaw/other/gateway_token'],
    ['POST', 'secret/data/openclaw/other/gateway_token', { data: { current: 'x' } }],
    ['GET', 'secret/metadata/openclaw/other/gateway_token'],
    ['DELETE', 'secret/metadata/openclaw/other/gateway_token'],
    ['GET', 'secret/data/PATH-2/gateway_token'],
    ['GET', 'secret/data/PATH/deeper/gateway_token'],
    ['GET', 'secret/data/PATH'],
  ],
  'bring a retired value back, or delete without a trace of what was there': [
    ['DELETE', 'secret/data/SECRET'],
    ['POST', 'secret/delete/SECRET', { versions: [1] }],
    ['POST', 'secret/undelete/SECRET', { versions: [1] }],
    ['POST', 'secret/destroy/SECRET', { versions: [1] }],
    ['PATCH', 'secret/data/SECRET', { data: { current: 'x' } }],
    ['PATCH', 'secret/metadata/SECRET', { max_versions: 9 }],
    ['GET', 'secret/subkeys/SECRET'],
  ],
  'change the engine': [
    ['GET', 'secret/config'],
    ['POST', 'secret/config', { max_versions: 9 }],
    ['GET', 'sys/mounts'],
    ['POST', 'sys/mounts/evil', { type: 'kv' }],
    ['DELETE', 'sys/mounts/secret'],
  ],
  'give itself more rights (elevation)': [
    ['GET', 'sys/policies/acl/openclaw-DEPLOYMENT-rotator'],
    ['POST', 'sys/policies/acl/openclaw-DEPLOYMENT-rotator', { policy: 'path "*" {}' }],
    ['LIST', 'sys/policies/acl'],
    ['POST', 'auth/token/create', {}],
    ['POST', 'auth/token/create-orphan', {}],
    ['GET', 'auth/approle/role/openclaw-DEPLOYMENT'],
    ['POST', 'auth/approle/role/openclaw-DEPLOYMENT', { token_policies: ['root'] }],
    ['DELETE', 'auth/approle/role/openclaw-DEPLOYMENT'],
    ['LIST', 'auth/approle/role'],
    ['GET', 'auth/approle/role/openclaw-DEPLOYMENT/role-id'],
    ['POST', 'auth/approle/role/openclaw-DEPLOYMENT/role-id', { role_id: 'x' }],
    ...[
      ...['policies', 'token-policies', 'token-ttl', 'token-max-ttl', 'period', 'token-period'],
      ...[
        'bind-secret-id',
        'secret-id-num-uses',
        'secret-id-ttl',
        'secret-id-bound-cidrs',
        'local-secret-ids',
      ],
      ...['bound-cidr-list', 'token-bound-cidrs', 'token-num-uses'],
    ].flatMap((what): Try[] => [
      ['GET', `auth/approle/role/openclaw-DEPLOYMENT/${what}`],
      ['POST', `auth/approle/role/openclaw-DEPLOYMENT/${what}`, { [what.replaceAll('-', '_')]: 0 }],
    ]),
    ['POST', 'sys/auth/evil', { type: 'userpass' }],
    ['POST', 'identity/entity', { name: 'evil' }],
    ['LIST', 'identity/entity/id'],
  ],
  'choose a secret id itself, or do with its own what rotating does not need': [
    ['POST', 'auth/approle/role/openclaw-DEPLOYMENT/custom-secret-id', { secret_id: 'chosen' }],
    ['GET', 'auth/approle/role/openclaw-DEPLOYMENT/secret-id'],
    ['DELETE', 'auth/approle/role/openclaw-DEPLOYMENT/secret-id'],
    ['POST', 'auth/approle/role/openclaw-DEPLOYMENT/secret-id/destroy', { secret_id: 'x' }],
    ['POST', 'auth/approle/role/openclaw-DEPLOYMENT/secret-id-accessor/lookup', { secret_id_accessor: 'x' }],
    ['DELETE', 'auth/approle/role/openclaw-DEPLOYMENT/secret-id-accessor/destroy'],
    ['POST', 'auth/approle/tidy/secret-id'],
  ],
  'touch another role’s secret ids': [
    'openclaw-other',
    'openclaw-DEPLOYMENT-2',
    '+',
    'openclaw-DEPLOYMENT/..',
  ].flatMap((role): Try[] => [
    ['POST', `auth/approle/role/${role}/secret-id`, {}],
    ['LIST', `auth/approle/role/${role}/secret-id`],
    ['POST', `auth/approle/role/${role}/secret-id/lookup`, { secret_id: 'x' }],
    ['POST', `auth/approle/role/${role}/secret-id-accessor/destroy`, { secret_id_accessor: 'x' }],
  ]),
  'touch anybody else’s token': [
    ['POST', 'auth/token/lookup', { token: 'x' }],
    ['POST', 'auth/token/revoke', { token: 'x' }],
    ['LIST', 'auth/token/accessors'],
    ['POST', 'sys/leases/lookup', { lease_id: 'x' }],
  ],
  'hide something, or disturb the server': [
    ['POST', 'cubbyhole/x', { a: 'b' }],
    ['GET', 'cubbyhole/x'],
    ['POST', 'sys/wrapping/wrap', { a: 'b' }],
    ['POST', 'sys/seal'],
    ['POST', 'sys/rotate'],
    ['GET', 'sys/audit'],
    ['POST', 'sys/quotas/rate-limit/evil', { rate: 1 }],
    ['GET', 'sys/config/state/sanitized'],
  ],
}

/** What the gateway's policy is for, and what it is not for. */
const GATEWAY: [Try, status: number][] = [
  [['GET', 'secret/data/SECRET'], 200],
  [['POST', 'secret/data/SECRET', { data: { current: 'x' } }], 403],
  [['GET', 'secret/metadata/SECRET'], 403],
  [['DELETE', 'secret/data/SECRET'], 403],
  [['GET', 'secret/data/PATH/openai_api_key'], 403],
  [['LIST', 'secret/metadata/PATH'], 403],
  [['GET', 'secret/data/openclaw/other/gateway_token'], 403],
  [['GET', 'sys/mounts'], 403],
]

describe.runIf(hasBao())('OpenBao', () => {
  let dev: Bao
  const server = () => dev
  beforeAll(async () => {
    dev = await startDev()
    // What must not be reached is really there: a 403 is no 404 in disguise.
    await dev.ask('POST', 'secret/data/openclaw/other/gateway_token', { data: { current: 'theirs' } })
    await dev.ask('POST', 'sys/auth/approle', { type: 'approle' })
    await dev.ask('POST', 'auth/approle/role/openclaw-other', {})
  })
  afterAll(() => dev.stop())

  /** Fills a row of a table in, and tries it with somebody's token. */
  const trying =
    ({ path, deployment, token }: { path: string; deployment: string; token: string }) =>
    ([method, template, body]: Try) => {
      const fill = (text: string) =>
        text.replace('SECRET', `${path}/${NAME}`).replace('PATH', path).replace('DEPLOYMENT', deployment)
      const filled = body === undefined ? undefined : JSON.parse(fill(JSON.stringify(body)))
      return server().ask(method, fill(template), filled, token)
    }

  const tokenOf = (answer: { body: unknown }) =>
    (answer.body as { auth: { client_token: string } }).auth.client_token

  /** As the rotator: through the AppRole that the bootstrap made. */
  async function rotator() {
    const { place, secretId, deployment } = await opened(server())
    const login = { role_id: place.role, secret_id: secretId.expose() }
    const token = tokenOf(await server().ask('POST', 'auth/approle/login', login, ''))
    return { path: place.path, deployment, token, attempt: trying({ path: place.path, deployment, token }) }
  }

  describe('the rotator’s AppRole', () => {
    it('can do what rotating needs', async () => {
      const { attempt, token } = await rotator()
      for (const one of GRANTED) {
        const { status } = await attempt(one)
        expect(status, one.slice(0, 2).join(' ')).toBeLessThan(300)
      }
      expect((await attempt(['POST', 'auth/token/revoke-self'])).status).toBe(204)
      expect((await server().ask('GET', 'auth/token/lookup-self', undefined, token)).status).toBe(403)
    })

    for (const [what, tries] of Object.entries(REFUSED))
      it(`cannot ${what}: 403`, async () => {
        const { attempt } = await rotator()
        await attempt(['POST', 'secret/data/SECRET', { data: { current: 'a' }, options: { cas: 0 } }])
        const seen = []
        for (const one of tries) seen.push(`${(await attempt(one)).status} ${one.slice(0, 2).join(' ')}`)
        expect(seen).toEqual(tries.map(one => `403 ${one.slice(0, 2).join(' ')}`))
      })

    it('destroys its own secret ids by their accessors, and no other role’s', async () => {
      const { attempt, deployment } = await rotator()
      const made = async (role: string) => {
        const { body } = await server().ask('POST', `auth/approle/role/${role}/secret-id`, {})
        return (body as { data: { secret_id_accessor: string } }).data.secret_id_accessor
      }
      const own = `auth/approle/role/openclaw-${deployment}`
      const destroy = async (accessor: string) =>
        (await attempt(['POST', `${own}/secret-id-accessor/destroy`, { secret_id_accessor: accessor }]))
          .status
      const theirs = await made('openclaw-other')
      expect(await destroy(await made(`openclaw-${deployment}`))).toBe(204)
      expect(await destroy(theirs)).toBe(403)
      const left = await server().ask('LIST', 'auth/approle/role/openclaw-other/secret-id')
      expect(left.body).toMatchObject({ data: { keys: expect.arrayContaining([theirs]) } })
    })

    it('has its policy and no other: not even the default one', async () => {
      const { attempt, deployment } = await rotator()
      expect((await attempt(['GET', 'auth/token/lookup-self'])).body).toMatchObject({
        data: { policies: [`openclaw-${deployment}-rotator`], type: 'service', ttl: expect.any(Number) },
      })
    })
  })

  describe('the gateway’s policy', () => {
    it('reads the gateway’s token and nothing else', async () => {
      const { path, deployment, attempt } = await rotator()
      await attempt(['POST', 'secret/data/SECRET', { data: { current: 'a' }, options: { cas: 0 } }])
      const body = { policies: [`openclaw-${deployment}-gateway`], no_default_policy: true }
      const token = tokenOf(await server().ask('POST', 'auth/token/create', body))
      const asGateway = trying({ path, deployment, token })
      for (const [one, status] of GATEWAY)
        expect((await asGateway(one)).status, one.slice(0, 2).join(' ')).toBe(status)
    })
  })

  describe('the check of a mount', () => {
    it('says when it is KV version 1, which would compare nothing, and nothing is written there', async () => {
      await server().ask('POST', 'sys/mounts/old', { type: 'kv', options: { version: '1' } })
      const { place } = await opened(server())
      const { store } = open({ ...place, mount: 'old', auth: 'token' }, server().root)
      for (const call of [() => store.check(), () => store.stage(NAME, value('one-1'), 0)])
        await expect(call()).rejects.toMatchObject({
          code: 'store_denied',
          message: expect.stringMatching(/old\/.* is version 1, and version 2 is needed/),
          hint: expect.stringContaining('--vault-mount'),
        })
      expect((await server().ask('GET', 'old?list=true')).status).toBe(404)
    })

    it('says when nothing is there, and when it is something else', async () => {
      const { place } = await opened(server())
      for (const [mount, says] of [
        ['nowhere', /nothing is mounted at nowhere\//],
        ['cubbyhole', /there is no KV engine at cubbyhole\//],
      ] as const) {
        const { store } = open({ ...place, mount, auth: 'token' }, server().root)
        const error = await thrown(() => store.check())
        expect(error).toMatchObject({ code: 'store_denied', hint: expect.stringContaining('--vault-mount') })
        expect(error.message).toMatch(says)
      }
    })

    it('names what a role lacks', async () => {
      const { deployment, place, store } = await opened(server())
      const policy = `path "secret/data/${place.path}/+" { capabilities = ["read"] }
        path "sys/capabilities-self" { capabilities = ["update"] }`
      await server().ask('POST', `sys/policies/acl/openclaw-${deployment}-rotator`, { policy })
      await expect(store.check()).rejects.toMatchObject({
        code: 'store_denied',
        message: expect.stringContaining(
          `lacks: create, update on secret/data/${place.path}/+; create, read, update, delete on secret/metadata/${place.path}/+`,
        ),
      })
    })
  })

  describe('the bootstrap', () => {
    it('shows each call and both policies before, and does what it shows', async () => {
      const { place, deployment } = await opened(server(), { mount: 'shown', authMount: 'shown-role' })
      const plan = bootstrapPlan(place)
      for (const kind of ['rotator', 'gateway']) {
        const { body } = await server().ask('GET', `sys/policies/acl/openclaw-${deployment}-${kind}`)
        const { policy } = (body as { data: { policy: string } }).data
        expect(plan.replaceAll(/^ {5}/gm, '')).toContain(policy.trimEnd())
      }
      for (const path of [
        'sys/mounts/shown',
        'sys/auth/shown-role',
        `auth/shown-role/role/openclaw-${deployment}`,
      ])
        expect(plan).toContain(`POST ${path} {`)
      expect(plan).toContain(place.role)
      const role = await server().ask('GET', `auth/shown-role/role/openclaw-${deployment}`)
      expect(role.body).toMatchObject({
        data: {
          ...{ token_policies: [`openclaw-${deployment}-rotator`], token_no_default_policy: true },
          ...{ token_ttl: 600, token_max_ttl: 1800, token_type: 'service' },
          ...{ bind_secret_id: true, secret_id_num_uses: 0 },
        },
      })
    })

    it('can be repeated: nothing stored is lost, and the secret ids before still work', async () => {
      const { place, store } = await opened(server())
      await store.stage(NAME, value('one-1'), 0)
      const again = await bootstrap(place, server().root, new Redactor())
      expect((await open(place, again).store.load(NAME))?.pending?.rotationId).toBe('one-1')
      expect(await store.check()).toMatch(/can be read/)
    })

    it('teaches the redactor the admin token and the secret id', async () => {
      const { place } = await opened(server())
      const redactor = new Redactor()
      const secretId = await bootstrap(place, server().root, redactor)
      expect(redactor.clean(`${secretId.expose()} ${server().root.expose()}`)).toBe('[secret] [secret]')
    })

    it('stops at an engine or a login method of another kind, and leaves it alone', async () => {
      await server().ask('POST', 'sys/mounts/taken', { type: 'kv' })
      await server().ask('POST', 'sys/auth/taken', { type: 'userpass' })
      const { place } = await opened(server())
      for (const more of [{ mount: 'taken' }, { authMount: 'taken' }]) {
        const made = bootstrap({ ...place, ...more }, server().root, new Redactor())
        await expect(made).rejects.toMatchObject({
          code: 'store_denied',
          message: expect.stringMatching(/at taken\/ .* is (kv version 1|userpass), and .* is needed/),
          hint: expect.stringContaining('has been left alone'),
        })
      }
    })

    it('names the path that an admin token may not use', async () => {
      const { place } = await opened(server())
      const policy = `path "sys/mounts" { capabilities = ["read"] }
        path "sys/auth" { capabilities = ["read"] }
        path "auth/approle/role/+/role-id" { capabilities = ["read"] }
        path "secret/metadata/*" { capabilities = ["read"] }`
      await server().ask('POST', 'sys/policies/acl/half-an-admin', { policy })
      const made = await server().ask('POST', 'auth/token/create', { policies: ['half-an-admin'] })
      const admin = new Secret((made.body as { auth: { client_token: string } }).auth.client_token)
      await expect(bootstrap(place, admin, new Redactor())).rejects.toMatchObject({
        code: 'store_denied',
        message: expect.stringMatching(/sys\/policies\/acl\/openclaw-own-\d+-rotator/),
        hint: expect.stringContaining('create and update'),
      })
    })

    it('refuses names that would be more than a name in a policy (injection)', async () => {
      const { place } = await opened(server())
      for (const name of ['a"] }\npath "*" {', '*', '+', 'a/../b', ''])
        expect(() => bootstrapPlan({ ...place, path: name }), name).toThrow('cannot be part of a path')
      expect(() => bootstrapPlan({ ...place, path: 'openclaw/*' })).toThrow('cannot be part of a path')
    })
  })
})
