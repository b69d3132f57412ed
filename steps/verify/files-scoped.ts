import { INSIDE } from '../../src/deployment/layout.ts'
import type { Check } from '../../src/procedure/step.ts'
import { passIf } from './judge.ts'
import { at, type World } from './world.ts'

/** OpenClaw has no list of forbidden paths. What is not mounted is not there: that is the list. */
export const filesScoped: Check<World> = {
  id: 'files.scoped',
  title: 'Only this deployment’s own folders are mounted, and file tools stay in the workspace',
  line: 5,
  threat: 'filesystem access',
  severity: 'critical',
  remedy: 'Remove the mount from docker-compose.yml: what is not mounted cannot be read.',
  refs: { seed: '4. Filesystem Scoping', cis: '5.6' },
  bySetup: true,
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
    const policy = await world.policy()
    const scoped = at(policy, 'tools', 'fs', 'workspaceOnly') === true
    const good = Mounts.length > 0 && foreign.length === 0 && scoped && writable.join() === INSIDE.state
    return passIf(
      good,
      `docker inspect: ${foreign.length === 0 ? 'no foreign mount' : `foreign: ${foreign.map(mount => mount.Source || mount.Destination).join(', ')}`}; writable: ${writable.join(', ')}; tools.fs.workspaceOnly ${JSON.stringify(at(policy, 'tools', 'fs', 'workspaceOnly'))}`,
    )
  },
  sabotage: world => ({
    ...world,
    async container() {
      const real = await world.container()
      return {
        ...real,
        Mounts: [...real.Mounts, { Type: 'bind', Source: '/etc', Destination: '/host/etc', RW: false }],
      }
    },
  }),
}
