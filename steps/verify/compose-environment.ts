import { passIf, type VerifyCheck } from './check.ts'
import { credentialsIn } from './credentials.ts'

/** The seed’s own "DON'T do this". */
export const composeEnvironment: VerifyCheck = {
  id: 'compose.environment',
  title: 'docker-compose.yml gives the container no credential',
  line: 4,
  threat: 'credential leakage',
  severity: 'critical',
  kind: 'static',
  remedy: 'Remove it from environment and env_file, replace the value, and deliver it as a file.',
  refs: { seed: '5. Secrets Management' },
  async run(world) {
    const { environment, envFiles } = await world.service()
    const names = credentialsIn(environment, { empty: true })
    return passIf(
      names.length + envFiles.length === 0,
      `docker-compose.yml: ${Object.keys(environment).length} variables, ${names.length === 0 ? 'none a credential' : `credentials: ${names.join(', ')}`}${envFiles.length === 0 ? '' : `; and whatever is in ${envFiles.join(', ')}`}`,
    )
  },
  sabotage: { weaken: twin => twin.environment('OPENAI_API_KEY', 'sk-not-a-real-key-000000') },
}
