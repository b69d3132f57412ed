import { passIf, type VerifyCheck } from './check.ts'

/** SIGUSR1 starts Node’s inspector, with which any process of the same user takes the gateway over. */
export const debuggerClosed: VerifyCheck = {
  id: 'debugger.closed',
  title: 'No signal opens a debugger in the gateway',
  line: 3,
  threat: 'privilege escalation',
  severity: 'high',
  kind: 'live',
  remedy: 'Put --disable-sigusr1 into NODE_OPTIONS, or run create-openclaw-secure . again.',
  refs: { seed: 'Container Security Options' },
  async run(world) {
    const { debugger: door } = await world.attempted()
    return passIf(
      door === 'closed',
      `a Node process with the gateway’s environment, in a container like its own, got SIGUSR1: its debugger is ${door}`,
    )
  },
  sabotage: { weaken: twin => twin.environment('NODE_OPTIONS', '') },
}
