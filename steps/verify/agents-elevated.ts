import { demand, type VerifyCheck } from './check.ts'

/** OpenClaw’s way around a sandbox for trusted senders, and on by default. */
export const agentsElevated: VerifyCheck = {
  id: 'agents.elevated',
  title: 'No agent can step out of its restrictions',
  line: 3,
  threat: 'privilege escalation',
  severity: 'critical',
  kind: 'static',
  remedy: 'Run create-openclaw-secure . again, or set in openclaw.json what the evidence names.',
  refs: { seed: '3. Sandbox Isolation', openclaw: 'tools.elevated.allowFrom.*.wildcard' },
  async run(world) {
    return demand(await world.policy(), [
      ['tools.elevated.enabled', false],
      ['tools.codeMode', false],
      ['tools.agentToAgent.enabled', false],
      ['tools.sessions.visibility', 'self'],
    ])
  },
  sabotage: { weaken: twin => twin.policy(['tools', 'elevated', 'enabled'], true) },
}
