import { INSIDE } from '../../src/deployment/layout.ts'
import { secretFileName, secretNamesOf } from '../../src/gateway/policy.ts'
import { Secret } from '../../src/secret.ts'
import { ours, passIf, type VerifyCheck } from './check.ts'
import { at } from './tree.ts'

/** Two truths are none: a value that only the gateway knows cannot be given to anybody, nor one that only the store knows. */
export const storeCurrent: VerifyCheck = {
  id: 'store.current',
  title: 'The gateway reads exactly what the store says is current',
  line: 4,
  threat: 'credential leakage',
  severity: 'high',
  kind: 'static',
  remedy: 'Run create-openclaw-secure . again: it delivers what the store has.',
  refs: { seed: '5. Secrets Management' },
  async run(world) {
    const policy = await world.policy()
    const wrong: string[] = []
    const names = secretNamesOf(ours(world))
    for (const name of names) {
      const current = (await world.stored(name))?.current
      const named = at(policy, 'secrets', 'providers', name, 'path')
      const file = current && secretFileName({ name, rotationId: current.rotationId })
      const path = `${world.layout.secrets}/${file}`
      if (current === undefined) wrong.push(`${name}: not in the store`)
      else if (named !== `${INSIDE.secrets}/${file}`) wrong.push(`${name}: openclaw.json names another value`)
      else if (world.file(path) === undefined) wrong.push(`${name}: not delivered`)
      else if (!current.value.equals(new Secret(await world.text(path))))
        wrong.push(`${name}: what was delivered has other bytes`)
    }
    return passIf(
      wrong.length === 0,
      wrong.length === 0 ? `${names.length} compared with the store: ${names.join(', ')}` : wrong.join('; '),
    )
  },
  sabotage: {
    weaken: twin =>
      twin.policy(['secrets', 'providers', 'gateway_token', 'path'], '/run/secrets/gateway_token.0'),
  },
}
