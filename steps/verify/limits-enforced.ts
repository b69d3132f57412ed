import type { Check } from '../../src/procedure/step.ts'
import { passIf } from './judge.ts'
import type { World } from './world.ts'

/** What the kernel has, not what Docker was told: on some engines a limit is accepted and ignored. */
export const limitsEnforced: Check<World> = {
  id: 'limits.enforced',
  title: 'The kernel enforces the memory, process and CPU limits',
  line: 6,
  threat: 'resource exhaustion',
  severity: 'high',
  remedy:
    'Run create-openclaw-secure . again; if the limits still do not apply, the engine cannot enforce them (see preflight).',
  refs: { seed: '3. Sandbox Isolation', cis: '5.11, 5.12, 5.29' },
  bySetup: true,
  async run(world) {
    const { memory, cpus, pids } = world.answers
    const limits = await world.cgroup()
    const good = limits.memory === memory * 1024 ** 2 && limits.pids === pids && limits.cpus === cpus
    const { HostConfig } = await world.container()
    const noSwap = HostConfig.MemorySwap === HostConfig.Memory
    const shown = (value: number | undefined) => value ?? 'unlimited'
    return passIf(
      good && noSwap,
      `control groups v${limits.version} of the container: memory ${shown(limits.memory)} bytes, processes ${shown(limits.pids)}, CPUs ${shown(limits.cpus)}; swap ${noSwap ? 'none' : 'allowed'}; asked for ${memory} MiB, ${pids}, ${cpus}`,
    )
  },
  sabotage: world => ({
    ...world,
    cgroup: async () => ({ version: 2, memory: undefined, pids: undefined, cpus: undefined }),
  }),
}
