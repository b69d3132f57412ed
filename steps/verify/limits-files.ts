import { FILE_LIMIT } from '../../src/deployment/composition.ts'
import { passIf, type VerifyCheck } from './check.ts'

/** Docker’s own default is a million or no limit at all. */
export const limitsFiles: VerifyCheck = {
  id: 'limits.files',
  title: 'The number of open files is limited',
  line: 6,
  threat: 'resource exhaustion',
  severity: 'low',
  kind: 'live',
  remedy: 'Set ulimits.nofile in docker-compose.yml, or run create-openclaw-secure . again.',
  refs: { seed: '3. Sandbox Isolation', cis: '5.19' },
  async run(world) {
    const limit = await world.ulimit('Max open files')
    const hard = Number(limit.split(' ')[1])
    const most = world.own === undefined ? 65_536 : FILE_LIMIT
    return passIf(hard <= most, `/proc/1/limits of the container: Max open files ${limit}`)
  },
  sabotage: { weaken: twin => twin.service({ ulimits: { core: -1, nofile: 2 * FILE_LIMIT } }) },
}
