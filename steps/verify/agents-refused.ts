import { passIf, type VerifyCheck } from './check.ts'

/** Of OpenClaw itself, which merges openclaw.json with what its database says: approvals may have been given in a chat. */
export const agentsRefused: VerifyCheck = {
  id: 'agents.refused',
  title: 'OpenClaw lets no agent run a command in the gateway’s own container',
  line: 3,
  threat: 'command injection',
  severity: 'critical',
  kind: 'live',
  remedy:
    'Run create-openclaw-secure . again; docker compose exec openclaw-gateway node openclaw.mjs approvals get shows them.',
  refs: { seed: '6. Command Restrictions', openclaw: 'tools.exec.security_full_configured' },
  async run(world) {
    const open = (await world.judges()).approvals()
    return passIf(
      open.length === 0,
      `openclaw approvals get: ${open.join('; ') || 'deny, for every agent, and nothing allowed beside'}`,
    )
  },
  // A list with nothing on it refuses as well; but nobody has said so of what comes onto it. No copy has a shell.
  sabotage: { weaken: twin => twin.policy(['tools', 'exec', 'mode'], 'allowlist') },
}
