import { passIf, unknown, type VerifyCheck } from './check.ts'

/** Read from the kernel, for every process, not from what was asked of Docker. */
export const privilegesNone: VerifyCheck = {
  id: 'privileges.none',
  title: 'No process in the container has a capability, root, or a way to get either',
  line: 3,
  threat: 'privilege escalation',
  severity: 'critical',
  kind: 'live',
  remedy: 'Run create-openclaw-secure . again: the container is not the one docker-compose.yml describes.',
  refs: { seed: 'Container Security Options', cis: '4.1, 5.4, 5.26' },
  async run(world) {
    const processes = await world.processes()
    // In a rootless engine, and only there, user 0 inside is a person without privileges outside.
    const rootless =
      (await world.engine()).SecurityOptions?.some(option => option.startsWith('name=rootless')) === true
    const bad = processes.filter(
      p => (p.uid === 0 && !rootless) || p.noNewPrivs !== 1 || p.caps.some(set => !/^0+$/.test(set)),
    )
    const shown = (bad.length > 0 ? bad.slice(0, 3) : processes.slice(0, 1)).map(
      p =>
        `${p.name}(${p.pid}) Uid ${p.uid}, CapEff ${p.caps[2]}, CapBnd ${p.caps[3]}, NoNewPrivs ${p.noNewPrivs}`,
    )
    if (processes.length === 0) return unknown('/proc of the container shows no process')
    return passIf(bad.length === 0, `/proc/*/status of ${processes.length} processes: ${shown.join('; ')}`)
  },
  sabotage: {
    weaken: twin => twin.service({ cap_drop: undefined, security_opt: ['seccomp:unconfined'] }),
  },
}
