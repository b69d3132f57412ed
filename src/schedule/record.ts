import { resolve } from 'node:path'
import * as z from 'zod'
import { readIfPresent, writeAtomic } from '../deployment/files.ts'
import type { Layout } from '../deployment/layout.ts'
import { Exit, ToolError } from '../errors.ts'
import { parseJson } from '../json.ts'

const Run = z.strictObject({
  version: z.literal(1),
  start: z.iso.datetime(),
  /** Both are missing while it runs, and of a run that was killed. */
  end: z.optional(z.iso.datetime()),
  exit: z.optional(z.int()),
})

/** A run that a scheduler has started. */
export interface RecordedRun {
  start: Date
  /** undefined: it has not come to its end. */
  exit: number | undefined
}

/** Where the run itself keeps what became of it: schedulers forget it with every boot, and cron has never known. */
export function recordPath({ own }: Pick<Layout, 'own'>): string {
  return resolve(own, 'schedule-run.json')
}

/** The last run, or undefined when there was none. Errors: `schedule_unknown`. */
export function recordedRun(layout: Pick<Layout, 'own'>): RecordedRun | undefined {
  const path = recordPath(layout)
  const text = readIfPresent(path)
  if (text === undefined) return undefined
  const { success, data } = Run.safeParse(parseJson(text))
  if (success) return { start: new Date(data.start), exit: data.exit }
  throw new ToolError(
    'schedule_unknown',
    `${path} does not say what became of the last run`,
    'The next run writes it anew.',
    Exit.unknown,
  )
}

/** Says that a run has begun or, with how it ended, that it has ended. Errors: those of writing. */
export function writeRun(
  layout: Pick<Layout, 'own'>,
  start: Date,
  ended?: { end: Date; exit: number },
): void {
  const more = ended === undefined ? {} : { end: ended.end.toISOString(), exit: ended.exit }
  const text = JSON.stringify({ version: 1, start: start.toISOString(), ...more })
  writeAtomic(recordPath(layout), `${text}\n`, 0o600)
}
