import type { Check } from '../../src/procedure/step.ts'
import { passIf } from './judge.ts'
import type { World } from './world.ts'

/** Docker keeps logs forever unless told otherwise. */
export const limitsLogs: Check<World> = {
  id: 'limits.logs',
  title: 'Container logs cannot fill the disk',
  line: 6,
  threat: 'resource exhaustion',
  severity: 'medium',
  remedy:
    'Set max-size and max-file under logging in docker-compose.yml, or run create-openclaw-secure . again.',
  refs: { seed: 'Monitoring & Auditing', cis: '2.12' },
  bySetup: true,
  async run(world) {
    const { Type, Config } = (await world.container()).HostConfig.LogConfig
    const rotated =
      Type === 'json-file'
        ? Config?.['max-size'] !== undefined && Config['max-file'] !== undefined
        : ['local', 'journald'].includes(Type)
    return passIf(rotated, `docker inspect: log driver ${Type}, ${JSON.stringify(Config)}`)
  },
  sabotage: world => ({
    ...world,
    async container() {
      const real = await world.container()
      return { ...real, HostConfig: { ...real.HostConfig, LogConfig: { Type: 'json-file', Config: {} } } }
    },
  }),
}
