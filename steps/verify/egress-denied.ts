import { passIf, unknown, type VerifyCheck } from './check.ts'

/** Tried against this machine’s own addresses, which no allowlist would hold, so that nothing leaves the machine. */
export const egressDenied: VerifyCheck = {
  id: 'egress.denied',
  title: 'Nothing can be reached from the gateway’s networks but by the proxy',
  line: 3,
  threat: 'network exfiltration',
  severity: 'high',
  kind: 'live',
  remedy:
    'Set egress.mode to closed in deployment.yaml and run create-openclaw-secure . again. Until then, treat everything the agent can read as something it can send.',
  refs: { seed: '3. Sandbox Isolation' },
  async run(world) {
    const [{ connect, route }, networks] = [await world.attempted(), await world.networks()]
    const results = Object.entries(connect)
    if (results.length === 0) return unknown('this machine has no address to try')
    const reached = results.filter(([, result]) => result === 'connected')
    const wayOut = networks.filter(network => !network.Internal)
    const evidence = `connected, from a container in the gateway’s network, to a port that this command opened for it on this machine: ${results.map(([target, result]) => `${target} ${result}`).join(', ')}; ${wayOut.length === 0 ? 'every network of the gateway is internal' : `${wayOut.map(network => network.Name).join(', ')} has a way out`}`
    // This machine's own firewall may be what refused, and it says nothing about other machines.
    if (reached.length === 0 && wayOut.length > 0 && route) return unknown(evidence)
    return passIf(reached.length === 0 && wayOut.length === 0, evidence)
  },
  sabotage: { weaken: twin => twin.wayOut() },
}
