/**
 * The conversation about stores, on a real terminal: a real OpenBao that it sets up, and 1Password's real SDK over a fake core
 * (the package as it is installed, with the core replaced). Nothing here starts a container.
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { onePasswordServer, VAULT, vault } from '../contract/onepassword-server.ts'
import { type Bao, startDev } from './bao.ts'
import { BIN, cli, sh } from './harness.ts'
import { Conversation, key } from './pty.ts'

const desk = mkdtempSync(resolve(tmpdir(), 'ocs-wizard-'))
const { enter, down } = key
const pick = (steps: number) => down.repeat(steps) + enter
const STORE = 'Where do the secrets live?'
const REVIEW = 'Nothing has been changed yet. Go ahead?'
const [VAULT_STORE, ONE_PASSWORD] = [pick(1), pick(2)]

/** Flags for everything that is not about the store. */
const rest = (folder: string) => [
  ...[folder, '--no-launch', '--name', 't-wizard', '--agent', 'chat', '--provider', ''],
  ...['--image-from', 'official', '--access', 'loopback', '--port', '20007', '--contact', ''],
]

let bao: Bao
beforeAll(async () => {
  bao = await startDev()
})
afterAll(async () => {
  rmSync(desk, { recursive: true, force: true })
  await bao.stop()
})

const filesOf = (folder: string) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => readFileSync(resolve(entry.parentPath, entry.name), 'latin1'))
    .join('\n')

describe('talking about Vault', () => {
  it('makes an AppRole with an admin token, shows every policy first, and keeps neither the token nor shows it', async () => {
    const folder = resolve(desk, 'bootstrapped')
    const talk = new Conversation(rest(folder))
    try {
      await talk.plays(
        [STORE, VAULT_STORE],
        ['Where is Vault?', bao.address, enter],
        ['Which CA signed its certificate?', enter],
        ['This machine needs an AppRole of its own in Vault', pick(1)],
        ['Vault admin token', bao.root.expose(), enter],
      )
      await talk.sees('path "secret/data/openclaw/t-wizard/+"')
      expect(existsSync(folder)).toBe(false)
      expect((await bao.ask('GET', 'sys/policies/acl/openclaw-t-wizard-rotator')).status).toBe(404)
      await talk.plays([REVIEW, enter])
      const { code, raw } = await talk.ends()
      expect(code).toBe(0)
      expect(raw).not.toContain(bao.root.expose())
    } finally {
      talk.close()
    }
    expect(filesOf(folder)).not.toContain(bao.root.expose())
    const check = await cli(['store', 'check', '--dir', folder])
    expect(check.code, check.stderr).toBe(0)
    expect(check.stdout).toContain('as AppRole role "openclaw-t-wizard"')
  })

  it('can be gone back over with "<", also where a role was going to be made', async () => {
    const args = rest(resolve(desk, 'back')).filter(arg => arg !== '--contact')
    const talk = new Conversation(args.slice(0, -1))
    try {
      await talk.plays(
        [STORE, VAULT_STORE],
        ['Where is Vault?', bao.address, enter],
        ['Which CA signed its certificate?', enter],
        ['This machine needs an AppRole of its own in Vault', pick(1)],
        ['Vault admin token', bao.root.expose(), enter],
        ['Who is called first', '<', enter],
        ['Which CA signed its certificate?', '<', enter],
        ['Where is Vault?', key.ctrlC],
      )
      expect((await talk.ends()).code).toBe(130)
    } finally {
      talk.close()
    }
  })

  it('takes a role id and a secret id that somebody has, and asks the server before anything is written', async () => {
    const folder = resolve(desk, 'given')
    const talk = new Conversation(rest(folder))
    try {
      await talk.plays(
        [STORE, VAULT_STORE],
        ['Where is Vault?', bao.address, enter],
        ['Which CA signed its certificate?', enter],
        ['This machine needs an AppRole of its own in Vault', enter],
        ['As which role?', 'no-such-role', enter],
        [REVIEW, enter],
        ['secret id that opens the store', '00000000-0000-0000-0000-000000000000', enter],
      )
      const { code, text, raw } = await talk.ends()
      expect(code).toBe(3)
      expect(text).toMatch(/store_denied: /)
      expect(raw).not.toContain('00000000-0000-0000-0000-000000000000')
    } finally {
      talk.close()
    }
    expect(existsSync(folder)).toBe(false)
  })
})

describe('talking about 1Password', () => {
  let bin = ''

  beforeAll(() => {
    // The package as npm installs it, with a fake in the place of the WASM core.
    const [from, home] = [dirname(dirname(BIN)), resolve(desk, 'package')]
    const kept = ['bin', 'dist/cli', 'dist/help.txt', 'templates', 'schemas', 'steps', 'package.json']
    for (const name of kept) cpSync(resolve(from, name), resolve(home, name), { recursive: true })
    const modules = resolve(home, 'node_modules/@1password')
    cpSync(resolve(from, 'node_modules/@1password/sdk'), resolve(modules, 'sdk'), { recursive: true })
    mkdirSync(resolve(modules, 'sdk-core'))
    cpSync(resolve(from, 'test/fixtures/onepassword-core.cjs'), resolve(modules, 'sdk-core/core.cjs'))
    writeFileSync(
      resolve(modules, 'sdk-core/package.json'),
      JSON.stringify({ name: '@1password/sdk-core', version: '0.5.0', main: 'core.cjs' }),
    )
    bin = resolve(home, 'bin/create-openclaw-secure.js')
  })
  const run = (args: readonly string[]) => sh(process.execPath, [bin, ...args])

  it('lists the vaults the account can use, explains those that never work, and puts the secrets into the chosen one', async () => {
    const server = onePasswordServer()
    server.change(state => {
      state.vaults.unshift(vault('personalpersonalpersonalxx', 'Personal', 'personal'))
      state.vaults.push(vault('othersothersothersothersxx', 'Team', 'userCreated', 7))
    })
    const folder = resolve(desk, 'one')
    const talk = new Conversation(rest(folder), { bin })
    try {
      await talk.plays(
        [STORE, ONE_PASSWORD],
        ['1Password service account token', 'ops_nonsense', enter],
        ['Allowed: ', key.clear, server.token.expose(), enter],
      )
      await talk.sees('Personal: ')
      await talk.sees('Gateway')
      await talk.sees('Team')
      await talk.plays(['', enter], [REVIEW, enter])
      const { code, raw } = await talk.ends()
      expect(code).toBe(0)
      expect(raw).not.toContain(server.token.expose())
      expect(raw).not.toContain('ops_nonsense')
    } finally {
      talk.close()
    }
    expect(readFileSync(resolve(folder, 'deployment.yaml'), 'utf8')).toContain(`vault: "${VAULT}"`)
    expect(server.state().items.map(({ item }) => item.title)).toEqual(['openclaw t-wizard gateway_token'])
    const token = readdirSync(resolve(folder, 'secrets')).map(name =>
      readFileSync(resolve(folder, 'secrets', name), 'utf8'),
    )
    expect(JSON.stringify(server.state())).toContain(token[0])

    const check = await run(['store', 'check', '--dir', folder])
    expect(check.code, check.stderr).toBe(0)
    expect(check.stdout).toMatch(/^gateway_token +\d{8}t/m)
    expect(check.stdout + check.stderr).not.toContain(token[0])
  })

  it('never shows the token to another store, when the person thinks again (credential leakage)', async () => {
    const server = onePasswordServer()
    const seen: string[] = []
    const other = createServer(socket => {
      socket.on('error', () => {})
      socket.on('data', data => seen.push(data.toString('latin1')))
      socket.end('HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n')
    })
    await new Promise<void>(done => other.listen(0, '127.0.0.1', done))
    const address = other.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const talk = new Conversation(rest(resolve(desk, 'again')), { bin })
    try {
      await talk.plays(
        [STORE, ONE_PASSWORD],
        ['1Password service account token', server.token.expose(), enter],
        ['In which 1Password vault?', enter],
        [REVIEW, pick(1)],
        ['Which one?', pick(12)],
        [STORE, key.up, enter],
        ['Where is Vault?', `http://127.0.0.1:${port}`, enter],
        ['Which CA signed its certificate?', enter],
        // What was pasted for 1Password is forgotten: Vault's own is asked for.
        ['This machine needs an AppRole of its own in Vault', enter],
        ['As which role?', 'some-role', enter],
        [REVIEW, enter],
        ['secret id that opens the store', 'not-the-token', enter],
      )
      expect((await talk.ends()).code).toBe(3)
    } finally {
      talk.close()
      other.close()
    }
    expect(seen.length).toBeGreaterThan(0)
    expect(seen.join('')).not.toContain(server.token.expose().slice(4, 40))
  })

  it('without a terminal takes the token from a file, and moves everything out and back in', async () => {
    const server = onePasswordServer()
    const folder = resolve(desk, 'two')
    const file = resolve(desk, 'account')
    writeFileSync(file, server.token.expose(), { mode: 0o600 })
    const there = ['--onepassword-vault', VAULT, '--store-credential', `@${file}`]
    const made = await run([...rest(folder), '--yes', '--store', '1password', ...there])
    expect(made.code, made.stderr).toBe(0)
    expect(filesOf(resolve(folder, '.secure/credentials'))).toBe(server.token.expose())
    const before = filesOf(resolve(folder, 'secrets'))

    const home = await run(['store', 'move', '--dir', folder, '--to', 'docker', '--yes', '--destroy-old'])
    expect(home.code, home.stderr).toBe(0)
    expect(server.state().items).toEqual([])
    expect(readdirSync(resolve(folder, '.secure/credentials'))).toEqual([])
    expect(filesOf(resolve(folder, 'secrets'))).toBe(before)

    const back = ['store', 'move', '--dir', folder, '--to', '1password', '--yes', '--destroy-old', ...there]
    const again = await run(back)
    expect(again.code, again.stderr).toBe(0)
    expect(server.state().items).toHaveLength(1)
    expect(filesOf(resolve(folder, 'secrets'))).toBe(before)
  })

  it.each([
    ['is no such token', 'hvs.notfromhere', /does not begin with ops_|ops_/],
    ['was cut short', `ops_${Buffer.from('{"signInAddress":"https://my.1pass').toString('base64url')}`, /\w/],
    [
      'names a host that is not 1Password’s',
      `ops_${Buffer.from('{"signInAddress":"https://my.1password.com.evil.example","email":"x@y"}').toString('base64url')}`,
      /1Password/,
    ],
    [
      'names one without TLS',
      `ops_${Buffer.from('{"signInAddress":"http://my.1password.com","email":"x@y"}').toString('base64url')}`,
      /https/,
    ],
  ])('refuses a token that %s before anything is contacted, with code 2', async (_, token, words) => {
    const file = resolve(desk, 'wrong')
    writeFileSync(file, token, { mode: 0o600 })
    const folder = resolve(desk, 'refused')
    const refused = await run([
      ...rest(folder),
      ...['--yes', '--store', '1password', '--onepassword-vault', VAULT, '--store-credential', `@${file}`],
    ])
    expect(refused.code, refused.stderr).toBe(2)
    expect(refused.stderr).toMatch(words)
    expect(refused.stderr).not.toContain(token)
    expect(existsSync(folder)).toBe(false)
  })

  it.each([
    [
      'is expired or revoked',
      'init',
      'authentication error: you are not authenticated',
      'store_denied',
      /new/i,
    ],
    [
      'belongs to another account',
      'VaultsGetOverview',
      "vault couldn't be found",
      'store_denied',
      /--onepassword-vault/,
    ],
    ['has asked too often', '*', 'rate limit exceeded', 'store_limited', /hour/],
    [
      'cannot reach its server',
      'init',
      'authentication error: request library compatibility issue, check that the your environment uses compatible versions: reqwest library: error sending request',
      'store_unreachable',
      /reach/,
    ],
  ])('says what to do when the service account %s, with code 3', async (name, on, text, code, words) => {
    const server = onePasswordServer()
    const folder = resolve(desk, name.replaceAll(' ', '-'))
    const file = resolve(desk, 'account')
    writeFileSync(file, server.token.expose(), { mode: 0o600 })
    const there = ['--onepassword-vault', VAULT, '--store-credential', `@${file}`]
    const made = await run([...rest(folder), '--yes', '--store', '1password', ...there])
    expect(made.code, made.stderr).toBe(0)
    server.change(state => {
      state.faults = [
        { on, does: 'says', text, ...(code === 'store_limited' ? { name: 'RateLimitExceeded' } : {}) },
      ]
    })
    const failed = await run(['store', 'check', '--dir', folder])
    expect(failed.code, failed.stderr).toBe(3)
    expect(failed.stderr).toMatch(new RegExp(`^${code}: `, 'm'))
    expect(failed.stderr).toMatch(words)
    expect(failed.stderr).not.toContain(server.token.expose())
  })
})
