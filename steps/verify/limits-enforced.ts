import { passIf, type VerifyCheck } from './check.ts'

/** What the kernel has, not what Docker was told: on some engines a limit is accepted and ignored. */
export const limitsEnforced: VerifyCheck = {
  id: 'limits.enforced',
  title: 'The kernel enforces the memory, process and CPU limits',
  line: 6,
  threat: 'resource exhaustion',
  severity: 'high',
  kind: 'live',
  remedy:
    'Run create-openclaw-secure . again; if the limits still do not apply, the engine cannot enforce them (see preflight).',
  refs: { seed: '3. Sandbox Isolation', cis: '5.11, 5.12, 5.29' },
  async run(world) {
    const limits = await world.cgroup()
    const { own } = world
    const good =
      own === undefined
        ? [limits.memory, limits.pids, limits.cpus].every(limit => limit !== undefined)
        : limits.memory === own.memory * 1024 ** 2 && limits.pids === own.pids && limits.cpus === own.cpus
    const { HostConfig } = await world.container()
    const noSwap = HostConfig.Memory > 0 && HostConfig.MemorySwap === HostConfig.Memory
    const shown = (value: number | undefined) => value ?? 'unlimited'
    return passIf(
      good && noSwap,
      `control groups v${limits.version} of the container: memory ${shown(limits.memory)} bytes, processes ${shown(limits.pids)}, CPUs ${shown(limits.cpus)}; swap ${noSwap ? 'none' : 'allowed'}${own === undefined ? '' : `; asked for ${own.memory} MiB, ${own.pids}, ${own.cpus}`}`,
    )
  },
  sabotage: {
    weaken: twin =>
      twin.service({
        mem_limit: undefined,
        memswap_limit: undefined,
        pids_limit: undefined,
        cpus: undefined,
      }),
  },
}
