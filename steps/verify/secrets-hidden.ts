import type { Check } from '../../src/procedure/step.ts'
import { passIf, unknown } from './judge.ts'
import { inDeployment, type World } from './world.ts'

/** Searched by the known value, so that no pattern can miss it. */
export const secretsHidden: Check<World> = {
  id: 'secrets.hidden',
  title: 'The token shows nowhere: inspect, environment, arguments, logs, files',
  line: 4,
  threat: 'credential leakage',
  severity: 'critical',
  remedy: 'Replace the token at once, then remove it from there.',
  refs: { seed: '5. Secrets Management', cis: '4.10' },
  bySetup: true,
  async run(world) {
    const token = (await world.token()).expose()
    const { raw } = await world.container()
    const [proc, logs] = await Promise.all([world.searchProc(), world.logs()])
    const files = [
      'docker-compose.yml',
      'config/openclaw.json',
      'deployment.yaml',
      'README.md',
      '.secure/journal.jsonl',
    ]
    const texts = await Promise.all(files.map(file => world.text(inDeployment(world, file))))
    const found = [
      raw.includes(token) && 'docker inspect',
      logs.includes(token) && 'docker logs',
      proc.environ > 0 && 'a process’s environment',
      proc.cmdline > 0 && 'a process’s arguments',
      ...files.map((file, index) => texts[index]?.includes(token) === true && file),
    ].filter(place => place !== false)
    if (proc.searched === 0 && found.length === 0) return unknown('no process of the container could be read')
    return passIf(
      found.length === 0,
      `searched for its value in docker inspect, the last 5000 log lines, ${proc.searched} processes and ${files.length} files: ${found.length === 0 ? 'nowhere' : `in ${found.join(', ')}`}`,
    )
  },
  sabotage: world => ({ ...world, logs: async () => `token=${(await world.token()).expose()}` }),
}
