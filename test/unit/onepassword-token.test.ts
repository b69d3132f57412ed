import { inspect } from 'node:util'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Exit, ToolError } from '../../src/errors.ts'
import { Secret } from '../../src/secret.ts'
import { inspectServiceAccount } from '../../src/stores/onepassword-token.ts'

const CONTENT = {
  signInAddress: 'https://my.1password.com',
  userAuth: { method: 'SRPg-4096', alg: 'PBES2g-HS256', iterations: 650_000, salt: 'c2FsdA' },
  email: 'abc123@1passwordserviceaccounts.com',
  srpX: 'f00d'.repeat(16),
  muk: { alg: 'A256GCM', k: 'bXVrLW11ay1tdWs' },
  secretKey: 'A3-ABCDEF-GHIJKL-MNOPQ-RSTUV-WXYZ0-12345',
  throttleSecret: { seed: 'a1b2c3d4', uuid: 'QWERTY' },
  deviceUuid: 'asdfghjkl',
}

const encode = (content: unknown) => `ops_${Buffer.from(JSON.stringify(content)).toString('base64url')}`
const at = (signInAddress: unknown) => encode({ ...CONTENT, signInAddress })
const inspected = (text: string) => inspectServiceAccount(new Secret(text))

function refusal(text: string): ToolError {
  try {
    inspected(text)
  } catch (error) {
    if (error instanceof ToolError) return error
    throw error
  }
  throw new Error('it was accepted')
}

describe('a service account token', () => {
  it('tells the account and the host without anybody being asked', () => {
    expect(inspected(encode(CONTENT))).toEqual({ email: CONTENT.email, host: 'my.1password.com' })
  })

  it.each([
    ['https://my.1password.com', 'my.1password.com'],
    ['https://my.1password.com/', 'my.1password.com'],
    ['my.1password.com', 'my.1password.com'],
    ['my.1password.eu', 'my.1password.eu'],
    ['https://team.1password.ca', 'team.1password.ca'],
    ['https://a-b.ent.1password.com', 'a-b.ent.1password.com'],
    ['https://1password.com', '1password.com'],
    ['HTTPS://My.1Password.COM', 'my.1password.com'],
  ])('may lead to 1Password: %s', (address, host) => {
    expect(inspected(at(address)).host).toBe(host)
  })

  it.each([
    'https://evil.example',
    'https://evil1password.com',
    'https://my.evil1password.com',
    'https://1password.com.evil.example',
    'https://my.1password.com.evil.example/',
    'https://my.1password.community',
    'https://my.1password.com.',
    'https://my.1password.co',
    'https://my.1password.test',
    'https://my.b5test.com',
    'https://user@my.1password.com',
    'https://user:pass@my.1password.com',
    'https://my.1password.com@evil.example',
    'https://my.1password.com:443',
    'https://my.1password.com:8443/',
    'my.1password.com:8443',
    'https://my.1password.com/path',
    'https://evil.example/my.1password.com',
    'https://evil.example#my.1password.com',
    'https://evil.example?my.1password.com',
    'https://evil.example\\my.1password.com',
    'https://my.1password.com\\@evil.example',
    'https://my.1password.com%2eevil.example',
    'https://my.1password.com\n.evil.example',
    'https://my.1password.com\u0000',
    ' https://my.1password.com',
    'https:my.1password.com',
    'https:////my.1password.com',
    '//my.1password.com',
    'https://my.1passwoгd.com',
    'https://my.1ｐassword.com',
    'https://[::1]',
    'https://127.0.0.1',
    'localhost',
    'https://',
    '',
    `https://${'a.'.repeat(120)}1password.org`,
  ])('that leads anywhere else is refused: %j', address => {
    expect(refusal(at(address))).toMatchObject({
      code: 'store_credential',
      exit: Exit.usage,
      message: expect.stringContaining('sign-in address that is not 1Password’s'),
    })
  })

  it.each([
    'http://my.1password.com',
    'http://localhost:8080',
    'ftp://my.1password.com',
    'file:///etc/passwd',
  ])('that would be used without encryption is refused: %s', address => {
    expect(refusal(at(address)).message).toContain('not https')
  })

  it.each<[what: string, text: string, says: RegExp]>([
    ['nothing', '', /does not begin with ops_/],
    ['a password', 'correct-horse-battery-staple', /does not begin with ops_/],
    ['another kind of token', 'hvs.CAESIJ', /does not begin with ops_/],
    ['in capitals', encode(CONTENT).replace('ops_', 'OPS_'), /does not begin with ops_/],
    ['only its beginning', 'ops_', /characters that no token has/],
    ['truncated', encode(CONTENT).slice(0, 200), /cut off or damaged/],
    ['truncated by one character', encode(CONTENT).slice(0, -1), /cut off or damaged/],
    ['not base64', 'ops_****', /characters that no token has/],
    ['broken over two lines', `${encode(CONTENT).slice(0, 80)}\n${encode(CONTENT).slice(80)}`, /characters/],
    ['base64 of something else', 'ops_aGVsbG8gd29ybGQ', /cut off or damaged/],
    ['a list', encode([CONTENT]), /names no sign-in address/],
    ['null', encode(null), /names no sign-in address/],
    ['a text', encode('my.1password.com'), /names no sign-in address/],
    ['without an address', encode({ email: CONTENT.email }), /names no sign-in address/],
    ['with a number as address', at(5), /names no sign-in address/],
    ['with a list as address', at(['https://my.1password.com']), /names no sign-in address/],
    ['without an account', encode({ signInAddress: CONTENT.signInAddress }), /names no sign-in address/],
    ['very long', `ops_${'A'.repeat(5_000_000)}`, /far too long/],
    ['with a very long address', at(`https://${'a'.repeat(400)}.1password.com`), /names no sign-in address/],
  ])('that is damaged says how: %s', (_, text, says) => {
    const error = refusal(text)
    expect(error).toMatchObject({ code: 'store_credential', exit: Exit.usage })
    expect(error.message).toMatch(says)
    expect(error.hint).toMatch(/\w/)
  })

  it('may have white space around it, as pasted texts have', () => {
    expect(inspected(`  ${encode(CONTENT)}\n`).email).toBe(CONTENT.email)
  })

  it('that was kept and not just given is no error of usage', () => {
    expect(() => inspectServiceAccount(new Secret('x'), Exit.unknown)).toThrow(
      expect.objectContaining({ code: 'store_credential', exit: Exit.unknown }),
    )
  })

  it('is never shown in part or in whole by what refuses it', () => {
    const shown = (error: unknown) => inspect(error, { depth: 20, showHidden: true })
    for (const text of [at('https://evil.example'), at('http://x'), encode({ secretKey: CONTENT.secretKey })])
      for (const secret of [text, text.slice(4, 60), CONTENT.secretKey, CONTENT.srpX, 'evil.example'])
        expect(shown(refusal(text))).not.toContain(secret)
  })

  it('of any content is judged, and is accepted for no other host', () => {
    fc.assert(
      fc.property(fc.oneof(fc.webUrl(), fc.domain(), fc.string()), address => {
        expect(refusal(at(address)).code).toBe('store_credential')
      }),
    )
    fc.assert(
      fc.property(fc.jsonValue(), content => {
        expect(refusal(encode(content)).code).toBe('store_credential')
      }),
    )
  })
})
