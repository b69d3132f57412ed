import { passIf, unknown, type VerifyCheck } from './check.ts'

/** Tried, to a bounded number, in a sibling: the gateway does not notice. */
export const limitsFork: VerifyCheck = {
  id: 'limits.fork',
  title: 'A fork bomb runs into the limit',
  line: 6,
  threat: 'resource exhaustion',
  severity: 'high',
  kind: 'live',
  remedy: 'Set pids_limit in docker-compose.yml, or run create-openclaw-secure . again.',
  refs: { seed: '3. Sandbox Isolation', cis: '5.29' },
  async run(world) {
    const { fork, asked } = await world.attempted()
    const [, count, error] = /^forked (\d+) (\w+)/m.exec(fork) ?? []
    const evidence = `started up to ${asked.fork} processes in a container with the same limits: ${count ?? 'none'}, then ${error === 'none' ? 'no end' : (error ?? fork.trim())}`
    if (count === undefined || !['EAGAIN', 'none'].includes(error ?? '')) return unknown(evidence)
    return passIf(error === 'EAGAIN', evidence)
  },
  sabotage: { weaken: twin => twin.service({ pids_limit: undefined }) },
}
