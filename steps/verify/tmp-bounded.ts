import { passIf, type VerifyCheck } from './check.ts'
import { laxTmpfs } from './tmp-noexec.ts'

/** As the kernel has mounted them. Without a size a tmpfs grows to half of the machine’s memory;
 * without a number of inodes empty files do, at about 1 kB each (test/live/confinement.test.ts). */
export const tmpBounded: VerifyCheck = {
  id: 'tmp.bounded',
  title: 'Temporary folders are small and hold no device or setuid program',
  line: 5,
  threat: 'resource exhaustion',
  severity: 'medium',
  kind: 'live',
  remedy:
    'Mount it with nosuid, nodev, size and nr_inodes in docker-compose.yml, or run create-openclaw-secure . again.',
  refs: { seed: '3. Sandbox Isolation' },
  async run(world) {
    const wanted = ['/tmp', ...Object.keys((await world.container()).HostConfig.Tmpfs ?? {})]
    const mounts = await world.mounts()
    const bad = [...new Set(wanted)].filter(path => {
      const options = mounts.find(mount => mount.target === path && mount.type === 'tmpfs')?.options
      return (
        !['nosuid', 'nodev'].every(option => options?.includes(option)) ||
        !options?.some(o => /^size=\d+k$/.test(o)) ||
        !options.some(o => /^nr_inodes=\d+$/.test(o))
      )
    })
    return passIf(
      bad.length === 0,
      `/proc/self/mounts of the container: ${bad.length === 0 ? `${[...new Set(wanted)].join(', ')} are tmpfs with nosuid, nodev, a size and a number of files` : `not so: ${bad.join(', ')}`}`,
    )
  },
  sabotage: {
    weaken: twin => twin.service({ tmpfs: laxTmpfs(twin) }),
  },
}
