import { passIf, type VerifyCheck } from './check.ts'
import { NotApplicable } from './world.ts'

/** The next "git add ." is the moment it happens. */
export const secretsIgnored: VerifyCheck = {
  id: 'secrets.ignored',
  title: 'Git would not add anything secret',
  line: 4,
  threat: 'credential leakage',
  severity: 'high',
  kind: 'static',
  remedy:
    'Put /secrets/, /state/, /.secure/ and /cases/ into .gitignore, or run create-openclaw-secure . again.',
  refs: { seed: '1. Gateway Authentication' },
  async run(world) {
    const paths =
      world.own === undefined
        ? ['.env', 'openclaw.json'].filter(path => world.file(`${world.layout.root}/${path}`) !== undefined)
        : ['secrets', 'state', '.secure', 'cases'].map(folder => `${folder}/x`)
    if (paths.length === 0) throw new NotApplicable('there is no file here that usually holds a secret')
    const open = await world.addable(paths)
    return passIf(
      open.length === 0,
      `git check-ignore: ${open.length === 0 ? `${paths.join(', ')} are ignored` : `not ignored: ${open.join(', ')}`}`,
    )
  },
  sabotage: {
    async weaken(twin) {
      await twin.git('init', '--quiet')
      twin.write('.gitignore', 'node_modules/\n')
    },
  },
}
