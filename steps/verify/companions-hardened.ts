import { isDeepStrictEqual } from 'node:util'
import { INGRESS } from '../../src/docker/compose.ts'
import type { ContainerFacts } from '../../src/docker/engine.ts'
import { parseJson } from '../../src/json.ts'
import { ours, passIf, type VerifyCheck } from './check.ts'

/** Whoever takes one of them over stands between the gateway and the world. */
export const companionsHardened: VerifyCheck = {
  id: 'companions.hardened',
  title: 'The containers beside the gateway are confined as it is',
  line: 6,
  threat: 'privilege escalation',
  severity: 'high',
  kind: 'live',
  remedy: 'Run create-openclaw-secure . again: it makes the containers anew.',
  refs: { seed: 'Container Security Options', cis: '5.3, 5.4, 5.12, 5.25' },
  async run(world) {
    const closed = ours(world).egress === 'closed'
    const containers = await Promise.all([world.ingress(), ...(closed ? [world.egress()] : [])])
    const profile = parseJson((await world.profile()) ?? '')
    const { border } = world.layout
    const seen = containers.map(container => ({
      name: container.Config.Labels?.['com.docker.compose.service'] ?? container.Name,
      flaws: flawsOf(container, profile, border),
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

function flawsOf(container: ContainerFacts, profile: unknown, border: string): string[] {
  const { Config, HostConfig: host, Mounts } = container
  const options = host.SecurityOpt ?? []
  const loaded = options.find(option => option.startsWith('seccomp'))?.replace(/^seccomp[=:]/, '')
  const claims: [boolean, string][] = [
    [/^[1-9]\d*:/.test(Config.User), `runs as ${Config.User || 'root'}`],
    [host.ReadonlyRootfs, 'can change its image'],
    [host.CapDrop?.includes('ALL') === true && (host.CapAdd ?? []).length === 0, 'has capabilities'],
    [options.some(option => /^no-new-privileges(:true)?$/.test(option)), 'can gain privileges'],
    [isDeepStrictEqual(parseJson(loaded ?? ''), profile), 'has another seccomp profile'],
    [!host.Privileged && (host.Devices ?? []).length === 0, 'is privileged'],
    [host.Memory > 0 && host.MemorySwap === host.Memory, 'has no memory limit'],
    [(host.PidsLimit ?? 0) > 0 && host.NanoCpus > 0, 'has no limit of processes or CPU'],
    [
      Mounts.every(({ Type, Source, RW }) => Type === 'tmpfs' || (Source === border && !RW)),
      'mounts more than its configuration',
    ],
  ]
  return claims.filter(([good]) => !good).map(([, flaw]) => flaw)
}
