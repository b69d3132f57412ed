import { INSIDE } from '../../src/deployment/layout.ts'
import { passIf, type Twin, unknown, type VerifyCheck } from './check.ts'

/** What is downloaded must not run. */
export const tmpNoexec: VerifyCheck = {
  id: 'tmp.noexec',
  title: 'Nothing in a temporary folder can be executed',
  line: 5,
  threat: 'command injection',
  severity: 'medium',
  kind: 'live',
  remedy: 'Mount it with noexec in docker-compose.yml, or run create-openclaw-secure . again.',
  refs: { seed: '3. Sandbox Isolation' },
  async run(world) {
    const results = Object.entries((await world.attempted()).execute)
    const untried = results.filter(([, result]) => result.startsWith('not tried'))
    if (results.length === 0 || untried.length > 0)
      return unknown(
        `no program could be put there: ${untried.map(([path, result]) => `${path} ${result}`).join(', ')}`,
      )
    return passIf(
      results.every(([, result]) => result === 'EACCES' || result.startsWith('not writable')),
      `copied a program there and started it: ${results.map(([path, result]) => `${path} ${result}`).join(', ')}`,
    )
  },
  sabotage: {
    weaken: twin => twin.service({ tmpfs: laxTmpfs(twin) }),
  },
}

/** What a hasty person writes: nothing forbidden, no size. The cache stays the gateway's, or it would not start. */
export function laxTmpfs({ user }: Pick<Twin, 'user'>): string[] {
  return [
    '/tmp:rw,exec,suid,dev,mode=1777',
    `${INSIDE.cache}:rw,exec,suid,dev,uid=${user.uid},gid=${user.gid}`,
  ]
}
