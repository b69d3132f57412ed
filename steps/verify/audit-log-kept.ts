import { INSIDE } from '../../src/deployment/layout.ts'
import { passIf, type VerifyCheck } from './check.ts'
import { at } from './tree.ts'

/** Evidence that vanishes with the container is no evidence. */
export const auditLogKept: VerifyCheck = {
  id: 'audit.log-kept',
  title: 'The gateway’s log survives the container',
  line: 7,
  threat: 'command injection',
  severity: 'medium',
  kind: 'static',
  remedy:
    'Run create-openclaw-secure . again: OpenClaw’s default log lies on a tmpfs and is gone when the container stops.',
  refs: { seed: 'Audit Trail', openclaw: 'fs.log_file.perms_readable' },
  async run(world) {
    const file = String(at(await world.policy(), 'logging', 'file') ?? '(default, in /tmp)')
    const inState = file.startsWith(`${INSIDE.state}/`)
    const found = inState ? world.file(`${world.layout.state}${file.slice(INSIDE.state.length)}`) : undefined
    // Before the first start there is a place for it and nothing in it.
    const begun = world.own === undefined || world.journal().some(event => event.step === 'gateway.launch')
    return passIf(
      found?.kind === 'file' ? (found.mode & 0o077) === 0 : inState && !begun,
      `logging.file ${file}: ${found === undefined ? (inState ? 'in the state folder, not written yet' : 'not on the state folder') : `written to the state folder, 0${found.mode.toString(8)}`}`,
    )
  },
  sabotage: { weaken: twin => twin.policy(['logging', 'file'], '/tmp/openclaw/openclaw.log') },
}
