import { passIf, type VerifyCheck } from './check.ts'

/** Not part of setup: reading logs in time is a service of its own. */
export const monitorConfigured: VerifyCheck = {
  id: 'monitor.configured',
  title: 'Somebody is told when something suspicious is logged',
  line: 8,
  threat: 'credential leakage',
  severity: 'medium',
  kind: 'static',
  remedy:
    'This version does not set up alerting yet. Until it does: docker compose logs -f openclaw-gateway | grep -E "token_mismatch|rate_limited|pairing required|exec denied|escapes sandbox"',
  refs: { seed: 'Monitoring & Auditing' },
  later: true,
  async run(world) {
    const run = world.journal().findLast(event => event.procedure === 'monitor' && event.event === 'done')
    return passIf(
      run !== undefined,
      run === undefined
        ? 'not set up: the journal knows no monitor'
        : `the journal has a monitor since ${run.at}`,
    )
  },
  sabotage: {},
}
