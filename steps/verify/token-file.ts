import { INSIDE } from '../../src/deployment/layout.ts'
import { passIf, type VerifyCheck } from './check.ts'
import { at, record } from './tree.ts'

/** OpenClaw refuses anything laxer at its next start; until then it would run on. */
export const tokenFile: VerifyCheck = {
  id: 'token.file',
  title: 'Every secret file is 0400, owned by the gateway’s user, with one link',
  line: 4,
  threat: 'credential leakage',
  severity: 'critical',
  kind: 'static',
  remedy: 'Run create-openclaw-secure . again: it delivers the files anew. Find out who changed them.',
  refs: { seed: '5. Secrets Management', openclaw: 'SecretRef file provider' },
  async run(world) {
    const { secrets } = world.layout
    const providers = Object.values(record(at(await world.policy(), 'secrets', 'providers')))
    const paths = providers.map(provider => String(at(provider, 'path') ?? ''))
    const named = paths
      .filter(path => path.startsWith(`${INSIDE.secrets}/`))
      .map(path => path.slice(INSIDE.secrets.length + 1))
    if (world.own === undefined && named.length === 0)
      return passIf(false, 'openclaw.json: no secret is delivered as a file')
    // What lies there unnamed is just as readable for the container.
    const names = [...new Set([...named, ...world.names(secrets)])].sort()
    const folder = world.file(secrets)
    const seen = names.map(name => {
      const file = world.file(`${secrets}/${name}`)
      const good =
        file?.kind === 'file' && file.links === 1 && file.mode === 0o400 && file.uid === folder?.uid
      const what =
        file === undefined
          ? 'not there'
          : `${file.kind}, 0${file.mode.toString(8)}, user ${file.uid}, ${file.links} link`
      return { good, text: `${name}: ${what}` }
    })
    const good = named.length > 0 && seen.every(file => file.good) && folder?.mode === 0o700
    return passIf(
      good,
      `${seen.map(file => file.text).join('; ')}; the folder 0${folder?.mode.toString(8) ?? '?'}, user ${folder?.uid ?? '?'}`,
    )
  },
  sabotage: {
    weaken(twin) {
      for (const file of twin.secretFiles()) twin.chmod(file, 0o444)
    },
  },
}
