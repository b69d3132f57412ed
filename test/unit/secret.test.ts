import { inspect } from 'node:util'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { generateToken, Redactor, Secret, weaknessOf } from '../../src/secret.ts'
import { anyText } from './generators.ts'

const VALUE = 'hunter2-correct-horse/battery+staple'

describe('a secret never turns into text by accident', () => {
  const secret = new Secret(VALUE)
  const prints: Record<string, () => string> = {
    'String()': () => String(secret),
    'a template literal': () => `${secret}`,
    'string concatenation': () => `x${secret.toString()}`,
    'JSON.stringify': () => JSON.stringify({ nested: [secret] }),
    'util.inspect': () => inspect(secret),
    'util.inspect with everything shown': () =>
      inspect({ deep: { er: secret } }, { depth: 9, showHidden: true, getters: true, customInspect: false }),
    'Object.entries': () => JSON.stringify([Object.entries(secret), Object.getOwnPropertyNames(secret)]),
    'the message of an error': () => new Error(`failed with ${secret}`).message,
    'an error that has it as its cause': () => inspect(new Error('failed', { cause: secret })),
    'an error whose cause holds it': () =>
      inspect(new Error('failed', { cause: new Error('inner', { cause: { secret } }) }), { depth: 9 }),
    'an error with it as a property': () => inspect(Object.assign(new Error('failed'), { secret })),
  }
  for (const [way, print] of Object.entries(prints))
    it(`not through ${way}`, () => {
      const printed = print()
      expect(printed).not.toContain(VALUE)
      expect(printed).not.toContain(Buffer.from(VALUE).toString('hex').slice(0, 16))
    })

  it('shows [secret] where somebody prints it', () => {
    expect([String(secret), `${secret}`, inspect(secret), JSON.stringify(secret)]).toEqual([
      '[secret]',
      '[secret]',
      '[secret]',
      '"[secret]"',
    ])
  })

  it('hands its value out through expose() alone, whatever bytes it was made from', () => {
    fc.assert(
      fc.property(
        anyText().map(text => text.replace(/\p{Cs}/gu, '?')),
        value => {
          expect(new Secret(value).expose()).toBe(value)
          expect(new Secret(Buffer.from(value)).expose()).toBe(value)
          expect(new Secret(value).length).toBe(Buffer.byteLength(value))
        },
      ),
    )
  })

  it('keeps a copy: what happens to the source buffer later does not matter', () => {
    const source = Buffer.from(VALUE)
    const copy = new Secret(source)
    source.fill(0)
    expect(copy.expose()).toBe(VALUE)
  })
})

describe('a fingerprint', () => {
  it('is 16 hex characters, the same for the same value and domain', () => {
    expect(new Secret(VALUE).fingerprint('a')).toMatch(/^[0-9a-f]{16}$/)
    expect(new Secret(VALUE).fingerprint('a')).toBe(new Secret(VALUE).fingerprint('a'))
  })

  it('differs between values and between domains', () => {
    const prints = [
      new Secret(VALUE).fingerprint('a'),
      new Secret(VALUE).fingerprint('b'),
      new Secret(`${VALUE}.`).fingerprint('a'),
    ]
    expect(new Set(prints).size).toBe(3)
  })
})

describe('comparing and wiping', () => {
  it('finds equal values equal and all others different, whatever their lengths', () => {
    expect(new Secret(VALUE).equals(new Secret(VALUE))).toBe(true)
    for (const other of ['', VALUE.slice(1), `${VALUE}\0`, VALUE.toUpperCase()])
      expect(new Secret(VALUE).equals(new Secret(other))).toBe(false)
  })

  it('overwrites every byte', () => {
    const secret = new Secret(VALUE)
    secret.wipe()
    expect(secret.expose()).toMatch(/^\0*$/)
    expect(secret.equals(new Secret(VALUE))).toBe(false)
  })
})

describe('a generated token', () => {
  it('is 64 lower-case hex characters', () => {
    expect(generateToken().expose()).toMatch(/^[0-9a-f]{64}$/)
  })

  it('is never weak and never the same, in a thousand', () => {
    const tokens = Array.from({ length: 1000 }, generateToken)
    expect(tokens.map(weaknessOf).filter(weakness => weakness !== undefined)).toEqual([])
    expect(new Set(tokens.map(token => token.expose())).size).toBe(1000)
  })
})

describe('a token somebody brought', () => {
  const good = 'k7Qz!r2Vb9#xLw4Tm1Np8Yc5Hd3Jf6Gs0Ke-uAiEoZ.qXyWvUtSrPnMlKjHgFdBa'
  const bad: Record<string, [token: string, why: RegExp]> = {
    'is empty': ['', /0 characters/],
    'is short': ['k7Qz!r2Vb9', /10 characters/],
    'is one short of 64': [good.slice(0, 63), /63 characters/],
    'is longer than 512': [good.repeat(9), /at most 512/],
    'is one character': ['a'.repeat(64), /./],
    'is a short text repeated': ['k7Qz!r2Vb9#xLw4T'.repeat(4), /repeated/],
    'is a text of 32 repeated': [good.slice(0, 32).repeat(2), /repeated/],
    'has few different characters': [
      'abcdefghi'.repeat(8).slice(0, 63).concat('a'),
      /different characters|repeated/,
    ],
    'holds one character eight times in a row': [`${good.slice(0, 56)}ZZZZZZZZ`, /in a row/],
    'counts up': [`${good.slice(0, 40)}abcdefghijklmnopqrstuvwxyz`, /counts/],
    'counts down': [`${good.slice(0, 52)}zyxwvutsrqpo`, /counts/],
    'is the digits and the alphabet': [
      '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_',
      /counts/,
    ],
    'begins with openclaw': [`openclaw${good.slice(8)}`, /placeholder/],
    'holds OpenClaw in capitals': [`${good.slice(0, 30)}OPENCLAW${good.slice(38)}`, /placeholder/],
    'says change-me': [`${good.slice(0, 30)}change-me${good.slice(39)}`, /placeholder/],
    'says password': [`${good.slice(0, 30)}PassWord${good.slice(38)}`, /placeholder/],
    'holds a space': [`${good.slice(0, 32)} ${good.slice(33)}`, /without spaces/],
    'ends in a newline': [`${good}\n`, /without spaces/],
    'holds a character beyond ASCII': [`${good.slice(0, 32)}é${good.slice(33)}`, /ASCII/],
    'holds a NUL': [`${good.slice(0, 32)}\0${good.slice(33)}`, /ASCII/],
  }
  for (const [what, [token, why]] of Object.entries(bad))
    it(`is refused when it ${what}`, () => {
      const weakness = weaknessOf(new Secret(token))
      expect(weakness).toMatch(why)
      if (token.length > 12) expect(weakness).not.toContain(token.slice(0, 12))
    })

  it('is taken when nobody could guess it', () => {
    expect(weaknessOf(new Secret(good))).toBeUndefined()
    expect(
      weaknessOf(new Secret(good.repeat(7).slice(0, 64) + good.split('').reverse().join(''))),
    ).toBeUndefined()
  })
})

describe('the redactor', () => {
  const forms = (value: string): Record<string, string> => ({
    raw: value,
    base64: Buffer.from(value).toString('base64'),
    'base64 without padding': Buffer.from(value).toString('base64').replace(/=+$/, ''),
    base64url: Buffer.from(value).toString('base64url'),
    'URL-encoded': encodeURIComponent(value),
    'JSON-escaped': JSON.stringify(value).slice(1, -1),
  })
  const awkward = 'a/b+c d"e\\f?g=h&ü~'

  for (const [form, text] of Object.entries(forms(awkward)))
    it(`removes a secret in its ${form} form`, () => {
      const redactor = new Redactor()
      redactor.learn(new Secret(awkward))
      expect(redactor.clean(`before ${text} after, and again ${text}`)).toBe(
        'before [secret] after, and again [secret]',
      )
      expect(redactor.finds(`x${text}y`)).toBe(true)
    })

  it('removes every form of any secret from any text', () => {
    fc.assert(
      fc.property(
        anyText(40).map(text => `${text.replace(/\p{Cs}/gu, '?')}-secret-`),
        fc.string(),
        (value, around) => {
          const redactor = new Redactor()
          redactor.learn(new Secret(value))
          const text = Object.values(forms(value))
            .map(form => `${around}\n${form}\n`)
            .join('')
          const cleaned = redactor.clean(text)
          for (const form of Object.values(forms(value)))
            if (!'[secret]'.includes(form)) expect(cleaned.replaceAll('[secret]', '')).not.toContain(form)
        },
      ),
      { numRuns: 200 },
    )
  })

  it('replaces the longest first, so that a secret that contains another leaves no rest', () => {
    const redactor = new Redactor()
    redactor.learn(new Secret('abcdef'))
    redactor.learn(new Secret('abcdefghijkl'))
    expect(redactor.clean('abcdefghijkl abcdef')).toBe('[secret] [secret]')
  })

  it('leaves text alone that holds no secret it knows', () => {
    const redactor = new Redactor()
    redactor.learn(generateToken())
    const text = 'gateway_token.20261123t014000-1a2b3c4d, 401 without a token'
    expect(redactor.clean(text)).toBe(text)
    expect(redactor.finds(text)).toBe(false)
  })

  it('never touches a value below six characters, which would be found by chance', () => {
    const redactor = new Redactor()
    redactor.learn(new Secret('abc'))
    redactor.learn(new Secret(''))
    redactor.learn(new Secret('12345'))
    expect(redactor.clean('abc 12345 YWJj')).toBe('abc 12345 YWJj')
  })

  it('returns the secret it learns, and that is the same one', () => {
    const secret = generateToken()
    expect(new Redactor().learn(secret)).toBe(secret)
  })
})
