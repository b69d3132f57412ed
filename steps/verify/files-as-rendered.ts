import { borderFiles } from '../../src/deployment/border.ts'
import { ours, passIf, type VerifyCheck } from './check.ts'

/** An edit by hand may be meant; then deployment.yaml has to say so. */
export const filesAsRendered: VerifyCheck = {
  id: 'files.as-rendered',
  title: 'The files are as they were rendered',
  line: 5,
  threat: 'filesystem access',
  severity: 'medium',
  kind: 'static',
  remedy:
    'Move what you need into deployment.yaml and run create-openclaw-secure . again; or find out who edited it.',
  refs: { seed: 'Docker Security Hardening' },
  async run(world) {
    const answers = ours(world)
    const { root, base } = world.layout
    const border = Object.keys(borderFiles(answers)).map(name => `border/${name}`)
    const files = ['docker-compose.yml', 'config/openclaw.json', 'seccomp-profile.json', ...border]
    const edited: string[] = []
    for (const file of files) {
      const [now, rendered] = await Promise.all([
        world.text(`${root}/${file}`),
        world.text(`${base}/${file}`),
      ])
      if (now !== rendered) edited.push(file)
    }
    return passIf(
      edited.length === 0,
      edited.length === 0 ? `${files.join(', ')}: as rendered` : `edited since: ${edited.join(', ')}`,
    )
  },
  sabotage: { weaken: twin => twin.write('seccomp-profile.json', `${twin.read('seccomp-profile.json')}\n`) },
}
