import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { BlockList, isIPv6 } from 'node:net'
import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Answers } from '../../src/deployment/answers.ts'
import { borderFiles } from '../../src/deployment/border.ts'
import {
  allowedHosts,
  closesAt,
  isEgressHost,
  localProviders,
  openUntil,
  PRESETS,
  providerProblem,
  squidConf,
  takenOut,
} from '../../src/deployment/egress.ts'
import { KNOWN_PROVIDERS } from '../../src/wizard/kinds.ts'
import { ANSWERS, thrown } from '../unit/support.ts'

const answers = (over: Partial<Answers> = {}): Answers => ({
  ...ANSWERS,
  providers: [],
  egressHosts: [],
  ...over,
})
const rules = (over: Partial<Answers> = {}) => borderFiles(answers(over))['squid.conf'] ?? ''

describe('whom the way out leads to', () => {
  it('is the hosts of the providers, of the channels and of the person, sorted, each once', () => {
    const providers = [{ id: 'openai' }, { id: 'own', url: 'https://models.example.org/v1' }]
    expect(allowedHosts({ providers, egressHosts: ['telegram', '*.example.net', 'api.openai.com'] })).toEqual(
      [
        { host: '*.example.net', because: 'allowed by you' },
        { host: 'api.openai.com', because: 'provider openai' },
        { host: 'api.telegram.org', because: 'telegram' },
        { host: 'models.example.org', because: 'provider own' },
      ],
    )
  })

  it('has a host for every provider that is known by name', () => {
    for (const id of KNOWN_PROVIDERS)
      expect(allowedHosts({ providers: [{ id }], egressHosts: [] })).not.toEqual([])
  })

  it('can hold every preset', () => {
    expect(() => squidConf(answers({ egressHosts: Object.keys(PRESETS) }))).not.toThrow()
  })

  it('leads to a provider that is an address by that address and that port', () => {
    const providers = [
      { id: 'near', url: 'http://192.168.1.5:11434/v1' },
      { id: 'safe', url: 'https://10.0.0.7/v1' },
    ]
    expect(localProviders({ providers })).toEqual([
      { address: '192.168.1.5', port: 11434, scheme: 'http' },
      { address: '10.0.0.7', port: 443, scheme: 'https' },
    ])
    expect(allowedHosts({ providers, egressHosts: [] })).toEqual([])
    const text = rules({ providers })
    expect(text).toContain('acl local_1 dstdomain -n 192.168.1.5\nacl local_1_port port 11434\n')
    expect(text).toContain('acl local_2_method method CONNECT\n')
  })
})

describe('a provider that the proxy could never reach', () => {
  it.each([
    ['http://models.example.org/v1', 'plain http'],
    ['https://models.example.org:8443/v1', 'not on 8443'],
    ['http://ollama:11434/v1', 'give its IP address'],
    ['https://models.internal/v1', 'give its IP address'],
    ['http://127.0.0.1:11434/v1', 'another machine as a container sees it'],
    ['http://localhost:11434/v1', 'give its IP address'],
    ['https://169.254.169.254/', 'another machine as a container sees it'],
    ['http://[fd00::5]:11434/v1', 'IPv6'],
  ])('is named: %s', (url, why) => {
    expect(providerProblem({ id: 'own', url })).toContain(why)
  })

  it.each(['https://models.example.org/v1', 'http://192.168.1.5:11434/v1', 'https://10.0.0.7:8443/v1'])(
    'is not %s',
    url => expect(providerProblem({ id: 'own', url })).toBeUndefined(),
  )
})

describe('a host that may be allowed', () => {
  it.each(['api.example.org', '*.example.org', 'xn--bcher-kva.example', 'a-b.example.co', 'telegram'])(
    'is %s',
    host => expect(isEgressHost(host)).toBe(true),
  )

  it.each([
    ...[
      '6.6.6.6',
      '127.1',
      '0x7f.1',
      '2130706433',
      '[::1]',
      '::1',
      'localhost',
      'org',
      '*',
      '*.org',
      '*.*.org',
    ],
    ...[
      'a b.org',
      'a.org\nhttp_access allow all',
      'a.org#',
      'https://a.org',
      'a.org:443',
      'a.org.',
      '-a.org',
      '',
    ],
    'constructor',
  ])('is not %j', async host => {
    expect(isEgressHost(host)).toBe(false)
    const refused = await thrown(() => squidConf(answers({ egressHosts: [host] })))
    expect(refused).toMatchObject({ code: 'egress_host', exit: 2 })
  })

  it('adds no rule, whatever it is', () => {
    const decisions = (text: string) => text.split('\n').filter(line => line.startsWith('http_access'))
    const usual = decisions(rules({ egressHosts: ['a.example.org', '*.example.org'] }))
    fc.assert(
      fc.property(fc.domain().filter(isEgressHost), host => {
        expect(decisions(rules({ egressHosts: [host, `*.${host}`] }))).toEqual(usual)
      }),
    )
  })
})

describe('the rules', () => {
  it('allow nothing to a deployment without providers', () => {
    expect(rules()).toContain('acl named dstdomain -n nothing.is.allowed.invalid\n')
  })

  it('say who could be reached by those before: named, below a name, or at an address and port', () => {
    const provider = (url: string) => ({ providers: [{ id: 'near', url }] })
    const gone = (before: Partial<Answers>, after: Partial<Answers>) => takenOut(rules(before), rules(after))
    const [a, both] = [{ egressHosts: ['a.x.org'] }, { egressHosts: ['a.x.org', '*.y.org'] }]
    expect(gone(both, a)).toEqual(['\\.y\\.org$'])
    expect(gone(a, {})).toEqual(['a.x.org'])
    expect(gone(provider('http://10.1.2.3:80/v1'), provider('http://10.1.2.3:81/v1'))).toEqual(['80'])
    expect(gone(provider('https://10.1.2.3:80/v1'), provider('https://10.1.2.4:80/v1'))).toEqual(['10.1.2.3'])
    for (const [before, after] of [
      [{}, a],
      [a, both],
      [a, { ...a, egressResolver: '10.0.0.53' }],
    ] as const)
      expect(gone(before, after)).toEqual([])
  })

  it('are not written where the way out is open', () => {
    expect(Object.keys(borderFiles(answers({ egress: 'open' })))).toEqual(['haproxy.cfg'])
  })

  it('never have Squid ask for the name of an address', () => {
    for (const line of rules({ egressHosts: ['*.example.org'] }).split('\n'))
      if (/^acl \S+ dstdom/.test(line)) expect(line).toContain(' -n ')
  })

  it('match every name below, and neither the name itself nor one that ends alike', () => {
    const [below] = squidConf(answers({ egressHosts: ['*.example.org'] })).suffixes
    const matches = (host: string) => new RegExp(below?.pattern ?? '', 'i').test(host)
    expect(matches('a.example.org') && matches('a.b.example.org')).toBe(true)
    expect(matches('example.org') || matches('badexample.org') || matches('a.exampleXorg')).toBe(false)
  })

  describe('know as not public', () => {
    const list = new BlockList()
    for (const { range } of squidConf(answers()).nonPublic) {
      const [address = '', bits] = range.split('/')
      list.addSubnet(address, Number(bits), isIPv6(address) ? 'ipv6' : 'ipv4')
    }
    const blocks = (address: string) => list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')

    it.each([
      ...[
        '0.0.0.0',
        '10.1.2.3',
        '100.64.0.1',
        '100.100.100.200',
        '127.0.0.1',
        '169.254.169.254',
        '172.31.255.255',
      ],
      ...[
        '192.0.0.192',
        '192.0.2.1',
        '192.168.0.1',
        '198.19.0.1',
        '198.51.100.1',
        '203.0.113.1',
        '224.0.0.1',
      ],
      ...['240.0.0.1', '255.255.255.255', '168.63.129.16'],
      ...['::', '::1', '::a00:1', 'fe80::1', 'fc00::1', 'fd00:ec2::254', 'fec0::1', 'ff02::1', '100::1'],
      ...[
        '64:ff9b::a00:1',
        '64:ff9b:1::1',
        '2001::1',
        '2001:2::1',
        '2001:20::1',
        '2001:db8::1',
        '2002:a00:1::1',
      ],
    ])('%s', address => expect(blocks(address)).toBe(true))

    it.each(['1.1.1.1', '9.9.9.9', '172.32.0.1', '100.128.0.1', '2606:4700::1111', '2a00:1450:4001::1'])(
      'not %s',
      address => expect(blocks(address)).toBe(false),
    )
  })
})

describe('open for a while', () => {
  let folder = ''
  beforeEach(() => {
    folder = mkdtempSync(resolve(tmpdir(), 'ocs-open-'))
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  const program = resolve(import.meta.dirname, '../../templates/border/is-open')
  const at = (file: string) => resolve(folder, file)
  const now = () => Math.floor(Date.now() / 1000)

  /** What Squid is told by the program that ships, and what our own reader says. */
  function judged(content: string | undefined): { squid: string; ours: boolean } {
    if (content !== undefined) writeFileSync(at('open-until'), content)
    // A shell stands in for Squid, since it is the parent that is ended.
    const { stdout } = spawnSync(
      'bash',
      ['-c', 'trap : INT; bash "$@"; :', 'squid', program, at('open-until'), at('mark')],
      { input: 'GET\n', encoding: 'utf8' },
    )
    return { squid: stdout.trim(), ours: closesAt(content ?? '', new Date()) !== undefined }
  }
  const open = { squid: 'OK', ours: true }
  const closed = { squid: 'ERR', ours: false }

  it('is what was written says, until its time has come', () => {
    expect(judged(openUntil(new Date(), 60))).toEqual(open)
    expect(judged(`${now() - 60} ${now() - 1}\n`)).toEqual(closed)
  })

  it.each([
    ['nothing is written', undefined],
    ['the file is empty', ''],
    ['it is one number', `${4_000_000_000}\n`],
    ['it is no number', 'yes please\n'],
    ['there is more than two numbers', '1 4000000000 1\n'],
    ['it is an expression', 'now a[$(touch${IFS}/tmp/x)]\n'],
  ])('is closed when %s', (_, content) => expect(judged(content)).toEqual(closed))

  it('is never more than a day', () => {
    expect(judged(`${now() - 10} ${now() + 86_400}\n`)).toEqual(closed)
    expect(closesAt(openUntil(new Date(), 1e9), new Date())?.getTime()).toBeLessThanOrEqual(
      Date.now() + 86_400_000,
    )
  })

  it('is closed when the clock was set back to before the opening', () => {
    expect(judged(`${now() + 100} ${now() + 200}\n`)).toEqual(closed)
  })

  it('is not longer when the clock is set back meanwhile: the uptime counts too', () => {
    const until = `${now() - 100}-${now() + 100}`
    writeFileSync(
      at('mark'),
      `${until} ${Math.floor(Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0])) - 1}\n`,
    )
    expect(judged(`${until.replace('-', ' ')}\n`).squid).toBe('ERR')
  })

  it('ends Squid when it ends, whether or not anybody asks', async () => {
    writeFileSync(at('open-until'), `${now()} ${now() + 6}\n`)
    const parent = spawn(
      'bash',
      [
        '-c',
        'trap "echo ended; exit" INT; bash "$@" <&0 & wait; echo not ended',
        'squid',
        program,
        at('open-until'),
        at('mark'),
      ],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    )
    let said = ''
    parent.stdout.on('data', data => {
      said += String(data)
    })
    const ended = once(parent, 'exit')
    // It looks every two seconds.
    await vi.waitFor(() => expect(existsSync(at('mark'))).toBe(true), 6000)
    await ended
    parent.stdin.end()
    expect(said.trim()).toBe('ended')
  })
})
