import { passIf, type VerifyCheck } from './check.ts'

/** A tracked file is committed even when it is ignored, so the ignore file proves nothing. */
export const secretsUntracked: VerifyCheck = {
  id: 'secrets.untracked',
  title: 'Git tracks nothing secret',
  line: 4,
  threat: 'credential leakage',
  severity: 'critical',
  kind: 'static',
  remedy: 'git rm --cached it, rewrite the history that holds it, and replace every secret in it.',
  refs: { seed: '1. Gateway Authentication' },
  async run(world) {
    const tracked = await world.tracked()
    if (tracked === 'no repository') return passIf(true, 'git ls-files: this folder is in no repository')
    const secret = tracked.filter(path =>
      /^(secrets|state|sandbox|sandbox-work|\.secure|cases)\/|^proxy\/htpasswd$|^\.env$/.test(path),
    )
    return passIf(
      secret.length === 0,
      `git ls-files: ${secret.length === 0 ? `${tracked.length} files, none below secrets, state, sandbox, sandbox-work, .secure or cases` : secret.slice(0, 5).join(', ')}`,
    )
  },
  sabotage: {
    async weaken(twin) {
      await twin.git('init', '--quiet')
      await twin.git('add', '--force', ...twin.secretFiles())
    },
  },
}
