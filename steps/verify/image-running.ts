import { passIf, type VerifyCheck } from './check.ts'

/** What the file says is worth nothing while something else runs. */
export const imageRunning: VerifyCheck = {
  id: 'image.running',
  title: 'The running container has the pinned image',
  line: 3,
  threat: 'command injection',
  severity: 'high',
  kind: 'live',
  remedy: 'Run create-openclaw-secure . again: it makes the container anew.',
  refs: { seed: 'Docker Security Hardening', cis: '4.2' },
  async run(world) {
    const { image } = await world.service()
    const { Config, Image } = await world.container()
    return passIf(
      Config.Image === image || Image === image,
      `docker-compose.yml: ${image ?? 'no image'}; running: ${Config.Image} (${Image.slice(0, 19)}…)`,
    )
  },
  sabotage: { spoil: twin => twin.service({ image: `sha256:${'0'.repeat(64)}` }) },
}
