import { randomBytes } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { generateToken, Redactor, Secret } from '../../src/secret.ts'
import { anyText } from './generators.ts'
import { computed } from './support.ts'

function knowing(...values: string[]): Redactor {
  const redactor = new Redactor()
  for (const value of values) redactor.learn(new Secret(value))
  return redactor
}

const json = (text: string) => JSON.stringify(text).slice(1, -1)
const lower = (text: string) => text.replace(/%../g, code => code.toLowerCase())
const base64 = (text: string) => Buffer.from(text).toString('base64')
const form = (text: string) => new URLSearchParams({ v: text }).toString().slice(2)
const numbered = (char: string) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
const asGo = (text: string) => json(text).replace(/[<>&\u2028\u2029]/g, numbered)
const asPython = (text: string) => json(text).replace(/[\u007f-\uffff]/g, numbered)
const strictUrl = (text: string) =>
  encodeURIComponent(text).replace(/[!'()*]/g, char => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
const markup = (text: string, quote: string, apostrophe: string) =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', quote)
    .replaceAll("'", apostrophe)

/** How other programs write a value down, made independently of the product's code. */
const FORMS: Record<string, (value: string) => string> = {
  'as it is': value => value,
  'JSON-escaped': json,
  'JSON-escaped twice': value => json(json(value)),
  'JSON-escaped as by Go': asGo,
  'JSON-escaped as by Python': asPython,
  'JSON-escaped by Go inside a JSON string': value => json(asGo(value)),
  'URL-encoded': encodeURIComponent,
  'URL-encoded with small digits': value => lower(encodeURIComponent(value)),
  'URL-encoded to the letter of RFC 3986': strictUrl,
  'URL-encoded with small digits to the letter of RFC 3986': value => lower(strictUrl(value)),
  'URL-encoded with + for a space': value => encodeURIComponent(value).replaceAll('%20', '+'),
  'URL-encoded as a whole': encodeURI,
  'encoded for a form': form,
  'encoded for a form, with small digits': value => lower(form(value)),
  base64,
  'base64 without padding': value => base64(value).replace(/=+$/, ''),
  base64url: value => Buffer.from(value).toString('base64url'),
  'base64 in a URL': value => encodeURIComponent(base64(value)),
  'base64 of its JSON': value => base64(json(value)),
  hex: value => Buffer.from(value).toString('hex'),
  'hex in capitals': value => Buffer.from(value).toString('hex').toUpperCase(),
  'markup of our reports': value => markup(value, '&quot;', '&apos;'),
  'markup of Go': value => markup(value, '&#34;', '&#39;'),
  'markup of Python': value => markup(value, '&quot;', '&#x27;'),
  'markup where quotes need none': value => markup(value, '"', "'"),
  'single-quoted for a shell': value => value.replaceAll("'", "'\\''"),
  'single-quoted as by Python': value => value.replaceAll("'", `'"'"'`),
  'single-quoted in YAML': value => value.replaceAll("'", "''"),
  'with the dollars of a Compose file': value => value.split('$').join('$$'),
  'bytes taken for characters': value => Buffer.from(value).toString('latin1'),
}

const AWKWARD = `a/b+c d"e\\f?g=h&ü~'<i>$j!(k)*%l`

/** Any text of at least six characters that survives being written as UTF-8. */
const anyValue = fc
  .oneof(
    fc.string({ minLength: 6, maxLength: 80 }),
    anyText(60).map(text => `${text.replace(/\p{Cs}/gu, '?')}-secret-`),
    fc.stringMatching(/^[0-9a-f]{64}$/),
  )
  .filter(value => value.trim().length >= 6 && !'[secret]'.includes(value))

describe('the redactor removes a secret', () => {
  for (const [what, write] of Object.entries(FORMS))
    it(`${what}, wherever it stands, and nothing around it`, () => {
      const text = write(AWKWARD)
      const redactor = knowing(AWKWARD)
      expect(redactor.clean(`before ${text} after, and again "${text}"`)).toBe(
        'before [secret] after, and again "[secret]"',
      )
      expect(redactor.finds(`x,${text},y`)).toBe(true)
    })

  it('of any kind in any form from any text', () => {
    fc.assert(
      fc.property(
        anyValue,
        fc.string(),
        fc.string(),
        fc.constantFrom(...Object.values(FORMS)),
        (value, before, after, write) => {
          const text = write(value)
          const cleaned = knowing(value).clean(`${before}${text}${after}`)
          // What is put in its place says "secret", and so may a value.
          for (const rest of cleaned.split('[secret]'))
            for (const one of Object.values(FORMS)) expect(rest).not.toContain(one(value))
        },
      ),
      { numRuns: 1500 },
    )
  })

  it('inside a longer base64 text, whatever stands before and behind it there', () => {
    const value = fc.string({ minLength: 7, maxLength: 40 }).filter(text => text.trim().length >= 6)
    fc.assert(
      fc.property(
        value,
        fc.string({ maxLength: 9 }),
        fc.string({ maxLength: 9 }),
        (secret, before, after) => {
          const redactor = knowing(secret)
          for (const encoding of ['base64', 'base64url'] as const) {
            const text = Buffer.from(`${before}${secret}${after}`).toString(encoding)
            const cleaned = redactor.clean(text)
            expect(cleaned).toContain('[secret]')
            // At most the characters that carry bits of a neighbour are left.
            const left = cleaned.length - '[secret]'.length
            const strange = Buffer.byteLength(before + after)
            expect(left).toBeLessThanOrEqual(Math.ceil((strange * 8) / 6) + 8)
            expect(Buffer.from(cleaned.replace('[secret]', ''), encoding).toString()).not.toContain(secret)
          }
        },
      ),
      { numRuns: 500 },
    )
  })

  it('in the header of a Basic login', () => {
    for (const user of ['a', 'ab', 'abc', 'admin', 'openclaw'])
      expect(knowing(AWKWARD).clean(`Basic ${base64(`${user}:${AWKWARD}`)}`)).toMatch(
        /^Basic [\w+/]{0,16}\[secret\][\w+/=]{0,4}$/,
      )
  })

  it('in the login of a URL', () => {
    const url = new URL('https://gateway.example/x')
    url.password = AWKWARD
    url.username = 'me'
    expect(knowing(AWKWARD).clean(url.href)).toBe('https://me:[secret]@gateway.example/x')
  })

  it('without the newline at the end of the file it came from', () => {
    const redactor = knowing('sk-first-line-9f2c\n')
    expect(redactor.clean('key=sk-first-line-9f2c;')).toBe('key=[secret];')
    expect(redactor.clean('sk-first-line-9f2c\nnext')).toBe('[secret]next')
  })

  it('that contains another, completely, in whatever order they were learnt', () => {
    fc.assert(
      fc.property(fc.array(anyValue, { minLength: 1, maxLength: 3 }), fc.string(), (parts, around) => {
        const long = `${around}${parts.join(around)}${around}`
        for (const values of [
          [long, ...parts],
          [...parts, long],
        ])
          expect(knowing(...values).clean(`(${long})`)).toBe('([secret])')
      }),
    )
  })

  it('that overlaps another, leaving no end of either', () => {
    expect(knowing('abcdefgh', 'ghijklmn').clean('<abcdefghijklmn>')).toBe('<[secret]>')
    expect(knowing('abcabc').clean('<abcabcabcab>')).toBe('<[secret]ab>')
  })
})

describe('the redactor leaves alone', () => {
  it('text that holds no secret it knows', () => {
    const redactor = knowing(generateToken().expose(), AWKWARD)
    const text = 'gateway_token.20261123t014000-1a2b3c4d, 401 without a token'
    expect(redactor.clean(text)).toBe(text)
    expect(redactor.finds(text)).toBe(false)
  })

  it('a value below six characters, which would be found by chance', () => {
    const redactor = knowing('abc', '', '12345', ' 1234 ', '        ')
    const text = `abc 12345 1234 YWJj ${' '.repeat(20)}`
    expect(redactor.clean(text)).toBe(text)
  })

  it('a fragment of base64 below eight characters, which would be found by chance', () => {
    const inner = base64('..abcdef').slice(3, -2)
    expect(inner.length).toBeLessThan(8)
    expect(knowing('abcdef').clean(`x${inner}x`)).toBe(`x${inner}x`)
  })

  it('what it puts in the place of a secret, however often it is asked', () => {
    const redactor = knowing('secret', '[secret', AWKWARD)
    const once = redactor.clean(`a ${AWKWARD} b`)
    expect(once).toBe('a [secret] b')
    expect(redactor.clean(redactor.clean(once))).toBe(once)
  })
})

describe('a text that comes in pieces', () => {
  it('is cleaned as if it had come whole, wherever it is cut', () => {
    fc.assert(
      fc.property(
        anyValue,
        fc.string(),
        fc.constantFrom(...Object.values(FORMS)),
        fc.array(fc.nat(120), { maxLength: 6 }),
        (value, around, write, cuts) => {
          const redactor = knowing(value)
          const text = `${around}${write(value)}${around}`
          let [done, rest, at] = ['', '', 0]
          for (const to of [...cuts.sort((a, b) => a - b), text.length]) {
            const piece = redactor.cleanBeginning(rest + text.slice(at, Math.max(at, to)))
            done += piece.cleaned
            rest = piece.rest
            at = Math.max(at, to)
          }
          expect(done + redactor.clean(rest)).toBe(redactor.clean(text))
        },
      ),
      { numRuns: 1000 },
    )
  })

  it('keeps back nothing when its end begins no secret, and else no more than that', () => {
    const redactor = knowing('token-3f9a')
    const pieces = {
      'Your name? ': '',
      'ends in t': 't',
      'ends in token-3f9': 'token-3f9',
      'token-3f9a': '',
      'token-3f9b': '',
      'token-3f9atoken': 'token',
    }
    for (const [text, rest] of Object.entries(pieces)) expect(redactor.cleanBeginning(text).rest).toBe(rest)
  })

  it('keeps a secret whole that ends in the beginning of another', () => {
    const redactor = knowing('abcdefxy', 'xyz12345')
    expect(redactor.cleanBeginning('1 abcdefxy')).toEqual({ cleaned: '1 ', rest: 'abcdefxy' })
    expect(redactor.clean('abcdefxy')).toBe('[secret]')
  })
})

describe('a redactor', () => {
  it('returns the secret it learns, and that is the same one', () => {
    const secret = generateToken()
    expect(new Redactor().learn(secret)).toBe(secret)
  })

  it('is idle until it knows something', () => {
    const redactor = new Redactor()
    expect(redactor.isIdle).toBe(true)
    redactor.learn(new Secret('abc'))
    expect(redactor.isIdle).toBe(true)
    redactor.learn(generateToken())
    expect(redactor.isIdle).toBe(false)
  })

  it('that knows ten secrets cleans four megabytes fast enough not to be noticed', () => {
    const redactor = knowing(
      ...Array.from({ length: 5 }, () => generateToken().expose()),
      ...Array.from({ length: 5 }, () => `${randomBytes(9).toString('base64')}${AWKWARD}`),
    )
    const texts = [
      'Nov 26 00:44:48 gateway[123]: GET /healthz 200 12 ms, nothing to see here … ✔\n'.repeat(52_000),
      randomBytes(3 << 20).toString('base64'),
      'a'.repeat(4 << 20),
    ]
    for (const text of texts) {
      const took = [1, 2, 3].map(() => computed(() => redactor.clean(text)))
      // It takes a tenth of this.
      expect(Math.min(...took)).toBeLessThan(500)
    }
  })

  it('is not slowed down by a text that is made of a secret and nothing else', () => {
    const redactor = knowing('aaaaaaaa', 'bcdefghi')
    const took = computed(() => {
      expect(redactor.clean('a'.repeat(1 << 20))).toBe('[secret]')
      expect(redactor.clean('bcdefghi'.repeat(1 << 17)).length).toBe(1 << 20)
    })
    expect(took).toBeLessThan(2000)
  })
})

describe('what a person may take for a secret', () => {
  it('is redacted line by line when it has several: a child’s output comes in lines', () => {
    const redactor = new Redactor()
    const lines = ['MIIEvQIBADANBgkqhkiG9w0BAQEFAASC', 'BKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj']
    redactor.learn(
      new Secret(`-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----\n`),
    )
    expect(redactor.clean(`key: |\n    ${lines[1]}`)).toBe('key: |\n    [secret]')
    expect(redactor.clean('-----BEGIN PRIVATE KEY-----')).toBe('-----BEGIN PRIVATE KEY-----')
  })

  it.each(['openclaw', 'Gateway', 'docker'])(
    'and is an everyday word (%s) leaves the output readable',
    word => {
      const redactor = new Redactor()
      redactor.learn(new Secret(word))
      expect(redactor.clean(`npx create-openclaw-secure verify --dir ${word}`)).toContain(word)
      expect(redactor.isIdle).toBe(true)
    },
  )
})
