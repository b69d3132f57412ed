import { publishesToNeighbours } from '../../src/docker/firewall.ts'
import { passIf, type VerifyCheck } from './check.ts'

/** moby#41872: on older engines 127.0.0.1 is not as local as it looks; on newer ones an option of the network undoes it. */
export const portsNeighbours: VerifyCheck = {
  id: 'ports.neighbours',
  title: 'Neighbours on the network cannot route to the port',
  line: 2,
  threat: 'network exfiltration',
  severity: 'high',
  kind: 'live',
  remedy: 'Run create-openclaw-secure . --firewall, or upgrade Docker to 28 or later.',
  refs: { seed: '2. Network Isolation' },
  async run(world) {
    const engine = await world.engine()
    const { ServerVersion } = engine
    // A port in front of nothing is nobody's.
    await world.container()
    const { Options } = await world.front()
    const mode = Options?.['com.docker.network.bridge.gateway_mode_ipv4']
    if (mode === 'nat-unprotected' || mode === 'routed')
      return passIf(false, `docker network inspect: gateway_mode_ipv4 ${mode} lets them in on every Docker`)
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
  sabotage: {
    weaken: twin =>
      twin.network('front', {
        driver_opts: { 'com.docker.network.bridge.gateway_mode_ipv4': 'nat-unprotected' },
      }),
  },
}
