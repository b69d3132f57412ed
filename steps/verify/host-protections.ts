import * as z from 'zod'
import { parseJson } from '../../src/json.ts'
import { passIf, type VerifyCheck } from './check.ts'

/** What the engine hides of /proc and /sys, and makes read-only. Older engines do not say. */
const Hidden = z.tuple([
  z.object({
    HostConfig: z.optional(
      z.object({
        MaskedPaths: z.nullish(z.array(z.string())),
        ReadonlyPaths: z.nullish(z.array(z.string())),
      }),
    ),
  }),
])

/** Each of them switches a protection off, or trades it for a weaker one. */
const OFF =
  /^((apparmor|seccomp|systempaths)[=:]unconfined|label[=:](disable|type[=:].*)|no-new-privileges[=:]false|writable-cgroups([=:]true)?)$/

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
    const { HostConfig, raw } = await world.container()
    const off = (HostConfig.SecurityOpt ?? []).filter(option => OFF.test(option))
    const hidden = Hidden.safeParse(parseJson(raw)).data?.[0].HostConfig
    if (hidden?.MaskedPaths?.length === 0) off.push('nothing of /proc and /sys is masked')
    if (hidden?.ReadonlyPaths?.length === 0) off.push('nothing of /proc is read-only')
    return passIf(
      off.length === 0,
      `docker inspect: ${off.length === 0 ? 'AppArmor, SELinux labels, seccomp and the masked paths of /proc are as the engine sets them' : `switched off: ${off.join(', ')}`}`,
    )
  },
  sabotage: {
    weaken: twin =>
      twin.service({ cap_drop: undefined, security_opt: ['seccomp:unconfined', 'apparmor:unconfined'] }),
  },
}
