import { truncateSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Answers } from '../../src/deployment/answers.ts'
import { type Disk, judgeDisk } from '../../src/gateway/disk.ts'
import { passIf, unknown, type VerifyCheck } from './check.ts'
import type { World } from './world.ts'

/** A world whose answers say how large the state may be, and in which the disk can be looked at. */
export type Limited = World & {
  own: (Answers & { stateLimit: number }) | undefined
  disk(): Promise<Disk>
}

/** A bind mount has no quota of its own: what the agent writes lies on this machine's disk. */
export const stateBounded: VerifyCheck = {
  id: 'state.bounded',
  title: 'The state keeps to its limit, and leaves room on the disk',
  line: 6,
  threat: 'resource exhaustion',
  severity: 'medium',
  kind: 'static',
  remedy:
    'Look what fills it (du -ah state | sort -h | tail), remove that, or raise --state-limit. docs/filesystem.md shows how the kernel can hold it to the limit.',
  refs: { seed: '3. Sandbox Isolation' },
  async run(world: Limited) {
    const disk = await world.disk()
    const { problems, saw } = judgeDisk(disk, world.own?.stateLimit ?? FOREIGN_LIMIT)
    const { unread } = disk.use
    if (problems.length === 0 && unread > 0) return unknown(`${unread} folders could not be read; ${saw}`)
    return passIf(problems.length === 0, problems.length === 0 ? saw : `${problems.join('; ')}; ${saw}`)
  },
  sabotage: {
    // A file with a hole says that it is as large, and takes no room on the disk it is tried on.
    weaken(twin) {
      twin.write('state/filler', '')
      truncateSync(resolve(twin.root, 'state/filler'), limitOf(twin.answers) * 1024 ** 2 + 1)
    },
  },
}

/** Of a deployment that somebody else made, which has no limit to keep to: 64 GiB are too many for any. MiB. */
const FOREIGN_LIMIT = 64 * 1024

function limitOf(answers: Answers & { stateLimit?: number }): number {
  return answers.stateLimit ?? FOREIGN_LIMIT
}
