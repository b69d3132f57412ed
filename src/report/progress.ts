import type { Writable } from 'node:stream'
import { visibleLines } from '../errors.ts'
import type { Progress } from '../procedure/run.ts'

/** A progress display that can also show what a child process says while its step runs. */
export interface LiveProgress extends Progress {
  say(line: string): void
  /** Something else is about to be shown, a question: what the running step has shown is left as it is. */
  settle(): void
  /** How a procedure inside a step is shown: where a step is redrawn, as what that one says. */
  within(): Progress
}

/** One plain line a step, for logs, pipes, screen readers and `--quiet`'s opposite of a terminal. */
export function plainProgress(output: Writable): LiveProgress {
  const line = (mark: string, title: string, detail: string) =>
    output.write(`${mark.padEnd(7)} ${title}: ${visibleLines(detail)}\n`)
  const progress: LiveProgress = {
    begin: () => {},
    done: (step, saw) => line('ok', step.title, saw),
    skipped: (step, why) => line('skip', step.title, why),
    failed: (step, error) => line('FAILED', step.title, error.message),
    say: () => {},
    settle: () => {},
    within: () => progress,
  }
  return progress
}

/**
 * A line a step that says what its child processes say, and is just a line when it is done; on failure the last words
 * stay. clack's spinner would move, but while it does it ends the whole program with code 0 on Ctrl-C, in the middle
 * of a step.
 */
export async function terminalProgress(output: Writable): Promise<LiveProgress> {
  const clack = await import('@clack/prompts')
  let task: ReturnType<typeof clack.taskLog> | undefined
  let title = ''
  return {
    begin(step) {
      title = step.title
      task = clack.taskLog({ title: step.title, limit: 4, spacing: 0, output })
    },
    done(step, saw) {
      const words = `${step.title}: ${saw}`
      if (task === undefined) clack.log.success(words, { output, spacing: 0 })
      else task.success(words)
      task = undefined
    },
    skipped(step, why) {
      clack.log.message(`${step.title}: ${why}`, { output, symbol: '·', spacing: 0 })
    },
    failed(step) {
      if (task === undefined) clack.log.error(step.title, { output, spacing: 0 })
      else task.error(step.title)
      task = undefined
    },
    say(line) {
      task?.message(line)
    },
    settle() {
      task?.success(`${title} …`)
      task = undefined
    },
    within: () => ({
      begin: inner => task?.message(inner.title),
      done: (inner, saw) => task?.message(`${inner.title}: ${saw}`),
      skipped: () => {},
      failed: (inner, error) => task?.message(`${inner.title}: ${error.message}`),
    }),
  }
}

/** Shows nothing. */
export const silentProgress: LiveProgress = {
  ...{ begin() {}, done() {}, skipped() {}, failed() {}, say() {}, settle() {} },
  within: () => silentProgress,
}
