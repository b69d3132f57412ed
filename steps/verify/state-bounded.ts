import { truncateSync } from 'node:fs'
import { resolve } from 'node:path'
import { judgeDisk } from '../../src/gateway/disk.ts'
import { passIf, unknown, type VerifyCheck } from './check.ts'

/** A bind mount has no quota of its own: what the agent writes lies on this machine's disk. */
export const stateBounded: VerifyCheck = {
  id: 'state.bounded',
  title: 'The state and the agents’ work keep to their limit, and leave room on the disk',
  line: 6,
  threat: 'resource exhaustion',
  severity: 'medium',
  kind: 'static',
  remedy:
    'Look what fills it (du -ah state | sort -h | tail), remove that, or raise --state-limit. docs/filesystem.md shows how the kernel can hold it to the limit.',
  refs: { seed: '3. Sandbox Isolation' },
  async run(world) {
    const work = await world.workDisk()
    const looks = [
      { name: 'state', disk: await world.disk() },
      ...(work === undefined ? [] : [{ name: 'sandbox-work', disk: work }]),
    ].map(({ name, disk }) => ({ name, disk, ...judgeDisk(disk, world.own?.stateLimit ?? FOREIGN_LIMIT) }))
    const problems = looks.flatMap(({ name, problems: wrong }) => wrong.map(what => `${name}: ${what}`))
    const unread = looks.reduce((sum, { disk }) => sum + disk.use.unread, 0)
    const saw = looks.map(look => `${look.name}: ${look.saw}`).join('; ')
    if (problems.length === 0 && unread > 0) return unknown(`${unread} folders could not be read; ${saw}`)
    return passIf(problems.length === 0, problems.length === 0 ? saw : `${problems.join('; ')}; ${saw}`)
  },
  sabotage: {
    // A file with a hole says that it is as large, and takes no room on the disk it is tried on.
    weaken(twin) {
      twin.write('state/filler', '')
      truncateSync(resolve(twin.root, 'state/filler'), twin.answers.stateLimit * 1024 ** 2 + 1)
    },
  },
}

/** Of a deployment that somebody else made, which has no limit to keep to: 64 GiB are too many for any. MiB. */
const FOREIGN_LIMIT = 64 * 1024
