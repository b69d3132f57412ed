import { secretNamesOf } from '../../src/gateway/policy.ts'
import { ours, passIf, type VerifyCheck } from './check.ts'

/** A token that was replaced and still lies there is one that still leaks. */
export const secretsStray: VerifyCheck = {
  id: 'secrets.stray',
  title: 'Nothing lies among the secrets that the store does not know',
  line: 4,
  threat: 'credential leakage',
  severity: 'medium',
  kind: 'static',
  remedy: 'Find out what it is and who put it there; then remove it.',
  refs: { seed: '5. Secrets Management' },
  async run(world) {
    const names = secretNamesOf(ours(world))
    const known = new Set<string>()
    for (const name of names) {
      const stored = await world.stored(name)
      for (const value of [stored?.current, stored?.pending, stored?.previous])
        if (value !== undefined) known.add(`${name}.${value.rotationId}`)
    }
    const files = world.names(world.layout.secrets)
    const strays = files.filter(file => !known.has(file))
    return passIf(
      known.size > 0 && strays.length === 0,
      `secrets/: ${files.length} files, ${strays.length === 0 ? 'each named by the store' : `unknown to the store: ${strays.slice(0, 5).join(', ')}`}`,
    )
  },
  sabotage: { weaken: twin => twin.write('secrets/old_token.txt', twin.token, 0o400) },
}
