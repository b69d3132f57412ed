import { hasSandbox } from '../../src/deployment/answers.ts'
import { ours, passIf, type VerifyCheck } from './check.ts'

/** Transcripts and logs in state/ hold conversations in plain text. */
export const filesPrivate: VerifyCheck = {
  id: 'files.private',
  title: 'Other users of this machine are kept out of the deployment',
  line: 5,
  threat: 'filesystem access',
  severity: 'high',
  kind: 'static',
  remedy: 'Run create-openclaw-secure . again: it sets the modes.',
  refs: { seed: '4. Filesystem Scoping', openclaw: 'fs.state_dir.perms_readable' },
  async run(world) {
    const answers = ours(world)
    const { root, config, secrets, state, border, sandbox, sandboxWork, own, cases, configFile } =
      world.layout
    const folders = [root, config, secrets, state, border, own, cases, configFile]
    const open = [...folders, ...(hasSandbox(answers) ? [sandbox, sandboxWork] : [])].filter(path => {
      const found = world.file(path)
      return found === undefined || (found.mode & 0o077) !== 0
    })
    return passIf(
      open.length === 0,
      open.length === 0
        ? 'the folder, config, secrets, state, border, .secure, cases and what belongs to a sandbox are their owner’s alone'
        : `open to others or missing: ${open.join(', ')}`,
    )
  },
  sabotage: { weaken: twin => twin.chmod('state', 0o755) },
}
