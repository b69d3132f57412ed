import { ToolError } from '../../src/errors.ts'
import type { Finding, Judgement, Suppression } from '../../src/procedure/step.ts'
import { skip, unknown, type VerifyCheck } from './check.ts'
import { NotApplicable, type World } from './world.ts'

/** The checks of one world have this long, in milliseconds, or what one of them asks for; OpenClaw's own audit takes up to 12 s. */
const DEADLINE = 120_000

/**
 * Runs checks side by side and returns one finding each, in their order. A check that throws could not look: that is
 * `unknown`, with the reason, and never a pass.
 */
export async function judge(
  checks: readonly VerifyCheck[],
  world: World,
  clean: (text: string) => string,
  signal: AbortSignal,
): Promise<Finding[]> {
  const { late, settled } = lateness(signal, Math.max(DEADLINE, ...checks.map(check => check.deadline ?? 0)))
  try {
    return await Promise.all(
      checks.map(async check => {
        const { id, title, line, threat, severity, kind, remedy, refs } = check
        const { verdict, evidence } = await Promise.race([look(check, world), late])
        const fixed = { check: id, title, line, threat, severity, kind, remedy, refs }
        return { ...fixed, verdict, evidence: clean(evidence) }
      }),
    )
  } finally {
    settled()
  }
}

async function look(check: VerifyCheck, world: World): Promise<Judgement> {
  try {
    return await check.run(world)
  } catch (error) {
    if (error instanceof NotApplicable) return skip(error.message)
    return unknown(`could not look: ${error instanceof ToolError ? error.message : String(error)}`)
  }
}

/** What a check that has not answered by now has found: at the deadline, or when the person stops. */
function lateness(signal: AbortSignal, deadline: number): { late: Promise<Judgement>; settled: () => void } {
  let settled = () => {}
  const late = new Promise<Judgement>(resolve => {
    const stop = () => resolve(unknown('could not look: stopped by the person'))
    const timer = setTimeout(
      () => resolve(unknown(`could not look: no answer within ${deadline / 1000} s`)),
      deadline,
    )
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop)
    settled = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', stop)
    }
  })
  return { late, settled }
}

/**
 * A container that was replaced while we looked: what was seen belongs to two of them, and to none. Every finding about
 * the running one becomes `unknown`.
 */
export async function unlessReplaced(findings: readonly Finding[], world: World): Promise<Finding[]> {
  const replaced = await world.replaced().catch(() => false)
  if (!replaced) return [...findings]
  return findings.map(finding =>
    finding.kind === 'static'
      ? finding
      : { ...finding, ...unknown('the container was replaced or restarted while it was looked at') },
  )
}

/** Failures that somebody has accepted, until the day named, are no longer failures; they stay visible. */
export function withSuppressions(
  findings: readonly Finding[],
  suppressions: readonly Suppression[],
  now: Date,
): Finding[] {
  const today = now.toISOString().slice(0, 10)
  return findings.map(finding => {
    const own = suppressions.filter(one => one.check === finding.check)
    const accepted = own.find(one => one.until >= today) ?? own.at(-1)
    if (finding.verdict !== 'fail' || accepted === undefined) return finding
    return accepted.until < today
      ? { ...finding, evidence: `accepted until ${accepted.until}, which is over. ${finding.evidence}` }
      : { ...finding, verdict: 'skip', suppressed: accepted }
  })
}
