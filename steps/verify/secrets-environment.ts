import { passIf, type VerifyCheck } from './check.ts'
import { credentialsIn } from './credentials.ts'

/** Every process of the container has it, docker inspect shows it, and docker commit keeps it. */
export const secretsEnvironment: VerifyCheck = {
  id: 'secrets.environment',
  title: 'The container’s environment holds no credential',
  line: 4,
  threat: 'credential leakage',
  severity: 'critical',
  kind: 'live',
  remedy: 'Remove it from environment and env_file, replace the value, and deliver it as a file.',
  refs: { seed: '5. Secrets Management' },
  async run(world) {
    const { Config } = await world.container()
    const names = credentialsIn(
      Object.fromEntries(
        (Config.Env ?? []).map(one => [one.split('=', 1)[0] ?? '', one.slice(one.indexOf('=') + 1)]),
      ),
    )
    return passIf(
      names.length === 0,
      `docker inspect: ${(Config.Env ?? []).length} variables, ${names.length === 0 ? 'none a credential' : `credentials: ${names.join(', ')}`}`,
    )
  },
  sabotage: { weaken: twin => twin.environment('OPENCLAW_GATEWAY_TOKEN', twin.token.fingerprint('leak')) },
}
