/** What the client makes of an answer: each kind of refusal and trouble has its own code, sentence and advice. */
import { describe, expect, it } from 'vitest'
import * as z from 'zod'
import { Redactor, Secret } from '../../src/secret.ts'
import { VaultClient } from '../../src/stores/vault-client.ts'
import { serve } from './serving.ts'
import { some, thrown } from './support.ts'

function clientOf(address: string) {
  const client = new VaultClient({ address, ca: '', namespace: '' }, new Redactor(), 2000)
  const token = new Secret('hvs.token-nobody-else-has-7f3a')
  const ask = () => client.ask({ method: 'GET', path: 'secret/data/x', token, until: client.until() })
  return { client, ask }
}

describe('an answer', () => {
  const answers: Record<string, [Parameters<typeof serve>[0], code: string, says: RegExp]> = {
    'that is a web page': [() => ({ body: '<html>' }), 'store_unreachable', /is not Vault \(HTTP 200\)/],
    'that is nothing, with 404': [() => ({ status: 404 }), 'store_unreachable', /is not Vault \(HTTP 404\)/],
    'of JSON that is not Vault’s, with 403': [
      () => ({ status: 403, body: { message: 'no' } }),
      ...(['store_unreachable', /is not Vault \(HTTP 403\)/] as const),
    ],
    'of a load balancer without Vault': [
      () => ({ status: 502, body: '<h1>Bad gateway</h1>' }),
      ...(['store_unreachable', /answers HTTP 502, and not as Vault does/] as const),
    ],
    'of a limiter before Vault': [() => ({ status: 429, body: 'slow down' }), 'store_limited', /HTTP 429/],
    'of Vault’s own limiter': [
      () => ({ status: 429, body: { errors: ['rate limit quota exceeded'] } }),
      ...(['store_limited', /takes no more requests/] as const),
    ],
    'of a sealed Vault': [
      () => ({ status: 503, body: { errors: ['Vault is sealed'] } }),
      ...(['store_unreachable', /is sealed/] as const),
    ],
    'of a Vault with trouble': [
      () => ({ status: 500, body: { errors: ['local node not active'] } }),
      ...(['store_unreachable', /trouble of its own: HTTP 500, "local node not active"/] as const),
    ],
    'of a standby': [
      () => ({ status: 473, body: { errors: [] } }),
      ...(['store_unreachable', /trouble of its own: HTTP 473/] as const),
    ],
  }
  for (const [what, [answer, code, says]] of Object.entries(answers))
    it(`${what} is ${code}, and says what to do`, async () => {
      const { address } = await serve(answer)
      const error = await thrown(() => clientOf(address).ask())
      expect(error).toMatchObject({ code, exit: 3, hint: expect.stringMatching(/\w{3}/) })
      expect(error.message).toMatch(says)
    })

  it('that refuses names the path and what to allow', async () => {
    const { address } = await serve(() => ({ status: 403, body: { errors: ['permission denied'] } }))
    const { client } = clientOf(address)
    const asked = client.get({ method: 'GET', path: 'secret/data/a/b', until: client.until() }, z.unknown())
    await expect(asked).rejects.toMatchObject({
      code: 'store_denied',
      message: expect.stringContaining('refuses to read secret/data/a/b (HTTP 403)'),
      hint: expect.stringContaining('Allow read on "secret/data/a/b"'),
    })
  })

  it('of another shape than the one that was asked for is not Vault’s', async () => {
    const { address } = await serve(() => ({ body: { data: 1 } }))
    const { client } = clientOf(address)
    const shape = z.object({ data: z.string() })
    const asked = client.get({ method: 'GET', path: 'secret/data/a', until: client.until() }, shape)
    await expect(asked).rejects.toThrow(/is not Vault/)
  })

  it('below the limit arrives whole', async () => {
    const long = 'é'.repeat(100_000)
    const { address } = await serve(() => ({ body: { data: long } }))
    expect(some((await clientOf(address).ask()).body)).toEqual({ data: long })
  })
})
