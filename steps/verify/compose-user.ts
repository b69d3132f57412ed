import type { JournalEvent } from '../../src/procedure/journal.ts'
import { passIf, type VerifyCheck } from './check.ts'

/** Never root, whatever the image says. */
export const composeUser: VerifyCheck = {
  id: 'compose.user',
  title: 'docker-compose.yml names a user who is not root',
  line: 3,
  threat: 'privilege escalation',
  severity: 'critical',
  kind: 'static',
  remedy: 'Set user: "1000:1000" in docker-compose.yml, or run create-openclaw-secure . again.',
  refs: { seed: 'Container Security Options', cis: '4.1' },
  async run(world) {
    const { user } = await world.service()
    // In a rootless engine user 0 inside is the person who runs it; setup found that out and wrote it down.
    const rootless = world.own !== undefined && mapsToPerson(world.journal())
    const root = user === undefined || /^(0+|root)(:|$)/.test(user)
    return passIf(
      !root || (rootless && user !== undefined),
      `docker-compose.yml: user ${user ?? '(whatever the image says)'}`,
    )
  },
  sabotage: { weaken: twin => twin.service({ user: '0:0' }) },
}

/** Whether user 0 of the container is an ordinary user of this machine (`owner.probe`). */
function mapsToPerson(events: readonly JournalEvent[]): boolean {
  const facts = events.findLast(event => event.event === 'step-done' && event.step === 'owner.probe')?.facts
  return facts !== undefined && facts.uid === 0 && facts.by === 'same' && facts.person !== 0
}
