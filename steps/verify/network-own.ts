import { isDeepStrictEqual } from 'node:util'
import { NOWHERE } from '../../src/deployment/network.ts'
import { EGRESS } from '../../src/docker/compose.ts'
import type { ContainerFacts, NetworkFacts } from '../../src/docker/engine.ts'
import { passIf, type VerifyCheck } from './check.ts'
import { companionsOf } from './companions-hardened.ts'

/** On Docker’s default bridge every container of the machine can knock, and an address of the machine is next door. */
export const networkOwn: VerifyCheck = {
  id: 'network.own',
  title: 'The gateway’s networks hold this deployment’s own containers and no address of this machine',
  line: 2,
  threat: 'network exfiltration',
  severity: 'high',
  kind: 'live',
  remedy: 'Run create-openclaw-secure . again, and connect nothing else to its networks.',
  refs: { seed: '2. Network Isolation', cis: '5.30' },
  async run(world) {
    const gateway = await world.container()
    const { Id, HostConfig, NetworkSettings } = gateway
    if (
      Object.keys(NetworkSettings.Networks ?? {}).length === 0 ||
      ['host', 'bridge', 'default'].includes(HostConfig.NetworkMode)
    )
      return passIf(false, `docker inspect: network mode ${HostConfig.NetworkMode}`)
    const companions = world.own === undefined ? [] : await companionsOf(world)
    const ids = world.own === undefined ? undefined : [Id, ...companions.map(one => one.Id)]
    const networks = await world.networks()
    const seen = networks.map(network => ({ network, flaws: flawsOf(network, ids) }))
    const asking = [...(networks.every(network => network.Internal) ? [gateway] : []), ...companions].filter(
      asksOthers,
    )
    return passIf(
      seen.every(one => one.flaws.length === 0) && asking.length === 0,
      `docker network inspect: ${seen
        .map(
          ({ network: { Name, Containers }, flaws }) =>
            `${Name} (${Object.keys(Containers ?? {}).length} containers${flaws.map(flaw => `; ${flaw}`).join('')})`,
        )
        .join(
          ', ',
        )}${asking.map(one => `; names ${one.Name.slice(1)} does not know are asked for outside`).join('')}`,
    )
  },
  sabotage: {
    weaken: twin =>
      twin.network('inside', { driver_opts: { 'com.docker.network.bridge.inhibit_ipv4': 'false' } }),
  },
}

/** Whether Docker's name server would hand on what this container asks it. That is the proxy's business alone. */
function asksOthers({ Config, HostConfig }: ContainerFacts): boolean {
  const isProxy = Config.Labels?.['com.docker.compose.service'] === EGRESS
  return !isProxy && !isDeepStrictEqual(HostConfig.Dns, [NOWHERE])
}

/** What is wrong with a network, in words. A way out that was asked for is another check’s business. */
function flawsOf(
  { Name, Internal, Options, Containers }: NetworkFacts,
  ids: readonly string[] | undefined,
): string[] {
  const option = (name: string) => Options?.[`com.docker.network.bridge.${name}`]
  const strangers =
    ids === undefined
      ? []
      : Object.entries(Containers ?? {}).filter(
          // What verify tries things in is there for a moment.
          ([id, { Name: name }]) => !ids.includes(id) && !name.startsWith('ocs-sibling-'),
        )
  const apart = option('enable_icc') === 'false' || (Internal && ids !== undefined)
  return [
    ...(apart ? [] : [`${Name} lets whoever joins it reach the gateway`]),
    ...(Internal && option('inhibit_ipv4') !== 'true' ? ['this machine has an address on it'] : []),
    ...strangers.map(([, { Name: name }]) => `${name} is not of this deployment`),
  ]
}
