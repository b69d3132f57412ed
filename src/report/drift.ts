import { parseJson } from '../json.ts'
import type { Finding, Verdict } from '../procedure/step.ts'
import type { Drift } from './report.ts'

/** What a run leaves for the next one to compare with. */
export interface Remembered {
  at: string
  verdicts: Record<string, Verdict>
  /** What was looked at: the image, the container, the files' hashes. */
  facts: Record<string, string>
}

/** What the last run left, or undefined when there was none, or what it left is not ours. */
export function recall(text: string | undefined): Remembered | undefined {
  const found = text === undefined ? undefined : parseJson(text)
  if (typeof found !== 'object' || found === null) return undefined
  const { at, verdicts, facts }: Partial<Remembered> = found
  return typeof at === 'string' && isTexts(verdicts) && isTexts(facts) ? { at, verdicts, facts } : undefined
}

/** This run, with what it did not look at kept from the last one. */
export function remember(
  last: Remembered | undefined,
  at: string,
  findings: readonly Finding[],
  facts: Record<string, string>,
): Remembered {
  const verdicts = Object.fromEntries(findings.map(finding => [finding.check, finding.verdict]))
  return { at, verdicts: { ...last?.verdicts, ...verdicts }, facts: { ...last?.facts, ...facts } }
}

/** What is different. What only one of the two runs looked at is no difference. */
export function driftSince(
  last: Remembered,
  findings: readonly Finding[],
  facts: Record<string, string>,
): Drift {
  return {
    since: last.at,
    verdicts: findings.flatMap(({ check, verdict }) => {
      const before = last.verdicts[check]
      return before === undefined || before === verdict ? [] : [{ check, from: before, to: verdict }]
    }),
    facts: Object.entries(facts).flatMap(([name, now]) => {
      const before = last.facts[name]
      return before === undefined || before === now ? [] : [{ name, from: before, to: now }]
    }),
  }
}

function isTexts<T extends string>(value: Record<string, T> | undefined): value is Record<string, T> {
  return (
    typeof value === 'object' && value !== null && Object.values(value).every(one => typeof one === 'string')
  )
}
