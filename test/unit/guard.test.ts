import { once } from 'node:events'
import { PassThrough, Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { WriteStream } from 'node:tty'
import * as fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { guarded } from '../../src/report/guard.ts'
import { Redactor, Secret } from '../../src/secret.ts'
import { anyText } from './generators.ts'

const TOKEN = 'token-3f9aé-5c2b'

/** A stream that remembers what it got, behind a guard that knows the token. */
function guard({ knows = [TOKEN], highWaterMark = 16_384, slow = false } = {}) {
  const redactor = new Redactor()
  for (const value of knows) redactor.learn(new Secret(value))
  const chunks: (string | Buffer)[] = []
  const target = new Writable({
    decodeStrings: false,
    highWaterMark,
    write(chunk, _, done) {
      chunks.push(chunk)
      if (slow) setTimeout(done, 5)
      else done()
    },
  })
  const got = () => Buffer.concat(chunks.map(chunk => Buffer.from(chunk))).toString()
  return { stream: guarded(target, redactor), target, chunks, got, redactor }
}

const soon = () => new Promise(resolve => setImmediate(resolve))

describe('a guarded stream', () => {
  it('lets no known secret through, in one write', () => {
    const { stream, got } = guard()
    stream.write(`a ${TOKEN} b ${encodeURIComponent(TOKEN)}\n`)
    stream.write(Buffer.from(`c ${TOKEN} d\n`))
    expect(got()).toBe('a [secret] b [secret]\nc [secret] d\n')
  })

  it('nor one that two writes cut in two, at any place, in texts and in bytes', () => {
    const bytes = Buffer.from(`x ${TOKEN} y\n`)
    for (let at = 0; at <= bytes.length; at++) {
      const { stream, got } = guard()
      stream.write(bytes.subarray(0, at))
      stream.write(bytes.subarray(at))
      expect(got()).toBe('x [secret] y\n')
    }
    for (let at = 0; at <= TOKEN.length; at++) {
      const { stream, got } = guard()
      stream.write(`x ${TOKEN.slice(0, at)}`)
      stream.write(`${TOKEN.slice(at)} y\n`)
      expect(got()).toBe('x [secret] y\n')
    }
  })

  it('nor one that comes character by character', () => {
    const { stream, got } = guard()
    for (const char of `x ${TOKEN} y\n`) stream.write(char)
    expect(got()).toBe('x [secret] y\n')
  })

  it('nor one of which a piece comes each time the program has nothing else to do', async () => {
    const { stream, got } = guard()
    setImmediate(() => {
      setImmediate(() => stream.write('9aé-5c2b\n'))
      stream.write('en-3f')
    })
    stream.write('tok')
    await soon()
    await soon()
    await soon()
    expect(got()).toBe('[secret]\n')
  })

  it('nor one that was learnt after the stream was made', () => {
    const { stream, got, redactor } = guard({ knows: [] })
    stream.write('before\n')
    redactor.learn(new Secret(TOKEN))
    stream.write(`${TOKEN}\n`)
    expect(got()).toBe('before\n[secret]\n')
  })

  it('writes what a stream without a guard would have got from a redactor, however it is cut', async () => {
    const piece = fc.oneof(
      anyText(12).map(text => text.replace(/\p{Cs}/gu, '?')),
      fc.constantFrom(TOKEN, 'token-3f', '9aé-5c2b', Buffer.from(TOKEN).toString('base64'), 'tok', '\n'),
    )
    const property = fc.asyncProperty(
      fc.array(fc.tuple(piece, fc.boolean()), { maxLength: 12 }),
      async pieces => {
        const { stream, got, redactor } = guard()
        for (const [text, asBytes] of pieces) stream.write(asBytes ? Buffer.from(text) : text)
        stream.end()
        await once(stream, 'finish')
        expect(got()).toBe(redactor.clean(pieces.map(([text]) => text).join('')))
      },
    )
    await fc.assert(property, { numRuns: 300 })
  })

  it('understands every encoding that a text can be written in', () => {
    const { stream, got } = guard()
    for (const encoding of ['utf8', 'hex', 'base64', 'base64url', 'latin1'] as const) {
      const text = Buffer.from(`<${encoding === 'latin1' ? 'token' : TOKEN}>`).toString(encoding)
      stream.write(text, encoding)
    }
    expect(got()).toBe('<[secret]><[secret]><[secret]><[secret]><token>')
  })
})

describe('what could be the beginning of a secret', () => {
  it('waits, and nothing else does', () => {
    const { stream, got } = guard()
    stream.write('Your name? tok')
    expect(got()).toBe('Your name? ')
  })

  it('appears as soon as the program has nothing else to do: a prompt is not lost', async () => {
    const { stream, got } = guard()
    stream.write('Which tok')
    await soon()
    expect(got()).toBe('Which tok')
  })

  it('comes before the next write', () => {
    const { stream, got } = guard()
    stream.write('tok')
    stream.write('yo\n')
    expect(got()).toBe('tokyo\n')
  })

  it('is written at the end', async () => {
    for (const end of [
      (stream: Writable) => stream.end(),
      (stream: Writable) => stream.end('tok'),
      (stream: Writable) => stream.end(Buffer.from('tok')),
      (stream: Writable) => stream.end('dG9r', 'base64'),
    ]) {
      const { stream, got } = guard()
      stream.write('a tok')
      end(stream)
      await once(stream, 'finish')
      expect(got()).toMatch(/^a tok(tok)?$/)
    }
  })

  it('is a whole secret when one ends as another begins', async () => {
    const { stream, got } = guard({ knows: ['abcdefxy', 'xyz12345'] })
    stream.write('1 abcdefxy')
    await soon()
    stream.write(' 2 abcdefxy')
    stream.write('z12345 3\n')
    expect(got()).toBe('1 [secret] 2 [secret] 3\n')
  })

  it('is dropped when the stream was ended or destroyed under it', async () => {
    for (const stop of [(target: Writable) => target.end(), (target: Writable) => target.destroy()]) {
      const { stream, target, got } = guard()
      const [failed, told] = [vi.fn(), vi.fn()]
      target.on('error', failed)
      stream.write('a tok', told)
      stop(target)
      await soon()
      await soon()
      expect(got()).toBe('a ')
      expect(failed).not.toHaveBeenCalled()
      expect(told).toHaveBeenCalledExactlyOnceWith(expect.any(Error))
    }
  })
})

describe('a guarded stream is, for the rest, the stream', () => {
  it('which gets every write untouched that holds nothing to hide', () => {
    for (const knows of [[], [TOKEN]]) {
      const { stream, chunks } = guard({ knows })
      const bytes = Buffer.from([0xff, 0x00, 0xc3])
      stream.write('a line\n')
      stream.write(bytes)
      expect(chunks).toEqual(['a line\n', bytes])
      expect(chunks[1]).toBe(bytes)
    }
  })

  it('with its own properties, methods and events', async () => {
    const tty = Object.assign(Object.create(WriteStream.prototype), { isTTY: true, columns: 93 })
    const stream = guarded(tty as WriteStream, new Redactor())
    expect([stream.isTTY, stream.columns, stream instanceof WriteStream]).toEqual([true, 93, true])
    expect(stream.getColorDepth({ TERM: 'xterm-256color' })).toBe(8)
    expect(stream.hasColors(16, { TERM: 'xterm-256color' })).toBe(true)
    const { stream: other, target } = guard()
    const heard = vi.fn()
    expect(other.on('resize', heard)).toBe(other)
    target.emit('resize')
    expect(heard).toHaveBeenCalledOnce()
    expect(other.listenerCount('resize')).toBe(1)
    other.end()
    await once(target, 'finish')
    expect([other.writableFinished, other.writable]).toEqual([true, false])
  })

  it('whose cursor moves pass the guard too', () => {
    const got: unknown[] = []
    const tty = Object.assign(Object.create(WriteStream.prototype), {
      write: (chunk: unknown) => got.push(chunk),
    })
    const redactor = new Redactor()
    redactor.learn(new Secret(TOKEN))
    guarded(tty as WriteStream, redactor).cursorTo(0)
    expect(got).toEqual(['\u001b[1G'])
  })

  it('with its back-pressure', async () => {
    const { stream, got } = guard({ highWaterMark: 4, slow: true })
    expect(stream.write('tok')).toBe(true)
    expect(stream.write('yo, a long way')).toBe(false)
    expect(stream.write('tok')).toBe(false)
    await once(stream, 'drain')
    expect(stream.write('x')).toBe(true)
    stream.end()
    await once(stream, 'finish')
    expect(got()).toBe('tokyo, a long waytokx')
  })

  it('into which others can be piped', async () => {
    const { stream, got } = guard({ highWaterMark: 3, slow: true })
    await pipeline(Readable.from(['a tok', 'en-3f9aé', '-5c2b b', ' tok']), stream)
    expect(got()).toBe('a [secret] b tok')
    const { stream: next, got: gotNext } = guard()
    const source = new PassThrough()
    source.pipe(next)
    source.end(`${TOKEN}!`)
    await once(next, 'finish')
    expect(gotNext()).toBe('[secret]!')
  })

  it('that calls back once for each write, after it was written', async () => {
    const { stream, got } = guard({ slow: true })
    const order: [name: string, written: string][] = []
    const done = (name: string) => () => order.push([name, got()])
    stream.write('a', done('plain'))
    stream.write('tok', done('kept'))
    stream.write('en', 'utf8', done('kept on'))
    stream.write('!', done('released'))
    stream.write('tok', done('last'))
    await new Promise<void>(resolve => stream.end(resolve))
    expect(order.map(([name]) => name)).toEqual(['plain', 'kept', 'kept on', 'released', 'last'])
    const own = ['a', 'atoken!', 'atoken!', 'atoken!', 'atoken!tok']
    for (const [index, [, written]] of order.entries())
      expect(written.startsWith(own[index] ?? '?')).toBe(true)
  })

  it('that calls back for what is kept although nobody writes again', async () => {
    const { stream, got } = guard()
    await new Promise<unknown>(resolve => stream.write('tok', resolve))
    expect(got()).toBe('tok')
  })

  it('that hands on what went wrong', async () => {
    const broken = new Writable({ write: (_, __, done) => done(new Error('EPIPE')) })
    const redactor = new Redactor()
    redactor.learn(new Secret(TOKEN))
    const stream = guarded(broken, redactor)
    const failed = once(broken, 'error').catch((error: unknown) => [error])
    const called = new Promise(resolve => stream.write(`${TOKEN}tok`, resolve))
    stream.write('yo', () => {})
    await expect(called).resolves.toMatchObject({ message: 'EPIPE' })
    expect(await failed).toMatchObject([{ message: 'EPIPE' }])
  })

  it('that refuses what is no text, in its own words', () => {
    const { stream, target } = guard()
    for (const one of [stream, target])
      expect(() => one.write(new Secret(TOKEN) as unknown as string)).toThrow(/must be of type string/)
  })
})
