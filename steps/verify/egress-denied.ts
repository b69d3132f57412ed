import { passIf, unknown, type VerifyCheck } from './check.ts'

/** Tried against this machine’s own addresses, which no allowlist would hold, so that nothing leaves the machine. */
export const egressDenied: VerifyCheck = {
  id: 'egress.denied',
  title: 'A host that nobody allowed cannot be reached from the container',
  line: 3,
  threat: 'network exfiltration',
  severity: 'high',
  kind: 'live',
  remedy:
    'This version has no egress filter. Until it has one, treat everything the agent can read as something it can send.',
  refs: { seed: '3. Sandbox Isolation' },
  later: true,
  async run(world) {
    const { connect, route } = await world.attempted()
    const results = Object.entries(connect)
    if (results.length === 0) return unknown('this machine has no address to try')
    const reached = results.filter(([, result]) => result === 'connected')
    const evidence = `connected, from a container in the gateway’s network, to a port that this command opened for it on this machine: ${results.map(([target, result]) => `${target} ${result}`).join(', ')}; ${route ? 'there is a route to everywhere' : 'there is no route out'}`
    // This machine's own firewall may be what refused, and it says nothing about other machines.
    if (reached.length === 0 && route) return unknown(evidence)
    return passIf(reached.length === 0, evidence)
  },
  sabotage: {},
}
