import { execFileSync } from 'node:child_process'
import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { generateSshKey, publicSshKey, sshFingerprint } from '../../src/gateway/ssh-key.ts'
import { Secret } from '../../src/secret.ts'
import { scratch, some, thrown } from './support.ts'

/** What the format says lies where, read without the code under test: magic, four strings, a count, two strings. */
function seedOf(key: Secret): Buffer {
  const lines = key.expose().split('\n').slice(1, -2)
  const bytes = Buffer.from(lines.join(''), 'base64')
  // The private part ends the file; in it the seed is the first half of the string after the public key.
  const point = Buffer.from(publicSshKey(key).split(' ')[1] ?? '', 'base64').subarray(-32)
  const at = bytes.lastIndexOf(point)
  return bytes.subarray(at - 32, at)
}

describe('an ssh key made here', () => {
  it('is an Ed25519 pair: what the private half signs, the public line verifies', () => {
    const key = generateSshKey('gateway')
    const prefix = Buffer.from('302e020100300506032b657004220420', 'hex')
    const priv = createPrivateKey({ key: Buffer.concat([prefix, seedOf(key)]), format: 'der', type: 'pkcs8' })
    const point = Buffer.from(publicSshKey(key).split(' ')[1] ?? '', 'base64').subarray(-32)
    const pub = createPublicKey({
      key: { kty: 'OKP', crv: 'Ed25519', x: point.toString('base64url') },
      format: 'jwk',
    })
    const message = Buffer.from('a call')
    expect(verify(null, message, pub, sign(null, message, priv))).toBe(true)
  })

  it('is another one each time, and prints as a secret', () => {
    const [one, other] = [generateSshKey('gateway'), generateSshKey('gateway')]
    expect(publicSshKey(one)).not.toBe(publicSshKey(other))
    expect(`${one}`).toBe('[secret]')
  })

  it('is padded to a block, whatever the length of its comment', () => {
    for (const comment of ['', 'a', 'ab', 'abc', 'abcdefg', 'abcdefgh', 'ü', 'sandbox 2026-11-26'])
      expect(publicSshKey(generateSshKey(comment))).toMatch(/^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5[\w+/]{48}$/)
  })

  it('is read without the newline that OpenClaw strips', () => {
    const key = generateSshKey('gateway')
    expect(publicSshKey(new Secret(key.expose().trimEnd()))).toBe(publicSshKey(key))
  })

  it.runIf(existsSync('/usr/bin/ssh-keygen'))(
    'is what ssh-keygen takes it for, and the other way round',
    () => {
      const folder = scratch()
      const keygen = (...args: string[]) => execFileSync('ssh-keygen', args, { encoding: 'utf8' }).trim()
      const ours = generateSshKey('of ours')
      const file = resolve(folder, 'ours')
      writeFileSync(file, ours.expose(), { mode: 0o600 })
      expect(keygen('-y', '-f', file)).toBe(`${publicSshKey(ours)} of ours`)
      expect(keygen('-lf', file)).toContain(` ${sshFingerprint(publicSshKey(ours))} `)

      const theirs = resolve(folder, 'theirs')
      keygen('-q', '-t', 'ed25519', '-N', '', '-C', 'theirs', '-f', theirs)
      const read = publicSshKey(new Secret(readFileSync(theirs)))
      expect(`${read} theirs`).toBe(readFileSync(`${theirs}.pub`, 'utf8').trim())
    },
  )
})

describe('what is no key of ours', () => {
  /** A key with one byte of its binary form changed. */
  function bent(key: Secret, at: number): Secret {
    const [first = '', ...rest] = key.expose().trimEnd().split('\n')
    const bytes = Buffer.from(rest.slice(0, -1).join(''), 'base64')
    bytes[at] = (some(bytes[at]) + 1) % 256
    return new Secret([first, bytes.toString('base64'), rest.at(-1)].join('\n'))
  }
  const key = generateSshKey('gateway')
  const length = Buffer.from(key.expose().split('\n').slice(1, -2).join(''), 'base64').length

  it.each([
    ['nothing', new Secret('')],
    ['a token', new Secret('a'.repeat(64))],
    [
      'the frame alone',
      new Secret('-----BEGIN OPENSSH PRIVATE KEY-----\n\n-----END OPENSSH PRIVATE KEY-----\n'),
    ],
    ['a key that is cut short', new Secret(key.expose().split('\n').toSpliced(3, 2).join('\n'))],
    ['another format', bent(key, 0)],
    ['one with a passphrase', bent(key, 19)],
    ['one whose check numbers differ', bent(key, 98)],
    ['one whose halves do not belong together', bent(key, length - 100)],
  ])('is refused, without showing it: %s', async (_name, wrong) => {
    const error = await thrown(() => publicSshKey(wrong))
    expect(error).toMatchObject({ code: 'ssh_key_unreadable' })
    expect(error.message).not.toContain(wrong.expose().slice(40) || 'OPENSSH PRIVATE')
  })
})
