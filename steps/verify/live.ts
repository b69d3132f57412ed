import { existsSync, readFileSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { networkInterfaces } from 'node:os'
import { resolve } from 'node:path'
import { INSIDE } from '../../src/deployment/layout.ts'
import { bridgeNetwork } from '../../src/deployment/network.ts'
import { packageFile } from '../../src/deployment/package.ts'
import type { Compose } from '../../src/docker/compose.ts'
import { type ContainerFacts, type Docker, publishes } from '../../src/docker/engine.ts'
import { NeighbourRule } from '../../src/docker/firewall.ts'
import type { ProcessRunner } from '../../src/docker/process.ts'
import { runSibling } from '../../src/docker/sibling.ts'
import { ToolError } from '../../src/errors.ts'
import {
  type Attempted,
  type AttemptOrder,
  askJudges,
  asScript,
  attempt,
  type Observed,
  observe,
  readAsStranger,
} from '../../src/gateway/inside.ts'
import { readJudges } from '../../src/gateway/judges.ts'
import { secretNamesOf } from '../../src/gateway/policy.ts'
import { AUTH_PATH, askFromHost, askFromInside } from '../../src/gateway/probe.ts'
import { parseJson } from '../../src/json.ts'
import { listed, type Secret } from '../../src/secret.ts'
import { cgroupOf, listenersOf, mountsOf, processesOf, ulimitOf } from './kernel.ts'
import { at } from './tree.ts'
import { type Attempts, type FileWorld, type LiveWorld, NotApplicable, once, type Reach } from './world.ts'

export interface LiveSources {
  docker: Docker
  /** Redacts nothing, so that a secret in what it returns can be found. The judge cleans every finding. */
  searching: Docker
  run: ProcessRunner
  /** Undefined for a container that Compose did not make. */
  compose: Compose | undefined
  /** The container, running or not; undefined when there is none. */
  find(): Promise<ContainerFacts | undefined>
  wrongToken: Secret
}

/** A user no gateway runs as: "nobody" of every distribution. */
const STRANGER = '65534:65534'

/** The engine and the running container of a deployment. */
export function liveWorld(files: FileWorld, sources: LiveSources): LiveWorld {
  const { docker, searching, run, compose } = sources
  const engine = once(() => docker.info())
  const found = once(() => sources.find())
  const container = once(async () => running(await found()))
  const insidePort = once(async () => Number(at(await files.policy(), 'gateway', 'port') ?? INSIDE.port))
  const port = once(async () => files.own?.port ?? publishedPort(await container(), await insidePort()))
  const door = async () => ({ port: await port(), access: files.own?.access ?? 'loopback' }) as const
  const rightDoor = async () => {
    // Whoever else holds the port while the gateway is away would be handed the token.
    if (publishes(await container(), await port())) return door()
    throw new ToolError(
      'port_not_ours',
      `the container does not publish port ${await port()}`,
      'Run create-openclaw-secure . again.',
    )
  }
  const observed = once(async (): Promise<Observed> => {
    // Nothing is shown to the container that it does not have already: what opens nginx or the store is searched for outside.
    const own = files.own === undefined ? undefined : secretNamesOf(files.own)
    const secrets = [...(await files.secrets())]
      .filter(([name]) => own?.includes(name) !== false)
      .map(([, value]) => value)
    const { code, stdout } = await docker.exec((await container()).Id, ['node', '-e', asScript(observe)], {
      input: listed(secrets),
      deadline: 20_000,
    })
    const parsed = parseJson(stdout)
    if (code === 0 && typeof parsed === 'object' && parsed !== null) return parsed as Observed
    throw new ToolError('exec_failed', 'nothing could be run in the container', 'Run the command again.')
  })
  const network = once(async () => {
    const { NetworkSettings, HostConfig } = await container()
    return docker.network(Object.keys(NetworkSettings.Networks ?? {})[0] ?? HostConfig.NetworkMode)
  })
  const addresses = () =>
    Object.values(networkInterfaces())
      .flat()
      .filter(address => address !== undefined)
      .filter(address => !address.internal && !(address.family === 'IPv6' && address.scopeid !== 0))
      .map(address => address.address)
  return {
    engine,
    container,
    async replaced() {
      const before = await container()
      const now = await docker.container(before.Id)
      return now?.State.StartedAt !== before.State.StartedAt
    },
    network,
    imageText: once(async () => searching.imageText((await container()).Image)),
    plannedHash: once(async () => {
      if (compose === undefined || files.own === undefined)
        throw new NotApplicable('this container was not made from a file of this tool')
      return compose.configHash()
    }),
    processes: async () => processesOf(await observed()),
    cgroup: async () => cgroupOf(await observed()),
    mounts: async () => mountsOf(await observed()),
    ulimit: async name => ulimitOf(await observed(), name),
    listening: async () => listenersOf(await observed()),
    searchProc: async () => (await observed()).found,
    denied: async () => (await observed()).denied,
    attempted: once(async () =>
      tryInSibling(docker, await container(), (await engine()).Architecture, files, addresses()),
    ),
    stranger: once(async () => {
      const { Image, Mounts } = await container()
      const mount = Mounts.find(one => one.Destination === INSIDE.secrets)
      if (mount === undefined) throw new NotApplicable('no secret is delivered as a file')
      // A folder it may not list hides the names; it is told them, so that it tries each.
      const names = JSON.stringify(files.names(mount.Source))
      const { code, stdout } = await docker.throwaway({
        image: Image,
        command: ['node', '-e', asScript(readAsStranger), INSIDE.secrets, names],
        user: STRANGER,
        mounts: [{ source: mount.Source, target: INSIDE.secrets, readOnly: true }],
        deadline: 30_000,
      })
      const parsed = parseJson(stdout)
      if (code === 0 && typeof parsed === 'object' && parsed !== null)
        return parsed as { uid: number; seen: Record<string, string> }
      throw new ToolError('exec_failed', 'nothing could be run as another user', 'Run the command again.')
    }),
    judges: once(async () => {
      const program = ['node', '-e', asScript(askJudges), DATABASE] as const
      const answers = (await askFromHost(await door(), '/healthz')) !== undefined
      const patience = answers ? PATIENCE.usual : PATIENCE.hung
      // Somebody else's container may keep its state in its own layer, which no sibling has.
      const finished =
        files.own === undefined
          ? await docker.exec((await container()).Id, program, { deadline: patience })
          : await judgeInSibling(docker, await container(), program, patience)
      return readJudges(finished)
    }),
    port,
    insidePort,
    async askHost(which) {
      // Without the container nobody knows who answers there, with or without a token.
      return askFromHost(await rightDoor(), AUTH_PATH, which === 'right' ? await files.token() : undefined)
    },
    askWrong: once(async () =>
      askFromInside(docker, (await container()).Id, await insidePort(), sources.wrongToken),
    ),
    health: async () => askFromHost(await door(), '/healthz'),
    // A tool's code is loaded when it is first asked for, and a busy machine takes its time.
    post: async (path, body) => askFromHost(await rightDoor(), path, await files.token(), 12_000, body),
    addresses,
    reach,
    neighbourRule: once(async () => {
      const bridge = (await network()).Options?.['com.docker.network.bridge.name']
      return new NeighbourRule(run, bridge ?? bridgeNetwork(files.own?.name ?? '').bridge).isInstalled()
    }),
    logs: once(async () => {
      const { code, stdout, stderr } = await searching.call(
        ['logs', '--tail', '5000', (await container()).Id],
        { deadline: 20_000 },
      )
      if (code === 0) return `${stdout}\n${stderr}`
      throw new ToolError('logs_unknown', 'the container’s log cannot be read', 'Run the command again.')
    }),
  }
}

function running(container: ContainerFacts | undefined): ContainerFacts {
  const hint = 'Start it: create-openclaw-secure .'
  if (container === undefined) throw new ToolError('no_container', 'there is no gateway container', hint)
  const { Running, Paused, Status } = container.State
  if (!Running) throw new ToolError('gateway_stopped', `the gateway container is ${Status}`, hint)
  if (Paused)
    throw new ToolError(
      'gateway_paused',
      'the gateway container is paused',
      'docker unpause it, unless an incident is being looked into.',
    )
  return container
}

function publishedPort(container: ContainerFacts, inside: number): number {
  const outside = container.NetworkSettings.Ports?.[`${inside}/tcp`]?.[0]?.HostPort
  if (container.HostConfig.NetworkMode === 'host') return inside
  if (outside !== undefined) return Number(outside)
  throw new ToolError(
    'no_port',
    `the container does not publish its port ${inside}`,
    'Publish it on 127.0.0.1.',
  )
}

const SOCKET = /(docker|containerd|podman)\.sock$/

/** What nobody may change is seen by the sibling as the gateway sees it; what the gateway may write is not there at all. */
async function tryInSibling(
  docker: Docker,
  container: ContainerFacts,
  architecture: string,
  files: FileWorld,
  addresses: readonly string[],
): Promise<Attempts> {
  const { HostConfig: host, Mounts, Config } = container
  const mib = 1024 ** 2
  const limit = host.Memory > 0 ? host.Memory : (files.own?.memory ?? 512) * mib
  const half = Math.floor(availableMemory() / 2)
  const reduced = limit > half ? half : undefined
  const binds = Mounts.filter(mount => mount.Type === 'bind' && !mount.RW && !SOCKET.test(mount.Source))
  const home = variable(Config.Env, 'HOME')
  const asked = {
    fork: ((host.PidsLimit ?? 0) > 0 ? (host.PidsLimit ?? 0) : (files.own?.pids ?? 256)) + 64,
    hog: Math.ceil((reduced ?? limit) / mib) + 64,
  }
  const doors = await openDoors(addresses)
  try {
    const order: AttemptOrder = {
      write: ['/', '/usr/local', '/var', Config.WorkingDir || '/', ...(home === undefined ? [] : [home])]
        .concat(binds.map(mount => mount.Destination))
        .concat('/tmp'),
      execute: [...new Set(['/tmp', ...Object.keys(host.Tmpfs ?? {})])],
      connect: doors.map(door => door.target),
      ...asked,
    }
    const { stdout, code } = await runSibling(docker, container, {
      command: ['node', '-e', asScript(attempt), JSON.stringify(order)],
      mounts: [
        { source: nativeProbe(architecture), target: '/ocs-probe', readOnly: true },
        ...binds.map(mount => ({ source: mount.Source, target: mount.Destination, readOnly: true })),
      ],
      network: Object.keys(container.NetworkSettings.Networks ?? {})[0] ?? 'none',
      environment: pick(Config.Env, /^(HOME|NODE_OPTIONS|XDG_CACHE_HOME)$/),
      // Behind the judges, whom everybody waits for.
      shares: 128,
      ...(reduced === undefined ? {} : { memory: reduced }),
      deadline: 100_000,
    })
    const [first, second] = stdout.split('\n').map(parseJson)
    if (typeof first !== 'object' || first === null)
      throw new ToolError(
        'sibling_failed',
        `a container like the gateway’s could not be started (code ${code})`,
        'Run the command again.',
      )
    // The kernel may end the whole container instead of the hog alone: that is an answer too.
    const end =
      typeof second === 'object' && second !== null ? second : { hog: '', hogEnd: `container ${code}` }
    const tried = { ...first, ...end } as Attempted
    // What the gateway may write is not handed to the sibling, and needs no trying.
    const open = Mounts.filter(
      mount => mount.RW && [INSIDE.config, INSIDE.secrets].includes(mount.Destination as never),
    )
    for (const mount of open) tried.write[mount.Destination] = 'mounted read-write'
    return {
      ...tried,
      asked,
      ...(reduced === undefined ? {} : { reducedTo: Math.floor(reduced / mib) }),
    }
  } finally {
    for (const door of doors) door.server.close()
  }
}

/** How long OpenClaw's commands may take. A hung gateway would keep them waiting for its answer. Milliseconds. */
const PATIENCE = { usual: 90_000, hung: 10_000 }

/** Where a judging sibling sees the database of the gateway, to make a copy of it. */
const DATABASE = '/ocs-database'

/** OpenClaw's own commands read the same files as the gateway, without its memory and without a way to write. */
export async function judgeInSibling(
  docker: Docker,
  container: ContainerFacts,
  program: readonly [string, ...string[]],
  deadline: number,
) {
  const { Mounts, Config } = container
  const seen = Mounts.filter(mount => mount.Type === 'bind' && !SOCKET.test(mount.Source)).map(mount => ({
    source: mount.Source,
    target: mount.Destination,
    readOnly: true,
  }))
  const state = seen.find(mount => mount.target === INSIDE.state)
  const [uid = '0', gid = uid] = Config.User.split(':')
  return runSibling(docker, container, {
    command: program,
    mounts: [
      ...seen,
      ...(state === undefined
        ? []
        : [{ source: resolve(state.source, 'state'), target: DATABASE, readOnly: true }]),
    ],
    tmpfs: [`${INSIDE.state}/state:rw,noexec,nosuid,nodev,size=512m,mode=0700,uid=${uid},gid=${gid}`],
    // The longest of all looks: it goes before the other siblings, and after the gateway.
    shares: 512,
    // `openclaw audit` asks the running gateway.
    network: `container:${container.Id}`,
    environment: pick(
      Config.Env,
      /^(HOME|TZ|NODE_OPTIONS|XDG_CACHE_HOME|OPENCLAW_(STATE_DIR|CONFIG_PATH|DISABLE_BONJOUR))$/,
    ),
    deadline,
  })
}

/** A listener on each address of this machine, for the container to try. It says nothing and hangs up. */
async function openDoors(addresses: readonly string[]): Promise<{ target: string; server: Server }[]> {
  const doors = addresses
    .filter(address => !address.includes(':'))
    .slice(0, 4)
    .map(
      address =>
        new Promise<{ target: string; server: Server } | undefined>(done => {
          const server = createServer(socket => socket.destroy())
          server.once('error', () => done(undefined))
          server.listen(0, address, () => {
            const bound = server.address()
            server.unref()
            done(
              typeof bound === 'object' && bound !== null
                ? { target: `${address}:${bound.port}`, server }
                : undefined,
            )
          })
        }),
    )
  return (await Promise.all(doors)).filter(door => door !== undefined)
}

function reach(address: string, port: number): Promise<Reach> {
  return new Promise(done => {
    const socket = connect({ host: address, port, timeout: 2000 })
    const end = (answer: Reach) => {
      socket.destroy()
      done(answer)
    }
    socket.once('connect', () => end('open'))
    socket.once('timeout', () => end('silent'))
    socket.once('error', (error: NodeJS.ErrnoException) =>
      end(error.code === 'ECONNREFUSED' ? 'refused' : 'silent'),
    )
  })
}

function variable(env: readonly string[] | null, name: string): string | undefined {
  return env?.find(one => one.startsWith(`${name}=`))?.slice(name.length + 1)
}

/** The variables of these names. Credentials are never among them: they would show in the sibling's arguments. */
function pick(env: readonly string[] | null, names: RegExp): Record<string, string> {
  return Object.fromEntries(
    (env ?? [])
      .map(one => [one.split('=', 1)[0] ?? '', one.slice(one.indexOf('=') + 1)] as const)
      .filter(([name]) => names.test(name)),
  )
}

/** Bytes this machine can still give away (proc(5), MemAvailable). */
function availableMemory(): number {
  const text = existsSync('/proc/meminfo') ? readFileSync('/proc/meminfo', 'utf8') : ''
  return Number(/^MemAvailable:\s+(\d+) kB/m.exec(text)?.[1] ?? 2 * 1024 ** 2) * 1024
}

/** The shipped program that makes the calls Node cannot (native/probe.c). */
function nativeProbe(architecture: string): string {
  const name = /^(aarch64|arm64)$/.test(architecture) ? 'native/probe-aarch64' : 'native/probe-x86_64'
  return packageFile(name)
}
