import { connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import { INSIDE } from '../../src/deployment/layout.ts'
import { companionMounts, gatewayMounts } from '../../src/deployment/mounts.ts'
import { addressesOf, LISTENS, NETWORKS } from '../../src/deployment/network.ts'
import { type Compose, EGRESS, INGRESS, SANDBOX_SERVICE } from '../../src/docker/compose.ts'
import { type ContainerFacts, type Docker, publishes } from '../../src/docker/engine.ts'
import { NeighbourRule } from '../../src/docker/firewall.ts'
import type { ProcessRunner } from '../../src/docker/process.ts'
import { ToolError } from '../../src/errors.ts'
import { startablePrograms } from '../../src/gateway/approvals.ts'
import { askJudges, asScript, type Observed, observe, readAsStranger } from '../../src/gateway/inside.ts'
import { askProxy, type ProxyAnswers, type ProxyOrder } from '../../src/gateway/inside-proxy.ts'
import { readJudges } from '../../src/gateway/judges.ts'
import { pointerOf } from '../../src/gateway/pointer.ts'
import { secretNamesOf } from '../../src/gateway/policy.ts'
import { AUTH_PATH, askFromHost, askFromInside } from '../../src/gateway/probe.ts'
import { SANDBOX, SANDBOX_CLIENT_KEY } from '../../src/gateway/sandbox.ts'
import { enterSandbox } from '../../src/gateway/sandbox-login.ts'
import { parseJson } from '../../src/json.ts'
import { listed, type Secret } from '../../src/secret.ts'
import { attackSibling } from '../attack/sibling.ts'
import { changedGround } from '../setup/canary.ts'
import { hasRead } from '../setup/egress.ts'
import { cgroupOf, listenersOf, mountsOf, processesOf, ulimitOf } from './kernel.ts'
import { DATABASE, judgeInSibling, tryInSibling } from './sibling.ts'
import { at } from './tree.ts'
import { type FileWorld, type LiveWorld, NotApplicable, once, type Reach } from './world.ts'

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
  /** A container beside the gateway. Somebody else's deployment has none that we know of. */
  const beside = (service: string) =>
    once(async () => {
      if (compose === undefined || files.own === undefined)
        throw new NotApplicable('this deployment was not made by this tool')
      return running(await compose.container(service), service)
    })
  const [ingress, egress, sandbox] = [beside(INGRESS), beside(EGRESS), beside(SANDBOX_SERVICE)]
  const published = async () => (files.own === undefined ? container() : ingress())
  const port = once(async () => files.own?.port ?? publishedPort(await container(), await insidePort()))
  const door = async () => ({ port: await port(), access: files.own?.access ?? 'loopback' }) as const
  const rightDoor = async () => {
    // Whoever else holds the port while the gateway is away would be handed the token.
    await container()
    if (publishes(await published(), await port())) return door()
    throw new ToolError(
      'port_not_ours',
      `no container of this deployment publishes port ${await port()}`,
      'Run create-openclaw-secure . again.',
    )
  }
  const observed = once(async (): Promise<Observed> => {
    // Nothing is shown to the container that it does not have already: what opens nginx or the store is searched for outside.
    const own = files.own === undefined ? undefined : secretNamesOf(files.own)
    const secrets = [...(await files.secrets())]
      .filter(([name]) => own?.includes(name) !== false)
      .map(([, value]) => value)
    const program = ['node', '-e', asScript(observe)]
    return told<Observed>(
      await docker.exec((await container()).Id, program, { input: listed(secrets), deadline: 20_000 }),
    )
  })
  const networksOf = async ({ NetworkSettings, HostConfig }: ContainerFacts) => {
    const names = Object.keys(NetworkSettings.Networks ?? {})
    return Promise.all(
      (names.length > 0 ? names : [HostConfig.NetworkMode]).map(name => docker.network(name)),
    )
  }
  const networks = once(async () => networksOf(await container()))
  // Where there is a way out, that is the one to try.
  const openest = async () => {
    const all = await networks()
    return all.find(one => !one.Internal) ?? first(all)
  }
  const front = once(async () => {
    const all = await networksOf(await published())
    return all.find(one => one.Name.endsWith(`_${NETWORKS.front}`)) ?? first(all)
  })
  const addresses = () =>
    Object.values(networkInterfaces())
      .flat()
      .filter(address => address !== undefined)
      .filter(address => !address.internal && !(address.family === 'IPv6' && address.scopeid !== 0))
      .map(address => address.address)
  /** What stands for the world. */
  const outside = () => {
    const address = addresses().find(one => !one.includes(':'))
    if (address === undefined) throw new NotApplicable('this machine has no address to aim at')
    return address
  }
  return {
    engine,
    container,
    async replaced() {
      const before = await container()
      const now = await docker.container(before.Id)
      return now?.State.StartedAt !== before.State.StartedAt
    },
    ingress,
    egress,
    sandbox,
    published,
    networks,
    front,
    imageText: once(async () => searching.imageText((await container()).Image)),
    plannedHashes: once(async () => {
      if (compose === undefined || files.own === undefined)
        throw new NotApplicable('this container was not made from a file of this tool')
      return compose.configHashes()
    }),
    untried: once(() => changedGround(run, docker, files.journal())),
    processes: async () => processesOf(await observed()),
    labels: async () => (await observed()).labels.map(label => label ?? undefined),
    cgroup: async () => cgroupOf(await observed()),
    mounts: async () => mountsOf(await observed()),
    ulimit: async name => ulimitOf(await observed(), name),
    listening: async () => listenersOf(await observed()),
    searchProc: async () => (await observed()).found,
    denied: async () => (await observed()).denied,
    attempted: once(async () =>
      tryInSibling(
        docker,
        await container(),
        await openest(),
        (await engine()).Architecture,
        files,
        addresses(),
      ),
    ),
    attack: async attacks =>
      attackSibling(
        docker,
        await container(),
        await engine(),
        outside(),
        gatewayMounts(files.layout),
        attacks,
      ),
    attackSandbox: async attacks => {
      const scope = companionMounts(files.layout, SANDBOX_SERVICE)
      return attackSibling(docker, await sandbox(), await engine(), outside(), scope, attacks, SANDBOX.work)
    },
    sandboxNetworks: once(async () => networksOf(await sandbox())),
    proxied: once(async () => {
      const order: ProxyOrder = {
        // Where it listens: on another network, should the gateway be on one, it would be asked in vain.
        host: LISTENS.egress,
        port: INSIDE.proxyPort,
        // Names that nobody can own (RFC 6761), so that no question for one ever leaves; addresses of the machine, of
        // the proxy itself and of a cloud's metadata service.
        tunnels: ['nobody-named-this.invalid:443', '169.254.169.254:443', '127.0.0.1:443', '[::1]:443'],
        plain: ['http://nobody-named-this.invalid/', 'http://169.254.169.254/'],
      }
      const command = ['node', '-e', asScript(askProxy), JSON.stringify(order)]
      return told<ProxyAnswers>(await docker.exec((await container()).Id, command, { deadline: 20_000 }))
    }),
    rulesAreRead: once(async () => hasRead(await egress(), files.layout, files.journal())),
    programs: once(async () =>
      startablePrograms(docker, (await sandbox()).Id, files.own?.agentPrograms ?? []),
    ),
    entered: once(async () => {
      const key = pointerOf(await files.text(files.layout.configFile), SANDBOX_CLIENT_KEY)
      if (key === undefined) throw new Error('openclaw.json names no key of the sandbox')
      return enterSandbox(docker, (await container()).Id, key)
    }),
    stranger: once(async () => {
      const { Image, Mounts } = await container()
      const mount = Mounts.find(one => one.Destination === INSIDE.secrets)
      if (mount === undefined) throw new NotApplicable('no secret is delivered as a file')
      // A folder it may not list hides the names; it is told them, so that it tries each.
      const names = JSON.stringify(files.names(mount.Source))
      const finished = await docker.throwaway({
        image: Image,
        command: ['node', '-e', asScript(readAsStranger), INSIDE.secrets, names],
        user: STRANGER,
        mounts: [{ source: mount.Source, target: INSIDE.secrets, readOnly: true }],
        deadline: 30_000,
      })
      return told<{ uid: number; seen: Record<string, string> }>(finished, 'as another user')
    }),
    judges: once(async () => {
      const program = ['node', '-e', asScript(askJudges), DATABASE] as const
      const running = await container()
      const answers = (await askFromHost(await door(), '/healthz')) !== undefined
      // Somebody else's container may keep its state in its own layer, which no sibling has, and its port may be wrong.
      if (files.own === undefined)
        return readJudges(
          await docker.exec(running.Id, program, {
            deadline: answers ? JUDGES_DEADLINE : UNANSWERED_DEADLINE,
          }),
        )
      if (!answers)
        throw new ToolError(
          'gateway_silent',
          'the gateway does not answer, and OpenClaw’s own commands would wait for it',
          'Look at its log.',
        )
      return readJudges(await judgeInSibling(docker, running, program, JUDGES_DEADLINE))
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
      const bridge = (await front()).Options?.['com.docker.network.bridge.name']
      return new NeighbourRule(run, bridge ?? addressesOf(files.own?.name ?? '').bridge).isInstalled()
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

/** What one of our programs printed in a container. Errors: `exec_failed`. */
function told<T>(
  { code, stdout }: { code: number | undefined; stdout: string },
  where = 'in the container',
): T {
  const parsed = parseJson(stdout)
  if (code === 0 && typeof parsed === 'object' && parsed !== null) return parsed as T
  throw new ToolError('exec_failed', `nothing could be run ${where}`, 'Run the command again.')
}

function running(container: ContainerFacts | undefined, name = 'gateway'): ContainerFacts {
  const hint = 'Start it: create-openclaw-secure .'
  if (container === undefined) throw new ToolError('no_container', `there is no ${name} container`, hint)
  const { Running, Paused, Status } = container.State
  if (!Running) throw new ToolError('gateway_stopped', `the ${name} container is ${Status}`, hint)
  if (Paused)
    throw new ToolError(
      'gateway_paused',
      `the ${name} container is paused`,
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

/** How long OpenClaw's commands may take, milliseconds: they ask the running gateway, and wait for one that hangs. */
const [JUDGES_DEADLINE, UNANSWERED_DEADLINE] = [90_000, 10_000]

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

function first<T>(values: readonly T[]): T {
  const [value] = values
  if (value === undefined) throw new NotApplicable('the container has no network')
  return value
}
