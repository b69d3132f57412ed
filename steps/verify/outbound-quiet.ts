import { demand, type VerifyCheck } from './check.ts'

/** What an agent makes it send is another matter: egress.denied. */
export const outboundQuiet: VerifyCheck = {
  id: 'outbound.quiet',
  title: 'OpenClaw sends nothing of its own accord',
  line: 2,
  threat: 'network exfiltration',
  severity: 'low',
  kind: 'static',
  remedy: 'Switch telemetry, update and models.catalogRefresh off in config/openclaw.json.',
  refs: { seed: '2. Network Isolation' },
  async run(world) {
    return demand(await world.policy(), [
      ['telemetry.enabled', false],
      ['update.checkOnStart', false],
      ['update.auto.enabled', false],
      ['models.catalogRefresh.enabled', false],
    ])
  },
  sabotage: { weaken: twin => twin.policy(['telemetry', 'enabled'], true) },
}
