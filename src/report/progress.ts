import type { Writable } from 'node:stream'
import { visible } from '../errors.ts'
import type { Progress } from '../procedure/run.ts'

/** A progress display that can also show what a child process says while its step runs. */
export interface LiveProgress extends Progress {
  say(line: string): void
}

/** One plain line a step, for logs, pipes, screen readers and `--quiet`'s opposite of a terminal. */
export function plainProgress(output: Writable): LiveProgress {
  const line = (mark: string, title: string, detail: string) =>
    output.write(`${mark.padEnd(7)} ${title}: ${detail.split('\n').map(visible).join('\n')}\n`)
  return {
    begin: () => {},
    done: (step, saw) => line('ok', step.title, saw),
    skipped: (step, why) => line('skip', step.title, why),
    failed: (step, error) => line('FAILED', step.title, error.message),
    say: () => {},
  }
}

/**
 * A line a step that says what its child processes say, and is just a line when it is done; on failure the last words
 * stay. clack's spinner would move, but while it does it ends the whole program with code 0 on Ctrl-C, in the middle
 * of a step.
 */
export async function terminalProgress(output: Writable): Promise<LiveProgress> {
  const clack = await import('@clack/prompts')
  let task: ReturnType<typeof clack.taskLog> | undefined
  return {
    begin(step) {
      task = clack.taskLog({ title: step.title, limit: 4, spacing: 0, output })
    },
    done(step, saw) {
      task?.success(`${step.title}: ${saw}`)
      task = undefined
    },
    skipped(step, why) {
      clack.log.message(`${step.title}: ${why}`, { output, symbol: '·', spacing: 0 })
    },
    failed(step) {
      task?.error(step.title)
      task = undefined
    },
    say(line) {
      task?.message(line)
    },
  }
}

/** Shows nothing. */
export const silentProgress: LiveProgress = { begin() {}, done() {}, skipped() {}, failed() {}, say() {} }
