import { confinementOf, profileName } from '../../src/docker/confinement.ts'
import { passIf, skip, unknown, type VerifyCheck } from './check.ts'

/**
 * The kernel's word, of every process. The engine's would not do: one without AppArmor takes the option and applies
 * nothing, and a profile that merely complains looks the same in `docker inspect`.
 */
export const apparmorEnforced: VerifyCheck = {
  id: 'apparmor.enforced',
  title: 'AppArmor has this deployment’s profile on every process',
  line: 3,
  threat: 'privilege escalation',
  severity: 'high',
  kind: 'live',
  remedy:
    'Run create-openclaw-secure . --apparmor again, as root; on a machine without AppArmor, leave it out.',
  refs: { seed: 'Container Security Options', cis: '5.2' },
  async run(world) {
    const asked = ((await world.container()).HostConfig.SecurityOpt ?? [])
      .find(option => /^apparmor[=:]/.test(option))
      ?.replace(/^apparmor[=:]/, '')
    const engine = confinementOf(await world.engine())
    const own = world.own?.apparmor === true ? profileName(world.own.name) : undefined
    if (own !== undefined && asked !== own)
      return passIf(false, `${own} was asked for, and the container has ${asked ?? 'the engine’s own'}`)
    if (asked === undefined && engine !== 'apparmor')
      return skip(
        `this engine has no AppArmor (docker info)${engine === 'selinux' ? '; SELinux confines the container' : ''}`,
      )
    if (engine !== 'apparmor')
      return passIf(false, `${asked} is asked for, and this engine has no AppArmor (docker info)`)
    const labels = await world.labels()
    if (labels.length === 0 || labels.includes(undefined))
      return unknown('/proc/PID/attr/apparmor/current of the container’s processes cannot be read')
    const seen = [...new Set(labels)]
    return passIf(
      seen.every(label => label === `${asked ?? 'docker-default'} (enforce)`),
      `/proc/PID/attr/apparmor/current of ${labels.length} processes: ${seen.join(', ')}; asked for: ${asked ?? 'the engine’s own'}`,
    )
  },
  sabotage: {
    weaken: twin =>
      twin.service({ cap_drop: undefined, security_opt: ['seccomp:unconfined', 'apparmor:unconfined'] }),
  },
}
