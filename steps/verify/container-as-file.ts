import { SERVICE } from '../../src/docker/compose.ts'
import type { ContainerFacts } from '../../src/docker/engine.ts'
import { passIf, unknown, type VerifyCheck } from './check.ts'
import { companionsOf } from './companions-hardened.ts'

/** Somebody may have started another one in its place, or edited the file since. */
export const containerAsFile: VerifyCheck = {
  id: 'container.as-file',
  title: 'Every container is the one the file describes',
  line: 3,
  threat: 'privilege escalation',
  severity: 'high',
  kind: 'live',
  remedy: 'Run create-openclaw-secure . again: it makes the containers anew.',
  refs: { seed: 'Docker Security Hardening' },
  async run(world) {
    const planned = await world.plannedHashes()
    const running = [await world.container(), ...(await companionsOf(world))]
    if (!planned.has(SERVICE)) return unknown('Compose could not read docker-compose.yml')
    const seen = running.map(container => {
      const name = label(container, 'service')
      const [file, engine] = [planned.get(name), label(container, 'config-hash')]
      return {
        same: file === engine,
        text: `${name} ${(file ?? 'none').slice(0, 12)}… / ${engine.slice(0, 12)}…`,
      }
    })
    return passIf(
      seen.every(one => one.same),
      `docker compose config --hash / the container’s label: ${seen.map(one => one.text).join(', ')}`,
    )
  },
  sabotage: { spoil: twin => twin.service({ image: `sha256:${'0'.repeat(64)}` }) },
}

function label({ Config }: ContainerFacts, name: string): string {
  return Config.Labels?.[`com.docker.compose.${name}`] ?? 'none'
}
