import { ours, passIf, unknown, type VerifyCheck } from './check.ts'

/** Backups of the state hold what is in there, in plain text. */
export const secretsState: VerifyCheck = {
  id: 'secrets.state',
  title: 'No secret was written into the gateway’s state',
  line: 4,
  threat: 'credential leakage',
  severity: 'high',
  kind: 'static',
  remedy:
    'Replace the secret, then remove the file: OpenClaw keeps old configurations as .bak and .last-good.',
  refs: { seed: '5. Secrets Management' },
  async run(world) {
    ours(world)
    const { searched, left, found } = await world.leaksInState()
    if (found.length === 0 && left > 0) return unknown(`state/: ${searched} files searched, ${left} not`)
    return passIf(
      found.length === 0,
      `searched for every stored value in ${searched} files below state/ (but for the unpacked Control UI): ${found.length === 0 ? 'nowhere' : `in ${found.slice(0, 5).join(', ')}`}`,
    )
  },
  sabotage: { weaken: twin => twin.write('state/openclaw.json.bak', twin.token) },
}
