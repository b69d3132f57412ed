import { Cancelled, ToolError } from '../errors.ts'
import type { Journal } from './journal.ts'
import type { Outcome, Step } from './step.ts'

/** How a running procedure is shown. `report` implements it for terminals and for plain logs. */
export interface Progress {
  begin(step: { id: string; title: string }): void
  done(step: { id: string; title: string }, saw: string): void
  skipped(step: { id: string; title: string }, why: string): void
  failed(step: { id: string; title: string }, error: Error): void
}

/** What a procedure needs from the world to be journalled, locked, cancelled and shown. */
export interface Runtime {
  journal: Journal
  progress: Progress
  /** Aborted by Ctrl-C. */
  signal: AbortSignal
  /** Taken before the first effect and not at all by a procedure that changes nothing. Returns the release. */
  lock(): Promise<() => void>
  /** A name for this run, unique within the journal. */
  runId: string
  dryRun: boolean
}

/** `written` lists the steps that changed something, in order; empty means the world was already as wanted. */
export interface ProcedureResult {
  written: string[]
  /** How long each step took that was run, in milliseconds. */
  took: Record<string, number>
}

/**
 * Runs the steps in order. Reading steps just run; a step with an effect is announced in the journal first, and only
 * when its `skip` says that there is something to do. Errors: what a step throws; {@link Cancelled} when the person
 * stopped between two steps.
 */
export async function runProcedure<C>(
  name: string,
  steps: readonly Step<C>[],
  ctx: C,
  runtime: Runtime,
): Promise<ProcedureResult> {
  const { journal, progress, signal, runId } = runtime
  const written: string[] = []
  let begun = false
  const took: Record<string, number> = {}
  let release: (() => void) | undefined

  const log = (
    event: Parameters<Journal['append']>[0]['event'],
    extra: { step?: string; note?: string; facts?: Outcome['facts'] } = {},
  ) => {
    const { step, note, facts } = extra
    journal.append({
      run: runId,
      procedure: name,
      event,
      ...(step === undefined ? {} : { step }),
      ...(note === undefined ? {} : { note }),
      ...(facts === undefined ? {} : { facts }),
    })
  }

  /** For the journal of a failure: what failed the step (a full disk) may fail the journal, and is what to show. */
  const tryToLog: typeof log = (...line) => {
    try {
      log(...line)
    } catch {
      // The next run finds the step begun and not done, which is the truth.
    }
  }

  try {
    for (const step of steps) {
      if (signal.aborted) throw new Cancelled(whatExists(written))
      let why = await step.skip?.(ctx)
      if (why === undefined && runtime.dryRun && step.effect !== 'reads') why = 'dry run: not done'
      if (why === undefined && step.effect !== 'reads' && release === undefined) {
        release = await runtime.lock()
        // Somebody else may have done the work while we waited for the lock.
        why = await step.skip?.(ctx)
      }
      if (why !== undefined) {
        progress.skipped(step, why)
        continue
      }
      if (step.effect !== 'reads') {
        if (!begun) log('begun')
        begun = true
        log('step-begun', { step: step.id })
      }
      progress.begin(step)
      const began = performance.now()
      const stoppable = step.effect === 'reads' || step.interruptible === true
      try {
        const outcome = await step.run(ctx, stoppable ? signal : new AbortController().signal)
        took[step.id] = Math.round(performance.now() - began)
        if (step.effect !== 'reads') {
          written.push(step.id)
          log('step-done', { step: step.id, facts: outcome.facts })
        }
        progress.done(step, outcome.saw)
      } catch (error) {
        const cause = error instanceof Error ? error : new Error(String(error))
        const stopped = stoppable && signal.aborted
        if (step.effect !== 'reads') {
          tryToLog('step-failed', { step: step.id, note: stopped ? 'stopped by the person' : codeOf(cause) })
          if (step.undo !== undefined && !stopped) {
            try {
              await step.undo(ctx)
              tryToLog('step-undone', { step: step.id })
            } catch {
              // What failed the step is what the person must see; the journal has no step-undone.
            }
          }
        }
        progress.failed(step, cause)
        throw stopped ? new Cancelled(whatExists(written)) : cause
      }
    }
    if (begun) log('done')
    return { written, took }
  } catch (error) {
    if (begun) tryToLog(error instanceof Cancelled ? 'cancelled' : 'failed')
    throw error
  } finally {
    release?.()
  }
}

/**
 * Runs one procedure or several under one lock, taken before the first look: for work whose reading steps must not be
 * overtaken. `runtimeOf` makes a runtime a procedure; what it gives out here is locked already.
 */
export async function underLock<T>(
  runtimeOf: () => Runtime,
  work: (runtimeOf: () => Runtime) => Promise<T>,
): Promise<T> {
  const release = await runtimeOf().lock()
  try {
    return await work(() => ({ ...runtimeOf(), lock: async () => () => {} }))
  } finally {
    release()
  }
}

/** A sentence for the person who pressed Ctrl-C. */
function whatExists(written: readonly string[]): string {
  return written.length === 0
    ? 'Nothing was changed.'
    : `Done so far: ${written.join(', ')}. Run the same command again to go on from there.`
}

function codeOf(error: Error): string {
  return error instanceof ToolError ? error.code : error.name
}
