import { isDeepStrictEqual } from 'node:util'
import { hasSandbox } from '../../src/deployment/answers.ts'
import { companionMounts, type MountContext, mountProblems } from '../../src/deployment/mounts.ts'
import { NETWORKS } from '../../src/deployment/network.ts'
import { EGRESS, INGRESS, SANDBOX_SERVICE } from '../../src/docker/compose.ts'
import type { ContainerFacts } from '../../src/docker/engine.ts'
import { parseJson } from '../../src/json.ts'
import { ours, passIf, type VerifyCheck } from './check.ts'
import type { World } from './world.ts'

/** Whoever takes one of them over stands between the gateway and the world. */
export const companionsHardened: VerifyCheck = {
  id: 'companions.hardened',
  title: 'The containers beside the gateway are confined as it is',
  line: 6,
  threat: 'privilege escalation',
  severity: 'high',
  kind: 'live',
  remedy: 'Run create-openclaw-secure . again: it makes the containers anew.',
  refs: { seed: 'Container Security Options', cis: '5.4, 5.5, 5.6, 5.11, 5.12, 5.13, 5.22, 5.26, 5.29' },
  async run(world) {
    const containers = await companionsOf(world)
    const gateway = (await world.container()).Config.User
    const { name } = ours(world)
    const profile = parseJson((await world.profile()) ?? '')
    const seen = containers.map(container => {
      const service = container.Config.Labels?.['com.docker.compose.service'] ?? container.Name
      const networks = (NETWORKS_OF[service] ?? []).map(network => `${name}_${network}`)
      return {
        name: service,
        flaws: [
          ...(container.Config.User === gateway ? [] : [`runs as ${container.Config.User || 'root'}`]),
          ...flawsOf(container, profile, networks, companionMounts(world.layout, service)),
        ],
      }
    })
    return passIf(
      seen.every(one => one.flaws.length === 0),
      `docker inspect: ${seen.map(({ name, flaws }) => `${name} ${flaws.length === 0 ? 'confined' : flaws.join(', ')}`).join('; ')}`,
    )
  },
  sabotage: {
    weaken: twin =>
      twin.service(
        { cap_drop: undefined, read_only: false, mem_limit: undefined, memswap_limit: undefined },
        INGRESS,
      ),
  },
}

/** Where each belongs, and nowhere else: `docker network connect` changes nothing that Compose would see. */
const NETWORKS_OF: Readonly<Record<string, readonly string[]>> = {
  [INGRESS]: [NETWORKS.inside, NETWORKS.front],
  [EGRESS]: [NETWORKS.inside, NETWORKS.outside],
  [SANDBOX_SERVICE]: [NETWORKS.sandbox],
}

/** The containers that this deployment has beside the gateway's. */
export async function companionsOf(world: World): Promise<ContainerFacts[]> {
  const answers = ours(world)
  return Promise.all([
    world.ingress(),
    ...(answers.egress === 'closed' ? [world.egress()] : []),
    ...(hasSandbox(answers) ? [world.sandbox()] : []),
  ])
}

function flawsOf(
  { HostConfig: host, Mounts, NetworkSettings }: ContainerFacts,
  profile: unknown,
  wanted: readonly string[],
  mounts: MountContext,
): string[] {
  const options = host.SecurityOpt ?? []
  const loaded = options.find(option => option.startsWith('seccomp'))?.replace(/^seccomp[=:]/, '')
  const strange = Mounts.filter(({ Type }) => Type !== 'tmpfs').flatMap(({ Source, Destination, RW }) =>
    mountProblems({ source: Source, target: Destination, readOnly: !RW }, mounts),
  )
  const shared = [
    ...(host.PidMode === 'host' ? ['processes'] : []),
    ...(host.IpcMode === 'host' ? ['memory'] : []),
    ...(host.UTSMode === 'host' ? ['its name'] : []),
    ...(host.UsernsMode === 'host' ? ['its users'] : []),
  ]
  const networks = Object.keys(NetworkSettings.Networks ?? {}).sort()
  const claims: [boolean, string][] = [
    [host.ReadonlyRootfs, 'can change its image'],
    [host.CapDrop?.includes('ALL') === true && (host.CapAdd ?? []).length === 0, 'has capabilities'],
    [options.some(option => /^no-new-privileges(:true)?$/.test(option)), 'can gain privileges'],
    [loaded !== 'unconfined', 'has no seccomp filter'],
    [
      profile === undefined ? loaded === undefined : isDeepStrictEqual(parseJson(loaded ?? ''), profile),
      'has another seccomp profile',
    ],
    [shared.length === 0, `shares ${shared.join(', ')} with the machine`],
    [(host.GroupAdd ?? []).length === 0, 'has more groups'],
    [isDeepStrictEqual(networks, [...wanted].sort()), `is on the networks ${networks.join(', ') || 'none'}`],
    [!host.Privileged && (host.Devices ?? []).length === 0, 'is privileged'],
    [host.Memory > 0 && host.MemorySwap > 0, 'has no memory limit'],
    [(host.PidsLimit ?? 0) > 0 && host.NanoCpus > 0, 'has no limit of processes or CPU'],
    [strange.length === 0, strange.join(', ')],
  ]
  return claims.filter(([good]) => !good).map(([, flaw]) => flaw)
}
