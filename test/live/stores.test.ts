/**
 * A gateway whose secrets live in a real OpenBao with TLS and a private CA, set up, proven and kept by the program as a
 * person runs it. The threat is credential leakage: every credential on the way is known here, and searched for.
 */

import { spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Journal } from '../../src/procedure/journal.ts'
import { BAO, startSealable } from './bao.ts'
import {
  authStatus,
  BIN,
  cli,
  containerOf,
  freePort,
  freshFolder,
  isThorough,
  patience,
  quick,
  type Ran,
  remove,
  sh,
  tokenOf,
} from './harness.ts'
import { lookAtProcesses, watchProcesses } from './processes.ts'

const folder = freshFolder('vault')
const desk = resolve(folder, '..', 'desk')
let bao: Awaited<ReturnType<typeof startSealable>>
let port = 0
let ran: Ran = { code: -1, stdout: '', stderr: '' }
let watched = { looks: 0, text: '' }
let known: Record<string, string> = {}

const there = () => [
  ...['--store', 'vault', '--vault-address', bao.address, '--vault-ca', resolve(desk, 'ca.pem')],
  ...['--vault-admin', `@${resolve(desk, 'admin')}`],
]

beforeAll(async () => {
  bao = await startSealable()
  mkdirSync(desk, { recursive: true, mode: 0o700 })
  writeFileSync(resolve(desk, 'ca.pem'), bao.ca)
  writeFileSync(resolve(desk, 'admin'), `${bao.root.expose()}\n`, { mode: 0o600 })
  writeFileSync(resolve(desk, 'key'), `sk-test-${'k3Jw'.repeat(10)}`, { mode: 0o600 })
  port = await freePort()
  const args = [
    ...(await quick(folder, port)),
    ...there(),
    ...['--provider', 'openai', '--provider-key', `openai=@${resolve(desk, 'key')}`],
  ]
  const watcher = watchProcesses()
  ran = await cli(args)
  watched = watcher.stop()
  expect(ran.stderr, 'setup itself').toContain('The gateway runs at')
  known = {
    'the gateway token': tokenOf(folder),
    'the provider’s key': readFileSync(resolve(desk, 'key'), 'utf8'),
    'the secret id': readFileSync(resolve(folder, '.secure/credentials/vault'), 'utf8'),
    'the admin token': bao.root.expose(),
  }
})

afterAll(async () => {
  await remove(folder)
  await bao.stop()
})

/** Fails with the name of what was found, never with its value. */
function expectNothingKnown(text: string, where: string): void {
  const found = Object.entries(known).filter(([, value]) => text.includes(value))
  expect(found.map(([name]) => `${name} in ${where}`)).toEqual([])
}

const check = (dir = folder, env: NodeJS.ProcessEnv = process.env) =>
  cli(['store', 'check', '--dir', dir], { env })

describe('a gateway whose secrets live in OpenBao', () => {
  it('is set up through an AppRole made with an admin token, and proven', async () => {
    expect(ran.code, ran.stderr).toBe(0)
    expect(ran.stderr).toContain(`Vault at ${bao.address}`)
    expect(await authStatus(port, tokenOf(folder))).toBe(404)
    expect(await authStatus(port)).toBe(401)
  })

  it('has both secrets there, as current, and no copy in a store here', async () => {
    const { code, stdout } = await check()
    expect(code).toBe(0)
    expect(stdout).toMatch(/^gateway_token\s+\d{8}t\d{6}-[0-9a-f]{8}$/m)
    expect(stdout).toMatch(/^openai_api_key\s+\d{8}t\d{6}-[0-9a-f]{8}$/m)
    expect(readdirSync(resolve(folder, '.secure/store'))).toEqual([])
    const path = `secret/data/openclaw/${folder.split('/').at(-1)}/gateway_token`
    const { body } = await bao.ask('GET', path)
    expect(JSON.stringify(body)).toContain(tokenOf(folder))
  })

  it('passes every check that setup answers for, by verify on its own', async () => {
    // With everything else, those that a store has to do with: the others are made where secrets are files.
    const asked = isThorough ? [] : ['store.*', 'secrets.*', 'backup.*'].flatMap(id => ['--only', id])
    const { stdout, code } = await cli(['verify', '--dir', folder, '--json', ...asked])
    const { findings } = JSON.parse(stdout)
    const of = (verdict: string) =>
      findings
        .filter((one: { verdict: string }) => one.verdict === verdict)
        .map((one: { check: string }) => one.check)
    expect(of('unknown')).toEqual([])
    const expected = ['monitor.configured', 'backup.restored', 'incident.drilled']
    expect(of('fail')).toEqual(isThorough ? expected : ['backup.restored'])
    expect(of('pass')).toEqual(expect.arrayContaining(['store.current', 'store.private', 'secrets.hidden']))
    expect(code).toBe(1)
  })

  it('changes nothing when set up again, and needs no credential for it', async () => {
    const before = readFileSync(resolve(folder, '.secure/journal.jsonl'), 'utf8')
    const again = await cli([folder, '--yes', '--no-verify'])
    expect(again.code, again.stderr).toBe(0)
    expect(again.stderr).toContain('Nothing had to be changed.')
    expect(readFileSync(resolve(folder, '.secure/journal.jsonl'), 'utf8')).toBe(before)
  })

  it('refuses another store in passing: a new token would be made there', async () => {
    const { code, stderr } = await cli([folder, '--yes', '--store', 'docker'])
    expect(code).toBe(2)
    expect(stderr).toContain('store move --to docker')
  })
})

describe('what opens the store', () => {
  it('is nowhere in the container: not in its environment, its processes, its mounts or its image', async () => {
    const id = await containerOf(folder)
    const { stdout: inspected } = await sh('docker', ['inspect', id])
    expectNothingKnown(inspected, 'docker inspect')
    expect(inspected).not.toMatch(/VAULT_|BAO_/)
    const { stdout: seen } = await sh('docker', [
      ...['exec', id, 'sh', '-c'],
      'cat /proc/*/environ /proc/*/cmdline 2>/dev/null; cat /etc/openclaw/*; ls -laR /run/secrets; grep -r . "$HOME" 2>/dev/null | head -c 4000000',
    ])
    expect(seen.length).toBeGreaterThan(1000)
    for (const name of ['the secret id', 'the admin token'])
      expect(seen.includes(known[name] ?? '-'), `${name} in the container`).toBe(false)
    const { stdout: secrets } = await sh('docker', ['exec', id, 'sh', '-c', 'cat /run/secrets/*'])
    expect(secrets).toContain(tokenOf(folder))
    for (const name of ['the secret id', 'the admin token'])
      expect(secrets.includes(known[name] ?? '-'), `${name} in /run/secrets`).toBe(false)
  })

  it('was on no command line and in no environment of any process while setup ran', () => {
    expect(watched.looks).toBeGreaterThan(50)
    expectNothingKnown(watched.text, '/proc during setup')
    expectNothingKnown(lookAtProcesses().text, '/proc afterwards')
  })

  it('is in one file, 0400, and the admin token in none', () => {
    const files = readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(entry => resolve(entry.parentPath, entry.name))
    const holders = (value = '-') => files.filter(path => readFileSync(path, 'latin1').includes(value))
    expect(holders(known['the secret id'])).toEqual([resolve(folder, '.secure/credentials/vault')])
    expect(holders(known['the admin token'])).toEqual([])
    expect(
      holders(known['the gateway token']).map(path => path.replace(`${folder}/`, '').split('.')[0]),
    ).toEqual(['secrets/gateway_token'])
  })

  it('is in nothing that is printed or journalled, whatever DEBUG asks for', async () => {
    const env = { ...process.env, DEBUG: '*', NODE_DEBUG: 'http,https,net,tls', OPENCLAW_LOG_LEVEL: 'trace' }
    const outputs = [ran, await check(folder, env), await cli(['status', '--dir', folder], { env })]
    for (const { stdout, stderr } of outputs) expectNothingKnown(stdout + stderr, 'what is printed')
    const journal = resolve(folder, '.secure/journal.jsonl')
    expectNothingKnown(readFileSync(journal, 'utf8'), 'the journal')
    expect(new Journal(journal, () => new Date()).verifyChain()).toMatchObject({ intact: true })
  })

  it('is seen by no proxy that the environment names', async () => {
    const sniffer = await listening(socket => socket.destroy())
    try {
      const proxy = `http://127.0.0.1:${sniffer.port}`
      const names = ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'http_proxy', 'https_proxy', 'all_proxy']
      const env = { ...process.env, ...Object.fromEntries(names.map(name => [name, proxy])) }
      expect((await check(folder, env)).code).toBe(0)
      expect(sniffer.connections()).toBe(0)
    } finally {
      sniffer.close()
    }
  })

  it('leaves no login behind: a token that we obtained is revoked when the program ends', async () => {
    const accessors = async () =>
      ((await bao.ask('GET', 'auth/token/accessors?list=true')).body as { data: { keys: string[] } }).data
        .keys
    const before = await accessors()
    expect((await check()).code).toBe(0)
    expect((await accessors()).sort()).toEqual(before.sort())
  })

  it('does not end up in a core dump: neither the gateway nor this program may leave one, whatever the shell allows', async () => {
    const { stdout } = await sh('docker', ['exec', await containerOf(folder), 'sh', '-c', 'ulimit -c'])
    expect(stdout.trim()).toBe('0')
    const mute = await listening(() => {})
    const dir = like('core', at(`https://127.0.0.1:${mute.port}`))
    const child = spawn('sh', [
      ...['-c', 'ulimit -S -c unlimited 2>/dev/null || ulimit -S -c 1000; exec "$@"', 'sh'],
      ...[process.execPath, BIN, 'store', 'check', '--dir', dir],
    ])
    const ended = new Promise(done => child.once('close', done))
    while (mute.connections() === 0 && child.exitCode === null) await sleep(20)
    const limits = readFileSync(`/proc/${child.pid}/limits`, 'utf8')
    expect(limits).toMatch(/^Max core file size +0 +0 /m)
    child.kill('SIGKILL')
    await ended
    mute.close()
  })
})

/** A deployment that is like this one, but for where its store is. */
function like(name: string, change: (text: string) => string): string {
  const copy = resolve(desk, name)
  mkdirSync(resolve(copy, '.secure'), { recursive: true, mode: 0o700 })
  cpSync(resolve(folder, '.secure/credentials'), resolve(copy, '.secure/credentials'), { recursive: true })
  writeFileSync(
    resolve(copy, 'deployment.yaml'),
    change(readFileSync(resolve(folder, 'deployment.yaml'), 'utf8')),
  )
  return copy
}
const at = (address: string) => (text: string) => text.replace(bao.address, address)

describe('a store that fails', () => {
  async function expectFailure(dir: string, code: string, words: RegExp): Promise<void> {
    const began = performance.now()
    const failed = await check(dir)
    expect(failed.code, failed.stderr).toBe(3)
    expect(failed.stderr).toMatch(new RegExp(`^${code}: `, 'm'))
    expect(failed.stderr).toMatch(words)
    // It has to answer or be given up within 15 s; the program takes a moment to start.
    expect(performance.now() - began).toBeLessThan(patience(20_000))
    expectNothingKnown(failed.stdout + failed.stderr, 'the error')
  }

  it('because nothing listens there says so, with code 3', async () => {
    await expectFailure(
      like('down', at(`https://127.0.0.1:${await freePort()}`)),
      'store_unreachable',
      /nothing listens/,
    )
  })

  it('because its name leads nowhere says so, with code 3', async () => {
    await expectFailure(like('dns', at('https://vault.invalid:8200')), 'store_unreachable', /vault\.invalid/)
  })

  it.concurrent('because it accepts and never answers gives up after 15 s, with code 3', async () => {
    const mute = await listening(() => {})
    await expectFailure(like('mute', at(`https://127.0.0.1:${mute.port}`)), 'store_unreachable', /15 s/)
    mute.close()
  })

  it.concurrent('because it sends headers and then nothing gives up after 15 s, with code 3', async () => {
    const slow = await listening(socket =>
      socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{'),
    )
    await expectFailure(like('slow', at(`http://127.0.0.1:${slow.port}`)), 'store_unreachable', /15 s/)
    slow.close()
  })

  it('because another CA signed its certificate says which flag names the CA, with code 3', async () => {
    const dir = like('ca', text => text.replace(resolve(desk, 'ca.pem'), ''))
    await expectFailure(dir, 'store_unreachable', /--vault-ca/)
  })

  it('because there are too many requests says so, with code 3', async () => {
    const busy = await listening(socket =>
      socket.end(
        'HTTP/1.1 429 Too Many\r\ncontent-type: application/json\r\ncontent-length: 13\r\n\r\n{"errors":[]}',
      ),
    )
    await expectFailure(
      like('busy', at(`http://127.0.0.1:${busy.port}`)),
      'store_(limited|unreachable)',
      /\w/,
    )
    busy.close()
  })

  it('because it sends us elsewhere says where, with code 3, and nothing is sent there', async () => {
    const evil = await listening(() => {})
    const standby = await listening(socket =>
      socket.end(
        `HTTP/1.1 307 Temporary\r\nlocation: http://127.0.0.1:${evil.port}/v1/x\r\ncontent-length: 0\r\n\r\n`,
      ),
    )
    await expectFailure(
      like('standby', at(`http://127.0.0.1:${standby.port}`)),
      'store_unreachable',
      new RegExp(`${evil.port}`),
    )
    expect(evil.connections()).toBe(0)
    evil.close()
    standby.close()
  })

  it('because somebody took the permission away names the path, with code 3', async () => {
    const policy = `sys/policies/acl/openclaw-${folder.split('/').at(-1)}-rotator`
    const before = (await bao.ask('GET', policy)).body as { data: { policy: string } }
    const reading = before.data.policy.replace('"create", "read", "update"]', '"read"]')
    expect(reading).not.toBe(before.data.policy)
    await bao.ask('POST', policy, { policy: reading })
    try {
      await expectFailure(folder, 'store_denied', /lacks: create, update on secret\/data\/openclaw\//)
    } finally {
      await bao.ask('POST', policy, { policy: before.data.policy })
    }
    expect((await check()).code).toBe(0)
  })

  it('because its credential is gone says how to bring it, with code 3', async () => {
    const dir = like('closed', text => text)
    rmSync(resolve(dir, '.secure/credentials'), { recursive: true })
    await expectFailure(dir, 'store_credential', /--store-credential @FILE/)
  })

  it('because it is sealed makes verify unknown with code 3, and the gateway runs on and restarts without it', async () => {
    await bao.seal()
    try {
      await expectFailure(folder, 'store_unreachable', /sealed[\s\S]*unseal/)
      const proven = await cli([
        'verify',
        '--dir',
        folder,
        '--only',
        'token.accepted',
        '--only',
        'store.current',
      ])
      expect(proven.code, proven.stdout).toBe(3)
      expect(proven.stdout).toMatch(/unknown/)
      await sh('docker', ['restart', '--time', '20', await containerOf(folder)])
      const end = Date.now() + 120_000
      while ((await authStatus(port, tokenOf(folder)).catch(() => 0)) !== 404 && Date.now() < end)
        await new Promise(done => setTimeout(done, 500))
      expect(await authStatus(port, tokenOf(folder))).toBe(404)
    } finally {
      await bao.unseal()
    }
    expect((await check()).code).toBe(0)
  })

  it('because it was emptied, or is another one, gets no new token without anybody asking for one, code 3', async () => {
    const name = 't-emptied'
    const target = resolve(desk, name)
    const args = [target, '--yes', '--no-launch', '--name', name]
    expect((await cli([...args, ...there()])).code).toBe(0)
    const before = tokenOf(target)
    await bao.ask('DELETE', `secret/metadata/openclaw/${name}/gateway_token`)
    const refused = await cli(args)
    expect(refused.code, refused.stderr).toBe(3)
    expect(refused.stderr).toMatch(/^store_lost: .*gateway_token/m)
    expect(tokenOf(target)).toBe(before)
    // As the runbook says it: removed on both sides, it is made anew.
    rmSync(resolve(target, 'secrets'), { recursive: true })
    const renewed = await cli(args)
    expect(renewed.code, renewed.stderr).toBe(0)
    expect(tokenOf(target)).not.toBe(before)
  })

  it('before setup begins leaves nothing behind: no folder, no secret, code 3', async () => {
    const fresh = resolve(desk, 'fresh')
    const address = `https://127.0.0.1:${await freePort()}`
    const failed = await cli([
      ...[fresh, '--yes', '--no-launch', '--store', 'vault', '--vault-address', address],
      ...[
        '--vault-role',
        'some-role',
        '--store-credential',
        `@${resolve(folder, '.secure/credentials/vault')}`,
      ],
    ])
    expect(failed.code, failed.stderr).toBe(3)
    expect(failed.stderr).toContain('store_unreachable')
    expect(existsSync(fresh)).toBe(false)
  })
})

describe('a response-wrapped secret id', () => {
  it('is unwrapped once, kept, and refused when somebody else was there first', async () => {
    const name = 't-wrapped'
    const target = resolve(desk, name)
    const admin = ['--vault-admin', `@${resolve(desk, 'admin')}`]
    const place = ['--store', 'vault', '--vault-address', bao.address, '--vault-ca', resolve(desk, 'ca.pem')]
    const made = await cli([target, '--yes', '--no-launch', '--name', name, ...place, ...admin])
    expect(made.code, made.stderr).toBe(0)
    const role =
      /role: "?([\w-]+)"?/.exec(readFileSync(resolve(target, 'deployment.yaml'), 'utf8'))?.[1] ?? ''
    const wrapped = async () => {
      // By the server's own client: the product's is under test here.
      const path = `auth/approle/role/openclaw-${name}/secret-id`
      const { stdout, stderr } = await sh(
        BAO,
        ['write', '-wrap-ttl=5m', '-field=wrapping_token', '-f', path],
        {
          env: {
            ...{ PATH: process.env.PATH, HOME: desk, BAO_ADDR: bao.address },
            ...{ BAO_CACERT: resolve(desk, 'ca.pem'), BAO_TOKEN: bao.root.expose() },
          },
        },
      )
      expect(stdout, stderr).toMatch(/^\S+$/)
      writeFileSync(resolve(desk, 'wrapped'), stdout.trim(), { mode: 0o600 })
    }
    await wrapped()
    const flags = [...place, '--vault-role', role, '--store-credential', `@${resolve(desk, 'wrapped')}`]
    const taken = await cli([target, '--yes', '--no-launch', ...flags])
    expect(taken.code, taken.stderr).toBe(0)
    const kept = resolve(target, '.secure/credentials/vault')
    expect(readFileSync(kept, 'utf8')).toMatch(/^[0-9a-f-]{36}$/)
    // The same command again has what was in it.
    const again = await cli([target, '--yes', '--no-launch', ...flags])
    expect(again.code, again.stderr).toBe(0)
    const own = readFileSync(kept, 'utf8')
    await wrapped()
    const token = readFileSync(resolve(desk, 'wrapped'), 'utf8')
    expect((await bao.ask('POST', 'sys/wrapping/unwrap', {}, token)).status).toBe(200)
    const spent = await cli([target, '--yes', '--no-launch', ...flags])
    expect(spent.code, spent.stderr).toBe(3)
    expect(spent.stderr).toMatch(/store_denied[\s\S]*(used|expired|unwrapped)/)
    expect(readFileSync(kept, 'utf8')).toBe(own)
    // What was kept before is still what opens the store.
    const check = await cli(['store', 'check', '--dir', target])
    expect(check.code, check.stderr).toBe(0)
  })
})

describe('the libraries of the stores', () => {
  /** Which files of the program Node loads, as its own coverage tells. */
  async function loaded(args: readonly string[]): Promise<string[]> {
    const coverage = resolve(desk, `coverage-${args.join('-').replaceAll(/\W/g, '').slice(0, 40)}`)
    rmSync(coverage, { recursive: true, force: true })
    const ran = await sh(process.execPath, [BIN, ...args], {
      env: { ...process.env, NODE_V8_COVERAGE: coverage },
    })
    expect([0, 1], ran.stderr).toContain(ran.code)
    return readdirSync(coverage).flatMap(file =>
      (JSON.parse(readFileSync(resolve(coverage, file), 'utf8')).result as { url: string }[])
        .map(script => script.url)
        .filter(url => url.startsWith('file:')),
    )
  }
  const STORES = /vault|onepassword|1password|node_modules/i
  let local = ''
  beforeAll(async () => {
    local = resolve(desk, 't-local')
    const made = await cli([local, '--yes', '--no-launch'])
    expect(made.code, made.stderr).toBe(0)
  })

  it('would be seen by this test: a deployment in Vault loads them', async () => {
    expect((await loaded(['store', 'check', '--dir', folder])).filter(url => STORES.test(url))).not.toEqual(
      [],
    )
  })

  it('are not loaded by --help', async () => {
    expect((await loaded(['--help'])).filter(url => STORES.test(url))).toEqual([])
    expect((await loaded(['--help'])).length).toBeLessThan(5)
  })

  it('are not loaded by verify --static, wherever the secrets live', async () => {
    for (const dir of [local, folder]) {
      const files = await loaded(['verify', '--static', '--dir', dir])
      expect(files.filter(url => STORES.test(url))).toEqual([])
      expect(files.length).toBeGreaterThan(2)
    }
  })

  it('are not loaded where the secrets are Docker secret files', async () => {
    for (const args of [
      ['store', 'check', '--dir', local],
      [local, '--yes', '--no-launch'],
    ])
      expect(
        (await loaded(args)).filter(url => STORES.test(url)),
        args.join(' '),
      ).toEqual([])
  })
})

/** A server that does what it is told with each connection, and counts them. */
async function listening(take: (socket: Socket) => void) {
  const sockets: Socket[] = []
  const server: Server = createServer(socket => {
    sockets.push(socket)
    socket.on('error', () => {})
    take(socket)
  })
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    connections: () => sockets.length,
    close() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}
