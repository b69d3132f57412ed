import { secretIdAge } from '../../steps/rotate/secret-id.ts'
import { TOKEN_DAYS } from '../../steps/verify/token-age.ts'
import { ToolError } from '../errors.ts'
import { GATEWAY_TOKEN } from '../gateway/policy.ts'
import type { JournalEvent } from '../procedure/journal.ts'
import { judgeSchedule, limitOf, type ScheduleVerdict } from '../schedule/judge.ts'
import { type ScheduleState, scheduleState } from '../schedule/schedule.ts'
import type { Session } from './program.ts'

const DAY = 86_400_000

/** What `status` says of rotating: for a person, for a machine, and what is due about it. */
export interface RotationStatus {
  rows: [name: string, value: string][]
  body: Record<string, unknown>
  due: string[]
  /** Whether there is something about the schedule that cannot be known. */
  isUnknown: boolean
}

/**
 * When the gateway token was rotated last, when it is due, and what has become of the schedule. `born` is when the present
 * token was made, `store` where it is. A schedule that cannot be looked at is told as such.
 */
export async function rotationStatus(
  { layout, searchingRun, journal }: Pick<Session, 'layout' | 'searchingRun' | 'journal'>,
  uid: number,
  { born, store, now }: { born: Date | undefined; store: string; now: Date },
): Promise<RotationStatus> {
  const rotated = lastRotation(journal.read())
  let state: ScheduleState | undefined
  let unseen: string | undefined
  try {
    state = await scheduleState(layout, { run: searchingRun, uid }, now)
  } catch (error) {
    if (!(error instanceof ToolError)) throw error
    unseen = error.message
  }
  const limit = state === undefined ? TOKEN_DAYS * DAY : limitOf(state.every)
  const dueAt = born === undefined ? undefined : new Date(born.getTime() + limit)
  const ages = {
    [GATEWAY_TOKEN]: born,
    ...(state?.secrets?.includes('store_credential') ? { store_credential: secretIdAge(layout) } : {}),
  }
  const judged = state && judgeSchedule(state, { now, store, born: ages })
  const unsure = judged?.unsure ?? []
  const last = rotated === undefined ? 'never since setup' : `last ${when(rotated)}`
  return {
    rows: [
      ['rotation', dueAt === undefined ? last : `${last}, due ${dueAt.toISOString().slice(0, 10)}`],
      ['schedule', unseen === undefined ? inWords(state, judged) : `cannot be looked at: ${unseen}`],
    ],
    body: {
      last: rotated?.toISOString(),
      due: dueAt?.toISOString(),
      schedule: state ?? null,
      ...(unseen === undefined ? {} : { unseen }),
    },
    due: [
      ...(judged?.wrong ?? []).map(
        what =>
          `a repair of the scheduled rotation: ${what} (create-openclaw-secure rotate --schedule ${state?.every})`,
      ),
      ...[...unsure, ...(unseen === undefined ? [] : [unseen])].map(
        what => `a look at the scheduled rotation: ${what}`,
      ),
    ],
    isUnknown: unseen !== undefined || unsure.length > 0,
  }
}

/** When the journal has the gateway token rotated last; undefined when it never was. */
export function lastRotation(events: readonly JournalEvent[]): Date | undefined {
  const found = events.findLast(
    ({ procedure, event, step }) =>
      procedure === `rotate ${GATEWAY_TOKEN}` && event === 'step-done' && step === 'rotate.commit',
  )
  return found === undefined ? undefined : new Date(found.at)
}

function inWords(state: ScheduleState | undefined, judged: ScheduleVerdict | undefined): string {
  if (state === undefined || judged === undefined)
    return 'none: rotated by hand (rotate --schedule monthly does it by itself)'
  const { every, kind, lastRun, lastResult, nextRun } = state
  const result = lastResult === undefined ? '' : ` (${lastResult})`
  return [
    `${every}, by ${kind}`,
    judged.wrong.length > 0 ? 'BROKEN' : judged.unsure.length > 0 ? 'not known to work' : 'enabled',
    lastRun === undefined ? 'has not run yet' : `last run ${when(lastRun)}${result}`,
    ...(nextRun === undefined ? [] : [`next run ${when(nextRun)}`]),
    ...judged.notes,
  ].join(', ')
}

function when(time: Date): string {
  return `${time.toISOString().slice(0, 16).replace('T', ' ')} UTC`
}
