import { passIf, unknown, type VerifyCheck } from './check.ts'

/** A small program makes each call and sees what the kernel says (native/probe.c). */
export const seccompCalls: VerifyCheck = {
  id: 'seccomp.calls',
  title: 'Dangerous kernel calls are refused',
  line: 3,
  threat: 'privilege escalation',
  severity: 'high',
  kind: 'live',
  remedy: 'Run create-openclaw-secure . again: the profile in force is not the one that was rendered.',
  refs: { seed: 'Seccomp Profile', cis: '5.22' },
  async run(world) {
    const { calls } = await world.attempted()
    const results = [...calls.matchAll(/^([a-z]\S*) ([A-Za-z]\w*)$/gm)].map(([, name = '', result = '']) => ({
      name,
      result,
    }))
    if (results.length < 40) return unknown(`the probe did not run: ${calls.trim().split('\n')[0] ?? ''}`)
    const reached = results.filter(
      ({ result }) =>
        !/^(EPERM|EACCES|ENOSYS|SIGSYS|EAFNOSUPPORT|EPROTONOSUPPORT|ESOCKTNOSUPPORT|EPFNOSUPPORT)$/.test(
          result,
        ),
    )
    return passIf(
      reached.length === 0,
      `${results.length} calls made in a container with the same profile, user and capabilities: ${
        reached.length === 0
          ? 'all refused'
          : `${reached.length} reached the kernel: ${reached
              .slice(0, 8)
              .map(({ name, result }) => `${name} ${result}`)
              .join(', ')}`
      }`,
    )
  },
  sabotage: { weaken: twin => twin.service({ cap_drop: undefined, security_opt: ['seccomp:unconfined'] }) },
}
