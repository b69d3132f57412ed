import type { Check } from '../../src/procedure/step.ts'
import { passIf } from './judge.ts'
import type { World } from './world.ts'

/** Without an address Docker publishes on all of them, past the usual firewall rules. */
export const portsPublished: Check<World> = {
  id: 'ports.published',
  title: 'Every published port is bound to 127.0.0.1',
  line: 2,
  threat: 'network exfiltration',
  severity: 'critical',
  remedy: 'Write 127.0.0.1: before the port in docker-compose.yml, or run create-openclaw-secure . again.',
  refs: { seed: '2. Network Isolation', cis: '5.14' },
  bySetup: true,
  async run(world) {
    const { HostConfig, NetworkSettings } = await world.container()
    const bindings = [HostConfig.PortBindings, NetworkSettings.Ports].flatMap(ports =>
      Object.entries(ports ?? {}).flatMap(([inside, outside]) =>
        (outside ?? []).map(binding => ({ inside, ...binding })),
      ),
    )
    const evidence = `docker inspect: ${[...new Set(bindings.map(b => `${b.HostIp || '(all addresses)'}:${b.HostPort}->${b.inside}`))].join(', ') || 'nothing published'}; network mode ${HostConfig.NetworkMode}`
    return passIf(
      bindings.length > 0 &&
        bindings.every(binding => binding.HostIp === '127.0.0.1') &&
        HostConfig.NetworkMode !== 'host',
      evidence,
    )
  },
  sabotage: world => ({
    ...world,
    async container() {
      const real = await world.container()
      return {
        ...real,
        NetworkSettings: { Ports: { '18789/tcp': [{ HostIp: '0.0.0.0', HostPort: '18789' }] } },
      }
    },
  }),
}
