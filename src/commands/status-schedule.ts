import { TOKEN_DAYS } from '../../steps/verify/token-age.ts'
import { ToolError } from '../errors.ts'
import { GATEWAY_TOKEN } from '../gateway/policy.ts'
import type { JournalEvent } from '../procedure/journal.ts'
import { type ScheduleState, scheduleState } from '../schedule/schedule.ts'
import type { Session } from './program.ts'

const DAY = 86_400_000

/** What `status` says of rotating: for a person, for a machine, and what is due about it. */
export interface RotationStatus {
  rows: [name: string, value: string][]
  body: Record<string, unknown>
  due: string[]
}

/**
 * When the gateway token was rotated last, when it is due, and what has become of the schedule. `born` is when the present
 * token was made. A schedule that cannot be looked at is told as such.
 */
export async function rotationStatus(
  { layout, searchingRun, journal }: Pick<Session, 'layout' | 'searchingRun' | 'journal'>,
  uid: number,
  born: Date | undefined,
  now: Date,
): Promise<RotationStatus> {
  const rotated = lastRotation(journal.read())
  const dueAt = born === undefined ? undefined : new Date(born.getTime() + TOKEN_DAYS * DAY)
  let state: ScheduleState | undefined
  let unseen: string | undefined
  try {
    state = await scheduleState(layout, { run: searchingRun, uid }, now)
  } catch (error) {
    if (!(error instanceof ToolError)) throw error
    unseen = error.message
  }
  const trouble = state === undefined ? [] : troubleWith(state)
  const last = rotated === undefined ? 'never since setup' : `last ${when(rotated)}`
  return {
    rows: [
      ['rotation', dueAt === undefined ? last : `${last}, due ${dueAt.toISOString().slice(0, 10)}`],
      ['schedule', unseen === undefined ? inWords(state, trouble) : `cannot be looked at: ${unseen}`],
    ],
    body: {
      last: rotated?.toISOString(),
      due: dueAt?.toISOString(),
      schedule: state ?? null,
      ...(unseen === undefined ? {} : { unseen }),
    },
    due: [
      ...trouble.map(
        what =>
          `a repair of the scheduled rotation: ${what} (create-openclaw-secure rotate --schedule ${state?.every})`,
      ),
      ...(unseen === undefined ? [] : [`a look at the scheduled rotation: ${unseen}`]),
    ],
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

function troubleWith({ isInstalled, missing, isEnabled, isActive, lastResult }: ScheduleState): string[] {
  if (!isInstalled) return [`${missing.join(', ')} is not as it was written`]
  return [
    ...(isEnabled ? [] : ['it is not enabled']),
    ...(isActive ? [] : ['it is not active']),
    ...(lastResult === undefined || lastResult === 'success'
      ? []
      : [`its last run ended with ${lastResult}`]),
  ]
}

function inWords(state: ScheduleState | undefined, trouble: readonly string[]): string {
  if (state === undefined) return 'none: rotated by hand (rotate --schedule monthly does it by itself)'
  const { every, kind, lastRun, lastResult, nextRun } = state
  const result = lastResult === undefined ? '' : ` (${lastResult})`
  return [
    `${every}, by ${kind}`,
    ...(trouble.length === 0 ? ['enabled'] : ['BROKEN']),
    lastRun === undefined ? 'has not run yet' : `last run ${when(lastRun)}${result}`,
    ...(nextRun === undefined ? [] : [`next run ${when(nextRun)}`]),
  ].join(', ')
}

function when(time: Date): string {
  return `${time.toISOString().slice(0, 16).replace('T', ' ')} UTC`
}
