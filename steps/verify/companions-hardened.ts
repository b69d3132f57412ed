import { isDeepStrictEqual } from 'node:util'
import type { Layout } from '../../src/deployment/layout.ts'
import { companionMounts, mountProblems } from '../../src/deployment/mounts.ts'
import { INGRESS } from '../../src/docker/compose.ts'
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
    const { User: user } = (await world.container()).Config
    const profile = parseJson((await world.profile()) ?? '')
    const seen = containers.map(container => ({
      name: container.Config.Labels?.['com.docker.compose.service'] ?? container.Name,
      flaws: flawsOf(container, user, profile, world.layout),
    }))
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

/** The containers that this deployment has beside the gateway's. */
export async function companionsOf(world: World): Promise<ContainerFacts[]> {
  const { egress, posture } = ours(world)
  return Promise.all([
    world.ingress(),
    ...(egress === 'closed' ? [world.egress()] : []),
    ...(posture === 'coding' ? [world.sandbox()] : []),
  ])
}

function flawsOf(container: ContainerFacts, user: string, profile: unknown, layout: Layout): string[] {
  const { Config, HostConfig: host, Mounts } = container
  const options = host.SecurityOpt ?? []
  const loaded = options.find(option => option.startsWith('seccomp'))?.replace(/^seccomp[=:]/, '')
  const context = companionMounts(layout, Config.Labels?.['com.docker.compose.service'] ?? '')
  const strange = Mounts.filter(({ Type }) => Type !== 'tmpfs').flatMap(({ Source, Destination, RW }) =>
    mountProblems({ source: Source, target: Destination, readOnly: !RW }, context),
  )
  const claims: [boolean, string][] = [
    // Whom the gateway runs as is looked at elsewhere: on a rootless engine it is 0, and nobody.
    [Config.User === user, `runs as ${Config.User || 'root'}`],
    [host.ReadonlyRootfs, 'can change its image'],
    [host.CapDrop?.includes('ALL') === true && (host.CapAdd ?? []).length === 0, 'has capabilities'],
    [options.some(option => /^no-new-privileges(:true)?$/.test(option)), 'can gain privileges'],
    [isDeepStrictEqual(parseJson(loaded ?? ''), profile), 'has another seccomp profile'],
    [!host.Privileged && (host.Devices ?? []).length === 0, 'is privileged'],
    [host.Memory > 0 && host.MemorySwap > 0, 'has no memory limit'],
    [(host.PidsLimit ?? 0) > 0 && host.NanoCpus > 0, 'has no limit of processes or CPU'],
    [strange.length === 0, strange.join(', ')],
  ]
  return claims.filter(([good]) => !good).map(([, flaw]) => flaw)
}
