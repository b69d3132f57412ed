/** What can go wrong between a store and its server: each with what it says, what to do about it, and nothing lost. */
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { Redactor, Secret } from '../../src/secret.ts'
import type { VaultPlace } from '../../src/stores/vault.ts'
import { bootstrap } from '../../src/stores/vault-bootstrap.ts'
import { thrown } from '../unit/support.ts'
import { type Answers, authority, fakeServer, forwarder, rawServer } from '../unit/vault-servers.ts'
import { hasBao, madePlace, open, opened, type Sealable, startSealable, value } from './bao.ts'
import { patience } from './harness.ts'

const NAME = 'gateway_token'
const SECRET_ID = new Secret('5f0e6c1a-secret-id-of-the-tests')
const FAKE: Omit<VaultPlace, 'address'> = {
  ...{ ca: '', namespace: '', mount: 'secret', path: 'openclaw/x' },
  ...{ auth: 'approle', authMount: 'approle', role: 'role-id' },
}

/** Says what is wrong and what to do, with exit code 3, and holds nothing secret. */
function expectFault(error: Error, code: string, message: RegExp, hint: RegExp, secrets: Secret[] = []) {
  expect(error).toMatchObject({ code, exit: 3 })
  expect(error.message).toMatch(message)
  expect('hint' in error ? error.hint : '').toMatch(hint)
  const all = `${inspect(error, { depth: 20, showHidden: true })} ${JSON.stringify(error)}`
  for (const secret of [SECRET_ID, value('one-1').value, value('two-2').value, ...secrets])
    expect(all).not.toContain(secret.expose())
}

/** A server that is Vault up to the documents, and has the fault there. */
async function faulty(fault: Answers) {
  const running = await fakeServer(seen => {
    if (seen.path === '/v1/auth/approle/login')
      return { body: { auth: { client_token: 'hvs.fake-token', lease_duration: 600, renewable: true } } }
    if (seen.path === '/v1/sys/internal/ui/mounts/secret')
      return { body: { data: { type: 'kv', path: 'secret/', options: { version: '2' } } } }
    if (seen.path === '/v1/auth/token/revoke-self') return { status: 204 }
    return fault(seen)
  })
  onTestFinished(running.close)
  return { ...running, ...open({ ...FAKE, address: running.address }, SECRET_ID, { deadline: 2000 }) }
}

describe('a server that is not as it should be', () => {
  const healthy = { initialized: true, sealed: false, standby: false, version: '2.7.2' }
  const faults: Record<string, [fault: Answers, code: string, message: RegExp, hint: RegExp]> = {
    'has an error of its own (5xx)': [
      () => ({ status: 500, body: { errors: ['local node not active but active cluster node not found'] } }),
      'store_unreachable',
      /has trouble of its own: HTTP 500, "local node not active/,
      /server’s own log.*nothing stored is lost/,
    ],
    'is behind a proxy that cannot reach it': [
      () => ({ status: 502, body: '<html>Bad Gateway</html>' }),
      'store_unreachable',
      /answers HTTP 502, and not as Vault does/,
      /proxy or load balancer/,
    ],
    'answers garbage': [
      () => ({ body: '\u0000\u0001{"data":' }),
      'store_unreachable',
      /is not Vault \(HTTP 200\)/,
      /--vault-address/,
    ],
    'answers JSON that is not Vault’s': [
      () => ({ body: { ok: true } }),
      'store_unreachable',
      /is not Vault \(HTTP 200\)/,
      /--vault-address/,
    ],
    'knows nothing of Vault’s paths': [
      () => ({ status: 404, body: { error: 'not found' } }),
      'store_unreachable',
      /is not Vault \(HTTP 404\)/,
      /--vault-address/,
    ],
    'limits requests': [
      () => ({ status: 429, body: '' }),
      'store_limited',
      /takes no more requests at the moment/,
      /Wait a minute/,
    ],
  }
  for (const [what, [fault, code, message, hint]] of Object.entries(faults))
    it(`${what}: ${code}`, async () => {
      const { store } = await faulty(fault)
      for (const call of [() => store.load(NAME), () => store.stage(NAME, value('one-1'), 0)])
        expectFault(await thrown(call), code, message, hint)
    })

  it('redirects to another host: that one receives nothing, neither token nor secret (disclosure)', async () => {
    const evil = await fakeServer(() => ({ body: {} }))
    onTestFinished(evil.close)
    const { store } = await faulty(({ path }) => ({
      status: 307,
      headers: { Location: `${evil.address}${path}` },
    }))
    for (const call of [() => store.load(NAME), () => store.destroy(NAME), () => store.check()])
      expectFault(
        await thrown(call),
        'store_unreachable',
        new RegExp(`redirects to ${evil.address}, and redirects are not followed`),
        /Name the active node with --vault-address/,
      )
    expect(evil.seen).toEqual([])
  })

  const states: Record<string, [health: object, status: number, message: RegExp, hint: RegExp]> = {
    'is sealed': [{ ...healthy, sealed: true, standby: true }, 503, /is sealed$/, /bao operator unseal/],
    'is not initialized': [
      { ...healthy, initialized: false, sealed: true },
      ...([501, /is not initialized$/, /bao operator init/] as const),
    ],
    'stands by': [
      { ...healthy, standby: true },
      ...([429, /standby node; the active one says it is https:\/\/active\.example:8200$/] as const),
      /name the active node with --vault-address/,
    ],
    'is there for disasters only': [
      { ...healthy, standby: true, replication_dr_mode: 'secondary' },
      ...([472, /disaster recovery secondary/, /primary cluster with --vault-address/] as const),
    ],
  }
  for (const [what, [health, status, message, hint]] of Object.entries(states))
    it(`${what}: the check says so before it logs in`, async () => {
      const { store, seen } = await faulty(({ path }) =>
        path === '/v1/sys/health'
          ? { status, body: health }
          : { body: { leader_address: 'https://active.example:8200' } },
      )
      expectFault(await thrown(() => store.check()), 'store_unreachable', message, hint)
      expect(seen.map(({ path }) => path).filter(path => path.includes('login'))).toEqual([])
    })
})

describe('a server that hangs', () => {
  it('as soon as it is connected to, or after the headers, is given up after 15 s, by every call', async () => {
    const headers = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n'
    const servers = await Promise.all(['', headers].map(sends => rawServer(socket => socket.write(sends))))
    onTestFinished(async () => {
      await Promise.all(servers.map(server => server.close()))
    })
    const began = performance.now()
    const errors = await Promise.all(
      servers.flatMap(({ address }) => {
        const { store } = open({ ...FAKE, address }, SECRET_ID)
        return [
          () => store.load(NAME),
          () => store.stage(NAME, value('one-1'), 0),
          () => store.destroy(NAME),
          () => store.check(),
        ].map(thrown)
      }),
    )
    const took = performance.now() - began
    for (const error of errors)
      expectFault(error, 'store_unreachable', /did not answer within 15 s$/, /Nothing stored is lost/)
    expect(took).toBeGreaterThan(14_500)
    expect(took).toBeLessThan(patience(17_000))
  })
})

describe('an address', () => {
  it('of plain http elsewhere is refused, and nothing is sent', async () => {
    const { store } = open({ ...FAKE, address: 'http://vault.example:8200' }, SECRET_ID)
    expectFault(
      await thrown(() => store.load(NAME)),
      'store_unreachable',
      /secrets are not sent to http:\/\/vault\.example:8200/,
      /https:\/\/ address with --vault-address/,
    )
  })

  it('whose name cannot be resolved says so', async () => {
    const { store } = open({ ...FAKE, address: 'https://vault.invalid:8200' }, SECRET_ID)
    expectFault(
      await thrown(() => store.load(NAME)),
      'store_unreachable',
      /the name vault\.invalid cannot be resolved \((ENOTFOUND|EAI_AGAIN)\)/,
      /--vault-address/,
    )
  })
})

describe.runIf(hasBao())('OpenBao with TLS and a private CA', () => {
  let bao: Sealable
  beforeAll(async () => {
    bao = await startSealable()
  })
  afterAll(() => bao.stop())

  /** A store with `one-1` current and `two-2` staged. */
  async function staged() {
    const made = await opened(bao, {}, { deadline: 5000 })
    const { store } = made
    const one = await store.commit(NAME, 'one-1', await store.stage(NAME, value('one-1'), 0))
    return { ...made, revision: await store.stage(NAME, value('two-2'), one) }
  }

  /** Both values are still there, and the commit goes through with the store that saw the fault. */
  async function expectNothingLost({ store, revision }: Awaited<ReturnType<typeof staged>>) {
    expect(await store.load(NAME)).toMatchObject({
      revision,
      current: { rotationId: 'one-1' },
      pending: { rotationId: 'two-2' },
    })
    expect(await store.commit(NAME, 'two-2', revision)).toBe(revision + 1)
    const { current, previous } = (await store.load(NAME)) ?? {}
    expect(current?.value.expose()).toBe(value('two-2').value.expose())
    expect(previous?.value.expose()).toBe(value('one-1').value.expose())
  }

  it('down in mid-operation: nothing listens, and after it is back the commit goes through', async () => {
    const line = await forwarder(bao.port)
    onTestFinished(line.close)
    const { place, secretId } = await madePlace(bao, 'down')
    const { store } = open({ ...place, address: `https://127.0.0.1:${line.port}` }, secretId)
    const one = await store.commit(NAME, 'one-1', await store.stage(NAME, value('one-1'), 0))
    const revision = await store.stage(NAME, value('two-2'), one)
    const back = await line.refuse()
    expectFault(
      await thrown(() => store.commit(NAME, 'two-2', revision)),
      'store_unreachable',
      new RegExp(`nothing listens at https://127\\.0\\.0\\.1:${line.port}`),
      /Start Vault/,
    )
    await back()
    expect(await store.commit(NAME, 'two-2', revision)).toBe(revision + 1)
  })

  it('stopped in mid-operation: given up in time, and after it goes on the commit goes through', async () => {
    const here = await staged()
    bao.freeze()
    const error = await thrown(() => here.store.commit(NAME, 'two-2', here.revision)).finally(bao.thaw)
    expectFault(error, 'store_unreachable', /did not answer within 5 s/, /Nothing stored is lost/)
    await expectNothingLost(here)
  })

  it('sealed in mid-operation: says how to unseal it, and after that the commit goes through', async () => {
    const here = await staged()
    await bao.seal()
    for (const call of [() => here.store.commit(NAME, 'two-2', here.revision), () => here.store.check()])
      expectFault(
        await thrown(call),
        'store_unreachable',
        /is sealed/,
        /bao operator unseal, or vault operator unseal.*Nothing stored is lost/,
      )
    await bao.unseal()
    await expectNothingLost(here)
  })

  it('with the permission removed in mid-operation: names the path, and after it is given back all goes on', async () => {
    const here = await staged()
    const { place, deployment } = here
    await bao.ask('DELETE', `sys/policies/acl/openclaw-${deployment}-rotator`)
    expectFault(
      await thrown(() => here.store.commit(NAME, 'two-2', here.revision)),
      'store_denied',
      new RegExp(`refuses to read secret/data/${place.path}/${NAME} \\(HTTP 403\\)`),
      new RegExp(`Allow read on "secret/data/${place.path}/${NAME}" in the policy`),
    )
    await bootstrap(place, bao.root, new Redactor())
    await expectNothingLost(here)
  })

  it('with a second writer between our look and our write: one of them is told, and nothing is overwritten', async () => {
    const here = await staged()
    const { documents, store, revision } = here
    const found = await documents.read(NAME)
    await store.rollback(NAME, 'two-2', revision)
    expectFault(
      await thrown(() => documents.write(NAME, { ...found, pending: value('two-2') }, revision)),
      'store_conflict',
      /was changed by somebody else in the meantime/,
      /Run the command again/,
    )
    const after = await store.load(NAME)
    expect(after).toMatchObject({ revision: revision + 1, current: { rotationId: 'one-1' } })
    expect(after?.pending).toBeUndefined()
  })

  it('with a rate limit: says to wait, and afterwards the commit goes through', async () => {
    const here = await staged()
    await bao.ask('POST', 'sys/quotas/rate-limit/tests', { path: 'secret/', rate: 1, interval: '60s' })
    await here.store.load(NAME)
    expectFault(
      await thrown(() => here.store.commit(NAME, 'two-2', here.revision)),
      'store_limited',
      /takes no more requests at the moment \(HTTP 429\)/,
      /Wait a minute/,
    )
    await bao.ask('DELETE', 'sys/quotas/rate-limit/tests')
    await expectNothingLost(here)
  })

  it('with a certificate of another CA, or one that only the private CA vouches for: nothing is sent', async () => {
    const { place, secretId } = await madePlace(bao, 'ca')
    const other = authority()
    onTestFinished(other.remove)
    for (const ca of [other.ca.pem, ''])
      expectFault(
        await thrown(() => open({ ...place, ca }, secretId).store.load(NAME)),
        'store_unreachable',
        /is signed by no CA that is trusted here/,
        /--vault-ca FILE/,
        [secretId],
      )
  })

  // The last one: with its second node gone, the cluster has no majority any more.
  it('standing by for another node: the check names the active one', { timeout: 60_000 }, async () => {
    const standby = await bao.join()
    onTestFinished(standby.stop)
    const { place, secretId } = await madePlace(bao, 'standby')
    const { store } = open({ ...place, address: standby.address }, secretId)
    expectFault(
      await thrown(() => store.check()),
      'store_unreachable',
      new RegExp(`is a standby node; the active one says it is ${bao.address}`),
      /name the active node with --vault-address/,
    )
  })
})
