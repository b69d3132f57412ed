import { passIf, type VerifyCheck } from './check.ts'

/** The kernel ends a write that would make a file larger than the whole state may be (RLIMIT_FSIZE). */
export const limitsDisk: VerifyCheck = {
  id: 'limits.disk',
  title: 'No single file can fill the disk',
  line: 6,
  threat: 'resource exhaustion',
  severity: 'medium',
  kind: 'live',
  remedy: 'Set ulimits.fsize in docker-compose.yml, or run create-openclaw-secure . again.',
  refs: { seed: '3. Sandbox Isolation' },
  async run(world) {
    const limit = await world.ulimit('Max file size')
    const most = world.own === undefined ? Number.MAX_SAFE_INTEGER : world.own.stateLimit * 1024 ** 2
    const hard = Number(limit.split(' ')[1])
    return passIf(hard > 0 && hard <= most, `/proc/1/limits of the container: Max file size ${limit} bytes`)
  },
  sabotage: { weaken: twin => twin.service({ ulimits: { core: -1 } }) },
}
