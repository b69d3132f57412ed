import { describe, expect, it, vi } from 'vitest'
import type { Answers } from '../../src/deployment/answers.ts'
import { composition } from '../../src/deployment/composition.ts'
import { INSIDE, layoutOf } from '../../src/deployment/layout.ts'
import { makePlan } from '../../src/deployment/plan.ts'
import { verbatim } from '../../src/deployment/render.ts'
import type { ContainerFacts } from '../../src/docker/engine.ts'
import { ToolError } from '../../src/errors.ts'
import { gatewayPolicy } from '../../src/gateway/policy.ts'
import type { JournalEvent } from '../../src/procedure/journal.ts'
import { type Check, type Finding, THREATS } from '../../src/procedure/step.ts'
import { CHECKLIST } from '../../src/report/text.ts'
import { generateToken, Redactor, Secret } from '../../src/secret.ts'
import { checks } from '../../steps/verify/index.ts'
import { judge } from '../../steps/verify/judge.ts'
import { altered, at, record, type World } from '../../steps/verify/world.ts'
import { ANSWERS, some } from './support.ts'

const PINNED = `ghcr.io/openclaw/openclaw@sha256:${'a'.repeat(64)}`
const USER = { uid: 1000, gid: 1000 }
const answers: Answers = { ...ANSWERS, contact: 'Zoë, +49 30 1234' }
const layout = layoutOf('/srv/gw')
const token = generateToken()
const seccomp = verbatim('seccomp-profile.json')
const secrets = [{ name: 'gateway_token', rotationId: '20261123t014000-1a2b3c4d' }]
const tokenFile = `gateway_token.${secrets[0]?.rotationId}`
const plan = makePlan({
  answers,
  written: 'version: 1\n',
  layout,
  image: { pinned: PINNED, label: PINNED },
  ownership: { user: USER, host: USER, by: 'same' },
  secrets,
})

const event = (procedure: string): JournalEvent => ({
  seq: 1,
  at: '2026-11-23T01:40:00.000Z',
  run: 'r',
  procedure,
  event: 'done',
  prev: '0'.repeat(64),
})

function container(): ContainerFacts {
  const bindings = { '18789/tcp': [{ HostIp: '127.0.0.1', HostPort: String(answers.port) }] }
  const mount = (Source: string, Destination: string, RW: boolean) => ({
    Type: 'bind',
    Source,
    Destination,
    RW,
  })
  return {
    Id: 'c0ffee',
    Name: '/my-gateway-openclaw-gateway-1',
    Image: `sha256:${'b'.repeat(64)}`,
    RestartCount: 0,
    State: {
      Status: 'running',
      Running: true,
      Paused: false,
      OOMKilled: false,
      ExitCode: 0,
      Pid: 4321,
      StartedAt: '2026-11-23T01:40:00Z',
    },
    Config: { Image: PINNED, User: '1000:1000', Hostname: 'my-gateway', Env: [], Labels: {} },
    HostConfig: {
      NetworkMode: 'my-gateway_gateway',
      PidMode: '',
      IpcMode: 'private',
      UTSMode: '',
      UsernsMode: '',
      Privileged: false,
      ReadonlyRootfs: true,
      CapAdd: null,
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges:true', `seccomp=${JSON.stringify(JSON.parse(seccomp))}`],
      Devices: null,
      Memory: 2048 * 1024 ** 2,
      MemorySwap: 2048 * 1024 ** 2,
      NanoCpus: 2e9,
      PidsLimit: 256,
      PortBindings: bindings,
      LogConfig: { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '5' } },
    },
    Mounts: [
      mount(layout.config, INSIDE.config, false),
      mount(layout.secrets, INSIDE.secrets, false),
      mount(layout.state, INSIDE.state, true),
    ],
    NetworkSettings: { Ports: bindings },
    raw: '[{"Id":"c0ffee"}]',
  }
}

/** What each script that a check runs inside would print in a healthy container, by what is typical of it. */
function inside(script: string): string {
  if (script.includes('ocs-write-test'))
    return JSON.stringify({
      '/': 'EROFS',
      '/usr/local': 'EROFS',
      [INSIDE.secrets]: 'EROFS',
      '/tmp': 'written',
    })
  if (script.includes('ocs-exec-test')) return JSON.stringify({ '/tmp': 'EACCES', [INSIDE.cache]: 'EACCES' })
  if (script.includes('audit')) return 'events\n'
  return ''
}

/** A deployment as setup leaves it, with everything that comes later done as well: nothing is wrong with it. */
function healthy(): World {
  return {
    layout,
    answers,
    token: async () => token,
    file(path) {
      if ([layout.secrets, layout.state, layout.config].includes(path))
        return { mode: 0o700, uid: 1000, links: 2, kind: 'folder' }
      if (path === `${layout.secrets}/${tokenFile}`) return { mode: 0o400, uid: 1000, links: 1, kind: 'file' }
      if (path === `${layout.state}/logs/gateway.log`)
        return { mode: 0o600, uid: 1000, links: 1, kind: 'file' }
      return plan.files.some(file => `${layout.root}/${file.path}` === path)
        ? { mode: 0o644, uid: 1000, links: 1, kind: 'file' }
        : undefined
    },
    async text(path) {
      if (path === layout.journal) return '{"seq":1}\n'
      return some(
        plan.files.find(file => `${layout.root}/${file.path}` === path),
        path,
      ).content
    },
    names: folder => (folder === layout.secrets ? [tokenFile] : []),
    policy: async () => record(JSON.parse(JSON.stringify(gatewayPolicy(answers, secrets)))),
    composition: async () => record(composition(answers, PINNED, USER, seccomp)),
    journal: () => [event('monitor'), event('restore-drill')],
    chain: () => ({ intact: true, events: 12 }),
    tracked: async () => ['.gitignore', 'docker-compose.yml', 'deployment.yaml'],
    engine: async () => ({
      ID: 'engine-1',
      ServerVersion: '28.1.0',
      OSType: 'linux',
      Architecture: 'x86_64',
      DockerRootDir: '/var/lib/docker',
      CgroupVersion: '2',
      MemTotal: 8 * 1024 ** 3,
      NCPU: 4,
      MemoryLimit: true,
      SwapLimit: true,
      PidsLimit: true,
      CpuCfsQuota: true,
      SecurityOptions: [],
      SystemTime: '2026-11-23T01:40:00Z',
      OperatingSystem: 'Debian',
    }),
    container: async () => container(),
    processes: async () =>
      [1, 7].map(pid => ({
        pid,
        name: pid === 1 ? 'docker-init' : 'node',
        uid: 1000,
        caps: Array(5).fill('0000000000000000'),
        noNewPrivs: 1,
        seccomp: 2,
      })),
    cgroup: async () => ({ version: 2, memory: 2048 * 1024 ** 2, pids: 256, cpus: 2 }),
    inside: async script => ({ code: 0, stdout: inside(script), stderr: '' }),
    searchProc: async () => ({ environ: 0, cmdline: 0, searched: 2 }),
    audits: async () => ({
      security: {
        summary: { critical: 0, warn: 0, info: 3 },
        findings: [{ checkId: 'x.note', severity: 'info', title: '' }],
      },
      secrets: { status: 'clean', summary: { plaintextCount: 0, unresolvedRefCount: 0 }, findings: [] },
      ledger: { events: [] },
    }),
    askHost: async which => (which === 'right' ? 404 : 401),
    askWrong: async () => 401,
    addresses: () => ['192.0.2.10', '2001:db8::10'],
    reach: async address => (address === '127.0.0.1' ? 'open' : 'refused'),
    neighbourRule: async () => true,
    logs: async () => '{"level":"info","message":"listening"}\n',
  }
}

const NOBODY_STOPS = new AbortController().signal

/** A world in which every look fails. `answers` and `layout` are known beforehand; everything else is a look. */
function blind(error: () => never): World {
  return new Proxy(healthy(), {
    get: (world, name) => (name === 'layout' || name === 'answers' ? Reflect.get(world, name) : error),
  })
}

async function verdictOf(check: Check<World>, world: World): Promise<Finding> {
  return some((await judge([check], world, text => text, NOBODY_STOPS))[0])
}

describe('the checks', () => {
  it('have an id each of their own, and belong to a line, a threat and a place in the seed', () => {
    expect(new Set(checks.map(check => check.id)).size).toBe(checks.length)
    for (const { id, line, threat, refs, remedy, title } of checks) {
      expect(id).toMatch(/^[a-z]+\.[a-z-]+$/)
      expect(line).toBeGreaterThanOrEqual(1)
      expect(line).toBeLessThanOrEqual(CHECKLIST.length)
      expect(THREATS).toContain(threat)
      for (const text of [refs.seed, remedy, title]) expect(text).not.toBe('')
    }
  })

  it('leave no line of the checklist and no threat without one', () => {
    expect([...new Set(checks.map(check => check.line))].sort((a, b) => a - b)).toEqual(
      CHECKLIST.map((_, index) => index + 1),
    )
    expect(new Set(checks.map(check => check.threat))).toEqual(new Set(THREATS))
  })
})

describe.each(checks.map(check => [check.id, check] as const))('the check %s', (_, check) => {
  it('passes in a healthy deployment, and says what it saw', async () => {
    const { verdict, evidence } = await verdictOf(check, healthy())
    expect({ verdict, evidence }).toEqual({ verdict: 'pass', evidence: expect.stringMatching(/\w/) })
  })

  it('fails in the world that is its own negative control', async () => {
    const { verdict, evidence } = await verdictOf(check, check.sabotage(healthy()))
    expect({ verdict, evidence }).toEqual({ verdict: 'fail', evidence: expect.stringMatching(/\w/) })
  })

  it('says something else when it fails than when it passes', async () => {
    const [good, bad] = await Promise.all([
      verdictOf(check, healthy()),
      verdictOf(check, check.sabotage(healthy())),
    ])
    expect(bad.evidence).not.toBe(good.evidence)
  })

  it('leaves the world as it is when it makes its negative control', async () => {
    const world = healthy()
    check.sabotage(world)
    expect((await verdictOf(check, world)).verdict).toBe('pass')
  })

  it('is unknown, with the reason, when it cannot look', async () => {
    const { verdict, evidence } = await verdictOf(
      check,
      blind(() => {
        throw new ToolError('engine_unreachable', 'the Docker engine does not answer', '')
      }),
    )
    expect({ verdict, evidence }).toEqual({
      verdict: 'unknown',
      evidence: expect.stringContaining('the Docker engine does not answer'),
    })
  })

  it('never shows the token, wherever it lies', async () => {
    const redactor = new Redactor()
    redactor.learn(token)
    const value = token.expose()
    const world = healthy()
    const leaking: World = {
      ...world,
      text: async path => `${await world.text(path)}\n${value}`,
      logs: async () => value,
      tracked: async () => [`secrets/${value}`],
      inside: async () => ({ code: 0, stdout: JSON.stringify({ [value]: value }), stderr: value }),
      processes: async () => [
        { pid: 1, name: value, uid: 0, caps: [value, value, value, value, value], noNewPrivs: 0, seccomp: 0 },
      ],
      names: () => [value],
      policy: async () => ({
        ...(await world.policy()),
        logging: { file: value, audit: { [value]: value } },
        tools: { exec: { mode: value } },
      }),
      composition: async () => ({ services: { 'openclaw-gateway': { image: value } } }),
      container: async () => ({
        ...container(),
        raw: value,
        Config: { ...container().Config, Image: value },
        Mounts: [{ Type: 'bind', Source: value, Destination: value, RW: true }],
      }),
      addresses: () => [value],
      audits: async () => ({
        security: {
          summary: { critical: 1, warn: 0, info: 0 },
          findings: [{ checkId: value, severity: 'critical', title: value }],
        },
        secrets: {
          status: value,
          summary: { plaintextCount: 1, unresolvedRefCount: 0 },
          findings: [{ code: value, message: value }],
        },
        ledger: { events: [value] },
      }),
    }
    const worlds = [
      leaking,
      blind(() => {
        throw new Error(`failed with ${value}`)
      }),
    ]
    const findings = (
      await Promise.all(worlds.map(one => judge([check], one, text => redactor.clean(text), NOBODY_STOPS)))
    ).flat()
    expect(findings).toHaveLength(2)
    expect(JSON.stringify(findings)).not.toContain(value)
  })
})

describe('a check that saw nothing never passes', () => {
  const byId = (id: string) =>
    some(
      checks.find(check => check.id === id),
      id,
    )
  const nothing: [id: string, what: string, change: Partial<World>][] = [
    ['privileges.none', 'no process', { processes: async () => [] }],
    ['seccomp.enforced', 'no process', { processes: async () => [] }],
    ['secrets.hidden', 'no process', { searchProc: async () => ({ environ: 0, cmdline: 0, searched: 0 }) }],
    ['rootfs.readonly', 'no folder tried', { inside: async () => ({ code: 0, stdout: '{}', stderr: '' }) }],
    ['rootfs.readonly', 'no answer', { inside: async () => ({ code: 1, stdout: '', stderr: 'killed' }) }],
    [
      'rootfs.readonly',
      'only that /tmp can be written',
      { inside: async () => ({ code: 0, stdout: '{"/tmp":"written"}', stderr: '' }) },
    ],
    ['tmp.noexec', 'no folder tried', { inside: async () => ({ code: 0, stdout: '{}', stderr: '' }) }],
    ['tmp.noexec', 'a list', { inside: async () => ({ code: 0, stdout: '[]', stderr: '' }) }],
    ['tmp.noexec', 'no answer', { inside: async () => ({ code: 137, stdout: '', stderr: '' }) }],
    ['ports.unreachable', 'no other address', { addresses: () => [] }],
    ['ports.unreachable', 'no gateway', { reach: async () => 'refused' }],
    [
      'ports.published',
      'no port',
      {
        container: async () => ({
          ...container(),
          HostConfig: { ...container().HostConfig, PortBindings: null },
          NetworkSettings: { Ports: null },
        }),
      },
    ],
    ['files.scoped', 'no mount', { container: async () => ({ ...container(), Mounts: [] }) }],
    ['token.file', 'no secret', { policy: async () => ({}) }],
    ['token.accepted', 'no gateway', { askHost: async () => undefined, askWrong: async () => undefined }],
    ['token.accepted', 'a lock-out', { askHost: async which => (which === 'right' ? 429 : 401) }],
    ['journal.intact', 'an empty journal', { chain: () => ({ intact: true, events: 0 }) }],
  ]
  it.each(nothing)('%s: %s', async (id, _, change) => {
    expect((await verdictOf(byId(id), { ...healthy(), ...change })).verdict).not.toBe('pass')
  })

  it('a program that could not be tried is unknown, not a failure of the mount', async () => {
    const inside = async () => ({ code: 0, stdout: '{"/tmp":"not tried: ENOENT"}', stderr: '' })
    expect((await verdictOf(byId('tmp.noexec'), { ...healthy(), inside })).verdict).toBe('unknown')
  })

  it('a token that was found somewhere is a failure, also when something else could not be searched', async () => {
    const world: World = {
      ...healthy(),
      logs: async () => token.expose(),
      searchProc: async () => ({ environ: 0, cmdline: 0, searched: 0 }),
    }
    expect((await verdictOf(byId('secrets.hidden'), world)).verdict).toBe('fail')
  })
})

describe('checks see through what looks right', () => {
  const byId = (id: string) =>
    some(
      checks.find(check => check.id === id),
      id,
    )
  const withHost = (change: Partial<ContainerFacts['HostConfig']>): Partial<World> => ({
    container: async () => ({ ...container(), HostConfig: { ...container().HostConfig, ...change } }),
  })
  const wrong: [id: string, what: string, change: Partial<World>][] = [
    ['token.accepted', 'a gateway that takes any token', { askWrong: async () => 404 }],
    ['token.accepted', 'a gateway that wants no token', { askHost: async () => 404 }],
    ['token.accepted', 'a gateway that refuses the right token', { askHost: async () => 401 }],
    [
      'token.accepted',
      'another program on the port',
      { askHost: async () => 200, askWrong: async () => 200 },
    ],
    [
      'token.file',
      'a secret anybody may read',
      { file: path => ({ ...some(healthy().file(path)), mode: path.includes('token') ? 0o444 : 0o700 }) },
    ],
    [
      'token.file',
      'a secret with a second name',
      { file: path => ({ ...some(healthy().file(path)), links: 2 }) },
    ],
    [
      'token.file',
      'a secret of somebody else',
      { file: path => ({ ...some(healthy().file(path)), uid: path.includes('token') ? 0 : 1000 }) },
    ],
    [
      'token.file',
      'a folder others may enter',
      { file: path => ({ ...some(healthy().file(path)), mode: path.includes('token') ? 0o400 : 0o755 }) },
    ],
    [
      'token.file',
      'a link in place of the secret',
      { file: path => ({ ...some(healthy().file(path)), kind: 'other' }) },
    ],
    [
      'ports.published',
      'a port on all addresses beside the right one',
      withHost({
        PortBindings: {
          '18789/tcp': [
            { HostIp: '127.0.0.1', HostPort: '18789' },
            { HostIp: '0.0.0.0', HostPort: '18789' },
          ],
        },
      }),
    ],
    [
      'ports.published',
      'a port with no address',
      withHost({ PortBindings: { '18789/tcp': [{ HostIp: '', HostPort: '18789' }] } }),
    ],
    [
      'ports.published',
      'a port on IPv6 for all',
      withHost({ PortBindings: { '18789/tcp': [{ HostIp: '::', HostPort: '18789' }] } }),
    ],
    [
      'ports.published',
      'a second port for all',
      withHost({
        PortBindings: {
          '18789/tcp': [{ HostIp: '127.0.0.1', HostPort: '18789' }],
          '22/tcp': [{ HostIp: '0.0.0.0', HostPort: '22' }],
        },
      }),
    ],
    ['ports.published', 'the host’s network', withHost({ NetworkMode: 'host' })],
    [
      'ports.unreachable',
      'one open address among many',
      {
        reach: async address => (address === '2001:db8::10' || address === '127.0.0.1' ? 'open' : 'refused'),
      },
    ],
    [
      'ports.neighbours',
      'an old engine without the rule',
      {
        engine: async () => ({ ...(await healthy().engine()), ServerVersion: '27.5.1' }),
        neighbourRule: async () => false,
      },
    ],
    [
      'privileges.none',
      'one process of root among many',
      {
        processes: async () => [
          ...(await healthy().processes()),
          { ...some((await healthy().processes())[0]), uid: 0 },
        ],
      },
    ],
    [
      'privileges.none',
      'one capability in one set',
      {
        processes: async () =>
          (await healthy().processes()).map(one => ({ ...one, caps: one.caps.with(4, '0000000000000400') })),
      },
    ],
    [
      'privileges.none',
      'new privileges',
      { processes: async () => (await healthy().processes()).map(one => ({ ...one, noNewPrivs: 0 })) },
    ],
    ['seccomp.enforced', 'Docker’s own profile', withHost({ SecurityOpt: ['no-new-privileges:true'] })],
    [
      'seccomp.enforced',
      'an older profile of ours',
      withHost({ SecurityOpt: ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}'] }),
    ],
    [
      'seccomp.enforced',
      'a kernel that lets it through',
      { inside: async () => ({ code: 1, stdout: '', stderr: '' }) },
    ],
    [
      'seccomp.enforced',
      'a process without the filter',
      {
        processes: async () =>
          (await healthy().processes()).map(one => ({ ...one, seccomp: one.pid === 1 ? 2 : 0 })),
      },
    ],
    ['host.closed', 'a privileged container', withHost({ Privileged: true })],
    ['host.closed', 'an added capability', withHost({ CapAdd: ['SYS_ADMIN'] })],
    ['host.closed', 'a device', withHost({ Devices: [{}] })],
    ['host.closed', 'the machine’s processes', withHost({ PidMode: 'host' })],
    ['host.closed', 'the machine’s users', withHost({ UsernsMode: 'host' })],
    [
      'image.pinned',
      'a tag',
      {
        composition: async () =>
          altered(
            await healthy().composition(),
            ['services', 'openclaw-gateway', 'image'],
            'ghcr.io/openclaw/openclaw:2026.9.6',
          ),
      },
    ],
    [
      'image.pinned',
      'a container of another image',
      {
        container: async () => ({
          ...container(),
          Config: { ...container().Config, Image: `sha256:${'c'.repeat(64)}` },
        }),
      },
    ],
    [
      'files.scoped',
      'a second writable mount of ours',
      {
        container: async () => ({
          ...container(),
          Mounts: container().Mounts.map(mount => ({ ...mount, RW: true })),
        }),
      },
    ],
    [
      'files.scoped',
      'the home folder, read-only',
      {
        container: async () => ({
          ...container(),
          Mounts: [...container().Mounts, { Type: 'bind', Source: '/home/me', Destination: '/h', RW: false }],
        }),
      },
    ],
    [
      'files.scoped',
      'a volume',
      {
        container: async () => ({
          ...container(),
          Mounts: [...container().Mounts, { Type: 'volume', Source: '', Destination: '/data', RW: false }],
        }),
      },
    ],
    [
      'files.scoped',
      'file tools that leave the workspace',
      { policy: async () => altered(await healthy().policy(), ['tools', 'fs', 'workspaceOnly'], false) },
    ],
    [
      'agents.contained',
      'elevated tools',
      { policy: async () => altered(await healthy().policy(), ['tools', 'elevated', 'enabled'], true) },
    ],
    [
      'agents.contained',
      'one agent with settings of its own',
      {
        policy: async () =>
          altered(
            await healthy().policy(),
            ['agents', 'list'],
            [{ id: 'main', tools: { exec: { mode: 'full' } } }],
          ),
      },
    ],
    [
      'agents.contained',
      'a shell that is not denied',
      { policy: async () => altered(await healthy().policy(), ['tools', 'deny'], []) },
    ],
    [
      'rootfs.readonly',
      'a writable /usr',
      {
        inside: async () => ({
          code: 0,
          stdout: '{"/":"EROFS","/usr/local":"written","/tmp":"written"}',
          stderr: '',
        }),
      },
    ],
    [
      'tmp.noexec',
      'one folder where programs start',
      { inside: async () => ({ code: 0, stdout: '{"/tmp":"EACCES","/c":"started"}', stderr: '' }) },
    ],
    [
      'limits.enforced',
      'a memory limit the kernel does not know',
      { cgroup: async () => ({ version: 2, memory: undefined, pids: 256, cpus: 2 }) },
    ],
    [
      'limits.enforced',
      'a process limit of another size',
      { cgroup: async () => ({ version: 2, memory: 2048 * 1024 ** 2, pids: 4096, cpus: 2 }) },
    ],
    ['limits.enforced', 'swap', withHost({ MemorySwap: -1 })],
    [
      'limits.logs',
      'a log that is not rotated',
      withHost({ LogConfig: { Type: 'json-file', Config: { 'max-size': '10m' } } }),
    ],
    [
      'secrets.hidden',
      'the token in docker inspect',
      { container: async () => ({ ...container(), raw: token.expose() }) },
    ],
    [
      'secrets.hidden',
      'the token in an environment',
      { searchProc: async () => ({ environ: 1, cmdline: 0, searched: 2 }) },
    ],
    [
      'secrets.hidden',
      'the token in arguments',
      { searchProc: async () => ({ environ: 0, cmdline: 1, searched: 2 }) },
    ],
    [
      'secrets.hidden',
      'the token in a file of ours',
      { text: async path => (path === layout.compose ? token.expose() : healthy().text(path)) },
    ],
    ['secrets.untracked', 'a tracked journal', { tracked: async () => ['.secure/journal.jsonl'] }],
    ['secrets.untracked', 'a tracked password file', { tracked: async () => ['proxy/htpasswd'] }],
    [
      'secrets.audit',
      'a reference OpenClaw cannot resolve',
      {
        audits: async () => ({
          ...(await healthy().audits()),
          secrets: {
            status: 'findings',
            summary: { plaintextCount: 0, unresolvedRefCount: 1 },
            findings: [],
          },
        }),
      },
    ],
    [
      'audit.openclaw',
      'a warning of OpenClaw’s',
      {
        audits: async () => ({
          ...(await healthy().audits()),
          security: { summary: { critical: 0, warn: 1, info: 0 }, findings: [] },
        }),
      },
    ],
    [
      'audit.ledger',
      'a ledger that does not say who',
      {
        policy: async () =>
          altered(await healthy().policy(), ['logging', 'audit', 'executionIdentity'], false),
      },
    ],
    ['audit.log-kept', 'a log nobody writes', { file: () => undefined }],
    [
      'incident.documented',
      'a runbook with a procedure missing',
      { text: async () => 'A token or a key has leaked' },
    ],
    [
      'token.strength',
      'a token a person thought up',
      { token: async () => new Secret('openclaw'.repeat(8)) },
    ],
  ]
  it.each(wrong)('%s: %s', async (id, _, change) => {
    const { verdict, evidence } = await verdictOf(byId(id), { ...healthy(), ...change })
    expect({ verdict, evidence }).toMatchObject({ verdict: 'fail' })
  })

  it('an old engine is no failure with the rule, nor is a folder in no repository', async () => {
    const old: World = {
      ...healthy(),
      engine: async () => ({ ...(await healthy().engine()), ServerVersion: '20.10.24+dfsg1' }),
    }
    expect((await verdictOf(byId('ports.neighbours'), old)).verdict).toBe('pass')
    expect(
      (await verdictOf(byId('secrets.untracked'), { ...healthy(), tracked: async () => 'no repository' }))
        .verdict,
    ).toBe('pass')
  })
})

describe('judging', () => {
  it('returns one finding a check, in their order, with what is fixed about each', async () => {
    const findings = await judge(checks, healthy(), text => text, NOBODY_STOPS)
    expect(findings.map(finding => finding.check)).toEqual(checks.map(check => check.id))
    for (const [index, { title, line, threat, severity, remedy, refs }] of findings.entries())
      expect(checks[index]).toMatchObject({ title, line, threat, severity, remedy, refs })
  })

  it('does not let one check that fails to look keep the others from looking', async () => {
    const world: World = { ...healthy(), container: () => Promise.reject(new Error('gone')) }
    const verdicts = new Map(
      (await judge(checks, world, text => text, NOBODY_STOPS)).map(finding => [
        finding.check,
        finding.verdict,
      ]),
    )
    expect(verdicts.get('host.closed')).toBe('unknown')
    expect(verdicts.get('token.strength')).toBe('pass')
  })

  it('stops waiting when the person does: what was not seen is unknown', async () => {
    const stop = new AbortController()
    const stuck: Check<World> = { ...some(checks[0]), run: () => new Promise(() => {}) }
    const judging = judge([stuck], healthy(), text => text, stop.signal)
    stop.abort()
    expect((await judging)[0]).toMatchObject({ verdict: 'unknown' })
  })

  it('waits two minutes for an answer, and no answer is unknown', async () => {
    vi.useFakeTimers()
    try {
      const stuck: Check<World> = { ...some(checks[0]), run: () => new Promise(() => {}) }
      const judging = judge([stuck], healthy(), text => text, NOBODY_STOPS)
      await vi.advanceTimersByTimeAsync(119_000)
      let settled = false
      void judging.then(() => {
        settled = true
      })
      await vi.advanceTimersByTimeAsync(0)
      expect(settled).toBe(false)
      await vi.advanceTimersByTimeAsync(2000)
      expect((await judging)[0]).toMatchObject({
        verdict: 'unknown',
        evidence: expect.stringContaining('120 s'),
      })
    } finally {
      vi.useRealTimers()
    }
  })
})

describe('what sabotage is made of', () => {
  it('changes one value in a copy, however deep, and makes what is missing', () => {
    const tree = { a: { b: { c: 1 }, d: 2 }, e: 'text' }
    expect(altered(tree, ['a', 'b', 'c'], 9)).toEqual({ a: { b: { c: 9 }, d: 2 }, e: 'text' })
    expect(altered(tree, ['x', 'y'], 1)).toEqual({ ...tree, x: { y: 1 } })
    expect(altered(tree, ['e', 'f'], 1)).toEqual({ ...tree, e: { f: 1 } })
    expect(tree.a.b.c).toBe(1)
  })

  it('finds a value in a tree, and undefined where the path ends early', () => {
    expect(at({ a: { b: [10, 20] } }, 'a', 'b', '1')).toBe(20)
    expect(at({ a: null }, 'a', 'b')).toBeUndefined()
    expect(at('text', 'a')).toBeUndefined()
    expect(record(null)).toEqual({})
  })
})
