import { ToolError } from '../../src/errors.ts'
import type { Check, Finding, Judgement } from '../../src/procedure/step.ts'
import type { World } from './world.ts'

/** A judgement in one line: `passIf(condition, what was seen)`. */
export function passIf(good: boolean, evidence: string): Judgement {
  return { verdict: good ? 'pass' : 'fail', evidence }
}

export function unknown(evidence: string): Judgement {
  return { verdict: 'unknown', evidence }
}

export function skip(reason: string): Judgement {
  return { verdict: 'skip', evidence: reason }
}

/** Every check of one world has this long, in milliseconds; OpenClaw's own audit takes up to 12 s on a busy machine. */
const DEADLINE = 120_000

/**
 * Runs checks side by side and returns one finding each, in their order. A check that throws could not look: that is
 * `unknown`, with the reason, and never a pass.
 */
export async function judge(
  checks: readonly Check<World>[],
  world: World,
  clean: (text: string) => string,
  signal: AbortSignal,
): Promise<Finding[]> {
  return Promise.all(
    checks.map(async check => {
      const { id, title, line, threat, severity, remedy, refs } = check
      const { verdict, evidence } = await lookWithDeadline(check, world, signal)
      return { check: id, title, line, threat, severity, verdict, evidence: clean(evidence), remedy, refs }
    }),
  )
}

async function lookWithDeadline(check: Check<World>, world: World, signal: AbortSignal): Promise<Judgement> {
  let timer: NodeJS.Timeout | undefined
  let stop = () => {}
  const late = new Promise<Judgement>(resolve => {
    stop = () => resolve(unknown('could not look: stopped by the person'))
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop)
    timer = setTimeout(
      () => resolve(unknown(`could not look: no answer within ${DEADLINE / 1000} s`)),
      DEADLINE,
    )
  })
  try {
    return await Promise.race([check.run(world), late])
  } catch (error) {
    return unknown(`could not look: ${error instanceof ToolError ? error.message : String(error)}`)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
  }
}
