import { passIf, serviceIfAny, type VerifyCheck } from './check.ts'

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
    const service = await serviceIfAny(world)
    const { Config, Image } = await world.container()
    const running = `${Config.Image} (${Image.slice(0, 19)}…)`
    if (service === undefined)
      return passIf(/(^|@)sha256:[0-9a-f]{64}$/.test(Config.Image), `started by hand: ${running}`)
    return passIf(
      Config.Image === service.image || Image === service.image,
      `docker-compose.yml: ${service.image ?? 'no image'}; running: ${running}`,
    )
  },
  sabotage: { spoil: twin => twin.service({ image: `sha256:${'0'.repeat(64)}` }) },
}
