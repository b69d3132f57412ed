import { passIf, type VerifyCheck } from './check.ts'

/** The gateway’s memory holds the token and every key. */
export const limitsCore: VerifyCheck = {
  id: 'limits.core',
  title: 'A crash leaves no copy of the memory',
  line: 6,
  threat: 'credential leakage',
  severity: 'medium',
  kind: 'live',
  remedy: 'Set ulimits.core to 0 in docker-compose.yml, or run create-openclaw-secure . again.',
  refs: { seed: '3. Sandbox Isolation' },
  async run(world) {
    const limit = await world.ulimit('Max core file size')
    return passIf(limit === '0 0', `/proc/1/limits of the container: Max core file size ${limit}`)
  },
  sabotage: { weaken: twin => twin.service({ ulimits: { core: -1 } }) },
}
