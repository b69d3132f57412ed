import { passIf, type VerifyCheck } from './check.ts'

/** No setuid program gives anything; and the seccomp profile counts on it. */
export const composeNoNewPrivileges: VerifyCheck = {
  id: 'compose.no-new-privileges',
  title: 'docker-compose.yml forbids new privileges',
  line: 3,
  threat: 'privilege escalation',
  severity: 'high',
  kind: 'static',
  remedy: 'Set security_opt: [no-new-privileges:true] in docker-compose.yml.',
  refs: { seed: 'Container Security Options', cis: '5.26' },
  async run(world) {
    const { securityOpt } = await world.service()
    return passIf(
      securityOpt.some(option => /^no-new-privileges([:=]true)?$/.test(option)),
      `docker-compose.yml: security_opt ${JSON.stringify(securityOpt)}`,
    )
  },
  sabotage: { weaken: twin => twin.service({ security_opt: ['seccomp:./seccomp-profile.json'] }) },
}
