import { ToolError } from '../../src/errors.ts'
import { judgeSchedule } from '../../src/schedule/judge.ts'
import { bornAt } from '../../src/stores/store.ts'
import { secretIdAge } from '../rotate/secret-id.ts'
import { ours, skip, type VerifyCheck } from './check.ts'
import type { World } from './world.ts'

/** Nobody remembers a date every month. A timer does, if it is there and what it starts works. */
export const rotateScheduled: VerifyCheck = {
  id: 'rotate.scheduled',
  title: 'The rotation that was scheduled is there, runs, and works',
  line: 1,
  threat: 'credential leakage',
  severity: 'medium',
  kind: 'static',
  remedy:
    'Schedule it again, which repairs it: create-openclaw-secure rotate --schedule monthly. See why a run failed: journalctl --unit create-openclaw-secure-rotate-NAME (with --user, where it is a user’s), or .secure/schedule.log.',
  refs: { seed: '1. Gateway Authentication' },
  later: true,
  async run(world) {
    const { store } = ours(world)
    const state = await world.schedule()
    if (state === undefined)
      return skip('none was asked for: secrets are rotated by hand, and token.age says when it is due')
    const { unit, every, lastRun, nextRun } = state
    const { born, unseen } = await agesOf(world, state.secrets ?? [])
    const { wrong, unsure, notes } = judgeSchedule(state, { now: world.now, store, born })
    const unknown = [...unseen, ...unsure]
    const last = lastRun === undefined ? 'has not run yet' : `ran ${lastRun.toISOString()}`
    const next = nextRun === undefined ? '' : `, next ${nextRun.toISOString()}`
    const seen =
      wrong.length > 0
        ? wrong.join('; ')
        : unknown.length > 0
          ? `not known: ${unknown.join('; ')}`
          : `enabled, active, ${last}${next}`
    return {
      verdict: wrong.length > 0 ? 'fail' : unknown.length > 0 ? 'unknown' : 'pass',
      evidence: `${unit}, ${every}: ${[seen, ...notes].join('; ')}`,
    }
  },
  sabotage: {
    weaken: twin =>
      twin.write(
        '.secure/schedule.json',
        JSON.stringify({
          ...{ version: 1, every: 'monthly', kind: 'systemd', scope: 'system' },
          ...{
            uid: process.getuid?.() ?? 0,
            unit: `create-openclaw-secure-rotate-${twin.answers.name}.timer`,
            root: twin.root,
          },
          files: [{ path: '/etc/systemd/system/nobody-has-written-this.timer', sha256: '0'.repeat(64) }],
          ...{ command: [], tool: { version: '0.0.0', hash: '0'.repeat(64) }, trusted: [] },
          ...{ store: twin.answers.store, since: '2020-01-01T00:00:00.000Z' },
        }),
        0o600,
      ),
  },
}

/** When each secret was made, and of which that cannot be seen. */
async function agesOf(
  { layout, stored }: Pick<World, 'layout' | 'stored'>,
  names: readonly string[],
): Promise<{ born: Record<string, Date | undefined>; unseen: string[] }> {
  const born: Record<string, Date | undefined> = {}
  const unseen: string[] = []
  for (const name of names) {
    try {
      if (name === 'store_credential') born[name] = secretIdAge(layout)
      else {
        const id = (await stored(name))?.current?.rotationId
        born[name] = id === undefined ? undefined : bornAt(id)
      }
    } catch (error) {
      if (!(error instanceof ToolError)) throw error
      unseen.push(`how old ${name} is: ${error.message}`)
    }
  }
  return { born, unseen }
}
