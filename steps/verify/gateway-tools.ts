import { passIf, unknown, type VerifyCheck } from './check.ts'

/** Asked of the running gateway: each must be unknown there. */
export const gatewayTools: VerifyCheck = {
  id: 'gateway.tools',
  title: 'The token alone runs no tool',
  line: 3,
  threat: 'command injection',
  severity: 'high',
  kind: 'live',
  remedy: 'Deny them under tools in config/openclaw.json, or run create-openclaw-secure . again.',
  refs: { seed: '6. Command Restrictions' },
  async run(world) {
    const tools = ['exec', 'process', 'read', 'write', 'web_fetch', 'agents_list']
    const answers = await Promise.all(tools.map(tool => world.post('/tools/invoke', { tool, args: {} })))
    const evidence = `POST /tools/invoke with the right token: ${tools.map((tool, index) => `${tool} ${answers[index] ?? 'no answer'}`).join(', ')}`
    // Whoever is not let in learns nothing of what is behind the door.
    if (answers.some(answer => answer === undefined || [401, 403, 429].includes(answer)))
      return unknown(evidence)
    return passIf(
      answers.every(answer => answer === 404),
      evidence,
    )
  },
  sabotage: {
    weaken(twin) {
      twin.policy(['tools', 'profile'], 'full')
      twin.policy(['tools', 'deny'], [])
      // A sandbox has a list of tools of its own.
      twin.policy(['agents', 'defaults', 'sandbox', 'mode'], 'off')
    },
  },
}
