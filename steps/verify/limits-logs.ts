import { passIf, type VerifyCheck } from './check.ts'
import { rotates } from './compose-logs.ts'

/** Of the running container: the engine’s own default may have been changed, or not. */
export const limitsLogs: VerifyCheck = {
  id: 'limits.logs',
  title: 'Container logs cannot fill the disk',
  line: 6,
  threat: 'resource exhaustion',
  severity: 'medium',
  kind: 'live',
  remedy:
    'Set max-size and max-file under logging in docker-compose.yml, or run create-openclaw-secure . again.',
  refs: { seed: 'Monitoring & Auditing' },
  async run(world) {
    const { Type, Config } = (await world.container()).HostConfig.LogConfig
    return passIf(
      rotates(Type, Config ?? {}),
      `docker inspect: log driver ${Type}, ${JSON.stringify(Config)}`,
    )
  },
  sabotage: { weaken: twin => twin.service({ logging: undefined }) },
}
