/** What the suites about checks share: a deployment in which nothing is wrong, without a disk and an engine. */
import { basename, dirname } from 'node:path'
import { composition } from '../../src/deployment/composition.ts'
import { INSIDE } from '../../src/deployment/layout.ts'
import { makePlan } from '../../src/deployment/plan.ts'
import { RUNBOOKS } from '../../src/deployment/render.ts'
import type { ContainerFacts, NetworkFacts } from '../../src/docker/engine.ts'
import { type Drill, drillsPath } from '../../src/evidence/drills.ts'
import type { Judges } from '../../src/gateway/judges.ts'
import { gatewayPolicy } from '../../src/gateway/policy.ts'
import type { JournalEvent } from '../../src/procedure/journal.ts'
import { deedsOf, readRunbook } from '../../src/procedure/runbook.ts'
import type { Finding } from '../../src/procedure/step.ts'
import type { ScheduleState } from '../../src/schedule/schedule.ts'
import { generateToken, Secret } from '../../src/secret.ts'
import { EFFECTS } from '../../steps/incident/index.ts'
import type { VerifyCheck } from '../../steps/verify/check.ts'
import { checks } from '../../steps/verify/index.ts'
import { judge } from '../../steps/verify/judge.ts'
import { gatewayService, otherServices, type Service } from '../../steps/verify/service.ts'
import { altered, record } from '../../steps/verify/tree.ts'
import { type Attempts, type FileWorld, NotApplicable, type World } from '../../steps/verify/world.ts'
import { answers, BORDER, companion, container, layout, PINNED, seccomp } from './container.ts'
import { some } from './support.ts'

export const NOW = new Date('2026-11-24T01:40:00Z')
export const NOBODY_STOPS = new AbortController().signal
export const token = generateToken()
export const key = new Secret('sk-proj-only-for-this-test-0123456789')

const USER = { uid: 1000, gid: 1000 }
const ROTATION = '20261123t014000-1a2b3c4d'
const secrets = [{ name: 'gateway_token', rotationId: ROTATION }]
export const tokenFile = `gateway_token.${ROTATION}`
const plan = makePlan({
  answers,
  written: 'version: 1\n',
  layout,
  image: { pinned: PINNED, label: PINNED },
  border: { pinned: BORDER, label: BORDER },
  ownership: { user: USER, host: USER, by: 'same' },
  secrets,
})
const planned = new Map(plan.files.map(file => [`${layout.root}/${file.path}`, file.content]))

export function event(procedure: string, more: Partial<JournalEvent> = {}): JournalEvent {
  return {
    seq: 1,
    at: '2026-11-23T01:40:00.000Z',
    run: 'r',
    procedure,
    event: 'done',
    prev: '0'.repeat(64),
    ...more,
  }
}

/** What a sibling of a healthy gateway could not do. */
export function attempts(): Attempts {
  return {
    write: {
      '/': 'EROFS',
      '/usr/local': 'EROFS',
      [INSIDE.home]: 'EROFS',
      [INSIDE.config]: 'EROFS',
      [INSIDE.secrets]: 'EROFS',
      '/tmp': 'written',
    },
    execute: { '/tmp': 'EACCES', [INSIDE.cache]: 'EACCES' },
    setuid: [],
    debugger: 'closed',
    connect: { '192.0.2.10:40001': 'ENETUNREACH' },
    route: false,
    calls: `${Array.from({ length: 45 }, (_, index) => `call_${index} ${index % 2 === 0 ? 'ENOSYS' : 'EPERM'}`).join('\n')}\n`,
    fork: 'forked 249 EAGAIN\n',
    hog: 'touched 64\ntouched 2016\n',
    hogEnd: 'SIGKILL',
    asked: { fork: 320, hog: 2112 },
  }
}

export function judges(): Judges {
  return {
    security: () => ({
      summary: { critical: 0, warn: 0, info: 3 },
      findings: [{ checkId: 'x.note', severity: 'info', title: '' }],
    }),
    secrets: () => ({
      status: 'clean',
      summary: { plaintextCount: 0, unresolvedRefCount: 0 },
      findings: [],
    }),
    approvals: () => [],
    ledger: () => ({ records: 3, source: 'audit_events in state/openclaw.sqlite' }),
    objections: () => [],
  }
}

const theComposition = record(
  JSON.parse(
    JSON.stringify(
      composition(answers, { gateway: PINNED, border: BORDER }, USER, { seccomp, squid: '', haproxy: '' }),
    ),
  ),
)
const theService = some(gatewayService(theComposition), 'gateway service')
const theCompanions = otherServices(theComposition, theService.name)
const thePolicy = JSON.stringify(gatewayPolicy(answers, secrets))

/** The gateway's network: no way out, and nobody but the deployment's own. */
export function inside(): NetworkFacts {
  return {
    Name: 'my-gateway_inside',
    Labels: {},
    Driver: 'bridge',
    Internal: true,
    Options: { 'com.docker.network.bridge.inhibit_ipv4': 'true' },
    Containers: {
      c0ffee: { Name: 'my-gateway-openclaw-gateway-1' },
      ingress: { Name: 'my-gateway-ingress-1' },
      egress: { Name: 'my-gateway-egress-1' },
    },
  }
}

/** A rotation that was scheduled, and works. */
export function schedule(): ScheduleState {
  return {
    ...{ every: 'monthly', kind: 'systemd', scope: 'system', store: 'docker' },
    ...{ unit: 'create-openclaw-secure-rotate-my-gateway.timer', since: '2026-11-23T01:40:00.000Z' },
    ...{ isInstalled: true, missing: [], isEnabled: true, isActive: true, lastResult: 'success' },
    lastRun: new Date('2026-11-23T01:40:00Z'),
    nextRun: new Date('2026-11-24T01:40:00Z'),
  }
}

/** A month before {@link NOW}, both runbooks were rehearsed. */
export function drills(): Record<string, Drill> {
  const drill = (id: string): Drill => {
    const path = `${layout.runbooks}/${id}.yaml`
    const deeds = deedsOf(readRunbook(some(planned.get(path), path), path, EFFECTS))
    return { at: '2026-10-23T01:40:00.000Z', deeds, ok: true, seconds: 93.4, missed: [] }
  }
  return Object.fromEntries(RUNBOOKS.map(id => [id, drill(id)]))
}

export function service(): Service {
  return structuredClone(theService)
}

export function policy(): Record<string, unknown> {
  return record(JSON.parse(thePolicy))
}

export const SPACE = {
  size: 250 * 1024 ** 3,
  free: 100 * 1024 ** 3,
  files: 16_000_000,
  freeFiles: 15_000_000,
}

function files(): FileWorld {
  const seen = { uid: 1000, links: 1, modified: new Date('2026-11-23T01:40:00Z') }
  const folders = [layout.root, layout.config, layout.secrets, layout.state, layout.border]
    .concat(layout.own, layout.base, layout.store, layout.cases, layout.runbooks)
    .concat('/srv/gateways/staging')
  return {
    layout,
    own: answers,
    now: NOW,
    suppressions: [],
    token: async () => token,
    secrets: async () =>
      new Map([
        ['gateway_token', token],
        ['openai_key', key],
      ]),
    stored: async () => ({ revision: 2, current: { rotationId: ROTATION, value: token } }),
    file(path) {
      if (folders.includes(path)) return { ...seen, mode: 0o700, links: 2, kind: 'folder' }
      if (path === `${layout.secrets}/${tokenFile}` || path === layout.configFile)
        return { ...seen, mode: 0o400, kind: 'file' }
      if (
        [
          ...[`${layout.state}/logs/gateway.log`, layout.journal, `${layout.store}/gateway_token.json`],
          drillsPath(layout),
        ].includes(path)
      )
        return { ...seen, mode: 0o600, kind: 'file' }
      if (path === '/srv/gateways/staging/.secure/journal.jsonl')
        return { ...seen, mode: 0o600, kind: 'file' }
      return planned.has(path) ? { ...seen, mode: 0o644, kind: 'file' } : undefined
    },
    async text(path) {
      if (path === layout.journal) return '{"seq":1}\n'
      if (path === `${layout.secrets}/${tokenFile}`) return token.expose()
      if (path === drillsPath(layout)) return JSON.stringify(drills())
      if (path.endsWith('/staging/.secure/journal.jsonl'))
        return `${JSON.stringify({ facts: { gateway_token: generateToken().fingerprint('gateway_token') } })}\n`
      return some(planned.get(path.replace(`${layout.base}/`, `${layout.root}/`)), path)
    },
    names(folder) {
      const found: Record<string, string[]> = {
        [layout.secrets]: [tokenFile],
        [layout.store]: ['gateway_token.json'],
        [layout.runbooks]: [...planned.keys()]
          .filter(path => dirname(path) === layout.runbooks)
          .map(path => basename(path)),
        '/srv/gateways': ['gw', 'staging', 'a file'],
      }
      return some(found[folder], folder)
    },
    leaksInState: async () => ({ searched: 12, left: 0, found: [] }),
    workDisk: async () => undefined,
    disk: async () => ({
      use: { bytes: 50 * 1024 ** 2, files: 60, unread: 0, more: false },
      ...{ state: SPACE, machine: SPACE },
    }),
    policy: async () => policy(),
    service: async () => service(),
    companions: async () => structuredClone(theCompanions),
    profile: async () => seccomp,
    schedule: async () => schedule(),
    journal: () => [
      event('setup', { event: 'step-done', step: 'gateway.launch' }),
      event('monitor'),
      event('restore-drill'),
    ],
    chain: () => ({ intact: true, events: 12 }),
    tracked: async () => ['.gitignore', 'docker-compose.yml', 'deployment.yaml'],
    addable: async () => [],
  }
}

/** A deployment as setup leaves it, with everything that comes later done as well: nothing is wrong with it. */
export function healthy(): World {
  return {
    ...files(),
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
      SecurityOptions: ['name=apparmor', 'name=seccomp,profile=builtin', 'name=cgroupns'],
      SystemTime: '2026-11-23T01:40:00Z',
      OperatingSystem: 'Debian',
    }),
    container: async () => container(),
    replaced: async () => false,
    ingress: async () => companion('ingress'),
    egress: async () => companion('egress'),
    sandbox: async () => companion('sandbox'),
    rulesAreRead: async () => true,
    programs: async () => ({ missing: [], extra: [] }),
    entered: async () => ({ uid: 1000 }),
    published: async () => companion('ingress'),
    networks: async () => [inside()],
    front: async () => ({
      Name: 'my-gateway_front',
      Labels: {},
      Driver: 'bridge',
      Internal: false,
      Options: { 'com.docker.network.bridge.enable_icc': 'false' },
      Containers: { ingress: { Name: 'my-gateway-ingress-1' } },
    }),
    imageText: async () =>
      '[{"Config":{"Env":["PATH=/usr/bin","NODE_VERSION=24.1.0"]}}]\n{"CreatedBy":"RUN true"}',
    plannedHashes: async () =>
      new Map(['openclaw-gateway', 'ingress', 'egress'].map(name => [name, 'f'.repeat(64)])),
    untried: async () => [],
    processes: async () =>
      [1, 7].map(pid => ({
        pid,
        name: pid === 1 ? 'docker-init' : 'node',
        uid: 1000,
        caps: Array(5).fill('0000000000000000'),
        noNewPrivs: 1,
        seccomp: 2,
      })),
    labels: async () => ['docker-default (enforce)', 'docker-default (enforce)'],
    cgroup: async () => ({ version: 2, memory: 2048 * 1024 ** 2, pids: 256, cpus: 2 }),
    mounts: async () =>
      ['/tmp', INSIDE.cache].map(target => ({
        type: 'tmpfs',
        target,
        options: ['rw', 'nosuid', 'nodev', 'noexec', 'relatime', 'size=65536k', 'nr_inodes=16384'],
      })),
    ulimit: async name =>
      ({ 'Max core file size': '0 0', 'Max file size': '4294967296 4294967296' })[name] ?? '8192 8192',
    listening: async () => [
      { address: '0.0.0.0', port: 18789 },
      { address: '127.0.0.11', port: 40123 },
    ],
    searchProc: async () => ({ environ: 0, cmdline: 0, searched: 2 }),
    denied: async () => ({ '/root': 'EACCES', '/root/.ssh': 'EACCES', '/home/node/.aws': 'ENOENT' }),
    attack: async attacks => attacks.map(attack => ({ attack, outcome: 'stopped', seen: 'refused' })),
    attackSandbox: async attacks => attacks.map(attack => ({ attack, outcome: 'stopped', seen: 'refused' })),
    sandboxNetworks: async () => [inside()],
    attempted: async () => attempts(),
    proxied: async () => ({ 'nobody-named-this.invalid:443': 403, 'http://169.254.169.254/': 403 }),
    stranger: async () => ({ uid: 65534, seen: { [INSIDE.secrets]: 'EACCES', [tokenFile]: 'EACCES' } }),
    judges: async () => judges(),
    port: async () => answers.port,
    insidePort: async () => INSIDE.port,
    askHost: async which => (which === 'right' ? 404 : 401),
    askWrong: async () => 401,
    health: async () => 200,
    post: async () => 404,
    addresses: () => ['192.0.2.10', '2001:db8::10'],
    reach: async address => (address === '127.0.0.1' ? 'open' : 'refused'),
    neighbourRule: async () => true,
    logs: async () => '{"level":"info","message":"listening"}\n',
  }
}

const ourPorts = theCompanions.flatMap(one => one.ports)
async function notOurs(): Promise<never> {
  throw new NotApplicable('this deployment was not made by this tool')
}

/** The same gateway, made by hand: it has files and a container, and none of this tool's own records. */
export function foreign(change: Partial<World> = {}): World {
  return {
    ...healthy(),
    own: undefined,
    stored: async () => undefined,
    journal: () => [],
    chain: () => ({ intact: true, events: 0 }),
    companions: async () => [],
    service: async () => ({ ...service(), ports: ourPorts }),
    published: async () => ({ ...container(), NetworkSettings: companion('ingress').NetworkSettings }),
    networks: async () => [
      { ...inside(), Options: { 'com.docker.network.bridge.enable_icc': 'false' }, Internal: false },
    ],
    ingress: notOurs,
    egress: notOurs,
    sandbox: notOurs,
    programs: notOurs,
    entered: notOurs,
    proxied: notOurs,
    plannedHashes: async () => {
      throw new NotApplicable('this container was not made from a file of this tool')
    },
    ...change,
  }
}

/** Sources that are no looks: they are known beforehand. */
const KNOWN = ['layout', 'own', 'now', 'suppressions']

/** A world in which every look fails. */
export function blind(error: () => never, own = answers): World {
  return new Proxy(
    { ...healthy(), own },
    {
      get: (world, name) =>
        KNOWN.includes(String(name)) || name === 'then' ? Reflect.get(world, name) : error,
    },
  )
}

export function check(id: string): VerifyCheck {
  return some(
    checks.find(one => one.id === id),
    id,
  )
}

export async function verdictOf(one: VerifyCheck, world: World): Promise<Finding> {
  return some((await judge([one], world, text => text, NOBODY_STOPS))[0])
}

/** openclaw.json with one value changed; `undefined` takes it away. */
export function withPolicy(path: readonly [string, ...string[]], value: unknown): Partial<World> {
  return { policy: async () => altered(policy(), path, value) }
}

export function withSchedule(change: Partial<ScheduleState>): Partial<World> {
  return { schedule: async () => ({ ...schedule(), ...change }) }
}

export function withService(change: Partial<Service>): Partial<World> {
  return { service: async () => ({ ...service(), ...change }) }
}

export function withContainer(change: Partial<ContainerFacts>): Partial<World> {
  return { container: async () => ({ ...container(), ...change }) }
}

export function withHost(change: Partial<ContainerFacts['HostConfig']>): Partial<World> {
  return withContainer({ HostConfig: { ...container().HostConfig, ...change } })
}

export function withState(change: Partial<ContainerFacts['State']>): Partial<World> {
  return withContainer({ State: { ...container().State, ...change } })
}

export function withConfig(change: Partial<ContainerFacts['Config']>): Partial<World> {
  return withContainer({ Config: { ...container().Config, ...change } })
}

export function withAttempts(change: Partial<Attempts>): Partial<World> {
  return { attempted: async () => ({ ...attempts(), ...change }) }
}

export function withJudges(change: Partial<Judges>): Partial<World> {
  return { judges: async () => ({ ...judges(), ...change }) }
}
