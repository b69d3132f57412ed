import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { composition } from '../../src/deployment/composition.ts'
import { profilesOf } from '../../src/deployment/plan.ts'
import { gatewayService, type Service } from '../../steps/verify/service.ts'
import { record } from '../../steps/verify/tree.ts'
import { anyText } from './generators.ts'
import { ANSWERS, some } from './support.ts'

/** The gateway of a Compose file that has nothing else. */
function read(keys: Record<string, unknown>): Service {
  return some(gatewayService({ services: { gw: keys } }))
}

/** The same, from the text of the service as somebody would type it. */
function typed(yaml: string): Service {
  return some(gatewayService(record(parse(`services:\n  gw:\n${yaml.replace(/^/gm, '    ')}`))))
}

describe('the gateway’s service', () => {
  it('is the one of that name, else the one with OpenClaw’s image, else the only one', () => {
    const [db, other] = [{ image: 'postgres' }, { image: 'ghcr.io/openclaw/openclaw:latest' }]
    const named = { 'openclaw-gateway': { image: 'x' }, other, db }
    expect(gatewayService({ services: named })?.name).toBe('openclaw-gateway')
    expect(gatewayService({ services: { db, other } })?.name).toBe('other')
    expect(gatewayService({ services: { db } })?.name).toBe('db')
  })

  it('is none where it could be any', () => {
    expect(gatewayService({ services: { a: { image: 'x' }, b: { image: 'y' } } })).toBeUndefined()
    for (const composition of [{}, { services: null }, { services: {} }, { services: 'x' }])
      expect(gatewayService(composition)).toBeUndefined()
  })

  it('takes variables from files that it names, in either way', () => {
    const files = (value: unknown) => gatewayService({ services: { gw: { env_file: value } } })?.envFiles
    expect(files('.env')).toEqual(['.env'])
    expect(files(['a.env', { path: 'b.env', required: false }])).toEqual(['a.env', 'b.env'])
  })

  it('of which nothing is said says nothing', () => {
    expect(read({})).toEqual({
      name: 'gw',
      image: undefined,
      user: undefined,
      ports: [],
      mounts: [],
      environment: {},
      envFiles: [],
      capDrop: [],
      capAdd: [],
      securityOpt: [],
      readOnly: false,
      tmpfs: {},
      shared: [],
      memory: undefined,
      memorySwap: undefined,
      pids: undefined,
      cpus: undefined,
      coreLimit: undefined,
      fileLimit: undefined,
      logging: undefined,
      health: 'left to the image',
    })
    expect(some(gatewayService({ services: { gw: null } }))).toEqual(read({}))
  })

  it('of ours is read as it was meant', () => {
    const image = `openclaw@sha256:${'a'.repeat(64)}`
    const ours = composition(
      ANSWERS,
      { gateway: image, border: image },
      { uid: 1000, gid: 1000 },
      profilesOf(ANSWERS),
    )
    expect(gatewayService(record(parse(stringify(ours))))).toMatchObject({
      name: 'openclaw-gateway',
      image,
      user: '1000:1000',
      ports: [],
      mounts: [
        { source: './config', target: '/etc/openclaw', readOnly: true },
        { source: './secrets', target: '/run/secrets', readOnly: true },
        { source: './state', target: '/home/openclaw/.openclaw', readOnly: false },
      ],
      capDrop: ['ALL'],
      readOnly: true,
      shared: [],
      memory: 2048 * 1024 ** 2,
      memorySwap: 2048 * 1024 ** 2,
      pids: 256,
      cpus: 2,
      coreLimit: 0,
      fileLimit: 8192,
      logging: { driver: 'json-file', options: { 'max-size': '10m', 'max-file': '5' } },
      health: 'checked',
    })
  })
})

describe('a port', () => {
  it.each([
    ['80', undefined, '', '80'],
    ['8080:80', undefined, '8080', '80'],
    ['127.0.0.1:8080:80', '127.0.0.1', '8080', '80'],
    ['127.0.0.1::80', '127.0.0.1', '', '80'],
    ['0.0.0.0:8080:80', '0.0.0.0', '8080', '80'],
    ['8080:80/udp', undefined, '8080', '80'],
    ['127.0.0.1:8080:80/tcp', '127.0.0.1', '8080', '80'],
    ['3000-3005', undefined, '', '3000-3005'],
    ['9090-9091:8080-8081', undefined, '9090-9091', '8080-8081'],
    ['127.0.0.1:5000-5010:5000-5010', '127.0.0.1', '5000-5010', '5000-5010'],
    ['[::1]:6001:6001', '::1', '6001', '6001'],
    ['[::]:6001:6001', '::', '6001', '6001'],
    ['::1:6001:6001', '::1', '6001', '6001'],
    ['[2001:db8::10]::80', '2001:db8::10', '', '80'],
  ])('"%s" in one line', (text, address, outside, inside) => {
    expect(typed(`ports: ["${text}"]`).ports).toEqual([{ address, outside, inside }])
  })

  it('as a number is a port of the container alone', () => {
    expect(typed('ports: [80]').ports).toEqual([{ address: undefined, outside: '', inside: '80' }])
  })

  it('in the long form', () => {
    expect(
      typed(
        'ports:\n- {target: 80, host_ip: 127.0.0.1, published: "8080", protocol: tcp}\n- {target: 81, published: 8081}\n- target: 82',
      ).ports,
    ).toEqual([
      { address: '127.0.0.1', outside: '8080', inside: '80' },
      { address: undefined, outside: '8081', inside: '81' },
      { address: undefined, outside: '', inside: '82' },
    ])
  })

  it('in one line means what it means in the long form, whatever the numbers', () => {
    const address = fc.constantFrom(
      '127.0.0.1',
      '0.0.0.0',
      '192.0.2.1',
      '::1',
      '::',
      '2001:db8::10',
      'fe80::1',
    )
    const port = fc.integer({ min: 1, max: 65_535 })
    const range = fc.oneof(
      port.map(String),
      fc.tuple(port, port).map(([from, to]) => `${from}-${to}`),
    )
    fc.assert(
      fc.property(
        address,
        range,
        range,
        fc.constantFrom('', '/tcp', '/udp'),
        (ip, outside, inside, protocol) => {
          const host = ip.includes(':') ? `[${ip}]` : ip
          const [short, long] = read({
            ports: [
              `${host}:${outside}:${inside}${protocol}`,
              { host_ip: ip, published: outside, target: inside },
            ],
          }).ports
          expect(short).toEqual(long)
        },
      ),
      { numRuns: 200 },
    )
  })

  it('is local only where it says so: nothing that is not 127.0.0.1 is read as it', () => {
    for (const text of ['127.0.0.1.example:1:1', '1127.0.0.1:1:1', '${HOST:-127.0.0.1}:1:1', '80:127.0.0.1'])
      expect(read({ ports: [text] }).ports[0]?.address).not.toBe('127.0.0.1')
  })
})

describe('a volume', () => {
  it.each([
    ['./state:/home/x', './state', '/home/x', false],
    ['./state:/home/x:ro', './state', '/home/x', true],
    ['./state:/home/x:rw', './state', '/home/x', false],
    ['./state:/home/x:z,ro', './state', '/home/x', true],
    ['./state:/home/x:rocket', './state', '/home/x', false],
    ['data:/data', 'data', '/data', false],
    ['/data', '/data', '/data', false],
  ])('"%s" in one line', (text, source, target, readOnly) => {
    expect(read({ volumes: [text] }).mounts).toEqual([{ source, target, readOnly }])
  })

  it('in the long form, read-only where it says so', () => {
    expect(
      typed(
        'volumes:\n- {type: bind, source: ./a, target: /a, read_only: true}\n- {type: volume, target: /b}\n- {type: bind, source: ./c, target: /c, read_only: false}',
      ).mounts,
    ).toEqual([
      { source: './a', target: '/a', readOnly: true },
      { source: '', target: '/b', readOnly: false },
      { source: './c', target: '/c', readOnly: false },
    ])
  })
})

describe('the environment', () => {
  it('as a list and as a mapping is the same', () => {
    const wanted = { A: '1', B: 'x=y', EMPTY: '' }
    expect(typed('environment: ["A=1", "B=x=y", "EMPTY="]').environment).toEqual(wanted)
    expect(typed('environment: {A: 1, B: x=y, EMPTY: }').environment).toEqual(wanted)
  })

  it('keeps every value, whatever is in it', () => {
    const name = fc.stringMatching(/^[A-Z_][A-Z0-9_]{0,10}$/)
    fc.assert(
      fc.property(fc.dictionary(name, anyText(), { noNullPrototype: true }), values => {
        const list = Object.entries(values).map(([key, value]) => `${key}=${value}`)
        expect(read({ environment: list }).environment).toEqual(values)
        expect(read({ environment: values }).environment).toEqual(values)
      }),
      { numRuns: 100 },
    )
  })

  it('has nothing for those that whoever starts it brings', () => {
    expect(typed('environment: [OPENAI_API_KEY, "B="]').environment).toEqual({ OPENAI_API_KEY: '', B: '' })
    expect(typed('environment: {OPENAI_API_KEY: }').environment).toEqual({ OPENAI_API_KEY: '' })
  })
})

describe('memory', () => {
  it.each<[unknown, number | undefined]>([
    ['2048m', 2048 * 1024 ** 2],
    ['2g', 2 * 1024 ** 3],
    ['2gb', 2 * 1024 ** 3],
    ['2GB', 2 * 1024 ** 3],
    ['1.5g', 1.5 * 1024 ** 3],
    ['512k', 512 * 1024],
    ['512kb', 512 * 1024],
    ['100b', 100],
    ['100', 100],
    [100, 100],
    ['2 g', 2 * 1024 ** 3],
    ['0', undefined],
    [0, undefined],
    ['-1', undefined],
    [-1, undefined],
    ['much', undefined],
    ['${MEMORY}', undefined],
    [null, undefined],
    [true, undefined],
  ])('%j', (given, wanted) => {
    expect(read({ mem_limit: given }).memory).toBe(wanted)
    expect(read({ memswap_limit: given }).memorySwap).toBe(wanted)
    expect(read({ deploy: { resources: { limits: { memory: given } } } }).memory).toBe(wanted)
  })
})

describe('limits', () => {
  it('stand at the service or below deploy.resources; the service has the word', () => {
    const deploy = { resources: { limits: { memory: '1g', cpus: '0.5', pids: 100 } } }
    expect(read({ deploy })).toMatchObject({ memory: 1024 ** 3, cpus: 0.5, pids: 100 })
    expect(read({ deploy, mem_limit: '2g', cpus: 1, pids_limit: 200 })).toMatchObject({
      memory: 2 * 1024 ** 3,
      cpus: 1,
      pids: 200,
    })
  })

  it('that are no number, or below nothing, are none', () => {
    for (const value of [-1, '-1', 'many', null, {}, [], true])
      expect(read({ pids_limit: value, cpus: value })).toMatchObject({ pids: undefined, cpus: undefined })
  })

  it('of open files and crash dumps are one number or two, and then the hard one counts', () => {
    expect(read({ ulimits: { core: 0, nofile: 1024 } })).toMatchObject({ coreLimit: 0, fileLimit: 1024 })
    expect(read({ ulimits: { nofile: { soft: 10, hard: 20 } } })).toMatchObject({ fileLimit: 20 })
    expect(read({ ulimits: { core: -1 } })).toMatchObject({ coreLimit: undefined })
  })
})

describe('a temporary folder', () => {
  it('stands alone or in a list, with and without options', () => {
    expect(read({ tmpfs: '/tmp' }).tmpfs).toEqual({ '/tmp': '' })
    expect(read({ tmpfs: ['/tmp:rw,noexec,size=1m', '/run'] }).tmpfs).toEqual({
      '/tmp': 'rw,noexec,size=1m',
      '/run': '',
    })
  })
})

describe('a health check', () => {
  it.each<[unknown, Service['health']]>([
    [undefined, 'left to the image'],
    [{ disable: true }, 'disabled'],
    [{ test: ['NONE'] }, 'disabled'],
    [{ test: 'NONE' }, 'disabled'],
    [{ disable: false, test: ['CMD', 'true'] }, 'checked'],
    [{ test: 'curl localhost' }, 'checked'],
    [{ interval: '5s' }, 'checked'],
  ])('%j is %s', (healthcheck, wanted) => {
    expect(read({ healthcheck }).health).toBe(wanted)
  })
})

describe('the log', () => {
  it('has a driver and options; Docker’s own where only options are given', () => {
    expect(read({ logging: { options: { 'max-size': '1m' } } }).logging).toEqual({
      driver: 'json-file',
      options: { 'max-size': '1m' },
    })
    expect(read({ logging: { driver: 'local' } }).logging).toEqual({ driver: 'local', options: {} })
  })
})

describe('what is shared with the machine', () => {
  it.each<[Record<string, unknown>, string]>([
    [{ privileged: true }, 'privileged'],
    [{ pid: 'host' }, 'the machine’s processes'],
    [{ ipc: 'host' }, 'the machine’s shared memory'],
    [{ uts: 'host' }, 'the machine’s host name'],
    [{ userns_mode: 'host' }, 'the machine’s users'],
    [{ network_mode: 'host' }, 'the machine’s network'],
    [{ devices: ['/dev/null:/dev/x'] }, 'devices'],
    [{ volumes: ['/var/run/docker.sock:/x:ro'] }, 'an engine socket, which is root on this machine'],
    [
      { volumes: [{ type: 'bind', source: '/run/podman/podman.sock', target: '/x' }] },
      'an engine socket, which is root on this machine',
    ],
    [{ volumes: ['/run/containerd/containerd.sock:/x'] }, 'an engine socket, which is root on this machine'],
  ])('%j', (keys, wanted) => {
    expect(read(keys).shared).toEqual([wanted])
  })

  it('is seen also where "true" stands in quotes, which Compose takes for the same', () => {
    expect(read({ privileged: 'true' }).shared).toEqual(['privileged'])
    expect(read({ read_only: 'true' }).readOnly).toBe(true)
    expect(read({ healthcheck: { disable: 'true' } }).health).toBe('disabled')
  })

  it('is nothing where only the container’s own is named', () => {
    expect(
      read({ privileged: false, pid: 'service:x', ipc: 'private', network_mode: 'bridge' }).shared,
    ).toEqual([])
  })
})

describe('whatever a Compose file holds', () => {
  it('it is read, never a crash', () => {
    const keys = fc.constantFrom(
      ...['ports', 'volumes', 'environment', 'tmpfs', 'deploy', 'ulimits', 'logging', 'healthcheck'],
      ...['cap_drop', 'security_opt', 'devices', 'mem_limit', 'user', 'image'],
    )
    fc.assert(
      fc.property(fc.dictionary(keys, fc.jsonValue({ maxDepth: 3 })), service => {
        expect(gatewayService({ services: { gw: service } })?.name).toBe('gw')
      }),
      { numRuns: 200 },
    )
  })
})
