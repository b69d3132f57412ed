import { freemem } from 'node:os'
import { INSIDE } from '../../src/deployment/layout.ts'
import { packageFile } from '../../src/deployment/package.ts'
import type { ContainerFacts, Docker, EngineInfo } from '../../src/docker/engine.ts'
import { runSibling } from '../../src/docker/sibling.ts'
import { type Attack, type Result, readResults, type Surroundings, scriptOf } from './attack.ts'
import { openDoors } from './doors.ts'

const MIB = 1024 ** 2
const PROBE = '/ocs-probe'
const SECRET = /^[A-Z_]*(TOKEN|KEY|SECRET|PASSWORD)[A-Z_]*$/
const SETTING = /^(HOME|TZ|NODE_OPTIONS|XDG_CACHE_HOME|OPENCLAW_(STATE_DIR|CONFIG_PATH))$/

/**
 * Makes attacks from a shell in a throw-away container that is like a running one: image, user, profile, limits, read-only mounts,
 * and its very network. `outside` is an address of this machine, which stands for the world: nothing leaves it. The state is
 * a scratch. Errors: those of the process runner, and of `listen`.
 */
export async function attackSibling(
  docker: Docker,
  container: ContainerFacts,
  engine: EngineInfo,
  outside: string,
  attacks: readonly Attack[],
): Promise<Result[]> {
  const { Config, HostConfig: host, Mounts } = container
  const doors = await openDoors(outside)
  try {
    const limit = Math.ceil(host.Memory / MIB)
    const surroundings: Surroundings = {
      ...doors.surroundings,
      PROBE,
      PROCESSES: String(((host.PidsLimit ?? 0) > 0 ? (host.PidsLimit ?? 0) : 256) + 64),
      // A machine that cannot spare that much is not put to the test.
      ...(limit > 0 && host.Memory < freemem() / 2 ? { MEMORY: String(limit + 64) } : {}),
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
    const [uid = '0', gid = uid] = Config.User.split(':')
    const { stdout } = await runSibling(docker, container, {
      command: ['sh', '-c', scriptOf(attacks, surroundings)],
      mounts: [
        {
          source: packageFile(`native/probe-${/arm|aarch/.test(engine.Architecture) ? 'aarch64' : 'x86_64'}`),
          target: PROBE,
          readOnly: true,
        },
        ...Mounts.filter(mount => mount.Type === 'bind' && !mount.RW && !/\.sock$/.test(mount.Source)).map(
          mount => ({ source: mount.Source, target: mount.Destination, readOnly: true }),
        ),
      ],
      tmpfs: [`${INSIDE.state}:rw,noexec,nosuid,nodev,size=16m,mode=0700,uid=${uid},gid=${gid}`],
      network: `container:${container.Id}`,
      environment,
      shares: 128,
      deadline: 110_000,
    })
    return readResults(attacks, stdout, surroundings)
  } finally {
    doors.close()
  }
}
