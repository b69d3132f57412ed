import { passIf, unknown, type VerifyCheck } from './check.ts'

/** Searched in a container of the same image. */
export const imageSetuid: VerifyCheck = {
  id: 'image.setuid',
  title: 'The image has no program that changes its user',
  line: 3,
  threat: 'privilege escalation',
  severity: 'medium',
  kind: 'live',
  remedy:
    'Build the image with --build, which takes the bits away; no-new-privileges makes them useless meanwhile.',
  refs: { seed: 'Docker Security Hardening', cis: '4.8' },
  async run(world) {
    const { setuid } = await world.attempted()
    if (setuid.includes('find is missing')) return unknown('the image has no find to look with')
    return passIf(
      setuid.length === 0,
      `find / -xdev -perm /6000 in a container of the image: ${setuid.slice(0, 5).join(', ') || 'nothing'}`,
    )
  },
  sabotage: { weaken: twin => twin.image('RUN chmod u+s /bin/true') },
}
