import { passIf, type VerifyCheck } from './check.ts'

/** A tag can be moved by whoever owns the registry account; a digest cannot. */
export const imagePinned: VerifyCheck = {
  id: 'image.pinned',
  title: 'docker-compose.yml pins the image by content',
  line: 3,
  threat: 'command injection',
  severity: 'high',
  kind: 'static',
  remedy: 'Run create-openclaw-secure . again: it pins what the engine resolves.',
  refs: { seed: 'Docker Security Hardening', cis: '4.2, 5.28' },
  async run(world) {
    const { image } = await world.service()
    return passIf(/(^|@)sha256:[0-9a-f]{64}$/.test(image ?? ''), `docker-compose.yml: ${image ?? 'no image'}`)
  },
  sabotage: { weaken: twin => twin.service({ image: 'ghcr.io/openclaw/openclaw:latest' }) },
}
