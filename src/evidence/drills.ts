import { resolve } from 'node:path'
import * as z from 'zod'
import { readIfPresent, writeAtomic } from '../deployment/files.ts'
import type { Layout } from '../deployment/layout.ts'
import { ToolError } from '../errors.ts'
import { parseJson } from '../json.ts'

const Drill = z.strictObject({
  /** When it ended. */
  at: z.iso.datetime(),
  /** What the runbook did then, as {@link deedsOf} says it. */
  deeds: z.string(),
  /** Whether it came to its end, and all that was planted was caught. */
  ok: z.boolean(),
  seconds: z.number().nonnegative(),
  /** What was planted and not caught, in words. A step that took too long is in the report, and fails no drill. */
  missed: z.array(z.string()),
  /** What was planted and no step of the runbook looks for, in words. */
  unsought: z.optional(z.array(z.string())),
})
export type Drill = z.infer<typeof Drill>

const Drills = z.record(z.string(), Drill)

/** Where the drills say how they ended. */
export function drillsPath({ own }: Pick<Layout, 'own'>): string {
  return resolve(own, 'drills.json')
}

/** The last drill of each runbook, by the runbook's id, from the text of that file. Errors: `drills_unreadable`. */
export function parseDrills(text: string, path: string): ReadonlyMap<string, Drill> {
  const { success, data } = Drills.safeParse(parseJson(text))
  if (success) return new Map(Object.entries(data))
  throw new ToolError(
    'drills_unreadable',
    `${path} does not say how the drills ended`,
    'Remove the file, and drill each runbook again: create-openclaw-secure incident RUNBOOK --drill.',
  )
}

/** The last drill of each runbook, by the runbook's id; none where none was ever made. Errors: `drills_unreadable`. */
export function readDrills(layout: Pick<Layout, 'own'>): ReadonlyMap<string, Drill> {
  const path = drillsPath(layout)
  const text = readIfPresent(path)
  return text === undefined ? new Map() : parseDrills(text, path)
}

/** Says how a drill of a runbook ended, in place of the one before. Errors: `drills_unreadable`, those of writing. */
export function recordDrill(layout: Pick<Layout, 'own'>, runbook: string, drill: Drill): void {
  const drills = { ...Object.fromEntries(readDrills(layout)), [runbook]: Drill.parse(drill) }
  writeAtomic(drillsPath(layout), `${JSON.stringify(drills)}\n`, 0o600)
}
