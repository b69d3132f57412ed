import { passIf, type VerifyCheck } from './check.ts'

/** The seed’s values are a sandbox’s; a gateway needs more memory, and swap is counted in. */
export const composeLimits: VerifyCheck = {
  id: 'compose.limits',
  title: 'docker-compose.yml limits memory, processes and CPU',
  line: 6,
  threat: 'resource exhaustion',
  severity: 'high',
  kind: 'static',
  remedy: 'Set mem_limit, memswap_limit, pids_limit and cpus in docker-compose.yml.',
  refs: { seed: '3. Sandbox Isolation', cis: '5.11, 5.12, 5.29' },
  async run(world) {
    const { memory, memorySwap, pids, cpus } = await world.service()
    const { own } = world
    const asked =
      own === undefined || (memory === own.memory * 1024 ** 2 && pids === own.pids && cpus === own.cpus)
    const shown = (value: number | undefined) => value ?? 'unlimited'
    return passIf(
      asked && memory !== undefined && memorySwap === memory && pids !== undefined && cpus !== undefined,
      `docker-compose.yml: memory ${shown(memory)} bytes, with swap ${shown(memorySwap)}, processes ${shown(pids)}, CPUs ${shown(cpus)}`,
    )
  },
  sabotage: { weaken: twin => twin.service({ pids_limit: undefined }) },
}
