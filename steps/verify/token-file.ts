import { INSIDE } from '../../src/deployment/layout.ts'
import type { Check } from '../../src/procedure/step.ts'
import { passIf } from './judge.ts'
import { at, record, type World } from './world.ts'

/** OpenClaw refuses anything laxer at its next start; until then it would run on. */
export const tokenFile: Check<World> = {
  id: 'token.file',
  title: 'Every secret file is 0400, owned by the gateway’s user, with one link',
  line: 4,
  threat: 'credential leakage',
  severity: 'critical',
  remedy: 'Run create-openclaw-secure . again: it delivers the files anew. Find out who changed them.',
  refs: { seed: '5. Secrets Management', openclaw: 'SecretRef file provider' },
  bySetup: true,
  async run(world) {
    const providers = Object.values(record(at(await world.policy(), 'secrets', 'providers')))
    const paths = providers
      .map(provider => String(at(provider, 'path') ?? ''))
      .filter(path => path.startsWith(`${INSIDE.secrets}/`))
    const seen = paths.map(path => {
      const name = path.slice(INSIDE.secrets.length + 1)
      const file = world.file(`${world.layout.secrets}/${name}`)
      const good = file?.kind === 'file' && file.links === 1 && file.mode === 0o400
      return {
        good,
        text: `${name}: ${file === undefined ? 'not there' : `${file.kind}, 0${file.mode.toString(8)}, user ${file.uid}, ${file.links} link`}`,
        uid: file?.uid,
      }
    })
    const folder = world.file(world.layout.secrets)
    const owners = new Set(seen.map(file => file.uid))
    const good =
      seen.length > 0 &&
      seen.every(file => file.good) &&
      owners.size === 1 &&
      folder?.mode === 0o700 &&
      owners.has(folder.uid)
    return passIf(
      good,
      `${seen.map(file => file.text).join('; ')}; the folder 0${folder?.mode.toString(8) ?? '?'}`,
    )
  },
  sabotage: world => ({
    ...world,
    file: path => ({ uid: 0, links: 1, ...world.file(path), kind: 'file', mode: 0o444 }),
  }),
}
