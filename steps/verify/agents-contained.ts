import { passIf, type VerifyCheck } from './check.ts'
import { at } from './tree.ts'

/** The seed’s mode "non-main" leaves the main agent, the one people talk to, outside. Either there is nothing to sandbox, or everything is. */
export const agentsContained: VerifyCheck = {
  id: 'agents.contained',
  title: 'No agent can start a process outside a sandbox',
  line: 3,
  threat: 'command injection',
  severity: 'critical',
  kind: 'static',
  remedy: 'Set agent.posture to chat or workspace in deployment.yaml and run create-openclaw-secure . again.',
  refs: { seed: '3. Sandbox Isolation', openclaw: 'tools.exec.security_full_configured' },
  async run(world) {
    const policy = await world.policy()
    const denied = at(policy, 'tools', 'deny')
    const noShell =
      Array.isArray(denied) &&
      denied.includes('group:runtime') &&
      at(policy, 'tools', 'exec', 'mode') === 'deny'
    // `entries` beats the defaults; the older `list` counts where there are none ("Multi-agent sandbox and tools").
    const perAgent = ['entries', 'list'].some(key => at(policy, 'agents', key) !== undefined)
    const mode = at(policy, 'agents', 'defaults', 'sandbox', 'mode')
    const evidence = `openclaw.json: runtime tools ${noShell ? 'denied' : 'available'}, exec.mode ${JSON.stringify(at(policy, 'tools', 'exec', 'mode') ?? null)}, sandbox.mode ${JSON.stringify(mode ?? null)}, ${perAgent ? 'some agents have settings of their own' : 'no agent has settings of its own'}`
    return passIf((noShell || mode === 'all') && !perAgent, evidence)
  },
  sabotage: {
    weaken(twin) {
      twin.policy(['tools', 'exec', 'mode'], 'full')
      twin.policy(['agents', 'defaults', 'sandbox', 'mode'], 'non-main')
    },
  },
}
