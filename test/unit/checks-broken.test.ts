import { describe, expect, it } from 'vitest'
import { INSIDE } from '../../src/deployment/layout.ts'
import type { ContainerFacts } from '../../src/docker/engine.ts'
import { type Drill, drillsPath } from '../../src/evidence/drills.ts'
import { Secret } from '../../src/secret.ts'
import { checks } from '../../steps/verify/index.ts'
import type { World } from '../../steps/verify/world.ts'
import { answers, companion, container, layout } from './container.ts'
import { some } from './support.ts'
import {
  attempts,
  check,
  drills,
  event,
  healthy,
  inside,
  SPACE,
  service,
  token,
  tokenFile,
  verdictOf,
  withAttempts,
  withConfig,
  withContainer,
  withHost,
  withJudges,
  withPolicy,
  withSchedule,
  withService,
  withState,
} from './world.ts'

type Row = [id: string, what: string, change: Partial<World>]

const HOME_MOUNT = { Type: 'bind', Source: '/home/me', Destination: '/h', RW: false }

/** The ingress with its host side changed. */
function hostOf(change: Partial<ContainerFacts['HostConfig']>): Partial<ContainerFacts> {
  return { HostConfig: { ...companion('ingress').HostConfig, ...change } }
}

/** A deployment with a sandbox. */
const coding: Partial<World> = { own: { ...answers, posture: 'coding' } }

const containerRunbook = healthy().text(`${layout.runbooks}/container-compromised.yaml`)

/** The deployment with this file of `runbooks/` made from the shipped runbook. */
function withRunbook(make: (shipped: string) => string, file = 'container-compromised.yaml'): Partial<World> {
  const { names, text } = healthy()
  return {
    names: folder => [...new Set([...names(folder), file])],
    text: async path => (path === `${layout.runbooks}/${file}` ? make(await containerRunbook) : text(path)),
  }
}

function withDrill(change: Partial<Drill>): Partial<World> {
  const { text } = healthy()
  const changed = Object.entries(drills()).map(([id, drill]) => [id, { ...drill, ...change }])
  return {
    text: async path =>
      path === drillsPath(layout) ? JSON.stringify(Object.fromEntries(changed)) : text(path),
  }
}

function without(missing: string): Partial<World> {
  const { file } = healthy()
  return { file: path => (path === missing ? undefined : file(path)) }
}

/** Rows in which something is wrong, and nothing else: each has to fail. */
const wrong: Row[] = [
  ['token.strength', 'a token a person thought up', { token: async () => new Secret('openclaw'.repeat(8)) }],
  ['token.accepted', 'a gateway that refuses the right token', { askHost: async () => 401 }],
  ['token.accepted', 'another program on the port', { askHost: async () => 200 }],
  ['token.required', 'a gateway that wants no token', { askHost: async () => 404 }],
  ['token.required', 'another program on the port', { askHost: async () => 200 }],
  ['token.guessed', 'a gateway that takes any token', { askWrong: async () => 404 }],
  ['token.limiter', 'no limit', withPolicy(['gateway', 'auth', 'rateLimit'], undefined)],
  ['token.limiter', 'a thousand tries', withPolicy(['gateway', 'auth', 'rateLimit', 'maxAttempts'], 1000)],
  ['token.limiter', 'a second of lock-out', withPolicy(['gateway', 'auth', 'rateLimit', 'lockoutMs'], 1000)],
  ['token.limiter', 'a limit in words', withPolicy(['gateway', 'auth', 'rateLimit', 'maxAttempts'], 'few')],
  ['token.age', 'a token of the year before', { now: new Date('2027-11-23T01:40:00Z') }],
  ['token.age', 'a token of 36 days', { now: new Date('2026-12-29T01:40:00Z') }],
  [
    'rotate.scheduled',
    'a timer that is gone',
    withSchedule({ isInstalled: false, missing: ['/etc/x.timer'] }),
  ],
  ['rotate.scheduled', 'a timer that does not come back after a restart', withSchedule({ isEnabled: false })],
  ['rotate.scheduled', 'a timer that was stopped', withSchedule({ isActive: false })],
  ['rotate.scheduled', 'a run that failed', withSchedule({ lastResult: 'exit-code (3)' })],
  ['rotate.scheduled', 'the credential of a store before', withSchedule({ store: 'vault' })],
  [
    'token.own',
    'a neighbour with the same token',
    { text: async () => JSON.stringify({ facts: { gateway_token: token.fingerprint('gateway_token') } }) },
  ],
  [
    'gateway.api',
    'one endpoint that answers',
    { post: async path => (path === '/v1/responses' ? 400 : 404) },
  ],
  ['gateway.api', 'an endpoint that exists, for another method', { post: async () => 405 }],
  [
    'gateway.tools',
    'one tool that runs',
    { post: async (_, body) => (JSON.stringify(body).includes('web_fetch') ? 200 : 404) },
  ],
  [
    'compose.ports',
    'a port without an address',
    withService({ ports: [{ address: undefined, outside: '1', inside: '1' }] }),
  ],
  ['compose.ports', 'no port', { companions: async () => [] }],
  [
    'compose.ports',
    'a second port for all',
    withService({ ports: [...service().ports, { address: '0.0.0.0', outside: '2', inside: '2' }] }),
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
    'a port that is bound otherwise than it was asked for',
    withContainer({
      NetworkSettings: { Networks: {}, Ports: { '18789/tcp': [{ HostIp: '0.0.0.0', HostPort: '18789' }] } },
    }),
  ],
  ['ports.published', 'the host’s network', withHost({ NetworkMode: 'host' })],
  [
    'ports.single',
    'a second port, as local as the first',
    withHost({
      PortBindings: {
        '18789/tcp': [{ HostIp: '127.0.0.1', HostPort: '18789' }],
        '22/tcp': [{ HostIp: '127.0.0.1', HostPort: '2222' }],
      },
    }),
  ],
  [
    'ports.single',
    'a port that only root could open',
    withHost({ PortBindings: { '18789/tcp': [{ HostIp: '127.0.0.1', HostPort: '443' }] } }),
  ],
  [
    'ports.single',
    'the same port of UDP',
    withHost({ PortBindings: { '18789/udp': [{ HostIp: '127.0.0.1', HostPort: '18789' }] } }),
  ],
  [
    'ports.unreachable',
    'one open address among many',
    { reach: async address => (['2001:db8::10', '127.0.0.1'].includes(address) ? 'open' : 'refused') },
  ],
  [
    'ports.neighbours',
    'an old engine without the rule',
    {
      engine: async () => ({ ...(await healthy().engine()), ServerVersion: '27.5.1' }),
      neighbourRule: async () => false,
    },
  ],
  ...['nat-unprotected', 'routed'].map(
    (mode): Row => [
      'ports.neighbours',
      `a network that lets them in (${mode}), with the rule`,
      {
        front: async () => ({
          ...(await healthy().front()),
          Options: { 'com.docker.network.bridge.gateway_mode_ipv4': mode },
        }),
      },
    ],
  ),
  [
    'ports.listening',
    'a debugger beside the gateway',
    {
      listening: async () => [
        { address: '::', port: 18789 },
        { address: '127.0.0.1', port: 9229 },
      ],
    },
  ],
  ['network.own', 'the host’s network', withHost({ NetworkMode: 'host' })],
  ['network.own', 'Docker’s own bridge', withHost({ NetworkMode: 'bridge' })],
  ['network.own', 'no network', withContainer({ NetworkSettings: { Networks: null, Ports: null } })],
  [
    'network.own',
    'a network whose inhabitants reach each other',
    { networks: async () => [{ ...inside(), Internal: false, Options: null }] },
  ],
  [
    'network.own',
    'a stranger on the network',
    {
      networks: async () => [
        { ...inside(), Containers: { ...inside().Containers, x: { Name: 'somebody-elses-1' } } },
      ],
    },
  ],
  [
    'network.own',
    'a network on which this machine has an address',
    { networks: async () => [{ ...inside(), Options: null }] },
  ],
  ['network.own', 'a name server that is asked from a closed network', withHost({ Dns: [] })],
  ['network.origins', 'any page', withPolicy(['gateway', 'controlUi', 'allowedOrigins'], ['*'])],
  [
    'network.origins',
    'any page of a domain',
    withPolicy(['gateway', 'controlUi', 'allowedOrigins'], ['https://*.example']),
  ],
  [
    'network.origins',
    'the header of whoever asks',
    withPolicy(['gateway', 'controlUi', 'dangerouslyAllowHostHeaderOriginFallback'], true),
  ],
  ['network.discovery', 'announcements', withPolicy(['discovery', 'mdns', 'mode'], 'minimal')],
  [
    'network.discovery',
    'a network in which everybody is believed',
    withPolicy(['gateway', 'auth', 'allowTailscale'], true),
  ],
  ['outbound.quiet', 'a look for updates', withPolicy(['update', 'checkOnStart'], undefined)],
  ['agents.contained', 'a shell that is not denied', withPolicy(['tools', 'deny'], [])],
  ['agents.contained', 'a shell that asks first', withPolicy(['tools', 'exec', 'mode'], 'ask')],
  [
    'agents.contained',
    'one agent with settings of its own',
    withPolicy(['agents', 'entries'], { main: { sandbox: { mode: 'off' } } }),
  ],
  [
    'agents.contained',
    'one agent with settings of its own, by the older key',
    withPolicy(['agents', 'list'], [{ id: 'main', tools: { exec: { mode: 'full' } } }]),
  ],
  ['agents.elevated', 'elevated tools', withPolicy(['tools', 'elevated', 'enabled'], true)],
  ['agents.elevated', 'elevated tools by default', withPolicy(['tools', 'elevated'], undefined)],
  [
    'agents.elevated',
    'a look at everybody’s sessions',
    withPolicy(['tools', 'sessions', 'visibility'], 'agent'),
  ],
  ['agents.automation', 'a schedule', withPolicy(['cron', 'enabled'], true)],
  [
    'gateway.terminal',
    'the terminal that is there by default',
    withPolicy(['gateway', 'terminal'], undefined),
  ],
  ['gateway.commands', 'one command of six', withPolicy(['commands', 'restart'], true)],
  ['gateway.plugins', 'any plug-in', withPolicy(['plugins', 'allow'], ['*'])],
  [
    'gateway.plugins',
    'a plug-in nobody answered for',
    withPolicy(['plugins', 'allow'], ['memory-core', 'evil']),
  ],
  ['gateway.plugins', 'uploads', withPolicy(['skills', 'install', 'allowUploadedArchives'], true)],
  [
    'gateway.pairing',
    'devices of the same machine',
    withPolicy(['gateway', 'nodes', 'pairing', 'autoApproveLocal'], true),
  ],
  ['compose.user', 'whoever the image says', withService({ user: undefined })],
  ['compose.user', 'root by name', withService({ user: 'root:root' })],
  ['compose.user', 'root by number', withService({ user: '0' })],
  ['compose.capabilities', 'one that is given back', withService({ capAdd: ['NET_ADMIN'] })],
  ['compose.capabilities', 'some that are kept', withService({ capDrop: ['NET_RAW'] })],
  [
    'compose.no-new-privileges',
    'the option that says no',
    withService({ securityOpt: ['no-new-privileges:false'] }),
  ],
  ['compose.seccomp', 'no profile', { profile: async () => undefined }],
  [
    'compose.seccomp',
    'a profile with comments',
    { profile: async () => '{"defaultAction": "SCMP_ACT_ERRNO" /* x */}' },
  ],
  [
    'compose.seccomp',
    'a profile that allows',
    { profile: async () => '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[]}' },
  ],
  [
    'compose.seccomp',
    'a profile with which nothing starts',
    { profile: async () => '{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"]}]}' },
  ],
  ['compose.seccomp', 'a profile that is one word', { profile: async () => '"SCMP_ACT_ERRNO"' }],
  ['compose.host', 'a privileged container', withService({ shared: ['privileged'] })],
  ['image.pinned', 'a tag', withService({ image: 'ghcr.io/openclaw/openclaw:2026.9.6' })],
  ['image.pinned', 'a digest that is too short', withService({ image: `x@sha256:${'a'.repeat(63)}` })],
  ['image.running', 'a container of another image', withConfig({ Image: `sha256:${'c'.repeat(64)}` })],
  ['image.running', 'a file that names another', withService({ image: `sha256:${'d'.repeat(64)}` })],
  ['image.setuid', 'one program', withAttempts({ setuid: ['/usr/bin/su'] })],
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
    'no profile, in the file and in force',
    { profile: async () => undefined, ...withHost({ SecurityOpt: null }) },
  ],
  [
    'seccomp.enforced',
    'a process without the filter',
    {
      processes: async () =>
        (await healthy().processes()).map(one => ({ ...one, seccomp: one.pid === 1 ? 2 : 0 })),
    },
  ],
  [
    'seccomp.calls',
    'one call that the kernel answered',
    withAttempts({ calls: `${attempts().calls}bpf EFAULT\n` }),
  ],
  ['seccomp.calls', 'one call that worked', withAttempts({ calls: `${attempts().calls}unshare reached\n` })],
  ['host.closed', 'a privileged container', withHost({ Privileged: true })],
  ['host.closed', 'an added capability', withHost({ CapAdd: ['SYS_ADMIN'] })],
  ['host.closed', 'a device', withHost({ Devices: [{}] })],
  ['host.closed', 'the machine’s processes', withHost({ PidMode: 'host' })],
  ['host.closed', 'the machine’s shared memory', withHost({ IpcMode: 'host' })],
  ['host.closed', 'the machine’s host name', withHost({ UTSMode: 'host' })],
  ['host.closed', 'the machine’s users', withHost({ UsernsMode: 'host' })],
  ['host.closed', 'the machine’s network', withHost({ NetworkMode: 'host' })],
  [
    'host.closed',
    'the engine’s socket under another name',
    withContainer({
      Mounts: [{ Type: 'bind', Source: '/run/podman/podman.sock', Destination: '/x', RW: false }],
    }),
  ],
  ...[
    'apparmor=unconfined',
    'apparmor:unconfined',
    'seccomp=unconfined',
    'label=disable',
    'systempaths=unconfined',
    'no-new-privileges=false',
  ].map((option): Row => ['host.protections', option, withHost({ SecurityOpt: [option] })]),
  [
    'container.as-file',
    'a container of another file',
    { plannedHashes: async () => new Map([['openclaw-gateway', 'e'.repeat(64)]]) },
  ],
  ...[
    ['another profile', ['docker-default (enforce)', 'docker-default (complain)']],
    ['no profile on one process', ['docker-default (enforce)', 'unconfined']],
  ].map(
    ([what, labels]): Row => ['apparmor.enforced', String(what), { labels: async () => [labels].flat() }],
  ),
  [
    'apparmor.enforced',
    'a profile that is not the one asked for',
    withHost({ SecurityOpt: ['apparmor=create-openclaw-secure-x'] }),
  ],
  ['limits.disk', 'files of any size', { ulimit: async () => 'unlimited unlimited' }],
  [
    'state.bounded',
    'a state over its limit',
    {
      disk: async () => ({
        use: { bytes: 5 * 1024 ** 3, files: 9, unread: 0, more: false },
        state: SPACE,
        machine: SPACE,
      }),
    },
  ],
  [
    'host.protections',
    'nothing of /proc hidden',
    withContainer({ raw: '[{"HostConfig":{"MaskedPaths":[],"ReadonlyPaths":[]}}]' }),
  ],
  [
    'compose.mounts',
    'the secrets in the workspace',
    withService({ mounts: [{ source: './secrets', target: `${INSIDE.workspace}/x`, readOnly: true }] }),
  ],
  [
    'files.denied',
    'the machine’s /etc under another name',
    {
      ...withContainer({
        Mounts: [...container().Mounts, { Type: 'bind', Source: '/etc', Destination: '/mnt/x', RW: false }],
      }),
      mounts: async () => [{ type: 'ext4', target: '/mnt/x', options: ['ro'] }],
    },
  ],
  ['container.as-file', 'a container that Compose did not make', withConfig({ Labels: null })],
  ['container.health', 'no health check', withState({ Health: undefined })],
  ['container.health', 'a health check that was switched off', withState({ Health: { Status: 'none' } })],
  ['container.health', 'a gateway that is not well', withState({ Health: { Status: 'unhealthy' } })],
  [
    'container.health',
    'one that starts, and is not well',
    { ...withState({ Health: { Status: 'starting' } }), health: async () => 503 },
  ],
  [
    'container.stable',
    'one that came back an hour ago',
    { now: new Date('2026-11-23T02:40:00Z'), ...withContainer({ RestartCount: 1 }) },
  ],
  ['container.stable', 'one that ran out of memory', withState({ OOMKilled: true })],
  ['debugger.closed', 'a debugger that opens', withAttempts({ debugger: 'open' })],
  [
    'policy.loaded',
    'a refused change after one that was taken',
    {
      logs: async () =>
        ['config change detected; evaluating reload', 'config reload skipped']
          .map((message, index) => JSON.stringify({ time: `2026-11-23T03:0${index}:00.000Z`, message }))
          .join('\n'),
    },
  ],
  [
    'egress.filtered',
    'a proxy that opens a tunnel to what nobody named',
    { proxied: async () => ({ 'nobody-named-this.invalid:443': 200, '127.0.0.1:443': 403 }) },
  ],
  ['egress.filtered', 'a proxy that works by other rules', { rulesAreRead: async () => false }],
  [
    'egress.filtered',
    'a proxy that tries, and finds nothing there',
    { proxied: async () => ({ 'nobody-named-this.invalid:443': 503 }) },
  ],
  ...(
    [
      ['as root', { Config: { ...companion('ingress').Config, User: '' } }],
      ['with a capability', hostOf({ CapAdd: ['NET_ADMIN'] })],
      ['with its image open to changes', hostOf({ ReadonlyRootfs: false })],
      ['without a memory limit', hostOf({ Memory: 0, MemorySwap: 0 })],
      ['without a limit of processes', hostOf({ PidsLimit: 0 })],
      ['under another profile', hostOf({ SecurityOpt: ['no-new-privileges:true'] })],
      ['with the secrets before it', { Mounts: container().Mounts }],
      ['without a seccomp filter', hostOf({ SecurityOpt: ['no-new-privileges:true', 'seccomp=unconfined'] })],
      ['that sees the machine’s processes', hostOf({ PidMode: 'host' })],
      [
        'on one network more',
        { NetworkSettings: { Networks: { 'my-gateway_inside': {}, bridge: {} }, Ports: {} } },
      ],
    ] as const
  ).map(
    ([how, change]): Row => [
      'companions.hardened',
      `an ingress ${how}`,
      { ingress: async () => ({ ...companion('ingress'), ...change }) },
    ],
  ),
  ['agents.refused', 'an approval for one agent', withJudges({ approvals: () => ['main: 1 allowed'] })],
  [
    'sandbox.entered',
    'a host key that is not the pinned one',
    {
      ...coding,
      entered: async () => ({
        refused: 'the host key is not the known one',
        said: 'Host key verification failed.',
      }),
    },
  ],
  ['sandbox.entered', 'a sandbox in which one is root', { ...coding, entered: async () => ({ uid: 0 }) }],
  [
    'sandbox.programs',
    'one more than listed',
    { ...coding, programs: async () => ({ missing: [], extra: ['/usr/bin/perl'] }) },
  ],
  [
    'sandbox.programs',
    'one that is listed and is not there',
    { ...coding, programs: async () => ({ missing: ['git'], extra: [] }) },
  ],
  [
    'companions.hardened',
    'a sandbox that sees the secrets',
    { ...coding, sandbox: async () => ({ ...companion('sandbox'), Mounts: container().Mounts }) },
  ],
  [
    'companions.hardened',
    'a proxy that is privileged',
    { egress: async () => ({ ...companion('egress'), ...hostOf({ Privileged: true }) }) },
  ],
  ['egress.denied', 'a host that answers', withAttempts({ connect: { '192.0.2.10:40001': 'connected' } })],
  [
    'egress.denied',
    'one of many that answers',
    withAttempts({ connect: { 'a:1': 'silent', 'b:1': 'connected' }, route: true }),
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
    'token.file',
    'a secret that is named and not there',
    { file: path => (path.includes('token') ? undefined : healthy().file(path)) },
  ],
  ['secrets.references', 'a literal', withPolicy(['models', 'providers', 'mine'], { apiKey: 'literal' })],
  [
    'secrets.references',
    'a stored secret under a harmless name',
    withPolicy(['session', 'note'], token.expose()),
  ],
  [
    'secrets.env-closed',
    'one variable',
    withPolicy(['secrets', 'providers', 'default', 'allowlist'], ['HOME']),
  ],
  ['secrets.environment', 'a credential by name', withConfig({ Env: ['OPENAI_API_KEY=x'] })],
  ['secrets.environment', 'a credential by value', withConfig({ Env: ['HARMLESS=sk-abc'] })],
  ['compose.environment', 'a file of variables', withService({ envFiles: ['.env'] })],
  [
    'compose.environment',
    'a credential that whoever starts it brings',
    withService({ environment: { OPENAI_API_KEY: '' } }),
  ],
  ['secrets.hidden', 'a secret in docker inspect', withContainer({ raw: `"${token.expose()}"` })],
  [
    'secrets.hidden',
    'a secret in an environment',
    { searchProc: async () => ({ environ: 1, cmdline: 0, searched: 2 }) },
  ],
  [
    'secrets.hidden',
    'a secret in arguments',
    { searchProc: async () => ({ environ: 0, cmdline: 1, searched: 2 }) },
  ],
  [
    'secrets.hidden',
    'a secret in a file of ours',
    { text: async path => (path === layout.compose ? token.expose() : healthy().text(path)) },
  ],
  ['secrets.hidden', 'a secret in the log', { logs: async () => `x${token.expose()}` }],
  ['secrets.history', 'a stored secret', { imageText: async () => token.expose() }],
  [
    'secrets.history',
    'a value of a variable that is named like one',
    { imageText: async () => '{"CreatedBy":"ENV MY_API_KEY=0123456789"}' },
  ],
  [
    'secrets.state',
    'an old configuration',
    { leaksInState: async () => ({ searched: 3, left: 0, found: ['openclaw.json.bak'] }) },
  ],
  [
    'secrets.state',
    'one that was found before the search ended',
    { leaksInState: async () => ({ searched: 3, left: 9, found: ['x'] }) },
  ],
  ['secrets.stray', 'an old token', { names: () => [tokenFile, 'old_token.txt'] }],
  ['secrets.stray', 'a store that knows of none', { stored: async () => undefined }],
  [
    'secrets.private',
    'a stranger who reads one',
    { stranger: async () => ({ uid: 65534, seen: { a: 'EACCES', b: 'read it' } }) },
  ],
  [
    'secrets.private',
    'a stranger who finds nothing in it',
    { stranger: async () => ({ uid: 65534, seen: { a: 'read nothing' } }) },
  ],
  [
    'secrets.private',
    'a stranger who is root',
    { stranger: async () => ({ uid: 0, seen: { a: 'EACCES' } }) },
  ],
  [
    'secrets.audit',
    'a reference OpenClaw cannot resolve',
    withJudges({
      secrets: () => ({
        status: 'findings',
        summary: { plaintextCount: 0, unresolvedRefCount: 1 },
        findings: [],
      }),
    }),
  ],
  ['secrets.untracked', 'a tracked journal', { tracked: async () => ['.secure/journal.jsonl'] }],
  ['secrets.untracked', 'a tracked password file', { tracked: async () => ['proxy/htpasswd'] }],
  ['secrets.untracked', 'a tracked .env', { tracked: async () => ['.env'] }],
  ['secrets.ignored', 'one folder of four', { addable: async paths => paths.slice(2, 3) }],
  [
    'store.private',
    'a document that others may read',
    {
      file: path => {
        const found = healthy().file(path)
        return found && { ...found, mode: path.endsWith('.json') ? 0o644 : 0o700 }
      },
    },
  ],
  [
    'store.private',
    'a credential that others may read',
    {
      file: path =>
        path.startsWith(layout.credentials)
          ? { ...some(healthy().file(layout.journal)), mode: path.endsWith('vault') ? 0o440 : 0o700 }
          : healthy().file(path),
      names: folder => (folder === layout.credentials ? ['vault'] : healthy().names(folder)),
    },
  ],
  ['store.current', 'a store that knows of none', { stored: async () => undefined }],
  ['store.current', 'a file with other bytes', { text: async () => `${token.expose()}\n` }],
  [
    'store.current',
    'a file that was not delivered',
    { file: path => (path.includes(tokenFile) ? undefined : healthy().file(path)) },
  ],
  [
    'store.current',
    'a store that went on without the gateway',
    { stored: async () => ({ revision: 4, current: { rotationId: 'newer-1', value: token } }) },
  ],
  [
    'store.private',
    'a journal that is gone',
    { file: path => (path === layout.journal ? undefined : healthy().file(path)) },
  ],
  [
    'compose.mounts',
    'a folder of the machine, read-only',
    withService({ mounts: [...service().mounts, { source: '/etc', target: '/e', readOnly: true }] }),
  ],
  [
    'compose.mounts',
    'a writable policy',
    withService({ mounts: service().mounts.map(mount => ({ ...mount, readOnly: false })) }),
  ],
  [
    'files.scoped',
    'a second writable mount of ours',
    withContainer({ Mounts: container().Mounts.map(mount => ({ ...mount, RW: true })) }),
  ],
  [
    'files.scoped',
    'the home folder, read-only',
    withContainer({ Mounts: [...container().Mounts, HOME_MOUNT] }),
  ],
  [
    'files.scoped',
    'a volume',
    withContainer({
      Mounts: [...container().Mounts, { Type: 'volume', Source: '', Destination: '/data', RW: false }],
    }),
  ],
  [
    'files.workspace',
    'file tools that leave the workspace',
    withPolicy(['tools', 'fs', 'workspaceOnly'], false),
  ],
  ['files.workspace', 'another workspace', withPolicy(['agents', 'defaults', 'workspace'], '/')],
  ['files.denied', 'keys', { denied: async () => ({ '/root': 'EACCES', '/home/node/.ssh': '1 entries' }) }],
  [
    'compose.read-only',
    'a temporary folder where programs start',
    withService({ tmpfs: { '/tmp': 'rw,exec' } }),
  ],
  [
    'rootfs.readonly',
    'a writable /usr',
    withAttempts({ write: { ...attempts().write, '/usr/local': 'written' } }),
  ],
  [
    'rootfs.readonly',
    'a policy that may be written',
    withAttempts({ write: { ...attempts().write, [INSIDE.config]: 'mounted read-write' } }),
  ],
  [
    'rootfs.readonly',
    'a folder that is closed for another reason',
    withAttempts({ write: { ...attempts().write, '/': 'EACCES' } }),
  ],
  [
    'rootfs.readonly',
    'a test in which no write works',
    withAttempts({ write: { '/': 'EROFS', '/tmp': 'ENOSPC' } }),
  ],
  [
    'tmp.noexec',
    'one folder where programs start',
    withAttempts({ execute: { '/tmp': 'EACCES', '/c': 'started' } }),
  ],
  [
    'tmp.bounded',
    'no size',
    { mounts: async () => (await healthy().mounts()).map(one => ({ ...one, options: ['nosuid', 'nodev'] })) },
  ],
  [
    'tmp.bounded',
    'setuid programs',
    {
      mounts: async () => (await healthy().mounts()).map(one => ({ ...one, options: ['nodev', 'size=1k'] })),
    },
  ],
  [
    'tmp.bounded',
    'a folder that is no tmpfs',
    { mounts: async () => (await healthy().mounts()).slice(0, 1) },
  ],
  ['tmp.bounded', 'no mounts', { mounts: async () => [] }],
  [
    'files.private',
    'a state that others may list',
    { file: path => ({ ...some(healthy().file(path)), mode: path === layout.state ? 0o705 : 0o700 }) },
  ],
  [
    'files.as-rendered',
    'an edit by hand',
    { text: async path => (path === layout.compose ? 'x' : healthy().text(path)) },
  ],
  ['compose.limits', 'swap', withService({ memorySwap: undefined })],
  ['compose.limits', 'other limits than were asked for', withService({ pids: 4096 })],
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
  ['limits.enforced', 'swap without end', withHost({ MemorySwap: -1 })],
  ['limits.fork', 'no end of processes', withAttempts({ fork: 'forked 320 none\n' })],
  [
    'limits.hog',
    'all the memory it wanted',
    withAttempts({ hog: 'touched 2112\ntouched all\n', hogEnd: '0' }),
  ],
  ['limits.files', 'a million', { ulimit: async () => '1024 1048576' }],
  ['limits.files', 'no limit', { ulimit: async () => 'unlimited unlimited' }],
  ['limits.core', 'a hard limit above the soft one', { ulimit: async () => '0 unlimited' }],
  ['compose.logs', 'no logging', withService({ logging: undefined })],
  [
    'limits.logs',
    'a log that is not rotated',
    withHost({ LogConfig: { Type: 'json-file', Config: { 'max-size': '10m' } } }),
  ],
  ['limits.logs', 'a driver with no options', withHost({ LogConfig: { Type: 'json-file', Config: null } })],
  ['limits.logs', 'no log', withHost({ LogConfig: { Type: 'none', Config: {} } })],
  ['limits.log-file', 'a gibibyte', withPolicy(['logging', 'maxFileBytes'], 1024 ** 3)],
  ['limits.log-file', 'nothing', withPolicy(['logging', 'maxFileBytes'], 0)],
  [
    'audit.ledger',
    'a ledger that does not say who',
    withPolicy(['logging', 'audit', 'executionIdentity'], false),
  ],
  ['audit.log-kept', 'a log nobody writes', { file: () => undefined }],
  [
    'audit.log-kept',
    'a log everybody reads',
    { file: () => ({ ...some(healthy().file(layout.configFile)), mode: 0o644 }) },
  ],
  [
    'audit.log-kept',
    'a log beside the state folder',
    withPolicy(['logging', 'file'], `${INSIDE.state}-not/x.log`),
  ],
  ['audit.level', 'errors alone', withPolicy(['logging', 'level'], 'error')],
  ['audit.redaction', 'none', withPolicy(['logging', 'redactSensitive'], 'off')],
  ['audit.unmuted', 'a silenced finding', withPolicy(['security'], { audit: { suppressions: [{}] } })],
  [
    'audit.openclaw',
    'a warning of OpenClaw’s',
    withJudges({ security: () => ({ summary: { critical: 0, warn: 1, info: 0 }, findings: [] }) }),
  ],
  ['audit.config', 'an objection', withJudges({ objections: () => ['security: unknown key "shell"'] })],
  ['policy.keys', 'a key of the seed’s', withPolicy(['logging', 'auditEvents'], ['x'])],
  ['policy.keys', 'no mode', withPolicy(['gateway', 'mode'], undefined)],
  [
    'journal.intact',
    'a broken chain',
    { chain: () => ({ intact: false, broken: 3, why: 'out of sequence' }) },
  ],
  [
    'suppressions.current',
    'one that ended yesterday',
    { suppressions: [{ check: 'ports.neighbours', reason: 'for the move only', until: '2026-11-23' }] },
  ],
  [
    'monitor.configured',
    'a monitor that was begun',
    { journal: () => [event('monitor', { event: 'begun' })] },
  ],
  [
    'backup.restored',
    'a drill that failed',
    { journal: () => [event('restore-drill', { event: 'failed' })] },
  ],
  ['incident.documented', 'no folder of runbooks', { file: () => undefined }],
  ['incident.documented', 'an empty folder', { names: () => [] }],
  ['incident.documented', 'one of the two', { names: () => ['container-compromised.yaml'] }],
  [
    'incident.documented',
    'a runbook under a name by which nobody finds it',
    { names: folder => [...healthy().names(folder), 'incident.yml'], text: () => containerRunbook },
  ],
  [
    'incident.documented',
    'a runbook that destroys first',
    withRunbook(text => text.replace('effect: contains', 'effect: destroys')),
  ],
  [
    'incident.documented',
    'a runbook of an action that there is not',
    withRunbook(text => text.replace('action: networks.cut', 'action: networks.mend')),
  ],
  ['incident.documented', 'a runbook that was emptied', withRunbook(() => '')],
  ['incident.documented', 'an own runbook that cannot be read', withRunbook(() => 'id: [', 'our-own.yaml')],
  ['incident.contact', 'nobody', { own: { ...some(healthy().own), contact: '' } }],
  [
    'incident.contact',
    'nobody in one of the runbooks',
    withRunbook(text => text.replace(/^contacts: .*$/m, 'contacts: []')),
  ],
  ['incident.drilled', 'no rehearsal ever', without(drillsPath(layout))],
  ['incident.drilled', 'a rehearsal of half a year ago', withDrill({ at: '2026-05-24T01:40:00Z' })],
  ['incident.drilled', 'a rehearsal in the future', withDrill({ at: '2027-01-01T00:00:00Z' })],
  ['incident.drilled', 'a rehearsal that missed something', withDrill({ ok: false, missed: ['a beacon'] })],
  [
    'incident.drilled',
    'a step that was taken out after the rehearsal',
    withRunbook(text => text.replace(/ {2}- id: evidence\.memory[\s\S]*?(?= {2}- id: )/, '')),
  ],
  [
    'incident.drilled',
    'a step that has more time since the rehearsal',
    withRunbook(text => text.replace('within: 2s', 'within: 2m')),
  ],
  [
    'incident.drilled',
    'an own runbook that nobody has rehearsed',
    withRunbook(text => text.replace('\nid: container-compromised', '\nid: our-own'), 'our-own.yaml'),
  ],
]

describe('checks see through what looks right', () => {
  it.each(wrong)('%s: %s', async (id, _, change) => {
    const [good, bad] = await Promise.all([
      verdictOf(check(id), healthy()),
      verdictOf(check(id), { ...healthy(), ...change }),
    ])
    const { verdict, evidence } = bad
    expect({ verdict, evidence }).toEqual({ verdict: 'fail', evidence: expect.stringMatching(/\w/) })
    expect(evidence).not.toBe(good.evidence)
  })

  it('every one of them, not some: each check has a row of its own here', () => {
    const seen = new Set(wrong.map(([id]) => id))
    expect(checks.filter(({ id }) => !seen.has(id)).map(({ id }) => id)).toEqual([])
  })
})
