import { passIf, type VerifyCheck } from './check.ts'

/** What was ever in a layer stays in the image, for everybody who may pull it. */
export const secretsHistory: VerifyCheck = {
  id: 'secrets.history',
  title: 'The image’s configuration and history hold no secret',
  line: 4,
  threat: 'credential leakage',
  severity: 'high',
  kind: 'live',
  remedy: 'Build the image without it (build secrets leave no trace), and replace the value.',
  refs: { seed: '5. Secrets Management', cis: '4.10' },
  async run(world) {
    const text = await world.imageText()
    const known = [...(await world.secrets()).values()].some(secret => secret.isIn(text))
    const named = [...text.matchAll(/\b(\w*(?:TOKEN|SECRET|PASSWORD|API_?KEY)\w*)=[^\s"'$/]{6,}/gi)].map(
      match => match[1] ?? '',
    )
    return passIf(
      !known && named.length === 0,
      `docker image inspect and docker history: ${known ? 'a stored secret' : named.length > 0 ? `values of ${[...new Set(named)].join(', ')}` : 'no secret, and no value of a variable that is named like one'}`,
    )
  },
  sabotage: { weaken: twin => twin.image('ENV LEAKED_API_KEY=0123456789abcdef') },
}
