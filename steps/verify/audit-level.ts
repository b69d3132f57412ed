import { demand, type VerifyCheck } from './check.ts'

/** OpenClaw’s usual console lines carry no level: the seed’s grep for ERROR and WARN matches nothing. */
export const auditLevel: VerifyCheck = {
  id: 'audit.level',
  title: 'The log says enough, in a form that programs can read',
  line: 7,
  threat: 'command injection',
  severity: 'medium',
  kind: 'static',
  remedy:
    'Set logging.level to "info" and logging.consoleStyle to "json", or run create-openclaw-secure . again.',
  refs: { seed: 'Audit Trail' },
  async run(world) {
    return demand(await world.policy(), [
      ['logging.level', 'info'],
      ['logging.consoleLevel', 'info'],
      ['logging.consoleStyle', 'json'],
    ])
  },
  sabotage: { weaken: twin => twin.policy(['logging', 'level'], 'error') },
}
