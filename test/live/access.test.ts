/** The ways in: a neighbour on the network who must not get in, and the nginx that lets the right people in. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request as httpsRequest } from 'node:https'
import { networkInterfaces, tmpdir } from 'node:os'
import { basename, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { addressesOf } from '../../src/deployment/network.ts'
import {
  cli,
  containerOf,
  freePort,
  freshFolder,
  isThorough,
  openToNeighbours,
  quick,
  remove,
  sh,
  tokenOf,
  usual,
} from './harness.ts'

/** Tries to connect every 2 ms for eight seconds: the moment in which a rule is away is short. */
const KNOCK = `
const net = require('node:net')
let tries = 0, opened = 0
const timer = setInterval(() => {
  tries++
  const socket = net.connect(18789, process.argv[1], () => { opened++; socket.destroy() })
  socket.on('error', () => {})
  setTimeout(() => socket.destroy(), 300)
}, 2)
setTimeout(() => { clearInterval(timer); console.log(JSON.stringify({ tries, opened })) }, 8000)`

describe('a neighbour on the network (network exfiltration)', () => {
  const folder = freshFolder('neighbour')
  const space = `ocs-${process.pid}`
  const { bridge } = addressesOf(basename(folder))
  let target = ''

  const ip = (...args: string[]) => sh('ip', args)
  const addressIn = async (network: string, service?: string) => {
    const format = `{{(index .NetworkSettings.Networks "${basename(folder)}_${network}").IPAddress}}`
    return (
      await sh('docker', ['inspect', '--format', format, await containerOf(folder, service)])
    ).stdout.trim()
  }
  /** curl from the neighbour's own network namespace: it has one route, through this machine. */
  const fromNeighbour = () =>
    sh('ip', [
      'netns',
      'exec',
      space,
      'curl',
      '-s',
      '-o',
      '/dev/null',
      '-m',
      '4',
      '-w',
      '%{http_code}',
      `http://${target}:18789/healthz`,
    ])

  beforeAll(async () => {
    const setup = await cli((await quick(folder)).filter(argument => argument !== '--firewall'))
    expect(setup.code, setup.stderr).toBe(0)
    expect(setup.stderr).toMatch(/^note +neighbours: .*moby#41872/m)
    const { code } = await cli(['verify', '--dir', folder, '--only', 'ports.neighbours'])
    expect(code, 'the open door is a failed check').toBe(1)
    target = await addressIn('front', 'ingress')
    await ip('netns', 'add', space)
    await ip('link', 'add', `${space}h`, 'type', 'veth', 'peer', 'name', `${space}n`)
    await ip('link', 'set', `${space}n`, 'netns', space)
    await ip('address', 'add', '198.51.100.1/30', 'dev', `${space}h`)
    await ip('link', 'set', `${space}h`, 'up')
    await ip('-n', space, 'address', 'add', '198.51.100.2/30', 'dev', `${space}n`)
    await ip('-n', space, 'link', 'set', `${space}n`, 'up')
    await ip('-n', space, 'route', 'add', 'default', 'via', '198.51.100.1')
  })

  afterAll(async () => {
    await ip('netns', 'delete', space)
    await ip('link', 'delete', `${space}h`)
    await remove(folder)
  })

  it('gets in on an engine before 28 while the rule is missing: the hole is real', async () => {
    // The route through a new link takes a moment to come up.
    await expect
      .poll(async () => (await fromNeighbour()).stdout, { timeout: 20_000, interval: 500 })
      .toBe('200')
  })

  it('never gets to the gateway itself, which not even this machine has an address beside', async () => {
    const [front, gateway] = [target, await addressIn('inside')]
    target = gateway
    // Without a network of that address here, whoever has it elsewhere may answer; it is not the gateway.
    expect((await fromNeighbour()).stdout).not.toBe('200')
    const here = await sh('curl', ['-s', '-m', '4', '-w', '%{http_code}', `http://${gateway}:18789/healthz`])
    expect(here.stdout).not.toContain('200')
    target = front
  })

  it('is kept out by the rule that --firewall installs, while this machine still gets in', async () => {
    const again = await cli([folder, '--yes', '--firewall', '--no-verify'])
    expect(again.code, again.stderr).toBe(0)
    expect((await fromNeighbour()).stdout).toBe('000')
    expect(
      (await sh('curl', ['-s', '-o', '/dev/null', '-w', '%{http_code}', `http://${target}:18789/healthz`]))
        .stdout,
    ).toBe('200')
    expect((await sh('iptables', ['-t', 'mangle', '-S', 'FORWARD'])).stdout).toContain(
      `! -i ${bridge} -o ${bridge}`,
    )
  })

  it('stays out while Docker takes its own rules apart for another network: a rule in DOCKER-USER would not do', async () => {
    const knocking = sh('ip', ['netns', 'exec', space, process.execPath, '-e', KNOCK, target])
    for (let round = 0; round < 12; round++) {
      await sh('docker', ['network', 'create', `${space}-${round}`])
      await sh('docker', ['network', 'rm', `${space}-${round}`])
    }
    const { tries, opened } = JSON.parse((await knocking).stdout)
    expect(tries).toBeGreaterThan(500)
    expect(opened).toBe(0)
  })

  it('is noticed by verify when somebody takes the rule away', async () => {
    await openToNeighbours(basename(folder))
    const { code, stdout } = await cli(['verify', '--dir', folder, '--only', 'ports.neighbours'])
    expect(code).toBe(1)
    expect(stdout).toContain('missing')
  })
})

// A deployment and an nginx of its own: half a minute.
describe.runIf(isThorough)('nginx in front (--access proxy)', () => {
  const folder = freshFolder('proxy')
  const name = basename(folder)
  const nginx = mkdtempSync(resolve(tmpdir(), 'ocs-nginx-'))
  const passwordFile = `/etc/nginx/${name}.htpasswd`
  let tls = 0
  let token = ''
  let password = ''

  beforeAll(async () => {
    tls = await freePort()
    const plain = await freePort()
    const [certificate, key] = [resolve(nginx, 'cert.pem'), resolve(nginx, 'key.pem')]
    await sh('openssl', [
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-days',
      '2',
      '-subj',
      '/CN=openclaw.example.org',
      '-keyout',
      key,
      '-out',
      certificate,
    ])
    const args = [
      ...(await usual(folder)),
      '--access',
      'proxy',
      '--proxy-host',
      'openclaw.example.org',
      '--proxy-certificate',
      certificate,
      '--proxy-key',
      key,
    ]
    const setup = await cli(args)
    expect(setup.code, setup.stderr).toBe(0)
    token = tokenOf(folder)
    const store = JSON.parse(readFileSync(resolve(folder, '.secure/store/proxy_password.json'), 'utf8'))
    password = readFileSync(resolve(folder, `.secure/store/proxy_password.${store.current}`), 'utf8')
    // As the deployment's README says, but for the ports, which may be taken on this machine.
    await sh('install', ['-m', '0640', '-g', 'www-data', resolve(folder, 'proxy/htpasswd'), passwordFile])
    const site = readFileSync(resolve(folder, 'proxy/nginx.conf'), 'utf8')
      .replace(/listen (\[::\]:)?80;/g, `listen $1${plain};`)
      .replace(/443 ssl/g, `${tls} ssl`)
    writeFileSync(resolve(nginx, 'site.conf'), site)
    writeFileSync(
      resolve(nginx, 'nginx.conf'),
      `user www-data;\npid ${nginx}/pid;\nevents {}\nhttp { include ${nginx}/site.conf; }\n`,
    )
    const started = await sh('nginx', ['-c', resolve(nginx, 'nginx.conf'), '-e', resolve(nginx, 'error.log')])
    expect(started.code, started.stderr).toBe(0)
  })

  afterAll(async () => {
    await sh('nginx', ['-c', resolve(nginx, 'nginx.conf'), '-e', resolve(nginx, 'error.log'), '-s', 'stop'])
    for (const path of [
      passwordFile,
      nginx,
      `/var/log/nginx/${name}.access.log`,
      `/var/log/nginx/${name}.error.log`,
    ])
      rmSync(path, { recursive: true, force: true })
    await remove(folder)
  })

  // Asked on the machine's network address, as others would: the gateway takes a loopback client behind a proxy for a lie.
  const address = Object.values(networkInterfaces())
    .flatMap(all => all ?? [])
    .find(one => !one.internal && one.family === 'IPv4')?.address
  const ask = (
    path: string,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; upgraded: boolean }> =>
    new Promise((done, fail) => {
      const call = httpsRequest({
        host: address,
        port: tls,
        path,
        headers: { host: 'openclaw.example.org', ...headers },
        rejectUnauthorized: false,
        timeout: 8000,
      })
      call.on('response', response => {
        response.resume()
        done({ status: response.statusCode ?? 0, upgraded: false })
      })
      call.on('upgrade', (response, socket) => {
        socket.destroy()
        done({ status: response.statusCode ?? 0, upgraded: true })
      })
      call.on('error', fail)
      call.end()
    })
  const basic = () => ({ authorization: `Basic ${Buffer.from(`openclaw:${password}`).toString('base64')}` })
  const websocket = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    origin: 'https://openclaw.example.org',
  }

  it('asks for the password before anything of the gateway shows (credential leakage)', async () => {
    expect((await ask('/')).status).toBe(401)
    expect((await ask('/healthz')).status).toBe(401)
    expect((await ask('/', { authorization: `Bearer ${token}` })).status).toBe(401)
    expect((await ask('/', websocket)).status).toBe(401)
  })

  it('lets the password through to the gateway and does not hand it on', async () => {
    expect((await ask('/healthz', basic())).status).toBe(200)
  })

  it('carries WebSockets', async () => {
    expect(await ask('/', { ...basic(), ...websocket })).toEqual({ status: 101, upgraded: true })
  })

  it('keeps the password out of the container and out of everything but its own file', async () => {
    const { stdout } = await sh('docker', [
      'exec',
      await containerOf(folder),
      'sh',
      '-c',
      'ls /run/secrets; cat /run/secrets/*',
    ])
    expect(stdout).toContain('gateway_token')
    expect(stdout).not.toContain('proxy_password')
    expect(stdout).not.toContain(password)
  })

  it('leaves the port on 127.0.0.1 to the proxy alone', async () => {
    const { stdout } = await sh('docker', ['port', await containerOf(folder, 'ingress')])
    const port = /127\.0\.0\.1:(\d+)/.exec(stdout)?.[1]
    const direct = await fetch(`http://127.0.0.1:${port}/api/channels/x`, {
      headers: { authorization: `Bearer ${token}` },
    })
    expect(direct.status).toBe(403)
  })
})

describe('an SSH tunnel (--access ssh)', () => {
  it('is handed over as the exact line to type', async () => {
    const folder = freshFolder('ssh')
    const { code, stderr } = await cli([
      folder,
      '--yes',
      '--no-launch',
      '--access',
      'ssh',
      '--ssh-target',
      'me@box.example.org:2222',
      '--port',
      '18999',
    ])
    expect(code).toBe(0)
    expect(stderr).toContain('ssh -N -L 18999:127.0.0.1:18999 -p 2222 me@box.example.org')
    rmSync(resolve(folder, '..'), { recursive: true, force: true })
  })
})
