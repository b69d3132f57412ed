import { passIf, type VerifyCheck } from './check.ts'
import { at } from './tree.ts'

/** Its file lies on the state folder, on this machine’s disk. */
export const limitsLogFile: VerifyCheck = {
  id: 'limits.log-file',
  title: 'The gateway’s own log cannot fill the disk',
  line: 6,
  threat: 'resource exhaustion',
  severity: 'low',
  kind: 'static',
  remedy: 'Set logging.maxFileBytes in config/openclaw.json, or run create-openclaw-secure . again.',
  refs: { seed: 'Audit Trail' },
  async run(world) {
    const most = Number(at(await world.policy(), 'logging', 'maxFileBytes'))
    return passIf(
      most > 0 && most <= 100 * 1024 ** 2,
      `openclaw.json: logging.maxFileBytes ${Number.isNaN(most) ? 'not set' : most}`,
    )
  },
  sabotage: { weaken: twin => twin.policy(['logging', 'maxFileBytes'], undefined) },
}
