import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import { redacted, Sharing } from '../../src/evidence/share.ts'
import { generateToken, Redactor, Secret } from '../../src/secret.ts'
import { forSharing } from '../../steps/incident/processes.ts'
import { computed } from './support.ts'

async function shared(chunks: readonly (string | Uint8Array)[], redactor = new Redactor(), most?: number) {
  const source = new PassThrough()
  const sharing = new Sharing(redactor, most)
  const copy = text(source.pipe(sharing))
  for (const chunk of chunks) source.write(chunk)
  source.end()
  return { copy: await copy, cut: sharing.cut }
}

const HEX = '0123456789abcdef'.repeat(4)
const B64 = `${'Ab3_'.repeat(10)}x-Z`
const PEM = `-----BEGIN OPENSSH PRIVATE KEY-----\n${'QUJD'.repeat(16)}\n${'REVG'.repeat(16)}\n-----END OPENSSH PRIVATE KEY-----`

describe('a shared copy', () => {
  const hidden: Record<string, [string, string]> = {
    'an OpenAI key': ['key sk-proj-abcdefghijklmnop123456 end', 'abcdefghijklmnop'],
    'an Anthropic key': ['sk-ant-api03-abcdefghijklmnop-12', 'abcdefghijklmnop'],
    'a GitHub token': ['ghp_abcdefghijklmnopqrstuvwxyz0123456789', 'abcdefghij'],
    'a fine-grained GitHub token': ['github_pat_11ABCDEFG0abcdefghijkl', 'ABCDEFG0'],
    'a Slack token': ['xoxb-123456789012-abcdefghijkl', '123456789012'],
    'an AWS key': ['AKIAIOSFODNN7EXAMPLE', 'IOSFODNN7'],
    'a Google key': ['AIzaSyA1234567890abcdefghijklmnopqrstuv', 'SyA1234567890'],
    'a Vault token': ['hvs.CAESIabcdefghijklmnop', 'CAESIabcdef'],
    'a bot token': ['123456789:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-bc', 'AAEhBOweik6ad9r'],
    'a bearer token': ['Authorization: Bearer abc.def-ghi_jkl', 'abc.def-ghi'],
    'basic credentials': ['authorization: Basic dXNlcjpwYXNzd29yZA==', 'dXNlcjpwYXNz'],
    'a JWT': ['x eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcDEF123 y', 'eyJzdWIi'],
    'an age key': [`AGE-SECRET-KEY-1${'Q'.repeat(58)}`, 'QQQQQQ'],
    'a password in an address': ['postgres://admin:hunter22@db.example/x', 'hunter22'],
    'a password in a query': ['GET /?user=a&password=hunter22&x=1', 'hunter22'],
    'a password in JSON': ['{"password": "hunter22", "x": 1}', 'hunter22'],
    'a secret in JSON in JSON': ['{"body":"{\\"client_secret\\":\\"hunter22\\"}"}', 'hunter22'],
    'a gateway token': [`gateway token is ${HEX}`, HEX],
    'a device’s token': [`{"tokens_json":{"operator":{"token":"${B64}"}}}`, B64],
    'a device’s token after a word': [`deviceToken for a1: ${B64}`, B64],
    'a private key in JSON': [JSON.stringify({ key: PEM }), 'QUJDQUJD'],
  }
  for (const [what, [line, secret]] of Object.entries(hidden))
    it(`does not hold ${what}`, () => {
      expect(redacted(line, new Redactor())).not.toContain(secret)
      expect(redacted(line, new Redactor())).toContain('[redacted: ')
    })

  for (const line of [
    'reason=token_mismatch guidance=unauthorized: gateway token mismatch',
    '{"authReason":"token_mismatch","remoteAddr":"192.0.2.2"}',
    `sha256:${HEX} image`,
    '{"totalTokens": 123456, "token": "[secret]"}',
    '{"kind":"tool_action","toolName":"exec","status":"failed"}',
    'GET https://api.example.org/v1/models 200',
  ])
    it(`has as it was: ${line}`, () => {
      expect(redacted(line, new Redactor())).toBe(line)
    })

  it('does not hold a private key of many lines, nor what was cut from its end, and goes on after it', async () => {
    const { copy } = await shared([`before\n${PEM}\nafter\n`])
    expect(copy).not.toMatch(/QUJD|REVG/)
    expect(copy.startsWith('before\n[redacted: private key]\n')).toBe(true)
    expect(copy.endsWith('\nafter\n')).toBe(true)
    const open = await shared([`${PEM.split('\n').slice(0, 3).join('\n')}\n`, 'x\n'.repeat(200), 'the end\n'])
    expect(open.copy).not.toMatch(/QUJD|REVG/)
    expect(open.copy).toContain('the end')
  })

  it('does not hold a known secret, wherever it was cut in two on its way', async () => {
    const redactor = new Redactor()
    const token = redactor.learn(generateToken()).expose()
    for (let at = 0; at <= 70; at += 7) {
      const line = `a ${token} b\n`
      expect((await shared([line.slice(0, at), line.slice(at)], redactor)).copy).toBe('a [secret] b\n')
    }
  })

  it('shows what a terminal would obey, and keeps tabs and lines', async () => {
    const { copy } = await shared(['a\tb\u001b]0;owned\u0007\r\nc\u202ed\n', new Uint8Array([0xff, 0x0a])])
    expect(copy).toBe('a\tb\\u001b]0;owned\\u0007\nc\\u202ed\n\ufffd\n')
  })

  it('has of what is too long the beginning and the end, and says so in it and beside it', async () => {
    const lines = Array.from({ length: 1000 }, (_, n) => `${n} ${'x'.repeat(95)}\n`)
    const { copy, cut } = await shared(lines, undefined, 20_000)
    expect(copy.length).toBeLessThan(20_200)
    expect(copy.startsWith('0 xxx')).toBe(true)
    expect(copy.endsWith(lines.slice(-30).join(''))).toBe(true)
    const left = 1001 - (copy.split('\n').length - 1)
    expect(copy).toContain(`… (${left} lines that are in the original alone)\n`)
    expect(cut).toBe(`the copy leaves out ${left} lines before its end`)
  })

  it('keeps its bound where everything is shown as numbers, and where lines are empty', async () => {
    for (const line of [`${'\u001b'.repeat(90)}\n`, '\n']) {
      const { copy } = await shared(Array(5000).fill(line), undefined, 4000)
      expect(copy.length).toBeLessThan(4200)
    }
  })

  it('holds no part of a private key of which the beginning is left out', async () => {
    const before = Array.from({ length: 200 }, () => `${'x'.repeat(99)}\n`)
    const key = ['-----BEGIN PRIVATE KEY-----\n', ...Array(140).fill(`${'QUJD'.repeat(16)}\n`)]
    const { copy } = await shared(
      [...before, ...key, '-----END PRIVATE KEY-----\nthe end\n'],
      undefined,
      8000,
    )
    expect(copy).toContain('in the original alone')
    expect(copy).not.toContain('QUJD')
    expect(copy.endsWith('[redacted: private key]\nthe end\n')).toBe(true)
  })

  it('holds no more of a line than 1 MiB, and no secret in part at its end', async () => {
    const redactor = new Redactor()
    const token = redactor.learn(generateToken()).expose()
    const line = `${'x'.repeat(1024 * 1024 - 20)}${token}${'y'.repeat(5_000_000)}\nshort\n`
    const { copy, cut } = await shared([line], redactor)
    expect(copy.length).toBeLessThan(1_100_000)
    expect(copy).not.toContain(token.slice(0, 12))
    expect(copy.endsWith('short\n')).toBe(true)
    expect(cut).toContain('longer than 1 MiB')
  })

  it('takes no longer for hostile lines than for others', async () => {
    const hostile = [
      'token '.repeat(150_000),
      'a:'.repeat(400_000),
      'a'.repeat(900_000),
      'sk-'.repeat(300_000),
      'eyJ'.repeat(300_000),
      '-eyJ'.repeat(250_000),
      'password='.repeat(100_000),
      '-----BEGIN PRIVATE KEY-----'.repeat(30_000),
      'https://a:'.repeat(90_000),
      `token${' '.repeat(900_000)}`,
      'bearer '.repeat(120_000),
    ]
    const took = computed(() => {
      for (const line of hostile) redacted(line, new Redactor())
    })
    expect(took).toBeLessThan(2000)
  })
})

describe('a process in the brief list', () => {
  const SECRET = 'of nø shape, and lo\u0301ng: 7c1e0d'
  const listed = (texts: { program?: string; arguments?: string }, redactor = new Redactor()) => {
    redactor.learn(new Secret(SECRET))
    const note = { pid: 7, parent: 1, user: 1000, program: '/bin/x', arguments: 'x', environment: ['PATH'] }
    return forSharing({ ...note, sockets: [], marks: ['a mark'], ...texts }, redactor)
  }

  it('shows no part of a secret, wherever the text is cut [credential leakage]', () => {
    for (let before = 360; before < 401; before += 1)
      for (const text of [SECRET, Buffer.from(SECRET).toString('latin1')])
        expect(listed({ arguments: `${'x'.repeat(before)}${text} more` }).arguments).not.toMatch(/x[^x[]/)
    expect(listed({ program: `/tmp/${'x'.repeat(390)}${SECRET}` }).program).not.toMatch(/x[^x[]/)
  })

  it('shows no half of one at the end of what was handed out, however much was taken out before it [credential leakage]', () => {
    const long = 'q7'.repeat(1500)
    const text = `${long}\n`.repeat(6).slice(0, 16_384)
    const redactor = new Redactor()
    redactor.learn(new Secret(long))
    expect(listed({ arguments: text }, redactor).arguments).not.toContain('q7')
  })

  it('is short, and holds nothing that a terminal obeys [command injection]', () => {
    const { arguments: shown, marks } = listed({ arguments: `\x1b[2J${'y'.repeat(20_000)}` })
    expect(shown).toHaveLength(400)
    expect(shown).toMatch(/^\\u001b\[2Jy+$/)
    expect(marks).toEqual(['a mark'])
  })
})
