import { OLDEST } from './port.ts'
import type { ScheduleState } from './schedule.ts'

const DAY = 86_400_000
const HOUR = 3_600_000

/** A daily run that is missed is made up for; two in a row are not explained by a machine that was off for a night. */
const OVERDUE = 49 * HOUR
/** So much later than its limit a secret has been left out by several runs. */
const GRACE = 2 * DAY

/** What else is known of the deployment. */
export interface ScheduleFacts {
  now: Date
  /** Where the secrets are now. */
  store: string
  /** When each secret that is rotated was made; undefined where nobody knows. */
  born: Readonly<Record<string, Date | undefined>>
}

/** What a schedule is judged by. */
export interface ScheduleVerdict {
  wrong: string[]
  /** What cannot be known. */
  unsure: string[]
  /** What is neither, and good to know. */
  notes: string[]
}

/** How old a scheduled secret may become, in milliseconds. */
export function limitOf(every: ScheduleState['every']): number {
  return Number.parseInt(OLDEST[every], 10) * DAY
}

/** Whether the schedule is there, runs, and does what it is for. */
export function judgeSchedule(state: ScheduleState, { now, store, born }: ScheduleFacts): ScheduleVerdict {
  const { every, isInstalled, isEnabled, isActive, lastRun, lastResult, missing } = state
  const since = new Date(state.since)
  const latest = lastRun !== undefined && lastRun > since ? lastRun : since
  const isLate = now.getTime() - latest.getTime() > OVERDUE
  const neglected = Object.entries(born).filter(([, date]) => {
    if (date === undefined) return false
    // A secret that was too old already when the schedule was made is due from then on.
    const due = Math.max(date.getTime() + limitOf(every), since.getTime())
    return now.getTime() - due > GRACE
  })
  return {
    wrong: [
      ...(isInstalled ? [] : [`not there as it was written: ${missing.join(', ')}`]),
      ...(isEnabled !== false || !isInstalled ? [] : ['not enabled']),
      ...(isActive !== false || !isInstalled ? [] : ['not active']),
      ...(state.store === store
        ? []
        : [`made for the store ${state.store}, and the secrets are in ${store}`]),
      ...(state.wrong ?? []),
      ...(lastResult === undefined || lastResult === 'success'
        ? []
        : [`the last run${lastRun === undefined ? '' : ` (${lastRun.toISOString()})`}: ${lastResult}`]),
      ...(isLate ? [`it has not run since ${latest.toISOString()}`] : []),
      ...neglected.map(
        ([name, date]) => `${name} is of ${date?.toISOString().slice(0, 10)}, and has not been rotated`,
      ),
    ],
    unsure: [...(isEnabled === undefined ? ['whether it is enabled'] : []), ...(state.unsure ?? [])],
    notes: state.notes ?? [],
  }
}
