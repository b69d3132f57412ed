import { resolve } from 'node:path'
import { passIf, unknown, type VerifyCheck } from './check.ts'

/** Searched by the known values, so that no pattern can miss them. */
export const secretsHidden: VerifyCheck = {
  id: 'secrets.hidden',
  title: 'No secret shows anywhere: inspect, environment, arguments, logs, files',
  line: 4,
  threat: 'credential leakage',
  severity: 'critical',
  kind: 'live',
  remedy: 'Replace it at once, then remove it from there.',
  refs: { seed: '5. Secrets Management', cis: '4.10' },
  async run(world) {
    const secrets = [...(await world.secrets()).values()]
    if (secrets.length === 0) return unknown('there is no secret to search for')
    const holds = (text: string) => secrets.some(secret => secret.isIn(text))
    const { raw } = await world.container()
    const [proc, logs] = await Promise.all([world.searchProc(), world.logs()])
    const files = [
      'docker-compose.yml',
      'config/openclaw.json',
      'deployment.yaml',
      'README.md',
      '.secure/journal.jsonl',
      '.env',
    ].filter(file => world.file(resolve(world.layout.root, file)) !== undefined)
    const texts = await Promise.all(files.map(file => world.text(resolve(world.layout.root, file))))
    const found = [
      holds(raw) && 'docker inspect',
      holds(logs) && 'docker logs',
      proc.environ > 0 && 'a process’s environment',
      proc.cmdline > 0 && 'a process’s arguments',
      ...files.map((file, index) => holds(texts[index] ?? '') && file),
    ].filter(place => place !== false)
    if (proc.searched === 0 && found.length === 0) return unknown('no process of the container could be read')
    return passIf(
      found.length === 0,
      `searched for the values of ${secrets.length} secrets in docker inspect, the last 5000 log lines, ${proc.searched} processes and ${files.length} files: ${found.length === 0 ? 'nowhere' : `in ${found.join(', ')}`}`,
    )
  },
  sabotage: {
    weaken: twin => twin.startWith('cat /run/secrets/gateway_token.*; echo;'),
  },
}
