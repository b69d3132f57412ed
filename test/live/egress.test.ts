/**
 * Threat: network exfiltration. A deployment as setup writes it, with a real OpenClaw inside and peers outside that would
 * answer anybody: what it is given it reaches, and nothing else; and the list is changed as a person changes it.
 */
import { chmodSync, chownSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { basename, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import * as z from 'zod'
import { openUntil } from '../../src/deployment/egress.ts'
import { NOWHERE } from '../../src/deployment/network.ts'
import { borderRecipe } from '../../src/gateway/image.ts'
import { parseCommentedJson } from '../../src/json.ts'
import { ANSWERS } from '../unit/support.ts'
import {
  authStatus,
  BASE_IMAGE,
  cli,
  cliUntil,
  freePort,
  freshFolder,
  isThorough,
  patience,
  quick,
  remove,
  sh,
  tokenOf,
} from './harness.ts'
import { type Attempt, attempt, openPeers, type Peers, resolvable, SAID } from './peers.ts'
import { begun } from './rotations.ts'

/** Addresses that look public, a private one and the one of clouds' metadata: all of them this machine's, for a while. */
const [MODEL, OTHER, PRIVATE, METADATA] = ['6.6.6.6', '6.6.6.7', '10.77.77.77', '169.254.169.254']
/** One of IPv6, and the network by which a container reaches it: of one's own (RFC 4193). */
const [OTHER6, NETWORK6] = ['fd0c:5ec0:79::1', 'fd0c:5ec0:7a::/64']
/** A private one that a provider is at. */
const NEAR = '10.77.77.78'
const USER = 1000
const folder = freshFolder('egress')
const name = basename(folder)
const at = (path: string) => resolve(folder, path)
const gateway = `${name}-openclaw-gateway-1`
const proxy = `${name}-egress-1`
const [beside, control] = [`${name}-beside`, `${name}-control`]
/** The one thing that is the test's: the gateway trusts the peers' certificate. */
const trust = at('../trust.json')
const PROJECT = ['--project-name', name, '--file', at('docker-compose.yml'), '--file', trust]
const HOSTS = [
  'model.example.org',
  '*.allowed.example.org',
  'private.example.org',
  'metadata.example.org',
  'mixed.example.org',
]

let peers: Peers
let hostService: Server
let hostPort = 0
let port = 0

beforeAll(async () => {
  peers = await openPeers({
    device: 'ocs-peers',
    addresses: [MODEL, OTHER, PRIVATE, METADATA, NEAR, OTHER6],
    zone: {
      'model.example.org': [MODEL],
      'a.allowed.example.org': [OTHER],
      'other.example.org': [OTHER],
      'private.example.org': [PRIVATE],
      'metadata.example.org': [METADATA],
      'mixed.example.org': [OTHER, PRIVATE],
      ...Object.fromEntries(
        REBINDING.map(host => [host, (question: number) => [question === 0 ? OTHER : PRIVATE]]),
      ),
    },
  })
  // Something of this machine's own, on all its addresses.
  hostService = createServer(socket => socket.on('error', () => {}).end('here'))
  await new Promise<void>(done => hostService.listen(0, '0.0.0.0', done))
  const listening = hostService.address()
  hostPort = typeof listening === 'object' && listening !== null ? listening.port : 0
  await setUp()
  await docker('compose', ...PROJECT, 'up', '--detach', '--no-build')
  await docker('run', '--detach', '--init', '--name', control, BASE_IMAGE, 'sleep', 'infinity')
  await docker('network', 'create', '--ipv6', '--subnet', NETWORK6, control)
  await docker('network', 'connect', control, control)
  await docker(
    'run',
    '--detach',
    '--init',
    '--name',
    beside,
    '--network',
    `${name}_inside`,
    '--dns',
    NOWHERE,
    BASE_IMAGE,
    'sleep',
    '900',
  )
  await vi.waitUntil(accepts, { timeout: 120_000, interval: 250 })
})

afterAll(async () => {
  await sh('docker', ['rm', '--force', control, beside])
  await sh('docker', ['network', 'rm', control])
  await remove(folder)
  hostService.close()
  await peers.close()
})

const REBINDING = Array.from({ length: 20 }, (_, index) => `r${index}.allowed.example.org`)

describe('what the gateway is given', () => {
  it.each([
    ['by its name, through a tunnel', 'named/m', `${MODEL}:443 model.example.org`],
    ['by its address, on its port', 'local/m', `${NEAR}:11434 ${NEAR}:11434`],
  ])('a model %s: an agent’s turn reaches it', async (_, model, visit) => {
    const { stdout } = await sh('docker', [
      ...[
        'exec',
        gateway,
        'node',
        'openclaw.mjs',
        'agent',
        '--agent',
        'main',
        '--json',
        '--message',
        'Say it',
      ],
      ...['--session-key', `agent:main:${model.slice(0, 5)}`, '--model', model],
    ])
    expect(stdout).toContain(SAID)
    expect(peers.visits).toContain(visit)
  })

  it('the way in: its port answers on 127.0.0.1, and finds the gateway again when it has a new address', async () => {
    expect(await authStatus(port)).toBe(401)
    const before = await addressOf(gateway)
    await docker('network', 'disconnect', `${name}_inside`, gateway)
    await docker(
      'run',
      '--detach',
      '--rm',
      '--name',
      `${name}-taken`,
      '--network',
      `${name}_inside`,
      BASE_IMAGE,
      'sleep',
      '60',
    )
    await docker('network', 'connect', '--alias', 'openclaw-gateway', `${name}_inside`, gateway)
    expect(await addressOf(gateway)).not.toBe(before)
    await expect.poll(accepts, { timeout: 10_000, interval: 250 }).toBe(true)
    await docker('rm', '--force', `${name}-taken`)
  })
})

describe('everything else', () => {
  /** What a message could try to leave by. None of it is a mistake of the peers: the next test shows that they answer. */
  const ways = (): Record<string, Attempt> => ({
    'another name': { kind: 'tunnel', target: 'other.example.org:443' },
    'a secret in a name': { kind: 'tunnel', target: 'secret-1.example.org:443' },
    'the allowed name’s address': { kind: 'tunnel', target: `${OTHER}:443` },
    'an address as a number': { kind: 'tunnel', target: '101058055:443' },
    'an IPv6 address': { kind: 'tunnel', target: `[${OTHER6}]:443` },
    'another port': { kind: 'tunnel', target: 'a.allowed.example.org:8443' },
    'plain HTTP': { kind: 'request', url: 'http://a.allowed.example.org/?secret-2' },
    'HTTPS without a tunnel': { kind: 'request', url: 'https://a.allowed.example.org/' },
    'another port of the model’s address': { kind: 'request', url: `http://${NEAR}/` },
    'another address on the model’s port': { kind: 'request', url: `http://${OTHER}:11434/` },
    'another method': { kind: 'request', url: `http://${NEAR}:11434/`, method: 'DELETE' },
    'the proxy’s own pages': { kind: 'request', url: 'http://egress:3128/squid-internal-mgr/info' },
    'a name that is private': { kind: 'tunnel', target: 'private.example.org:443' },
    'a name that is the metadata service': { kind: 'tunnel', target: 'metadata.example.org:443' },
    'a name that is public and private': { kind: 'tunnel', target: 'mixed.example.org:443' },
    'no proxy at all': { kind: 'tcp', host: OTHER, port: 443 },
    'no proxy, by IPv6': { kind: 'tcp', host: OTHER6, port: 443 },
    'the metadata service': { kind: 'tcp', host: METADATA, port: 80 },
    'a datagram': { kind: 'udp', host: OTHER, port: 9999, text: 'secret-3' },
    'a question to an outside name server': { kind: 'dns', server: MODEL, name: 'secret-4.example.org' },
    'a question to Docker’s name server': { kind: 'lookup', name: known },
    'this machine, by its bridge': { kind: 'tcp', host: bridge, port: hostPort },
    'this machine, by the proxy': { kind: 'tunnel', target: `${bridge}:${hostPort}` },
    'the engine’s socket': { kind: 'unix', path: '/var/run/docker.sock' },
    'the published port, from behind': { kind: 'tcp', host: 'ingress', port: 18789 },
  })
  let bridge = ''
  /** A name that this machine's own name server knows. */
  let known = ''
  beforeAll(async () => {
    known = (await resolvable()) ?? ''
    expect(known, 'this machine resolves no name').not.toBe('')
    bridge = (await docker('exec', control, 'node', '-p', DEFAULT_ROUTE)).trim()
  })

  it('would answer: a container that is not behind the border reaches all of it', async () => {
    const direct: Attempt[] = [
      { kind: 'tcp', host: OTHER, port: 443 },
      { kind: 'tcp', host: OTHER, port: 8443 },
      { kind: 'tcp', host: PRIVATE, port: 443 },
      { kind: 'tcp', host: METADATA, port: 80 },
      { kind: 'tcp', host: OTHER6, port: 443 },
      { kind: 'tcp', host: bridge, port: hostPort },
      { kind: 'udp', host: OTHER, port: 9999 },
      { kind: 'dns', server: MODEL, name: 'other.example.org' },
      { kind: 'lookup', name: known },
    ]
    expect(await attempt(control, direct)).toEqual([
      ...Array.from({ length: 6 }, () => 'connected'),
      ...['answered', 'answered', expect.stringMatching(/^[\d.]+$|:/)],
    ])
  })

  it.each([
    ['the gateway', gateway],
    ['another container beside it', beside],
  ])('is out of reach of %s', async (_, container) => {
    peers.visits.length = 0
    const tried = ways()
    const became = await attempt(container, Object.values(tried))
    // By the proxy: its own refusal, and nothing vaguer. Past it: nothing that answers.
    const refused = (kind: Attempt['kind'], result: string) =>
      kind === 'tunnel' || kind === 'request' ? result === '403' : /^(E[A-Z_]+|silence)$/.test(result)
    const other = Object.entries(tried)
      .map(([way, { kind }], index) => ({ way, kind, became: became[index] ?? 'nothing' }))
      .filter(one => !refused(one.kind, one.became))
    expect(other).toEqual([])
    expect(peers.visits).toEqual([])
    expect(peers.questions.filter(question => question.includes('secret'))).toEqual([])
  })

  it('is written down, each with its reason, and without what was to be sent', async () => {
    // All at once: Squid asks one helper whether it is open for a while.
    const crowd = Array.from({ length: 10 }, (_, index) => `crowd-${index}.example.org:443`)
    await attempt(
      beside,
      crowd.map(target => ({ kind: 'tunnel', target })),
    )
    const log = await docker('logs', proxy)
    expect(crowd.filter(target => !log.includes(`refused CONNECT ${target} reason=not-on-the-list`))).toEqual(
      [],
    )
    for (const line of [
      'refused CONNECT other.example.org:443 reason=not-on-the-list',
      'refused CONNECT a.allowed.example.org:8443 reason=only-port-443',
      'refused GET a.allowed.example.org:80 reason=only-tls-tunnels',
      `refused CONNECT ${OTHER}:443 reason=no-full-host-name`,
      'refused CONNECT metadata.example.org:443 reason=leads-to-an-address-that-is-not-public',
      'allowed CONNECT model.example.org:443 reason=listed',
    ])
      expect(log).toContain(line)
    expect(log).not.toContain('secret-2')
  })

  it('stays out of reach of a name that is public when it is judged and private a moment later', async () => {
    peers.visits.length = 0
    const became = await attempt(
      gateway,
      REBINDING.flatMap(host =>
        [0, 1, 2].map(() => ({ kind: 'tunnel', target: `${host}:443`, speak: host }) as const),
      ),
    )
    // Each request is refused, or reaches what was judged.
    expect(became.filter(result => result !== '200 200' && result !== '403')).toEqual([])
    expect(became).toContain('200 200')
    expect(peers.visits.filter(visit => !visit.startsWith(OTHER))).toEqual([])
    expect(await docker('logs', proxy)).not.toContain(`peer=${PRIVATE}`)
  })
})

const other = { kind: 'tunnel', target: 'other.example.org:443' } as const
const model = { kind: 'tunnel', target: 'model.example.org:443' } as const
const privately = { kind: 'tunnel', target: 'private.example.org:443' } as const
/** A connection that lives: says whether it was cut, and when. */
const held = (host: string, seconds: number): Promise<string> =>
  attempt(beside, [{ kind: 'hold', target: `${host}:443`, speak: host, seconds }]).then(
    ([became = '']) => became,
  )
/** One that has lived for a moment when this returns; what becomes of it is asked for later. */
const connected = async (host: string): Promise<() => Promise<string>> => {
  const became = held(host, 55)
  await new Promise(done => setTimeout(done, 1500))
  return () => became
}

describe('a change of what is allowed', () => {
  it('is in force when egress allow has ended, and drops no connection', async () => {
    const kept = held('a.allowed.example.org', 4)
    await new Promise(done => setTimeout(done, 1500))
    expect(await egress('allow', 'other.example.org')).toMatchObject({ code: 0 })
    expect(await attempt(beside, [other])).toEqual(['200'])
    expect(await kept).toBe('kept')
    const again = await egress('allow', 'other.example.org')
    expect([again.code, again.stderr]).toEqual([0, expect.stringContaining('Nothing had to be changed')])
  })

  it('can be asked for beforehand: egress test says what the proxy would do, and why', async () => {
    const asked = async (target: string) => {
      const { code, stdout } = await egress('test', target, '--json')
      const { answer, reason } = JSON.parse(stdout)
      return [target, [code, answer, reason]] as const
    }
    const expected = {
      'other.example.org': [0, 'allowed', 'listed'],
      'new.example.org': [1, 'refused', 'not-on-the-list'],
      [`${NEAR}:11434`]: [0, 'allowed', 'local-provider'],
      'other.example.org:8443': [1, 'refused', 'only-port-443'],
      '[::1]': [1, 'refused', 'no-full-host-name'],
      'metadata.example.org': [1, 'refused', 'leads-to-an-address-that-is-not-public'],
    }
    const targets = Object.keys(expected)
    expect(Object.fromEntries(await Promise.all(targets.map(asked)))).toEqual(expected)
  })

  it('does not let a name through that leads to a private address, and says so', async () => {
    const { code, stderr } = await egress('allow', 'private.example.org')
    expect([code, stderr]).toEqual([1, expect.stringContaining('egress_not_public')])
    expect(await attempt(beside, [privately])).toEqual(['403'])
  })

  it('is in force when egress deny has ended, for what was connected before too; a provider’s own stays', async () => {
    const cut = await connected('other.example.org')
    expect(await egress('deny', 'other.example.org')).toMatchObject({ code: 0 })
    expect(await cut()).toMatch(/^cut /)
    expect(await attempt(beside, [other, model])).toEqual(['403', '200'])
    expect(await egress('deny', NEAR)).toMatchObject({ code: 2 })
  })

  it('is completed by the same command when the tool was killed in the middle', async () => {
    const killed = async (word: string, text: string) => {
      const args = ['egress', word, 'other.example.org', '--dir', folder]
      const { code, stderr } = await cliUntil({ signal: 'SIGKILL', text }, args)
      expect(code, stderr).toBeNull()
    }
    await killed('allow', begun('egress.reload'))
    expect(readFileSync(at('border/squid.conf'), 'utf8')).toContain('other.example.org')
    expect(await egress('allow', 'other.example.org')).toMatchObject({ code: 0 })
    expect(await attempt(beside, [other])).toEqual(['200'])

    const cut = await connected('other.example.org')
    await killed('deny', begun('egress.cut'))
    expect(await egress('deny', 'other.example.org')).toMatchObject({ code: 0 })
    expect(await cut()).toMatch(/^cut /)
  })

  it('is not taken up when Squid would not understand it, and nothing happens to the proxy', async () => {
    const before = readFileSync(at('border/squid.conf'), 'utf8')
    place('squid.conf', `${before}\nhttp_access allow nobody_knows\n`)
    expect((await reload()).code).toBe(1)
    expect(await attempt(beside, [other, model])).toEqual(['403', '200'])
    expect(await egress('allow', 'other.example.org')).toMatchObject({ code: 2 })
    place('squid.conf', before)
  })
})

describe('open for a while', () => {
  it('lets every public host through and nothing private; closed at once, what was opened meanwhile is cut', async () => {
    expect(await egress('open', '--for', '5m', '--yes')).toMatchObject({ code: 0 })
    expect(await attempt(beside, [other, privately])).toEqual(['200', '403'])
    expect((await egress('list')).stdout).toMatch(/open until .* \(5 min\) for every public host/)
    const cut = held('other.example.org', 20)
    await new Promise(done => setTimeout(done, 1000))
    expect(await egress('close')).toMatchObject({ code: 0 })
    expect(await attempt(beside, [other, model])).toEqual(['403', '200'])
    expect(await cut).toMatch(/^cut /)
  })

  it('opens nothing when the gateway cannot be asked for the proof', async () => {
    await docker('pause', gateway)
    try {
      expect(await egress('open', '--for', '5m', '--yes')).toMatchObject({ code: 3 })
      expect(existsSync(at('border/open-until'))).toBe(false)
      expect(await attempt(beside, [other])).toEqual(['403'])
    } finally {
      await docker('unpause', gateway)
    }
  })

  it('ends by itself, whoever is there to see it', async () => {
    const [now, seconds] = [new Date(), 5]
    place('open-until', openUntil(now, seconds))
    expect(await attempt(beside, [other])).toEqual(['200'])
    const late =
      Number((await held('other.example.org', 20)).replace('cut ', '')) -
      (Math.floor(now.getTime() / 1000) + seconds) * 1000
    expect(late).toBeGreaterThanOrEqual(0)
    expect(late).toBeLessThan(patience(5000))
    // Docker has started it anew: closed, and with the list as it was.
    await expect.poll(() => attempt(beside, [other, model]), { timeout: 10_000 }).toEqual(['403', '200'])
  })
})

describe('the proxy away', () => {
  it('means closed, not open; what is allowed meanwhile is in force when it is back', async () => {
    await docker('stop', proxy)
    peers.visits.length = 0
    const became = await attempt(gateway, [
      model,
      { kind: 'tcp', host: MODEL, port: 443 },
      { kind: 'tcp', host: NEAR, port: 11434 },
      { kind: 'lookup', name: 'model.example.org' },
    ])
    expect(became.filter(result => /^(connected|answered|\d)/.test(result))).toEqual([])
    expect(peers.visits).toEqual([])
    const untold = await egress('allow', 'other.example.org')
    expect([untold.code, untold.stderr]).toEqual([3, expect.stringContaining('egress_not_told')])
    expect(await egress('open', '--for', '5m', '--yes')).toMatchObject({ code: 3 })
    await docker('start', proxy)
    await expect.poll(() => attempt(beside, [other]), { timeout: 10_000 }).toEqual(['200'])
  })
})

// The deployment was not started by setup, and its gateway was given what only this suite has: all is started anew, once.
describe.runIf(isThorough)('a host that somebody takes out of deployment.yaml', () => {
  it('is out of reach when setup has ended, for what was connected before too', async () => {
    put('config/openclaw.json', readFileSync(at('.secure/base/config/openclaw.json'), 'utf8'))
    const setup = () => cli([folder, '--yes', '--no-verify'])
    expect(await setup()).toMatchObject({ code: 0 })
    expect(await egress('allow', 'other.example.org')).toMatchObject({ code: 0 })
    const cut = await connected('other.example.org')
    const wanted = readFileSync(at('deployment.yaml'), 'utf8')
    writeFileSync(at('deployment.yaml'), wanted.replace(/^.*"other\.example\.org".*\n/m, ''))
    expect(await setup()).toMatchObject({ code: 0 })
    expect(await attempt(beside, [other])).toEqual(['403'])
    expect(await cut()).toMatch(/^cut /)
  })
})

/** Node's way to read where a container's packets go when nothing else is said: /proc/net/route, little-endian. */
const DEFAULT_ROUTE = `require('fs').readFileSync('/proc/net/route','utf8').split('\\n').map(l=>l.split('\\t'))
  .filter(l=>l[1]==='00000000').map(l=>l[2].match(/../g).reverse().map(h=>parseInt(h,16)).join('.'))[0]`

const Policy = z.looseObject({
  models: z.looseObject({ providers: z.looseObject({ local: z.looseObject({ baseUrl: z.string() }) }) }),
})

/** A deployment with a provider that is an address; and its gateway is told of a second one, which has a name. */
async function setUp(): Promise<void> {
  port = await freePort()
  writeFileSync(at('../key'), 'nobodys-key-0123456789')
  const made = await cli([
    ...(await quick(folder, port)),
    ...['--no-launch', '--provider', `local=http://${NEAR}:11434/v1`, '--model', 'local/m'],
    ...['--provider-key', `local=@${at('../key')}`],
    ...['--egress-resolver', MODEL, ...HOSTS.flatMap(host => ['--allow-host', host])],
  ])
  expect(made.code, made.stderr).toBe(0)
  const recipe = borderRecipe({ ...ANSWERS, companionBase: BASE_IMAGE })
  await sh('docker', ['build', '--network', 'host', '--quiet', '--tag', recipe.label, '-'], {
    input: recipe.dockerfile,
    timeout: 240_000,
  })
  const policy = Policy.parse(parseCommentedJson(readFileSync(at('config/openclaw.json'), 'utf8')))
  const { local } = policy.models.providers
  Object.assign(policy.models.providers, { named: { ...local, baseUrl: 'https://model.example.org/v1' } })
  put('config/openclaw.json', JSON.stringify(policy))
  put('config/peers.pem', peers.certificate)
  const environment = { NODE_EXTRA_CA_CERTS: '/etc/openclaw/peers.pem' }
  writeFileSync(trust, JSON.stringify({ services: { 'openclaw-gateway': { environment } } }))
}

/** `create-openclaw-secure egress ARGS`, on the deployment. */
function egress(...args: string[]) {
  return cli(['egress', ...args, '--dir', folder])
}

/** Replaces a file of the gateway's user, whole. */
function put(path: string, content: string): void {
  writeFileSync(at(`${path}.new`), content)
  chownSync(at(`${path}.new`), USER, USER)
  chmodSync(at(`${path}.new`), 0o400)
  renameSync(at(`${path}.new`), at(path))
}

function place(file: string, content: string): void {
  put(`border/${file}`, content)
}

/** Squid reads its own configuration first, and does nothing when it is not right. */
function reload() {
  return sh('docker', ['exec', proxy, 'squid', '-k', 'reconfigure', '-f', '/etc/border/squid.conf'])
}

async function addressOf(container: string): Promise<string> {
  return docker('inspect', '--format', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}', container)
}

async function docker(...args: string[]): Promise<string> {
  const ran = await sh('docker', args)
  if (ran.code !== 0) throw new Error(`docker ${args.join(' ')}: ${ran.stderr}`)
  return ran.stdout
}

/** Whether the published port leads to the gateway, which takes its token. */
function accepts(): Promise<boolean> {
  const headers = { authorization: `Bearer ${tokenOf(folder)}` }
  return fetch(`http://127.0.0.1:${port}/api/channels/x`, {
    headers,
    signal: AbortSignal.timeout(3000),
  }).then(
    ({ status }) => status === 404,
    () => false,
  )
}
