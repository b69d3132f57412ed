import { deniedPlace, gatewayMounts } from '../../src/deployment/mounts.ts'
import { passIf, unknown, type VerifyCheck } from './check.ts'

/**
 * What the engine itself mounts into every container: the kernel's file systems, its three files in /etc, and the first
 * process. Everything else in the kernel's list was asked for by somebody.
 */
const ENGINES =
  /^\/($|(proc|sys)($|\/)|dev($|\/(pts|mqueue|shm|console)$)|etc\/(resolv\.conf|hostname|hosts)$|(usr\/)?sbin\/docker-init$|dev\/init$)/

/**
 * ~/.ssh, ~/.gnupg, ~/.aws, ~/.config and /root, of every home in the container; and, because a folder can be mounted
 * under any name, whatever the kernel has mounted there from a place of this machine that nobody may see. /etc is the
 * image's own as long as nothing is mounted on it.
 */
export const filesDenied: VerifyCheck = {
  id: 'files.denied',
  title: 'The folders the seed forbids are not there',
  line: 5,
  threat: 'filesystem access',
  severity: 'high',
  kind: 'live',
  remedy: 'Remove the mount that brings it in.',
  refs: { seed: '4. Filesystem Scoping' },
  async run(world) {
    const seen = Object.entries(await world.denied())
    const mounts = await world.mounts()
    if (seen.length === 0 || mounts.length === 0) return unknown('nothing was looked at')
    const open = seen
      .filter(([, result]) => / entries$/.test(result) && result !== '0 entries')
      .map(([path, result]) => `${path} ${result}`)
    const { Mounts, HostConfig } = await world.container()
    const { homes, own } = gatewayMounts(world.layout)
    const ownTargets = own.map(mount => mount.target)
    const brought = mounts
      .map(mount => mount.target)
      .filter(target => !ENGINES.test(target) && !Object.keys(HostConfig.Tmpfs ?? {}).includes(target))
      .flatMap(target => {
        const asked = Mounts.find(mount => mount.Destination === target)
        if (asked === undefined) return [`${target} is mounted, and the engine does not say from where`]
        if (own.some(mount => mount.source === asked.Source) && ownTargets.includes(target)) return []
        return deniedPlace(asked.Source, homes) === undefined ? [] : [`${target} is ${asked.Source}`]
      })
    const found = [...open, ...brought]
    return passIf(
      found.length === 0,
      `listed ${seen.map(([path]) => path).join(', ')} as the gateway’s user, and what the kernel has mounted (${mounts.length}): ${found.join(', ') || 'nothing to be seen of any'}`,
    )
  },
  sabotage: {
    weaken(twin) {
      twin.write('keys/id_ed25519', 'not a key', 0o644)
      twin.mount('./keys', '/home/openclaw/.ssh', true)
    },
  },
}
