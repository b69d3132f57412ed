import { dirname } from 'node:path'
import { assumeOwnership, probeOwnership } from '../../src/deployment/owner.ts'
import { lookAt } from '../../src/deployment/files.ts'
import type { Step } from '../../src/procedure/step.ts'
import { must, type SetupContext } from './context.ts'

/** OpenClaw refuses a secret that its own user does not own; which user that is, outside, only the engine knows. */
export const findOwner: Step<Pick<SetupContext, 'docker' | 'layout' | 'person' | 'launch' | 'found'>> = {
  id: 'owner.probe',
  title: 'Find out how the engine maps users',
  effect: 'reads',
  async run({ docker, layout, person, launch, found }) {
    const image = must(found, 'image').pinned
    const near = nearestFolder(layout.root)
    found.ownership = launch ? await probeOwnership(docker, image, person, near) : assumeOwnership(person)
    const { user, host, by } = found.ownership
    const how = by === 'same' ? 'that is you' : `user ${host.uid} of this machine`
    return { saw: `the gateway runs as ${user.uid}:${user.gid}, ${how}` }
  },
}

function nearestFolder(path: string): string {
  let folder = path
  while (lookAt(folder)?.isDirectory() !== true) folder = dirname(folder)
  return folder
}
