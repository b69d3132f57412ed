import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { resolve } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Secret } from '../../src/secret.ts'
import { failureOf } from '../../src/stores/onepassword-items.ts'
import {
  bundledChild,
  clientOf,
  NAME,
  onePasswordServer,
  realRunner,
  refused,
  tokenOf,
} from '../contract/onepassword-server.ts'

/** Logs in with each token it is given, through the real WASM core, and prints what that says. */
const PROGRAM = `
const { createClient } = require('@1password/sdk')
let text = ''
process.stdin.on('data', chunk => { text += chunk }).on('end', async () => {
  const said = []
  for (const auth of JSON.parse(text))
    said.push(await createClient({ auth, integrationName: 'test', integrationVersion: '0' }).then(
      () => 'it went through',
      error => error.message,
    ))
  process.stdout.write(JSON.stringify(said))
  process.exit()
})`

async function says(tokens: string[]): Promise<string[]> {
  const { stdout } = await realRunner()(process.execPath, ['-e', PROGRAM], {
    input: new Secret(JSON.stringify(tokens)),
    cwd: resolve(import.meta.dirname, '../..'),
    deadline: 25_000,
  })
  return JSON.parse(stdout)
}

const random = (bytes: number, encoding: 'hex' | 'base64url' = 'base64url') =>
  randomBytes(bytes).toString(encoding)

/** A token that is whole, of an account that there is not. */
const tokenFor = (signInAddress: string) =>
  tokenOf({
    signInAddress,
    userAuth: { method: 'SRPg-4096', alg: 'PBES2g-HS256', iterations: 1000, salt: random(16) },
    email: 'nobody@1passwordserviceaccounts.com',
    srpX: random(32, 'hex'),
    muk: { alg: 'A256GCM', ext: true, k: random(32), key_ops: ['decrypt', 'encrypt'], kty: 'oct', kid: 'mp' },
    secretKey: 'A3-C4ZJMN-PQTZTL-HGL84-G64M7-KVZRN-4ZVP6',
    throttleSecret: { seed: random(32, 'hex'), uuid: 'ABCDEFGHIJKLMNOPQRSTUVWXYZ' },
    deviceUuid: 'abcdefghijklmnopqrstuvwxyz',
  }).expose()

const LOGIN = 'authentication error: '
const INVALID =
  'invalid service account token, please make sure you provide a valid service account token as parameter:  '
const REQWEST = `${LOGIN}request library compatibility issue, check that the your environment uses compatible versions: reqwest library: error sending request`

describe('the texts of 1Password’s library, which our errors are made from,', { timeout: 30_000 }, () => {
  it('are the known ones for tokens that are none', async () => {
    const cases: Record<string, string> = {
      hello: 'invalid user input: encountered the following errors: service account token had invalid format',
      ops_: `${INVALID}service account deserialization failed, please create another token`,
      'ops_****': `${INVALID}service account token base64 decoding failed, please create another token`,
      ops_aGVsbG8: `${INVALID}service account deserialization failed, please create another token`,
      ops_e30: `${INVALID}service account deserialization failed, please create another token`,
    }
    const said = await says(Object.keys(cases))
    expect(said).toEqual(Object.values(cases))
    expect(said.map(failureOf)).toEqual(said.map(() => 'unauthenticated'))
  })

  it('are the known one for a host that has no address, and for one where nobody listens', async () => {
    const said = await says([tokenFor('https://nobody.invalid'), tokenFor('http://127.0.0.1:1')])
    expect(said).toEqual([REQWEST, REQWEST])
    expect(said.map(failureOf)).toEqual(['unreachable', 'unreachable'])
  })

  describe('for what a server answers', () => {
    const cases: [status: number, text: string, failure: string][] = [
      [401, `${LOGIN}you are not authenticated`, 'unauthenticated'],
      [403, `${LOGIN}you don't have the right permissions to access this resource`, 'unauthenticated'],
      [404, `${LOGIN}resource not found`, 'unauthenticated'],
      [408, `${LOGIN}request timeout`, 'unreachable'],
      [
        409,
        `${LOGIN}a conflict occurred on the server. this usually happens due to a race condition in requests`,
        'trouble',
      ],
      [429, `${LOGIN}rate limit exceeded`, 'limited'],
      [500, `${LOGIN}internal server error`, 'trouble'],
      [503, `${LOGIN}unexpected status code in response: 503 Service Unavailable`, 'trouble'],
      [
        200,
        `${LOGIN}bad service account token, please rotate it: invalid user auth parameters within token`,
        'unauthenticated',
      ],
    ]
    const asked: string[] = []
    const server = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`)
      const [status] = cases[asked.length - 1] ?? [418]
      response.writeHead(status, { 'content-type': 'application/json' }).end('{}')
    })
    let said: string[] = []
    beforeAll(async () => {
      await new Promise<void>(ready => server.listen(0, '127.0.0.1', ready))
      const { port } = server.address() as AddressInfo
      said = await says(cases.map(() => tokenFor(`http://127.0.0.1:${port}`)))
    }, 30_000)
    afterAll(() => void server.close())

    it.each(cases.map((one, index) => [...one, index] as const))('%i: %s', (_, text, failure, index) => {
      expect(said[index]).toBe(text)
      expect(failureOf(said[index])).toBe(failure)
    })

    it('and it asks whatever address stands in the token, once and without encryption: which is why we look first', () => {
      expect(asked).toEqual(cases.map(() => 'POST /api/v3/auth/start'))
    })
  })
})

describe('1Password’s library in our program, on a network that', { timeout: 30_000 }, () => {
  let program: Awaited<ReturnType<typeof bundledChild>>
  beforeAll(async () => {
    program = await bundledChild()
  }, 60_000)
  afterAll(() => program.remove())

  it.each([
    [
      'is not there',
      `()=>Promise.reject(new TypeError('fetch failed'))`,
      'cannot reach 1Password at my.1password.com',
    ],
    ['never answers', '()=>new Promise(done=>setTimeout(done,1e6))', '1Password did not answer within 3 s'],
    [
      'answers with what makes the core panic',
      `async()=>new Response('{}')`,
      'the library that talks to 1Password ended without an answer',
    ],
  ])('%s is a store that cannot be reached', async (_, fetch, message) => {
    const secret = tokenFor('https://my.1password.com')
    const { documents } = clientOf(onePasswordServer(), {
      run: realRunner(),
      child: ['--import', `data:text/javascript,globalThis.fetch=${fetch}`, program.script],
      credential: () => new Secret(secret),
      deadline: 3000,
    })
    const error = await refused(documents.read(NAME))
    expect(error).toMatchObject({ code: 'store_unreachable', message })
    expect(inspect(error, { depth: 20, showHidden: true })).not.toContain(secret)
  })
})
