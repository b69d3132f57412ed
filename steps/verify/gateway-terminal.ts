import { demand, type VerifyCheck } from './check.ts'

/** A shell with the gateway’s own rights for whoever has the token, and on by default. */
export const gatewayTerminal: VerifyCheck = {
  id: 'gateway.terminal',
  title: 'The web terminal is off',
  line: 3,
  threat: 'command injection',
  severity: 'high',
  kind: 'static',
  remedy: 'Set gateway.terminal.enabled to false, or run create-openclaw-secure . again.',
  refs: { seed: '6. Command Restrictions' },
  async run(world) {
    return demand(await world.policy(), [['gateway.terminal.enabled', false]])
  },
  sabotage: { weaken: twin => twin.policy(['gateway', 'terminal', 'enabled'], true) },
}
