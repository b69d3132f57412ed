import { INGRESS } from '../../src/docker/compose.ts'
import type { ContainerFacts } from '../../src/docker/engine.ts'
import { passIf, type VerifyCheck } from './check.ts'
import type { World } from './world.ts'

/** Without an address Docker publishes on all of them, past the usual firewall rules. */
export const portsPublished: VerifyCheck = {
  id: 'ports.published',
  title: 'Every published port is bound to 127.0.0.1',
  line: 2,
  threat: 'network exfiltration',
  severity: 'critical',
  kind: 'live',
  remedy: 'Write 127.0.0.1: before the port in docker-compose.yml, or run create-openclaw-secure . again.',
  refs: { seed: '2. Network Isolation', cis: '5.14' },
  async run(world) {
    const { HostConfig } = await world.container()
    const bindings = await bindingsIn(world)
    const evidence = `docker inspect: ${bindings.map(b => `${b.HostIp || '(all addresses)'}:${b.HostPort}->${b.inside}`).join(', ') || 'nothing published'}; network mode ${HostConfig.NetworkMode}`
    return passIf(
      bindings.length > 0 &&
        bindings.every(binding => binding.HostIp === '127.0.0.1') &&
        HostConfig.NetworkMode !== 'host',
      evidence,
    )
  },
  sabotage: {
    weaken: twin =>
      // An address of this machine that only this machine and its containers have a route to.
      twin.service(
        { ports: ['127.0.0.1', twin.bridgeAddress].map(address => `${address}:${twin.answers.port}:18789`) },
        INGRESS,
      ),
  },
}

/** What the gateway publishes, and what is published for it. */
export async function bindingsIn(world: Pick<World, 'container' | 'published'>) {
  const [gateway, published] = await Promise.all([world.container(), world.published()])
  return [...bindingsOf(published), ...(gateway.Id === published.Id ? [] : bindingsOf(gateway))]
}

/** What is published: as asked for, and as it is. */
function bindingsOf({ HostConfig, NetworkSettings }: ContainerFacts) {
  const all = [HostConfig.PortBindings, NetworkSettings.Ports].flatMap(ports =>
    Object.entries(ports ?? {}).flatMap(([inside, outside]) =>
      (outside ?? []).map(binding => ({ inside, ...binding })),
    ),
  )
  const keys = all.map(binding => JSON.stringify(binding))
  return all.filter((_, index) => keys.indexOf(keys[index] ?? '') === index)
}
