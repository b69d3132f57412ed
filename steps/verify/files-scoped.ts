import { INSIDE } from '../../src/deployment/layout.ts'
import { passIf, type VerifyCheck } from './check.ts'

/** Of the running container: a mount that was there at its start stays, whatever the file says now. */
export const filesScoped: VerifyCheck = {
  id: 'files.scoped',
  title: 'Only this deployment’s own folders are mounted',
  line: 5,
  threat: 'filesystem access',
  severity: 'critical',
  kind: 'live',
  remedy: 'Remove the mount from docker-compose.yml: what is not mounted cannot be read.',
  refs: { seed: '4. Filesystem Scoping', cis: '5.6' },
  async run(world) {
    const { Mounts } = await world.container()
    const foreign = Mounts.filter(
      mount =>
        mount.Type !== 'tmpfs' &&
        ![world.layout.config, world.layout.secrets, world.layout.state].includes(mount.Source),
    )
    const writable = Mounts.filter(mount => mount.RW && mount.Type !== 'tmpfs').map(
      mount => mount.Destination,
    )
    const good = Mounts.length > 0 && foreign.length === 0 && writable.join() === INSIDE.state
    return passIf(
      good,
      `docker inspect: ${foreign.length === 0 ? 'no foreign mount' : `foreign: ${foreign.map(mount => mount.Source || mount.Destination).join(', ')}`}; writable: ${writable.join(', ') || 'none'}`,
    )
  },
  sabotage: { weaken: twin => twin.mount('/etc/hosts', '/host/hosts', true) },
}
