import { isDeepStrictEqual } from 'node:util'
import { parseJson } from '../../src/json.ts'
import { passIf, serviceIfAny, unknown, type VerifyCheck } from './check.ts'

/** "Seccomp: 2" shows some filter; Docker’s default does too. So the loaded profile is compared with the file. */
export const seccompEnforced: VerifyCheck = {
  id: 'seccomp.enforced',
  title: 'The kernel has this deployment’s seccomp profile on every process',
  line: 3,
  threat: 'privilege escalation',
  severity: 'high',
  kind: 'live',
  remedy:
    'Run create-openclaw-secure . again: it tries the profile on this engine and kernel, and Docker keeps the old one until the container is made anew.',
  refs: { seed: 'Seccomp Profile', cis: '5.22' },
  async run(world) {
    const processes = await world.processes()
    const filtered = processes.length > 0 && processes.every(p => p.seccomp === 2)
    const { HostConfig } = await world.container()
    const loaded = (HostConfig.SecurityOpt ?? [])
      .find(option => option.startsWith('seccomp'))
      ?.replace(/^seccomp[=:]/, '')
    const written = (await serviceIfAny(world)) === undefined ? undefined : await world.profile()
    const same = written !== undefined && isDeepStrictEqual(parseJson(loaded ?? ''), parseJson(written))
    const evidence = `Seccomp ${filtered ? '2' : 'not 2'} in /proc/*/status of ${processes.length} processes; the loaded profile is ${same ? 'the file’s' : written === undefined ? 'none of its own' : 'not the file’s'}`
    if (!filtered || !same) return passIf(false, evidence)
    // What an upgrade has brought may need other calls, or deny them otherwise: only a trial tells.
    const untried = await world.untried()
    return untried.length === 0
      ? passIf(true, evidence)
      : unknown(`${evidence}, and was not tried on this machine as it is now: ${untried.join(', ')}`)
  },
  sabotage: {
    weaken: twin => twin.service({ cap_drop: undefined, security_opt: ['seccomp:unconfined'] }),
  },
}
