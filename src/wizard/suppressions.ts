import type { Problem } from '../errors.ts'
import type { Suppression } from '../procedure/step.ts'

const ALLOWED =
  'a list of {check: "its.id", reason: "at least ten characters", until: "YYYY-MM-DD"}; nothing is accepted forever'

/** Reads `suppress` of a `deployment.yaml`: failures that somebody accepts, each with a reason and a last day. */
export function readSuppressions(
  data: unknown,
  field: string,
): { suppressions: Suppression[]; problems: Problem[] } {
  if (data === null || data === undefined) return { suppressions: [], problems: [] }
  if (!Array.isArray(data))
    return { suppressions: [], problems: [{ field, given: `a ${typeof data}`, allowed: ALLOWED }] }
  const suppressions: Suppression[] = []
  const problems: Problem[] = []
  for (const [index, entry] of data.entries()) {
    const wrong = whatIsWrong(entry)
    if (wrong === undefined) suppressions.push(entry)
    else
      problems.push({
        field: `${field}, entry ${index + 1}`,
        given: `${wrong.key}: ${JSON.stringify(wrong.value) ?? 'nothing'}`,
        allowed: wrong.allowed,
      })
  }
  return { suppressions, problems }
}

function whatIsWrong(entry: unknown): { key: string; value: unknown; allowed: string } | undefined {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry))
    return { key: 'entry', value: entry, allowed: ALLOWED }
  const { check, reason, until, ...others }: Record<string, unknown> = { ...entry }
  const [surplus] = Object.keys(others)
  if (surplus !== undefined)
    return { key: surplus, value: others[surplus], allowed: 'check, reason and until' }
  if (typeof check !== 'string' || !/^[a-z]+\.[a-z-]+$/.test(check))
    return { key: 'check', value: check, allowed: 'the id of one check, as verify shows it; no pattern' }
  if (typeof reason !== 'string' || !/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]{10,300}$/u.test(reason.trim()))
    return { key: 'reason', value: reason, allowed: 'one line of 10 to 300 characters' }
  if (typeof until !== 'string' || !isDay(until))
    return { key: 'until', value: until, allowed: 'the last day it holds, as "YYYY-MM-DD"' }
  return undefined
}

function isDay(text: string): boolean {
  const date = new Date(`${text}T00:00:00Z`)
  return (
    /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text)
  )
}
