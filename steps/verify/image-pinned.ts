import { SERVICE } from '../../src/docker/compose.ts'
import type { Check } from '../../src/procedure/step.ts'
import { passIf } from './judge.ts'
import { altered, at, type World } from './world.ts'

/** A tag can be moved by whoever owns the registry account; a digest cannot. */
export const imagePinned: Check<World> = {
  id: 'image.pinned',
  title: 'The running image is pinned by content',
  line: 3,
  threat: 'command injection',
  severity: 'high',
  remedy: 'Run create-openclaw-secure . again: it pins what the engine resolves.',
  refs: { seed: 'Docker Security Hardening', cis: '4.2, 5.28' },
  bySetup: true,
  async run(world) {
    const image = String(at(await world.composition(), 'services', SERVICE, 'image'))
    const { Config, Image } = await world.container()
    const pinned = /(^|@)sha256:[0-9a-f]{64}$/.test(image)
    return passIf(
      pinned && Config.Image === image,
      `docker-compose.yml: ${image}; running: ${Config.Image} (${Image.slice(0, 19)}…)`,
    )
  },
  sabotage: world => ({
    ...world,
    composition: async () =>
      altered(await world.composition(), ['services', SERVICE, 'image'], 'ghcr.io/openclaw/openclaw:latest'),
  }),
}
