import type { Check } from '../../src/procedure/step.ts'
import { passIf } from './judge.ts'
import { altered, at, type World } from './world.ts'

/** The seed's mode "non-main" leaves the main agent, the one people talk to, outside. Either there is nothing to sandbox, or everything is. */
export const agentsContained: Check<World> = {
  id: 'agents.contained',
  title: 'No agent can start a process outside a sandbox',
  line: 3,
  threat: 'command injection',
  severity: 'critical',
  remedy: 'Set agent.posture to chat or workspace in deployment.yaml and run create-openclaw-secure . again.',
  refs: { seed: '3. Sandbox Isolation', openclaw: 'tools.exec.security_full_configured' },
  bySetup: true,
  async run(world) {
    const policy = await world.policy()
    const denied = at(policy, 'tools', 'deny')
    const noShell =
      Array.isArray(denied) &&
      denied.includes('group:runtime') &&
      at(policy, 'tools', 'exec', 'mode') === 'deny'
    const elevated = at(policy, 'tools', 'elevated', 'enabled')
    const perAgent = at(policy, 'agents', 'list')
    const mode = at(policy, 'agents', 'defaults', 'sandbox', 'mode')
    const evidence = `openclaw.json: runtime tools ${noShell ? 'denied' : 'available'}, exec.mode ${JSON.stringify(at(policy, 'tools', 'exec', 'mode'))}, sandbox.mode ${JSON.stringify(mode)}, elevated ${JSON.stringify(elevated)}, ${perAgent === undefined ? 'no agent has settings of its own' : 'some agents have settings of their own'}`
    return passIf((noShell || mode === 'all') && elevated === false && perAgent === undefined, evidence)
  },
  sabotage: world => ({
    ...world,
    async policy() {
      const real = await world.policy()
      return altered(
        altered(real, ['tools', 'exec', 'mode'], 'full'),
        ['agents', 'defaults', 'sandbox', 'mode'],
        'non-main',
      )
    },
  }),
}
