import { demand, type VerifyCheck } from './check.ts'

/** "/bash" and its relatives are typed into a conversation, where anybody’s text may end up. */
export const gatewayCommands: VerifyCheck = {
  id: 'gateway.commands',
  title: 'No chat message can change the gateway or run a command',
  line: 3,
  threat: 'command injection',
  severity: 'high',
  kind: 'static',
  remedy: 'Switch them off under commands in config/openclaw.json, or run create-openclaw-secure . again.',
  refs: { seed: '6. Command Restrictions' },
  async run(world) {
    return demand(await world.policy(), [
      ['commands.bash', false],
      ['commands.config', false],
      ['commands.mcp', false],
      ['commands.plugins', false],
      ['commands.debug', false],
      ['commands.restart', false],
    ])
  },
  sabotage: { weaken: twin => twin.policy(['commands', 'bash'], true) },
}
