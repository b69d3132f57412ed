import { passIf, unknown, type VerifyCheck } from './check.ts'

/** Tried as the agent would. /tmp is tried too: a test in which every write fails might be failing for another reason. */
export const rootfsReadonly: VerifyCheck = {
  id: 'rootfs.readonly',
  title: 'The image, the policy and the secrets cannot be written from inside',
  line: 5,
  threat: 'filesystem access',
  severity: 'high',
  kind: 'live',
  remedy:
    'Set read_only: true and the read-only mounts in docker-compose.yml, or run create-openclaw-secure . again.',
  refs: { seed: '3. Sandbox Isolation', cis: '5.13' },
  async run(world) {
    const { write } = await world.attempted()
    const results = Object.entries(write)
    if (results.every(([path]) => path === '/tmp')) return unknown('the write test tried nothing')
    const good = results.every(([path, result]) =>
      path === '/tmp' ? result === 'written' : result === 'EROFS',
    )
    return passIf(
      good,
      `tried to create a file in a container like the gateway’s: ${results.map(([path, result]) => `${path} ${result}`).join(', ')}`,
    )
  },
  sabotage: { weaken: twin => twin.service({ read_only: false }) },
}
