import { ours, passIf, skip, type VerifyCheck } from './check.ts'

/** Nobody remembers a date every month. A timer does, if it is there and what it starts works. */
export const rotateScheduled: VerifyCheck = {
  id: 'rotate.scheduled',
  title: 'The rotation that was scheduled is there, runs, and works',
  line: 1,
  threat: 'credential leakage',
  severity: 'medium',
  kind: 'static',
  remedy:
    'Schedule it again, which repairs it: create-openclaw-secure rotate --schedule monthly. See why a run failed: journalctl --unit create-openclaw-secure-rotate-NAME, or .secure/schedule.log.',
  refs: { seed: '1. Gateway Authentication' },
  later: true,
  async run(world) {
    const { store } = ours(world)
    const state = await world.schedule()
    if (state === undefined)
      return skip('none was asked for: secrets are rotated by hand, and token.age says when it is due')
    const { unit, every, isInstalled, isEnabled, isActive, lastResult, lastRun, nextRun } = state
    const wrong = [
      ...(isInstalled ? [] : [`not there as it was written: ${state.missing.join(', ')}`]),
      ...(isEnabled || !isInstalled ? [] : ['not enabled']),
      ...(isActive || !isInstalled ? [] : ['not active']),
      ...(state.store === store
        ? []
        : [`made for the store ${state.store}, and the secrets are in ${store}`]),
      ...(lastResult === undefined || lastResult === 'success'
        ? []
        : [`the last run${lastRun === undefined ? '' : ` (${lastRun.toISOString()})`}: ${lastResult}`]),
    ]
    const last = lastRun === undefined ? 'has not run yet' : `ran ${lastRun.toISOString()}`
    const next = nextRun === undefined ? '' : `, next ${nextRun.toISOString()}`
    return passIf(
      wrong.length === 0,
      `${unit}, ${every}: ${wrong.length === 0 ? `enabled, active, ${last}${next}` : wrong.join('; ')}`,
    )
  },
  sabotage: {
    weaken: twin =>
      twin.write(
        '.secure/schedule.json',
        JSON.stringify({
          ...{ version: 1, every: 'monthly', kind: 'systemd', scope: 'system' },
          ...{
            uid: process.getuid?.() ?? 0,
            unit: `create-openclaw-secure-rotate-${twin.answers.name}.timer`,
          },
          files: [{ path: '/etc/systemd/system/nobody-has-written-this.timer', sha256: '0'.repeat(64) }],
          ...{ command: [], store: twin.answers.store, since: '2020-01-01T00:00:00.000Z' },
        }),
        0o600,
      ),
  },
}
