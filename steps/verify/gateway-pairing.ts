import { demand, type VerifyCheck } from './check.ts'

/** A paired device keeps its access when the token is changed, so pairing must not happen by itself. */
export const gatewayPairing: VerifyCheck = {
  id: 'gateway.pairing',
  title: 'A new device waits for its owner’s approval',
  line: 3,
  threat: 'credential leakage',
  severity: 'high',
  kind: 'static',
  remedy:
    'Set gateway.nodes.pairing.autoApproveLocal and sshVerify to false, or run create-openclaw-secure . again.',
  refs: { seed: '1. Gateway Authentication' },
  async run(world) {
    return demand(await world.policy(), [
      ['gateway.nodes.pairing.autoApproveLocal', false],
      ['gateway.nodes.pairing.sshVerify', false],
      ['gateway.nodes.allowSkills', false],
    ])
  },
  sabotage: { weaken: twin => twin.policy(['gateway', 'nodes', 'pairing', 'autoApproveLocal'], true) },
}
