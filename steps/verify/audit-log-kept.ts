import { INSIDE } from '../../src/deployment/layout.ts'
import type { Check } from '../../src/procedure/step.ts'
import { passIf } from './judge.ts'
import { altered, at, type World } from './world.ts'

/** Evidence that vanishes with the container is no evidence. */
export const auditLogKept: Check<World> = {
  id: 'audit.log-kept',
  title: 'The gateway’s log survives the container',
  line: 7,
  threat: 'command injection',
  severity: 'medium',
  remedy:
    'Run create-openclaw-secure . again: OpenClaw’s default log lies on a tmpfs and is gone when the container stops.',
  refs: { seed: 'Audit Trail', openclaw: 'fs.log_file.perms_readable' },
  bySetup: true,
  async run(world) {
    const file = String(at(await world.policy(), 'logging', 'file') ?? '(default, in /tmp)')
    const inState = file.startsWith(`${INSIDE.state}/`)
    const found = inState ? world.file(`${world.layout.state}${file.slice(INSIDE.state.length)}`) : undefined
    return passIf(
      found?.kind === 'file',
      `logging.file ${file}: ${found === undefined ? 'not on the state folder' : 'written to the state folder'}`,
    )
  },
  sabotage: world => ({
    ...world,
    policy: async () => altered(await world.policy(), ['logging', 'file'], '/tmp/openclaw/openclaw.log'),
  }),
}
