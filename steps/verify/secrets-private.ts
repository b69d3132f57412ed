import { passIf, unknown, type VerifyCheck } from './check.ts'

/** Tried in a container that runs as "nobody" and has no capability. */
export const secretsPrivate: VerifyCheck = {
  id: 'secrets.private',
  title: 'Another user cannot read the secrets',
  line: 4,
  threat: 'credential leakage',
  severity: 'critical',
  kind: 'live',
  remedy: 'Run create-openclaw-secure . again: it sets owner and modes.',
  refs: { seed: '5. Secrets Management' },
  async run(world) {
    const { uid, seen } = await world.stranger()
    const results = Object.entries(seen)
    if (results.length === 0) return unknown('there was no secret to try')
    return passIf(
      uid !== 0 && results.every(([, result]) => result === 'EACCES' || result === 'EPERM'),
      `tried as user ${uid} in a container with the same folder: ${results.map(([name, result]) => `${name} ${result}`).join(', ')}`,
    )
  },
  sabotage: {
    spoil(twin) {
      twin.chmod('secrets', 0o755)
      for (const file of twin.secretFiles()) twin.chmod(file, 0o444)
    },
  },
}
