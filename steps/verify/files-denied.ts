import { passIf, unknown, type VerifyCheck } from './check.ts'

/** ~/.ssh, ~/.gnupg, ~/.aws, ~/.config and /root, of every home in the container. /etc is the image’s own. */
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
    if (seen.length === 0) return unknown('nothing was looked at')
    const open = seen.filter(([, result]) => / entries$/.test(result) && result !== '0 entries')
    return passIf(
      open.length === 0,
      `listed ${seen.map(([path]) => path).join(', ')} as the gateway’s user: ${open.length === 0 ? 'nothing to be seen in any' : open.map(([path, result]) => `${path} ${result}`).join(', ')}`,
    )
  },
  sabotage: {
    weaken(twin) {
      twin.write('keys/id_ed25519', 'not a key', 0o644)
      twin.mount('./keys', '/home/openclaw/.ssh', true)
    },
  },
}
