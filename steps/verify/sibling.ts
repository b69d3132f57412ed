import { existsSync, readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { resolve } from 'node:path'
import { INSIDE } from '../../src/deployment/layout.ts'
import { packageFile } from '../../src/deployment/package.ts'
import type { ContainerFacts, Docker, NetworkFacts } from '../../src/docker/engine.ts'
import { runSibling } from '../../src/docker/sibling.ts'
import { ToolError } from '../../src/errors.ts'
import { type Attempted, type AttemptOrder, asScript, attempt } from '../../src/gateway/inside.ts'
import { parseJson } from '../../src/json.ts'
import type { Attempts, FileWorld } from './world.ts'

const SOCKET = /(docker|containerd|podman)\.sock$/

/** What nobody may change is seen by the sibling as the gateway sees it; what the gateway may write is not there at all. */
export async function tryInSibling(
  docker: Docker,
  container: ContainerFacts,
  network: Pick<NetworkFacts, 'Name'>,
  architecture: string,
  files: FileWorld,
  addresses: readonly string[],
): Promise<Attempts> {
  const { HostConfig: host, Mounts, Config } = container
  const mib = 1024 ** 2
  const limit = host.Memory > 0 ? host.Memory : (files.own?.memory ?? 512) * mib
  const reduced = reducedLimit(limit)
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
      network: network.Name,
      environment: pick(Config.Env, /^(HOME|NODE_OPTIONS|XDG_CACHE_HOME)$/),
      // Behind the judges, whom everybody waits for.
      shares: 128,
      ...(reduced === undefined ? {} : { memory: reduced }),
      deadline: 100_000,
    })
    const [tries, hog] = stdout.split('\n').map(parseJson)
    if (typeof tries !== 'object' || tries === null)
      throw new ToolError(
        'sibling_failed',
        `a container like the gateway’s could not be started (code ${code})`,
        'Run the command again.',
      )
    // The kernel may end the whole container instead of the hog alone: that is an answer too.
    const end = typeof hog === 'object' && hog !== null ? hog : { hog: '', hogEnd: `container ${code}` }
    const tried = { ...tries, ...end } as Attempted
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

/** Where a judging sibling sees the database of the gateway, to make a copy of it. */
export const DATABASE = '/ocs-database'

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

/**
 * A smaller limit of memory to try instead, where this machine cannot spare that much: half of what it can still give away
 * (proc(5), MemAvailable). Bytes.
 */
export function reducedLimit(limit: number): number | undefined {
  const text = existsSync('/proc/meminfo') ? readFileSync('/proc/meminfo', 'utf8') : ''
  const available = Number(/^MemAvailable:\s+(\d+) kB/m.exec(text)?.[1] ?? 2 * 1024 ** 2) * 1024
  const half = Math.floor(available / 2)
  return limit > half ? half : undefined
}

/** The shipped program that makes the calls Node cannot (native/probe.c). */
function nativeProbe(architecture: string): string {
  const name = /^(aarch64|arm64)$/.test(architecture) ? 'native/probe-aarch64' : 'native/probe-x86_64'
  return packageFile(name)
}
