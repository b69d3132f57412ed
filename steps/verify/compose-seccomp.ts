import { parseJson } from '../../src/json.ts'
import { passIf, type VerifyCheck } from './check.ts'
import { at } from './tree.ts'

/** The file that the next start would load. The seed’s example is no JSON, and lacks the calls that a program needs to start. */
export const composeSeccomp: VerifyCheck = {
  id: 'compose.seccomp',
  title: 'docker-compose.yml names a seccomp profile that denies by default',
  line: 3,
  threat: 'privilege escalation',
  severity: 'high',
  kind: 'static',
  remedy: 'Run create-openclaw-secure . again: it renders the profile.',
  refs: { seed: 'Seccomp Profile', cis: '5.22' },
  async run(world) {
    const text = await world.profile()
    if (text === undefined)
      return passIf(false, 'docker-compose.yml: security_opt names no profile of its own')
    const profile = parseJson(text)
    if (profile === undefined) return passIf(false, 'the profile is no JSON: no container starts with it')
    const rules = at(profile, 'syscalls')
    const names = Array.isArray(rules) ? rules.flatMap(rule => at(rule, 'names')) : []
    const denies = ['SCMP_ACT_ERRNO', 'SCMP_ACT_KILL', 'SCMP_ACT_KILL_PROCESS'].includes(
      String(at(profile, 'defaultAction')),
    )
    // Without these no program starts at all; a profile that lacks them was never tried.
    const missing = ['execve', 'exit_group', 'futex', 'openat', 'epoll_wait'].filter(
      name => !names.includes(name),
    )
    return passIf(
      denies && missing.length === 0,
      `the profile: defaultAction ${String(at(profile, 'defaultAction'))}, ${names.length} calls named${missing.length === 0 ? '' : `, without ${missing.join(', ')}: no program starts`}`,
    )
  },
  sabotage: { weaken: twin => twin.write('seccomp-profile.json', '{"defaultAction":"SCMP_ACT_ALLOW"}') },
}
