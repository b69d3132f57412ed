/**
 * node-vault's own transport has seven defects (it leaks, redirects, and believes the environment). Each has its test
 * here, against real servers. Where it says "control", node-vault as it comes is seen to fail: the test can see it.
 */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { inspect, promisify } from 'node:util'
import nodeVault from 'node-vault'
import { rolldown } from 'rolldown'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { Redactor, Secret } from '../../src/secret.ts'
import { VaultClient } from '../../src/stores/vault-client.ts'
import { safeTransport, serverAt } from '../../src/stores/vault-transport.ts'
import { raw, serve } from '../unit/serving.ts'
import { scratch, thrown } from '../unit/support.ts'
import { authority, type Certificate } from '../unit/vault-servers.ts'

const TOKEN = 'hvs.token-nobody-else-has-7f3a'
const VALUE = 'value-nobody-else-has-91cc'
const OK = { body: { data: { data: { current: VALUE }, metadata: { version: 1 } } } }

let ca: ReturnType<typeof authority>
let server: Certificate
beforeAll(() => {
  ca = authority()
  server = ca.sign('server')
})
afterAll(() => ca.remove())

function clientOf(address: string, { pem = '', namespace = '', deadline = 2000 } = {}) {
  const client = new VaultClient({ address, ca: pem, namespace }, new Redactor(), deadline)
  const ask = (more: Partial<Parameters<typeof client.ask>[0]> = {}) =>
    client.ask({
      ...{ method: 'POST', path: 'secret/data/x', body: { data: { current: VALUE } } },
      ...{ token: new Secret(TOKEN), until: client.until(), ...more },
    })
  return { client, ask }
}

/** Everything that printing an error could show. */
function shown(error: Error): string {
  return `${inspect(error, { depth: 20, showHidden: true })} ${JSON.stringify(error)} ${error.stack}`
}

describe('defect 1: an error never holds the token or the value', () => {
  const failures: Record<string, () => Promise<string>> = {
    'a refused connection': async () => {
      const gone = await serve(() => undefined)
      await gone.close()
      return gone.address
    },
    'a connection cut off': async () => (await raw(socket => socket.destroy())).address,
    'an answer cut off': async () =>
      (await raw(socket => socket.end(`HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"a":"${VALUE}`)))
        .address,
    'an answer that echoes the request': async () =>
      (await serve(({ body }) => ({ status: 400, body: `${body}${TOKEN}` }))).address,
    'an answer that is no HTTP': async () => (await raw(socket => socket.end(`${VALUE}\r\n\r\n`))).address,
    'a refusal that holds the value': async () =>
      (await serve(() => ({ status: 500, body: { errors: [`${VALUE} ${TOKEN}`] } }))).address,
  }
  for (const [what, start] of Object.entries(failures))
    it(`after ${what}`, async () => {
      const redactor = new Redactor()
      for (const secret of [TOKEN, VALUE]) redactor.learn(new Secret(secret))
      const client = new VaultClient({ address: await start(), ca: '', namespace: '' }, redactor, 2000)
      const error = await thrown(() =>
        client.ask({
          method: 'POST',
          path: 'secret/data/x',
          body: { data: { current: VALUE } },
          token: new Secret(TOKEN),
          until: client.until(),
        }),
      )
      expect(error).toMatchObject({ code: 'store_unreachable', hint: expect.stringMatching(/\w/) })
      expect(shown(error)).not.toContain(TOKEN)
      expect(shown(error)).not.toContain(VALUE)
    })

  it('control: node-vault as it comes puts both into it', async () => {
    const { address } = await raw(socket => socket.destroy())
    const vault = nodeVault({ endpoint: address, token: TOKEN, debug: () => {} })
    const error = await thrown(() => vault.write('secret/data/x', { data: VALUE }))
    expect(shown(error)).toContain(TOKEN)
    expect(shown(error)).toContain(VALUE)
  })
})

describe('defect 2: the certificate is always verified', () => {
  afterAll(() => vi.unstubAllEnvs())
  for (const skip of ['false', 'true'])
    it(`with VAULT_SKIP_VERIFY=${skip} and NODE_TLS_REJECT_UNAUTHORIZED=0`, async () => {
      vi.stubEnv('VAULT_SKIP_VERIFY', skip)
      vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0')
      const { address, seen } = await serve(() => OK, server)
      for (const pem of ['', ca.stranger().pem]) {
        const error = await thrown(() => clientOf(address, { pem }).ask())
        expect(error).toMatchObject({
          message: expect.stringMatching(/signed by no CA that is trusted here/),
        })
        expect(error).toMatchObject({ hint: expect.stringContaining('--vault-ca') })
      }
      expect(seen).toEqual([])
      expect(await clientOf(address, { pem: ca.ca.pem }).ask()).toMatchObject({ status: 200 })
    })

  it('and a CA of the environment counts for nothing: VAULT_CACERT', async () => {
    vi.stubEnv('VAULT_CACERT', ca.ca.certificate)
    const { address } = await serve(() => OK, server)
    await expect(clientOf(address).ask()).rejects.toMatchObject({ code: 'store_unreachable' })
  })

  it('for its time and for its name, each with a sentence of its own', async () => {
    const [expired, other] = [ca.sign('expired', undefined, -1), ca.sign('other', 'DNS:vault.example')]
    const pem = ca.ca.pem
    for (const [certificate, sentence] of [
      [expired, /has expired/],
      [other, /is for another name than 127\.0\.0\.1/],
    ] as const) {
      const { address, seen } = await serve(() => OK, certificate)
      await expect(clientOf(address, { pem }).ask()).rejects.toThrow(sentence)
      expect(seen).toEqual([])
    }
  })

  it('and a CA that is none is said to be none, before anything is sent', async () => {
    const { address, seen } = await serve(() => OK, server)
    for (const pem of ['x', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'])
      await expect(clientOf(address, { pem }).ask()).rejects.toMatchObject({
        code: 'store_unreachable',
        hint: expect.stringContaining('--vault-ca'),
      })
    expect(seen).toEqual([])
  })
})

describe('defect 3: a redirect is not followed', () => {
  for (const status of [301, 302, 303, 307, 308])
    it(`of HTTP ${status}: the other host sees nothing`, async () => {
      const evil = await serve(() => OK)
      const location = `${evil.address}/v1/secret/data/x?leak=${VALUE}`
      const { address, seen } = await serve(() => ({ status, headers: { Location: location } }))
      const error = await thrown(() => clientOf(address).ask())
      expect(error).toMatchObject({
        code: 'store_unreachable',
        hint: expect.stringContaining('--vault-address'),
      })
      expect(error.message).toContain(`redirects to ${evil.address}, and redirects are not followed`)
      expect(error.message).not.toContain(VALUE)
      expect(evil.seen).toEqual([])
      expect(seen).toHaveLength(1)
    })

  it('control: node-vault as it comes brings the token to it', async () => {
    const evil = await serve(() => OK)
    const { address } = await serve(({ path }) => ({
      status: 307,
      headers: { Location: `${evil.address}${path}` },
    }))
    await nodeVault({ endpoint: address, token: TOKEN, debug: () => {} }).read('secret/data/x')
    expect(evil.seen[0]?.headers['x-vault-token']).toBe(TOKEN)
  })
})

describe('defects 4 and 5: the environment and DEBUG, in a process of its own', () => {
  /** Runs the client as the product has it, bundled, with a hostile environment. */
  async function run(env: Record<string, string>, calls: object[]) {
    const folder = scratch()
    const [entry, program] = [join(folder, 'entry.ts'), join(folder, 'program.mjs')]
    const source = (name: string) => JSON.stringify(resolve(import.meta.dirname, '../../src', name))
    writeFileSync(
      entry,
      `import { Redactor, Secret } from ${source('secret.ts')}
       import { VaultClient } from ${source('stores/vault-client.ts')}
       for (const { place, token, ...request } of JSON.parse(process.argv[2])) {
         // A deadline that nobody waits for: the process has to end by itself, long before.
         const client = new VaultClient({ ca: '', namespace: '', ...place }, new Redactor(), 60_000)
         const secret = token === undefined ? undefined : new Secret(token)
         await client.ask({ ...request, token: secret, until: client.until() })
           .then(answer => console.log('status', answer.status), error => console.log(error.message))
       }`,
    )
    const bundle = await rolldown({ input: entry, platform: 'node', external: /^node:/, logLevel: 'silent' })
    await bundle.write({ file: program, format: 'esm', codeSplitting: false })
    const ran = await promisify(execFile)(process.execPath, [program, JSON.stringify(calls)], {
      env: { PATH: process.env.PATH, ...env },
      timeout: 9000,
    })
    return { lines: ran.stdout.split('\n'), output: ran.stdout + ran.stderr }
  }

  it('nothing is printed, no proxy is used, and no token, address, namespace or prefix is taken from it', async () => {
    const proxy = await raw(() => {})
    const stray = await serve(() => OK)
    const [plain, secure] = [await serve(() => OK), await serve(() => OK, server)]
    const write = { method: 'POST', path: 'secret/data/x', body: { data: { current: VALUE } } }
    const { lines, output } = await run(
      {
        ...{ DEBUG: '*', DEBUG_DEPTH: '9', NODE_USE_ENV_PROXY: '1', VAULT_SKIP_VERIFY: 'false' },
        ...Object.fromEntries(
          ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'http_proxy', 'https_proxy', 'all_proxy'].map(name => [
            name,
            proxy.address,
          ]),
        ),
        ...{ VAULT_TOKEN: 'hvs.of-the-environment', VAULT_NAMESPACE: 'of-the-environment' },
        ...{ VAULT_ADDR: stray.address, VAULT_PREFIX: '/of-the-environment' },
      },
      [
        { ...write, token: TOKEN, place: { address: plain.address } },
        { ...write, place: { address: plain.address } },
        { ...write, token: TOKEN, place: { address: secure.address, ca: ca.ca.pem } },
        { ...write, token: TOKEN, place: { address: secure.address } },
      ],
    )
    expect(lines.slice(0, 3)).toEqual(['status 200', 'status 200', 'status 200'])
    expect(lines[3]).toMatch(/signed by no CA/)
    for (const secret of [TOKEN, VALUE]) expect(output).not.toContain(secret)
    expect([proxy.connections(), stray.seen.length]).toEqual([0, 0])
    expect(secure.seen).toHaveLength(1)
    expect(plain.seen.map(({ path }) => path)).toEqual(['/v1/secret/data/x', '/v1/secret/data/x'])
    expect(plain.seen.map(({ headers }) => headers['x-vault-token'])).toEqual([TOKEN, undefined])
    expect(JSON.stringify(plain.seen)).not.toContain('of-the-environment')
  })
})

describe('defect 4: there is a deadline', () => {
  const hangs: Record<string, (send: (text: string) => void) => void> = {
    'takes the connection and says nothing': () => {},
    'stops within the headers': send => send('HTTP/1.1 200 OK\r\nContent-'),
    'stops after the headers': send => send('HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n'),
    'stops within the body': send => send('HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"data"'),
  }
  for (const [what, start] of Object.entries(hangs))
    it(`for a server that ${what}`, async () => {
      const { address } = await raw(socket => start(text => socket.write(text)))
      const began = performance.now()
      await expect(clientOf(address, { deadline: 100 }).ask()).rejects.toMatchObject({
        code: 'store_unreachable',
        message: `Vault at ${address} did not answer within 0.1 s`,
      })
      expect(performance.now() - began).toBeLessThan(10_000)
    })

  it('for a server that keeps sending, a byte at a time', async () => {
    const { address } = await raw(socket => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
      const timer = setInterval(() => socket.write('1\r\n \r\n'), 10)
      socket.on('close', () => clearInterval(timer))
    })
    await expect(clientOf(address, { deadline: 100 }).ask()).rejects.toThrow('did not answer within 0.1 s')
  })

  it('for a server that never finishes TLS', async () => {
    const { port } = await raw(() => {})
    const asked = clientOf(`https://127.0.0.1:${port}`, { deadline: 100 }).ask()
    await expect(asked).rejects.toThrow('did not answer within 0.1 s')
  })

  it('which several requests share', async () => {
    const { address } = await raw(() => {})
    const { ask } = clientOf(address, { deadline: 60_000 })
    const began = performance.now()
    await expect(ask({ until: performance.now() + 100 })).rejects.toMatchObject({ code: 'store_unreachable' })
    await expect(ask({ until: performance.now() - 1 })).rejects.toMatchObject({ code: 'store_unreachable' })
    expect(performance.now() - began).toBeLessThan(10_000)
  })
})

describe('defect 6: a token is sent with its own request and no other', () => {
  it('after another login, and without one', async () => {
    const { address, seen } = await serve(() => OK)
    const { ask } = clientOf(address, { namespace: 'team' })
    for (const token of ['hvs.first', 'hvs.second', undefined])
      await ask({ token: token === undefined ? undefined : new Secret(token) })
    await ask({ namespace: '' })
    expect(seen.map(({ headers }) => headers['x-vault-token'])).toEqual([
      'hvs.first',
      'hvs.second',
      undefined,
      TOKEN,
    ])
    expect(seen.map(({ headers }) => headers['x-vault-namespace'])).toEqual([
      'team',
      'team',
      'team',
      undefined,
    ])
  })

  it('and the transport leaves the headers it is given as they are', async () => {
    const { address } = await serve(() => OK)
    const headers = Object.freeze({ 'X-Vault-Token': TOKEN })
    const send = safeTransport({ address, ca: '' }).defaults()
    await send({ method: 'POST', uri: `${address}/v1/x`, headers, json: {} })
    expect(headers).toEqual({ 'X-Vault-Token': TOKEN })
  })
})

describe('defect 7: a list is asked for with a verb that every HTTP parser knows', () => {
  it('as GET with list=1', async () => {
    const { address, seen } = await serve(() => OK)
    const transport = safeTransport({ address, ca: '' })
    const options = {
      endpoint: address,
      debug: () => {},
      noCustomHTTPVerbs: true,
      'request-promise': transport,
    }
    await nodeVault(options).list('secret/metadata/x')
    expect(seen.map(({ method, path }) => `${method} ${path}`)).toEqual(['GET /v1/secret/metadata/x?list=1'])
  })
})

describe('the transport', () => {
  it('sends secrets over http to this machine alone, and to no address with a user or of another kind', async () => {
    for (const address of [
      'http://127.0.0.1:1',
      'http://localhost:1',
      'http://[::1]:1',
      'https://vault.example',
    ])
      expect(serverAt(address).href).toMatch(/^http/)
    for (const address of [
      ...['http://vault.example', 'http://10.0.0.1:8200', 'http://127.0.0.1.evil.example', 'http://0.0.0.0'],
      ...['https://user@vault.example', 'https://u:secret-pw@vault.example', 'ftp://127.0.0.1', 'vault', ''],
    ]) {
      const error = await thrown(() => clientOf(address).ask())
      expect(error, address).toMatchObject({ code: 'store_unreachable' })
      expect(error.message).not.toContain('secret-pw')
    }
  })

  it('takes no answer larger than 1 MiB', async () => {
    const { address } = await serve(() => ({ body: `"${'x'.repeat(3 * 1024 * 1024)}"` }))
    await expect(clientOf(address).ask()).rejects.toThrow('more than 1 MiB')
  })

  it('keeps no connection, so that the process can end', async () => {
    const { address, seen } = await serve(() => OK)
    await clientOf(address).ask()
    expect(seen[0]?.headers.connection).toBe('close')
  })

  it('sends no request to another server than its own', async () => {
    const other = await serve(() => OK)
    const send = safeTransport({ address: 'https://vault.example', ca: '' }).defaults()
    await expect(send({ method: 'GET', uri: `${other.address}/v1/x` })).rejects.toThrow('another server')
    expect(other.seen).toEqual([])
  })

  it('says which name cannot be resolved', async () => {
    await expect(clientOf('https://vault.invalid').ask()).rejects.toMatchObject({
      code: 'store_unreachable',
      message: expect.stringMatching(/^the name vault\.invalid cannot be resolved/),
    })
  })

  it('says when there is no TLS on the other side', async () => {
    const { port } = await serve(() => OK)
    await expect(clientOf(`https://127.0.0.1:${port}`).ask()).rejects.toThrow(/no TLS to be had/)
  })

  it('sends no token that would break the request, and does not print it', async () => {
    const { address, seen } = await serve(() => OK)
    const error = await thrown(() => clientOf(address).ask({ token: new Secret(`${TOKEN}\r\nX-Evil: 1`) }))
    expect(error).toMatchObject({ code: 'store_denied' })
    expect(shown(error)).not.toContain(TOKEN)
    expect(seen).toEqual([])
  })

  it('keeps paths plain: nothing in them is encoded, leads upwards or asks for something else', async () => {
    const { address, seen } = await serve(() => OK)
    for (const path of [
      '../sys/seal',
      'secret/../x',
      '/secret',
      'secret//x',
      'secret/x?list=1',
      'secret/%2e',
      '',
    ])
      await expect(clientOf(address).ask({ path }), path).rejects.toThrow('plain segments')
    expect(seen).toEqual([])
  })
})
