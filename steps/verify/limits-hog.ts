import { passIf, unknown, type VerifyCheck } from './check.ts'

/** Tried in a sibling, whose memory is its own. */
export const limitsHog: VerifyCheck = {
  id: 'limits.hog',
  title: 'A program that takes all memory is ended',
  line: 6,
  threat: 'resource exhaustion',
  severity: 'high',
  kind: 'live',
  remedy: 'Set mem_limit and memswap_limit in docker-compose.yml, or run create-openclaw-secure . again.',
  refs: { seed: '3. Sandbox Isolation', cis: '5.11' },
  async run(world) {
    const { hog, hogEnd, asked, reducedTo } = await world.attempted()
    const touched = [...hog.matchAll(/^touched (\d+)$/gm)].at(-1)?.[1] ?? '0'
    const all = /^touched all/m.test(hog)
    const evidence = `used up to ${asked.hog} MiB in a container with ${reducedTo === undefined ? 'the same limits' : `a limit of ${reducedTo} MiB, because this machine has too little free memory for the gateway’s own`}: ${all ? 'it got all of it' : `ended (${hogEnd}) after ${touched} MiB`}`
    if (all) return passIf(false, evidence)
    return ['SIGKILL', 'container 137'].includes(hogEnd) || /^refused ENOMEM/m.test(hog)
      ? passIf(true, evidence)
      : unknown(evidence)
  },
  sabotage: { weaken: twin => twin.service({ mem_limit: undefined, memswap_limit: undefined }) },
}
