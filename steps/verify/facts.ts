import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import type { World } from './world.ts'

const FILES = ['deployment.yaml', 'docker-compose.yml', 'config/openclaw.json', 'seccomp-profile.json']

/**
 * What a run looked at, so that the next one can say what is another thing now. What cannot be seen is left out.
 * `live` says whether the engine is asked.
 */
export async function factsOf(world: World, live: boolean): Promise<Record<string, string>> {
  const looks: [name: string, look: () => Promise<string>][] = FILES.map(file => [
    file,
    async () =>
      createHash('sha256')
        .update(await world.text(resolve(world.layout.root, file)))
        .digest('hex')
        .slice(0, 12),
  ])
  if (live)
    looks.push(
      ['image', async () => (await world.container()).Image.slice(0, 19)],
      ['container', async () => (await world.container()).Id.slice(0, 12)],
      ['started', async () => `${(await world.container()).State.StartedAt.slice(0, 19)}Z`],
      ['engine', async () => (await world.engine()).ServerVersion],
    )
  const seen = await Promise.all(
    looks.map(([name, look]) =>
      look().then(
        value => [name, value] as const,
        () => undefined,
      ),
    ),
  )
  return Object.fromEntries(seen.filter(one => one !== undefined))
}
