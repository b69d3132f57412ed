import { assumeOwnership, type Ownership, probeOwnership } from '../../src/deployment/owner.ts'
import { confinementOf } from '../../src/docker/confinement.ts'
import type { JournalEvent } from '../../src/procedure/journal.ts'
import type { Step } from '../../src/procedure/step.ts'
import { must, type SetupContext } from './context.ts'

type Needs = Pick<SetupContext, 'docker' | 'layout' | 'person' | 'launch' | 'journal' | 'found'>

/**
 * OpenClaw refuses a secret that its own user does not own; which user that is, outside, only the engine knows. What
 * was found on this engine before holds: an engine that maps users differently has another identity.
 */
export const findOwner: Step<Needs> = {
  id: 'owner.probe',
  title: 'Find out how the engine maps users',
  // It leaves nothing behind, but a killed one does, and what it finds is worth remembering.
  effect: 'writes',
  async skip({ docker, person, launch, journal, found }) {
    const info = launch ? await docker.info() : undefined
    const ID = info?.ID ?? ''
    found.isLabelled = info !== undefined && confinementOf(info) === 'selinux'
    const known = launch ? recordedOwnership(journal.read(), ID, person.uid) : assumeOwnership(person)
    if (known === undefined) return undefined
    found.ownership = known
    return `${describe(known)}${launch ? ', as found before' : ''}`
  },
  async run({ docker, layout, person, found }) {
    const { ID } = await docker.info()
    const ownership = await probeOwnership(docker, must(found, 'image').pinned, person, layout.own)
    found.ownership = ownership
    const { user, host, by } = ownership
    return {
      saw: describe(ownership),
      facts: {
        engine: ID,
        person: person.uid,
        uid: user.uid,
        gid: user.gid,
        hostUid: host.uid,
        hostGid: host.gid,
        by,
      },
    }
  },
}

/** What the journal remembers of this engine and person; undefined when nothing was found yet. */
export function recordedOwnership(
  events: readonly JournalEvent[],
  engine: string,
  person: number,
): Ownership | undefined {
  const facts = events.findLast(event => event.event === 'step-done' && event.step === findOwner.id)?.facts
  if (facts === undefined || facts.engine !== engine || facts.person !== person) return undefined
  const { uid, gid, hostUid, hostGid, by } = facts
  if (
    typeof uid !== 'number' ||
    typeof gid !== 'number' ||
    typeof hostUid !== 'number' ||
    typeof hostGid !== 'number'
  )
    return undefined
  return { user: { uid, gid }, host: { uid: hostUid, gid: hostGid }, by: by === 'same' ? 'same' : 'chown' }
}

function describe({ user, host, by }: Ownership): string {
  return `the gateway runs as ${user.uid}:${user.gid}, ${by === 'same' ? 'that is you' : `user ${host.uid} of this machine`}`
}
