import { INGRESS } from '../../src/docker/compose.ts'
import { passIf, unknown, type VerifyCheck } from './check.ts'
import { bindingsIn } from './ports-published.ts'

/** Each port more is a door more; a port below 1024 is one that only root could open. */
export const portsSingle: VerifyCheck = {
  id: 'ports.single',
  title: 'Nothing but the gateway’s own port is published',
  line: 2,
  threat: 'network exfiltration',
  severity: 'high',
  kind: 'live',
  remedy: 'Remove the other ports from docker-compose.yml.',
  refs: { seed: '2. Network Isolation', cis: '5.8, 5.9' },
  async run(world) {
    const inside = `${await world.insidePort()}/tcp`
    const bindings = await bindingsIn(world)
    if (bindings.length === 0) return unknown('docker inspect: nothing is published')
    const others = bindings.filter(binding => binding.inside !== inside)
    const low = bindings.filter(binding => Number(binding.HostPort) < 1024)
    return passIf(
      others.length + low.length === 0,
      `docker inspect: ${[...new Set(bindings.map(b => `${b.HostPort}->${b.inside}`))].join(', ')}; the gateway’s is ${inside}`,
    )
  },
  sabotage: {
    weaken: twin =>
      twin.service(
        {
          ports: [
            ...['127.0.0.1', twin.bridgeAddress].map(address => `${address}:${twin.answers.port}:18789`),
            '127.0.0.1::2222',
          ],
        },
        INGRESS,
      ),
  },
}
