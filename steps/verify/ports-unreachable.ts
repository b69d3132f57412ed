import { INGRESS } from '../../src/docker/compose.ts'
import { passIf, unknown, type VerifyCheck } from './check.ts'

/** Tried, not read: whatever the configuration says, a connection either comes about or does not. */
export const portsUnreachable: VerifyCheck = {
  id: 'ports.unreachable',
  title: 'No other address of this machine answers on the port',
  line: 2,
  threat: 'network exfiltration',
  severity: 'critical',
  kind: 'live',
  remedy: 'See who listens (ss -ltnp) and bind it to 127.0.0.1.',
  refs: { seed: '2. Network Isolation', cis: '5.14' },
  async run(world) {
    // Whether it is the gateway that answers on 127.0.0.1, only the engine knows.
    await world.container()
    const port = await world.port()
    if ((await world.reach('127.0.0.1', port)) !== 'open')
      return unknown(`nothing answers on 127.0.0.1:${port}: the gateway is not running`)
    const addresses = world.addresses()
    if (addresses.length === 0) return unknown('this machine has no other address to try')
    const seen = await Promise.all(
      addresses.map(async address => ({ address, answer: await world.reach(address, port) })),
    )
    return passIf(
      seen.every(one => one.answer !== 'open'),
      `connected to port ${port}: ${seen.map(one => `${one.address} ${one.answer}`).join(', ')}`,
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
