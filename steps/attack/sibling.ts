import { INSIDE } from '../../src/deployment/layout.ts'
import { type MountContext, mountProblems } from '../../src/deployment/mounts.ts'
import { packageFile } from '../../src/deployment/package.ts'
import type { ContainerFacts, Docker, EngineInfo } from '../../src/docker/engine.ts'
import { runSibling } from '../../src/docker/sibling.ts'
import { reducedLimit } from '../verify/sibling.ts'
import { type Attack, type Result, readResults, type Surroundings, scriptOf } from './attack.ts'
import { openDoors } from './doors.ts'

const MIB = 1024 ** 2
const PROBE = '/ocs-probe'
const SECRET = /^[A-Z_]*(TOKEN|KEY|SECRET|PASSWORD)[A-Z_]*$/
const SETTING = /^(HOME|TZ|NODE_OPTIONS|XDG_CACHE_HOME|OPENCLAW_(STATE_DIR|CONFIG_PATH))$/

/**
 * Makes attacks from a shell in a throw-away container that is like a running one: image, user, profile, limits, mounts, and its
 * very network. `outside` is an address of this machine, which stands for the world: nothing leaves it. `scratch` is what it
 * writes, and is here a folder of its own; all else that is mounted is read-only here, and what the running one may write there counts as
 * written. `scope` says which mounts it is meant to have. Errors: those of the process runner, and of `listen`.
 */
export async function attackSibling(
  docker: Docker,
  container: ContainerFacts,
  engine: EngineInfo,
  outside: string,
  scope: MountContext,
  attacks: readonly Attack[],
  scratch: string = INSIDE.state,
): Promise<Result[]> {
  const { Config, HostConfig: host, Mounts } = container
  const doors = await openDoors(outside)
  try {
    const reduced = reducedLimit(host.Memory)
    const mounts = Mounts.filter(
      ({ Type, Destination }) => ['bind', 'volume'].includes(Type) && Destination !== scratch,
    )
    // What may be swapped out is not over yet.
    const limit = reduced ?? Math.max(host.Memory, host.MemorySwap)
    const lent = mounts.filter(mount => mount.RW).map(mount => mount.Destination)
    const own = mounts.filter(
      ({ Source, Destination, RW }) =>
        mountProblems({ source: Source, target: Destination, readOnly: !RW }, scope).length === 0,
    )
    const surroundings: Surroundings = {
      ...doors.surroundings,
      PROBE,
      OWN: [PROBE, scratch, ...Object.keys(host.Tmpfs ?? {}), ...own.map(one => one.Destination)].join('\n'),
      ...(lent.length > 0 ? { LENT: lent.join('\n') } : {}),
      PROCESSES: String(((host.PidsLimit ?? 0) > 0 ? (host.PidsLimit ?? 0) : 256) + 64),
      MEMORY: host.Memory === 0 ? 'unlimited' : String(Math.ceil(limit / MIB) + 64),
      ...(host.NanoCpus / 1e9 < engine.NCPU ? { PROCESSORS: String(engine.NCPU) } : {}),
    }
    const variables = (Config.Env ?? []).map(one => [
      one.split('=', 1)[0] ?? '',
      one.slice(one.indexOf('=') + 1),
    ])
    const environment = Object.fromEntries(
      variables.flatMap(([name = '', value = '']) => {
        if (SETTING.test(name)) return [[name, value]]
        // That it is there is what counts; its value would show in the arguments.
        return SECRET.test(name) && value !== '' ? [[name, 'hidden']] : []
      }),
    )
    // Somebody else's container may name its user; a temporary folder takes numbers alone.
    const [, uid = '0', gid = uid] = /^(\d+)(?::(\d+))?$/.exec(Config.User) ?? []
    const { stdout } = await runSibling(docker, container, {
      // As for the environment: which options there are, without their values.
      command: ['sh', '-c', scriptOf(attacks, surroundings), 'sh', ...secretOptions(container.Args)],
      mounts: [
        {
          source: packageFile(`native/probe-${/arm|aarch/.test(engine.Architecture) ? 'aarch64' : 'x86_64'}`),
          target: PROBE,
          readOnly: true,
        },
        ...mounts.map(mount => ({ source: mount.Source, target: mount.Destination, readOnly: true })),
      ],
      tmpfs: [`${scratch}:rw,noexec,nosuid,nodev,size=16m,mode=0700,uid=${uid},gid=${gid}`],
      network: `container:${container.Id}`,
      environment,
      shares: 128,
      // A machine that cannot spare that much shows by a smaller limit that one holds.
      ...(reduced === undefined ? {} : { memory: reduced }),
      deadline: 110_000,
    })
    return readResults(attacks, stdout, surroundings)
  } finally {
    doors.close()
  }
}

/** The options of a command line that are followed by a secret, wherever in it a shell may find them. */
function secretOptions(args: readonly string[]): string[] {
  return args.join('\n').match(/--(?:token|password|api-key)(?=[= \n]|$)/g) ?? []
}
