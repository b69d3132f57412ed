import { demand, type VerifyCheck } from './check.ts'

/** A schedule, a browser and other people’s machines: each lets a misled agent act when nobody watches. */
export const agentsAutomation: VerifyCheck = {
  id: 'agents.automation',
  title: 'Nothing runs an agent unasked',
  line: 3,
  threat: 'command injection',
  severity: 'medium',
  kind: 'static',
  remedy:
    'Switch cron, browser and nodes off in config/openclaw.json, or run create-openclaw-secure . again.',
  refs: { seed: '3. Sandbox Isolation' },
  async run(world) {
    return demand(await world.policy(), [
      ['cron.enabled', false],
      ['browser.enabled', false],
      ['gateway.nodes.browser.mode', 'off'],
      ['gateway.nodes.pluginTools.enabled', false],
      ['gateway.cliAgents.enabled', false],
    ])
  },
  sabotage: { weaken: twin => twin.policy(['browser', 'enabled'], true) },
}
