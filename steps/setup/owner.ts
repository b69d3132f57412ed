import { dirname } from 'node:path'
import { lookAt } from '../../src/deployment/files.ts'
import { assumeOwnership, type Ownership, probeOwnership } from '../../src/deployment/owner.ts'
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
  effect: 'reads',
  async run({ docker, layout, person, launch, journal, found }) {
    const engine = launch ? (await docker.info()).ID : 'none'
    const known = recorded(journal.read(), engine, person.uid)
    found.engine = engine
    found.ownership =
      known ??
      (launch
        ? await probeOwnership(docker, must(found, 'image').pinned, person, nearestFolder(layout.root))
        : assumeOwnership(person))
    const { user, host, by } = found.ownership
    const how = by === 'same' ? 'that is you' : `user ${host.uid} of this machine`
    return {
      saw: `the gateway runs as ${user.uid}:${user.gid}, ${how}${known === undefined ? '' : ' (found before)'}`,
    }
  },
}

/** The facts that folder.create writes into the journal, and {@link recorded} reads back. */
export function ownershipFacts(ownership: Ownership, engine: string, person: number): Record<string, string> {
  const { user, host, by } = ownership
  return { engine, person: String(person), owner: [user.uid, user.gid, host.uid, host.gid, by].join(' ') }
}

function recorded(
  events: ReturnType<SetupContext['journal']['read']>,
  engine: string,
  person: number,
): Ownership | undefined {
  if (engine === 'none') return undefined
  const facts = events.findLast(event => event.event === 'step-done' && event.step === 'folder.create')?.facts
  if (facts?.engine !== engine || facts.person !== String(person)) return undefined
  const match = /^(\d+) (\d+) (\d+) (\d+) (same|chown)$/.exec(String(facts.owner))
  if (match === null) return undefined
  const [uid, gid, hostUid, hostGid] = match.slice(1, 5).map(Number)
  if (uid === undefined || gid === undefined || hostUid === undefined || hostGid === undefined)
    return undefined
  return {
    user: { uid, gid },
    host: { uid: hostUid, gid: hostGid },
    by: match[5] === 'same' ? 'same' : 'chown',
  }
}

function nearestFolder(path: string): string {
  let folder = path
  while (lookAt(folder)?.isDirectory() !== true) folder = dirname(folder)
  return folder
}
