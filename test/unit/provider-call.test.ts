import { inspect } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { describeProblem } from '../../src/errors.ts'
import { acceptedStatus, callWithKey, providerCallProblems } from '../../src/gateway/provider-call.ts'
import { Secret } from '../../src/secret.ts'
import { raw, serve } from './serving.ts'
import { some, thrown } from './support.ts'
import { authority, type Certificate, freePorts } from './vault-servers.ts'

const KEY = 'sk-live-nobody-else-has-4f9a8b7c6d5e'
const key = new Secret(KEY)

/** Everything that printing an error could show. */
function shown(error: Error): string {
  return `${inspect(error, { depth: 20, showHidden: true })} ${JSON.stringify(error)} ${error.stack}`
}

describe('a call with a key', () => {
  it('asks once, with the key where keys usually are, and tells the status', async () => {
    const server = await serve(() => ({ body: { data: [] } }))
    expect(await callWithKey(`${server.address}/v1/models?limit=1#x`, undefined, key)).toEqual({
      status: 200,
    })
    expect(server.seen).toEqual([
      {
        ...{ method: 'GET', path: '/v1/models?limit=1', body: '' },
        headers: expect.objectContaining({
          authorization: `Bearer ${KEY}`,
          'user-agent': 'create-openclaw-secure',
        }),
      },
    ])
  })

  it('has the bare key in another header, where one is named', async () => {
    const server = await serve(() => ({}))
    await callWithKey(server.address, 'X-Api-Key', key)
    expect(server.seen[0]?.headers).toMatchObject({ 'x-api-key': KEY })
    expect(server.seen[0]?.headers).not.toHaveProperty('authorization')
  })

  it.each([204, 301, 302, 307, 308, 400, 401, 403, 404, 429, 500])('takes %i for an answer', async status => {
    const elsewhere = await serve(() => ({}))
    const server = await serve(() => ({ status, headers: { location: elsewhere.address } }))
    expect(await callWithKey(server.address, undefined, key)).toEqual({ status })
    expect(elsewhere.seen).toEqual([])
  })

  it('does not wait for the rest of an answer, however long it is', async () => {
    const server = await raw(socket => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n')
      socket.write('x'.repeat(1_000_000))
    })
    const began = performance.now()
    expect(await callWithKey(server.address, undefined, key)).toEqual({ status: 200 })
    expect(performance.now() - began).toBeLessThan(10_000)
  })
})

describe('a call over TLS', () => {
  let ca: ReturnType<typeof authority>
  let signed: Certificate
  beforeAll(() => {
    ca = authority()
    signed = ca.sign('server')
  })
  afterAll(() => ca.remove())
  afterEach(() => void vi.unstubAllEnvs())

  it.each([undefined, '0'])(
    'is refused where nobody trusted signed, with NODE_TLS_REJECT_UNAUTHORIZED=%s',
    async value => {
      vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', value)
      for (const certificate of [signed, ca.stranger()]) {
        const server = await serve(() => ({}), certificate)
        const error = await thrown(() => callWithKey(server.address, undefined, key))
        expect(error).toMatchObject({
          code: 'provider_unreachable',
          message: expect.stringMatching(/UNABLE_TO_VERIFY|SELF_SIGNED/),
          hint: expect.stringContaining('NODE_EXTRA_CA_CERTS'),
        })
        expect(shown(error)).not.toContain(KEY)
        expect(server.seen).toEqual([])
      }
    },
  )

  it('says so where there is no TLS to be had', async () => {
    const server = await serve(() => ({}))
    const url = server.address.replace('http:', 'https:')
    expect(await thrown(() => callWithKey(url, undefined, key))).toMatchObject({
      code: 'provider_unreachable',
    })
  })
})

describe('a call that fails', () => {
  it('because nothing listens', async () => {
    const url = `http://127.0.0.1:${await freePorts()}/models?k=also-not-shown`
    const error = await thrown(() => callWithKey(url, undefined, key))
    expect(error).toMatchObject({
      code: 'provider_unreachable',
      exit: 3,
      message: expect.stringContaining('ECONNREFUSED'),
    })
    for (const part of [KEY, 'also-not-shown']) expect(shown(error)).not.toContain(part)
  })

  it('because no answer comes in time', async () => {
    const server = await serve(() => undefined)
    const began = performance.now()
    const error = await thrown(() => callWithKey(server.address, undefined, key, { deadline: 200 }))
    expect(error).toMatchObject({ code: 'provider_unreachable', message: expect.stringContaining('0.2 s') })
    expect(performance.now() - began).toBeLessThan(10_000)
    expect(shown(error)).not.toContain(KEY)
  })

  it.each<[string, string]>([
    ['is cut off', ''],
    ['is no HTTP', `${KEY}\r\n\r\n`],
    ['is half a head', `HTTP/1.1 200 OK\r\nx: ${KEY}`],
  ])('because the answer %s', async (_, text) => {
    const server = await raw(socket => socket.end(text))
    const error = await thrown(() => callWithKey(server.address, undefined, key))
    expect(error).toMatchObject({ code: 'provider_unreachable' })
    expect(shown(error)).not.toContain(KEY)
  })

  it('because the key cannot stand in a header, before anything is sent', async () => {
    const server = await serve(() => ({}))
    for (const unfit of [`${KEY}\nx: y`, `${KEY}\u0000`, `${KEY}→`]) {
      const error = await thrown(() => callWithKey(server.address, 'x-api-key', new Secret(unfit)))
      expect(error).toMatchObject({ code: 'provider_key_unfit' })
      expect(shown(error)).not.toContain(KEY)
    }
    expect(server.seen).toEqual([])
  })

  it('because it must not be made: nothing is sent', async () => {
    for (const [url, header] of [
      ['http://api.openai.com/v1/models', undefined],
      ['ftp://127.0.0.1/', undefined],
      ['http://127.0.0.1:1/', 'host'],
    ] as const)
      expect(await thrown(() => callWithKey(url, header, key))).toMatchObject({ code: 'usage', exit: 2 })
  })
})

describe('what a status says about the key', () => {
  it.each<[number[], string]>([
    [[200, 201, 204, 299], 'accepted'],
    [[401, 403], 'refused'],
    [[0, 100, 199, 300, 302, 400, 402, 404, 407, 429, 500, 503], 'unknown'],
  ])('%j: %s', (statuses, verdict) => {
    for (const status of statuses) expect(acceptedStatus(status)).toBe(verdict)
  })
})

describe('the flags that name the call', () => {
  const problems = (url?: string, header?: string) => providerCallProblems(url, header).map(describeProblem)

  it('are good', () => {
    for (const url of [
      'https://api.openai.com/v1/models',
      'https://llm.example:8443/v1?x=y',
      'http://127.0.0.1:11434/',
      'http://localhost/',
      'http://[::1]:80/',
      'http://10.1.2.3/',
      'http://192.168.0.9/',
      'http://llm.internal/',
    ])
      expect(problems(url)).toEqual([])
    for (const header of ['x-api-key', 'Authorization', 'api_key', "!#$%&'*+-.^_`|~"])
      expect(problems('https://llm.example', header)).toEqual([])
    expect(problems()).toEqual([])
  })

  it.each([
    ['', 'https://HOST'],
    ['api.openai.com/v1', 'https://HOST'],
    ['ftp://llm.example', 'https://HOST'],
    ['file:///etc/passwd', 'https://HOST'],
    [KEY, 'https://HOST'],
    [`https://user:${KEY}@llm.example/`, 'without a user'],
    [`https://${KEY}@llm.example/`, 'without a user'],
    [`http://llm.example/?key=${KEY}`, 'private address'],
    [`http://8.8.8.8/${KEY}`, 'private address'],
    [`http://172.32.0.1/${KEY}`, 'private address'],
  ])('refuse the URL %j, without what may be the key', (url, allowed) => {
    const [problem, ...more] = problems(url)
    expect(more).toEqual([])
    expect(some(problem)).toContain(allowed)
    expect(problem).toContain('--prove-url')
    expect(problem).not.toContain(KEY)
  })

  it.each(['', 'x api', 'x:y', 'x\r\ny', `x-api-key: ${KEY}`, 'schlüssel', 'x'.repeat(101)])(
    'refuse %j as the name of a header, without repeating it',
    header => {
      expect(problems('https://llm.example', header)).toEqual([
        expect.stringContaining('the name of a header'),
      ])
      expect(problems('https://llm.example', header).join()).not.toContain(KEY)
    },
  )

  it.each([
    'Host',
    'content-length',
    'Transfer-Encoding',
    'connection',
    'proxy-authorization',
    'user-agent',
    'Referer',
    'te',
    'expect',
  ])('refuse the header %s, which is not for keys', header => {
    expect(problems('https://llm.example', header)).toEqual([expect.stringContaining('meant for a key')])
  })

  it('are all judged at once, and a header needs its URL', () => {
    expect(problems('nonsense', 'host')).toHaveLength(2)
    expect(problems(undefined, 'x-api-key')).toEqual([expect.stringContaining('only with --prove-url')])
  })
})
