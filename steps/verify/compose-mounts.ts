import { companionMounts, gatewayMounts, mountProblems } from '../../src/deployment/mounts.ts'
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
    const { layout } = world
    const { mounts } = await world.service()
    const gateway = gatewayMounts(layout)
    const beside = world.own === undefined ? [] : await world.companions()
    const problems = [
      ...mounts.flatMap(mount => mountProblems(mount, gateway)),
      ...beside.flatMap(({ name, mounts: theirs }) =>
        theirs
          .flatMap(mount => mountProblems(mount, companionMounts(layout, name)))
          .map(what => `${name}: ${what}`),
      ),
      ...ledAway(world, [layout.config, layout.secrets, layout.state]),
    ]
    return passIf(
      mounts.length > 0 && problems.length === 0,
      `docker-compose.yml: ${problems.join('; ') || mounts.map(mount => `${mount.source}${mount.readOnly ? ' (read-only)' : ''}`).join(', ') || 'no volume'}`,
    )
  },
  sabotage: { weaken: twin => twin.mount('/etc', '/host/etc', true) },
}

/** A link in the place of a folder is followed by the engine: its name is ours, and what is mounted is something else. */
export function ledAway(
  world: Pick<Parameters<VerifyCheck['run']>[0], 'file'>,
  folders: readonly string[],
): string[] {
  return folders
    .filter(path => ![undefined, 'folder'].includes(world.file(path)?.kind))
    .map(path => `${path} is no folder but leads elsewhere`)
}
