import { gatewayMounts, mountProblems } from '../../src/deployment/mounts.ts'
import { passIf, type VerifyCheck } from './check.ts'
import { ledAway } from './compose-mounts.ts'

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
    const { config, secrets, state } = world.layout
    const mounts = (await world.container()).Mounts.filter(mount => mount.Type !== 'tmpfs').map(mount => ({
      source: mount.Source,
      target: mount.Destination,
      readOnly: !mount.RW,
    }))
    const problems = [
      ...mounts.flatMap(mount => mountProblems(mount, gatewayMounts(world.layout))),
      ...ledAway(world, [config, secrets, state]),
    ]
    const writable = mounts.filter(mount => !mount.readOnly).map(mount => mount.target)
    return passIf(
      problems.length === 0 && writable.length === 1,
      `docker inspect: ${problems.join('; ') || 'no foreign mount'}; writable: ${writable.join(', ') || 'none'}`,
    )
  },
  sabotage: { weaken: twin => twin.mount('/etc/hosts', '/host/hosts', true) },
}
