import { join } from 'node:path'
import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import {
  type Finished,
  type ProcessRunner,
  processRunner,
  type RunOptions,
} from '../../src/docker/process.ts'
import { ToolError } from '../../src/errors.ts'
import { generateToken, Redactor, Secret } from '../../src/secret.ts'
import { hostSeal, sealProblem } from '../../src/stores/seal.ts'
import { scratch, thrown } from '../unit/support.ts'

const NAME = 'gateway_token.20261123t014000-1a2b3c4d'
const VALUE = new Secret(`value-${'x9Qz'.repeat(15)}`)
/** The mark of the machine's own key, and what follows it is anything. */
const SEALED = Buffer.concat([Buffer.from('5a1c6a86df9d4096b1d5a65e0862f19a', 'hex'), Buffer.alloc(60, 7)])

type Answer = Partial<Finished> | ToolError

/** A machine whose systemd-creds answers as it is told. */
function machine(answers: { version?: Answer; encrypt?: Answer; decrypt?: Answer }) {
  const asked: { file: string; args: readonly string[]; options: RunOptions }[] = []
  const run: ProcessRunner = async (file, args, options) => {
    asked.push({ file, args, options })
    const { version, encrypt, decrypt } = answers
    const answer = args[0] === '--version' ? version : args[0] === 'encrypt' ? encrypt : decrypt
    if (answer instanceof ToolError) throw answer
    return { code: 0, stdout: '', stderr: '', ...answer }
  }
  return { run, asked }
}

const missing = new ToolError(
  'program_missing',
  'systemd-creds is not installed, or not on the PATH',
  'Install it.',
)
const late = new ToolError('deadline', 'systemd-creds did not finish within 15 s', 'Wait.')

describe('sealing', () => {
  it('hands the value over stdin alone, names it, and has a deadline', async () => {
    const { run, asked } = machine({ encrypt: { stdout: SEALED.toString('base64') } })
    expect(await hostSeal(run).seal(NAME, VALUE)).toEqual(SEALED)
    expect(asked).toHaveLength(1)
    expect(asked[0]?.args).toEqual(['encrypt', '--with-key=host', `--name=${NAME}`, '-', '-'])
    expect(asked[0]?.options).toEqual({ input: VALUE, deadline: 15_000 })
  })

  const refusals: Record<string, Answer> = {
    'systemd-creds fails': { code: 1, stdout: VALUE.expose(), stderr: VALUE.expose() },
    'systemd-creds says nothing': { stdout: '' },
    'it was sealed with another key than asked for': { stdout: Buffer.alloc(80).toString('base64') },
    'systemd-creds is missing': missing,
    'systemd-creds does not end': late,
  }
  for (const [when, encrypt] of Object.entries(refusals))
    it(`says store_unreachable when ${when}, with what to do and nothing of the output`, async () => {
      const error = await thrown(() => hostSeal(machine({ encrypt }).run).seal(NAME, VALUE))
      expect(error).toMatchObject({
        code: 'store_unreachable',
        message: expect.stringContaining(NAME),
        hint: expect.stringMatching(/\w/),
      })
      expect(inspect(error, { depth: 20, showHidden: true })).not.toContain(VALUE.expose())
    })
})

describe('opening', () => {
  it('returns what systemd-creds prints, to the byte', async () => {
    const { run, asked } = machine({ decrypt: { stdout: 'a b\n' } })
    expect((await hostSeal(run).open(NAME, SEALED)).expose()).toBe('a b\n')
    expect(asked[0]?.args).toEqual(['decrypt', '--newline=no', `--name=${NAME}`, '-', '-'])
    expect(asked[0]?.options).toEqual({ input: SEALED.toString('base64'), deadline: 15_000 })
  })

  it('never asks systemd-creds about what the key of this machine did not seal', async () => {
    const { run, asked } = machine({ decrypt: { stdout: 'forged' } })
    for (const bytes of ['', 'plain', '050469dabdf543', SEALED.toString('base64')])
      expect(await thrown(() => hostSeal(run).open(NAME, Buffer.from(bytes)))).toMatchObject({
        code: 'store_corrupt',
      })
    expect(asked).toEqual([])
  })

  it('says store_corrupt when systemd-creds refuses, with what to do and nothing of the output', async () => {
    const { run } = machine({ decrypt: { code: 1, stdout: VALUE.expose(), stderr: VALUE.expose() } })
    const error = await thrown(() => hostSeal(run).open(NAME, SEALED))
    expect(error).toMatchObject({
      code: 'store_corrupt',
      message: expect.stringContaining(NAME),
      hint: expect.stringMatching(/sealed by another machine, or changed/),
    })
    expect(inspect(error, { depth: 20, showHidden: true })).not.toContain(VALUE.expose())
  })

  for (const [what, decrypt] of Object.entries({ missing, late }))
    it(`says store_unreachable when systemd-creds is ${what}: what is stored may be whole`, async () => {
      expect(await thrown(() => hostSeal(machine({ decrypt }).run).open(NAME, SEALED))).toMatchObject({
        code: 'store_unreachable',
      })
    })
})

describe('a machine that cannot seal', () => {
  const version = { stdout: 'systemd 252 (252.38-1~deb12u1)\n+PAM +AUDIT\n' }
  const encrypt = { stdout: SEALED.toString('base64') }
  const machines: Record<string, [answers: Parameters<typeof machine>[0], why: RegExp]> = {
    'has no systemd-creds': [{ version: missing }, /^systemd-creds is not installed/],
    'has one that is too old': [{ version: { stdout: 'systemd 249 (249.11)\n' } }, /249; 250 or later/],
    'has something else of that name': [{ version: { stdout: 'hello' } }, /250 or later/],
    'can make no key': [{ version, encrypt: { code: 1 } }, /ended with 1/],
    'has one that hangs': [{ version, encrypt: late }, /did not finish/],
    'loses its key': [{ version, encrypt, decrypt: { code: 1 } }, /cannot be opened/],
    'gives back something else': [{ version, encrypt, decrypt: { stdout: 'x' } }, /does not give back/],
  }
  for (const [what, [answers, why]] of Object.entries(machines))
    it(`${what}: that is said in one line`, async () => {
      const problem = await sealProblem(machine(answers).run, true)
      expect(problem).toMatch(why)
      expect(problem).not.toContain('\n')
    })

  it('is one where the person is not root, and nothing is tried there', async () => {
    const { run, asked } = machine({ version, encrypt })
    expect(await sealProblem(run, false)).toMatch(/only root/)
    expect(asked).toEqual([])
  })
})

const run = processRunner(new Redactor(), process.env)
const problem = await sealProblem(run, process.getuid?.() === 0)

describe.skipIf(problem !== undefined && process.env.LIVE !== 'required')(
  `the real systemd-creds (${problem ?? 'it works here'})`,
  () => {
    const seal = hostSeal(run)
    /** The same with the key of another machine, which it makes in a folder of its own. */
    const elsewhere = () => {
      const environment = { SYSTEMD_CREDENTIAL_SECRET: join(scratch(), 'credential.secret') }
      return hostSeal((file, args, options) => run(file, args, { ...options, environment }))
    }

    it('gives back every value as it was', async () => {
      const values = [
        '',
        ' ',
        'a\n',
        '\n',
        '\0',
        '\ufeffa',
        `é😀 "'$\\`,
        'x'.repeat(100_000),
        generateToken().expose(),
      ]
      for (const value of values) {
        const sealed = await seal.seal(NAME, new Secret(value))
        expect((await seal.open(NAME, sealed)).expose()).toBe(value)
        if (value.length > 6) expect(Buffer.from(sealed).includes(value.slice(0, 6))).toBe(false)
      }
    })

    it('seals the same value differently each time', async () => {
      const [one, two] = await Promise.all([seal.seal(NAME, VALUE), seal.seal(NAME, VALUE)])
      expect(one).not.toEqual(two)
    })

    it('finds any byte that was flipped, and any that is missing or too many', {
      timeout: 60_000,
    }, async () => {
      const sealed = Buffer.from(await seal.seal(NAME, new Secret('abc')))
      const changed = [...sealed.keys()].map(at => {
        const copy = Buffer.from(sealed)
        copy.writeUInt8(copy.readUInt8(at) ^ (1 << (at % 8)), at)
        return copy
      })
      changed.push(sealed.subarray(0, -1), sealed.subarray(1), Buffer.concat([sealed, Buffer.alloc(1)]))
      for (let at = 0; at < changed.length; at += 4) {
        const opened = changed.slice(at, at + 4).map(bytes => seal.open(NAME, bytes))
        for (const [index, result] of (await Promise.allSettled(opened)).entries())
          expect(result, `byte ${at + index}`).toMatchObject({
            status: 'rejected',
            reason: { code: 'store_corrupt' },
          })
      }
    })

    it('refuses what was sealed under another name', async () => {
      const sealed = await seal.seal(NAME, VALUE)
      for (const other of [
        'gateway_token.20261123t014000-1a2b3c4e',
        'openai_api_key.20261123t014000-1a2b3c4d',
        'g',
      ])
        expect(await thrown(() => seal.open(other, sealed))).toMatchObject({ code: 'store_corrupt' })
    })

    it('refuses what another machine sealed', async () => {
      const other = elsewhere()
      const sealed = await other.seal(NAME, VALUE)
      expect((await other.open(NAME, sealed)).equals(VALUE)).toBe(true)
      expect(await thrown(() => seal.open(NAME, sealed))).toMatchObject({ code: 'store_corrupt' })
    })

    it('refuses what anybody can make with systemd’s empty key', async () => {
      const forged = await run(
        'systemd-creds',
        ['encrypt', '--with-key=tpm2-absent', `--name=${NAME}`, '-', '-'],
        { input: 'forged', deadline: 15_000 },
      )
      const bytes = Buffer.from(forged.stdout, 'base64')
      expect(bytes.length).toBeGreaterThan(32)
      expect(await thrown(() => seal.open(NAME, bytes))).toMatchObject({ code: 'store_corrupt' })
    })

    it('cannot seal where no key can be made, and says so', async () => {
      const environment = { SYSTEMD_CREDENTIAL_SECRET: '/proc/nowhere/credential.secret' }
      const nowhere: ProcessRunner = (file, args, options) => run(file, args, { ...options, environment })
      expect(await sealProblem(nowhere, true)).toMatch(/cannot be sealed/)
    })
  },
)
