import { resolve } from 'node:path'
import { passIf, type VerifyCheck } from './check.ts'

/** OpenClaw has no list of forbidden paths. What is not mounted is not there: that is the list. */
export const composeMounts: VerifyCheck = {
  id: 'compose.mounts',
  title: 'docker-compose.yml mounts nothing but the deployment’s own folders',
  line: 5,
  threat: 'filesystem access',
  severity: 'critical',
  kind: 'static',
  remedy: 'Remove the volume from docker-compose.yml: what is not mounted cannot be read.',
  refs: { seed: '4. Filesystem Scoping', cis: '5.6' },
  async run(world) {
    const { mounts } = await world.service()
    const { config, secrets, state, root } = world.layout
    const allowed = [config, secrets, state]
    const foreign = mounts.filter(mount => !allowed.includes(resolve(root, mount.source)))
    const writable = mounts.filter(mount => !mount.readOnly && resolve(root, mount.source) !== state)
    return passIf(
      mounts.length > 0 && foreign.length + writable.length === 0,
      `docker-compose.yml: ${mounts.map(mount => `${mount.source}${mount.readOnly ? ' (read-only)' : ''}`).join(', ') || 'no volume'}`,
    )
  },
  sabotage: { weaken: twin => twin.mount('/etc', '/host/etc', true) },
}
