import { INGRESS } from '../../src/docker/compose.ts'
import { passIf, type VerifyCheck } from './check.ts'

/** What the next start would do, whatever runs now. */
export const composePorts: VerifyCheck = {
  id: 'compose.ports',
  title: 'docker-compose.yml publishes on 127.0.0.1 only',
  line: 2,
  threat: 'network exfiltration',
  severity: 'critical',
  kind: 'static',
  remedy:
    'Write 127.0.0.1: before every port in docker-compose.yml: without it Docker publishes to the whole network.',
  refs: { seed: '2. Network Isolation', cis: '5.14' },
  async run(world) {
    const ports = [await world.service(), ...(await world.companions())].flatMap(service => service.ports)
    const shown = ports.map(port => `${port.address ?? '(all addresses)'}:${port.outside}->${port.inside}`)
    return passIf(
      ports.length > 0 && ports.every(port => port.address === '127.0.0.1'),
      `docker-compose.yml: ${shown.join(', ') || 'no port'}`,
    )
  },
  sabotage: { weaken: twin => twin.service({ ports: ['18789:18789'] }, INGRESS) },
}
