import { passIf, type VerifyCheck } from './check.ts'

/** AppArmor or SELinux where the machine has them, and the masked parts of /proc and /sys. */
export const hostProtections: VerifyCheck = {
  id: 'host.protections',
  title: 'No protection that the engine adds by itself is switched off',
  line: 3,
  threat: 'privilege escalation',
  severity: 'high',
  kind: 'live',
  remedy: 'Remove the option from security_opt in docker-compose.yml.',
  refs: { seed: 'Container Security Options', cis: '5.2, 5.3' },
  async run(world) {
    const options = (await world.container()).HostConfig.SecurityOpt ?? []
    const off = options.filter(option =>
      /^((apparmor|seccomp|systempaths)[=:]unconfined|label[=:]disable|no-new-privileges[=:]false)$/.test(
        option,
      ),
    )
    return passIf(
      off.length === 0,
      `docker inspect: ${off.length === 0 ? 'AppArmor, SELinux labels, seccomp and the masked paths of /proc are as the engine sets them' : `switched off: ${off.join(', ')}`}`,
    )
  },
  sabotage: { weaken: twin => twin.service({ cap_drop: undefined, security_opt: ['seccomp:unconfined'] }) },
}
