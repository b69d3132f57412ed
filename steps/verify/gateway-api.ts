import { passIf, unknown, type VerifyCheck } from './check.ts'

/** They take the token alone: no paired device, no origin. Closed by default, and asked, not read. */
export const gatewayApi: VerifyCheck = {
  id: 'gateway.api',
  title: 'The HTTP endpoints that run agents are closed',
  line: 1,
  threat: 'credential leakage',
  severity: 'high',
  kind: 'live',
  remedy: 'Remove gateway.http.endpoints from config/openclaw.json.',
  refs: { seed: '1. Gateway Authentication', openclaw: 'gateway.http.endpoints' },
  async run(world) {
    const paths = ['/v1/chat/completions', '/v1/responses', '/api/v1/admin/rpc']
    const answers = await Promise.all(paths.map(path => world.post(path, {})))
    const evidence = `POST with the right token: ${paths.map((path, index) => `${path} ${answers[index] ?? 'no answer'}`).join(', ')}`
    // Whoever is not let in learns nothing of what is behind the door.
    if (answers.some(answer => answer === undefined || [401, 403, 429].includes(answer)))
      return unknown(evidence)
    return passIf(
      answers.every(answer => answer === 404),
      evidence,
    )
  },
  sabotage: {
    weaken: twin => twin.policy(['gateway', 'http', 'endpoints', 'chatCompletions', 'enabled'], true),
  },
}
