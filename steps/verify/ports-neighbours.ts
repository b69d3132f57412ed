import { publishesToNeighbours } from '../../src/docker/firewall.ts'
import type { Check } from '../../src/procedure/step.ts'
import { passIf } from './judge.ts'
import type { World } from './world.ts'

/** moby#41872: on older engines 127.0.0.1 is not as local as it looks. */
export const portsNeighbours: Check<World> = {
  id: 'ports.neighbours',
  title: 'Neighbours on the network cannot route to the port',
  line: 2,
  threat: 'network exfiltration',
  severity: 'high',
  remedy: 'Run create-openclaw-secure . --firewall, or upgrade Docker to 28 or later.',
  refs: { seed: '2. Network Isolation' },
  bySetup: true,
  async run(world) {
    const engine = await world.engine()
    const { ServerVersion } = engine
    if (!publishesToNeighbours(engine))
      return passIf(
        true,
        `Docker ${ServerVersion} drops packets from outside for ports published on 127.0.0.1`,
      )
    const closed = await world.neighbourRule()
    return passIf(
      closed,
      `Docker ${ServerVersion} lets them in; the firewall rule that keeps them out is ${closed ? 'there' : 'missing'}`,
    )
  },
  sabotage: world => ({
    ...world,
    engine: async () => ({ ...(await world.engine()), ServerVersion: '20.10.24' }),
    neighbourRule: async () => false,
  }),
}
