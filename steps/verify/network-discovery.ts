import { demand, type VerifyCheck } from './check.ts'

/** Who is not heard of is not looked for; and who is believed by his address alone needs no token. */
export const networkDiscovery: VerifyCheck = {
  id: 'network.discovery',
  title: 'The gateway does not announce itself',
  line: 2,
  threat: 'network exfiltration',
  severity: 'medium',
  kind: 'static',
  remedy:
    'Set discovery.mdns.mode and gateway.tailscale.mode to "off", or run create-openclaw-secure . again.',
  refs: { seed: '2. Network Isolation', openclaw: 'discovery.mdns_full_mode' },
  async run(world) {
    return demand(await world.policy(), [
      ['discovery.mdns.mode', 'off'],
      ['gateway.tailscale.mode', 'off'],
      ['gateway.auth.allowTailscale', false],
      ['gateway.allowRealIpFallback', false],
    ])
  },
  sabotage: { weaken: twin => twin.policy(['discovery', 'mdns', 'mode'], 'full') },
}
