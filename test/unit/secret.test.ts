import assert from 'node:assert'
import { Console } from 'node:console'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'node:querystring'
import { Writable } from 'node:stream'
import { format, inspect } from 'node:util'
import { serialize } from 'node:v8'
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { generateToken, Secret, weaknessOf } from '../../src/secret.ts'
import { anyText } from './generators.ts'

const VALUE = 'hunter2-correct-horse/battery+staple'

/** A console that prints into a text. */
function printed(print: (to: Console) => void): string {
  let text = ''
  const stream = new Writable({
    write(chunk, _, done) {
      text += chunk
      done()
    },
  })
  print(new Console(stream))
  return text
}

/** What an attempt makes, in every detail; a refusal counts with its message and all that hangs on it. */
function yieldOf(attempt: () => unknown): string {
  let made: unknown
  try {
    made = attempt()
  } catch (error) {
    made = error
  }
  const detail = inspect(made, { depth: 9, showHidden: true, getters: true, maxStringLength: null })
  const bytes = made instanceof Uint8Array ? Buffer.from(made).toString('latin1') : ''
  const stack = made instanceof Error ? `${made.message} ${made.stack}` : ''
  return `${detail}${bytes}${stack}${typeof made === 'symbol' ? '' : JSON.stringify(made)}`
}

describe('a secret never turns into text by accident', () => {
  const secret = new Secret(VALUE)
  // As it looks to code that does not know what it has in its hands.
  const unknowing = secret as unknown as string
  const everything = { depth: 9, showHidden: true, getters: true, showProxy: true }
  const cause = new Error('outer', { cause: new Error('inner', { cause: { secret } }) })
  const ways: Record<string, () => unknown> = {
    'String()': () => String(secret),
    'a template literal': () => `${secret}`,
    'adding it to a text': () => `x${unknowing}`.concat(unknowing) + unknowing,
    'toLocaleString()': () => secret.toLocaleString(),
    'valueOf()': () => secret.valueOf(),
    'Number()': () => Number(secret),
    'comparing it with a text': () => unknowing < VALUE,
    'its name for Object': () => Object.prototype.toString.call(secret),
    'JSON.stringify': () => JSON.stringify({ nested: [secret], [unknowing]: new Map([[secret, secret]]) }),
    'JSON.stringify with a replacer': () => JSON.stringify({ secret }, (_, value) => value, 2),
    inspect: () => [inspect(secret), inspect({ deep: { er: [secret, new Set([secret])] } }, { depth: 9 })],
    'inspect with everything shown': () => inspect({ secret }, everything),
    'inspect without its own say': () => inspect({ secret }, { ...everything, customInspect: false }),
    'inspect of its prototype': () => inspect(Object.getPrototypeOf(secret), everything),
    'util.format': () => ['%s', '%d', '%i', '%f', '%j', '%o', '%O', '%c', '%'].map(as => format(as, secret)),
    'a console': () =>
      printed(to => {
        to.log(secret, { secret })
        to.error('%s', secret)
        to.dir(secret, { showHidden: true })
        to.table([{ secret }])
      }),
    structuredClone: () => structuredClone({ secret }),
    'v8.serialize': () => serialize({ secret }),
    'a message to another thread': () => {
      const { port1, port2 } = new MessageChannel()
      port1.postMessage({ secret })
      const received = receiveMessageOnPort(port2)
      port1.close()
      return received
    },
    'its properties': () => [Object.entries(secret), Reflect.ownKeys(secret), { ...secret }],
    'assigning it': () => Object.assign({}, secret),
    'a loop over it': () => [...unknowing],
    'Array.from': () => Array.from(unknowing),
    'Buffer.from': () => Buffer.from(unknowing),
    'Buffer.concat': () => Buffer.concat([secret as unknown as Uint8Array]),
    Uint8Array: () => new Uint8Array(secret as unknown as ArrayLike<number>),
    TextEncoder: () => new TextEncoder().encode(unknowing),
    'joining a list': () => [secret, [secret]].join(),
    'the key of an object': () => Object.keys({ [unknowing]: 1 }),
    'a symbol': () => Symbol(unknowing),
    'a regular expression': () => new RegExp(unknowing),
    'replacing in a text': () => 'x'.replace('x', unknowing),
    encodeURIComponent: () => encodeURIComponent(unknowing),
    'a URL': () => new URL(unknowing),
    'a URL on a base': () => new URL(unknowing, 'https://gateway.example').href,
    URLSearchParams: () => String(new URLSearchParams({ secret: unknowing })),
    querystring: () => stringify({ secret: unknowing }),
    'the headers of a request': () => [...new Headers({ authorization: `Bearer ${secret}` })],
    'a hash without its bytes': () => createHash('sha256').update(unknowing),
    'a path': () => join('/', unknowing),
    'the name of a file': () => readFileSync(unknowing),
    'the message of an error': () => new Error(unknowing),
    'the cause of an error': () => [cause, inspect(cause, everything), cause.stack],
    'a property of an error': () => Object.assign(new TypeError('failed'), { secret }),
    'a list of errors': () => new AggregateError([secret, cause], unknowing),
    'what an assertion says': () => assert.deepStrictEqual({ secret, a: 1 }, { secret: VALUE.length, a: 2 }),
    'what an equality says': () => assert.equal(secret, 'something else'),
    'what a matcher says': () => expect({ secret, a: 1 }).toEqual({ secret: 1, a: 2 }),
    'calling what is not there': () => (secret as unknown as { leak(): void }).leak(),
  }
  const tells = [VALUE, VALUE.slice(0, 8), encodeURIComponent(VALUE), Buffer.from(VALUE).toString('base64')]
  const bytes = Buffer.from(VALUE)
  tells.push(
    bytes.toString('hex').slice(0, 16),
    [...bytes].slice(0, 4).join(),
    [...bytes].slice(0, 4).join(', '),
  )
  for (const [way, attempt] of Object.entries(ways))
    it(`not through ${way}`, () => {
      const made = yieldOf(attempt)
      for (const tell of tells) expect(made).not.toContain(tell)
    })

  it('and this test would see it', () => {
    for (const leak of [
      () => VALUE,
      () => Buffer.from(VALUE),
      () => new Error(VALUE),
      () => ({ a: [VALUE] }),
    ])
      expect(tells.some(tell => yieldOf(leak).includes(tell))).toBe(true)
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
