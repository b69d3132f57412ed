import { Exit, type ExitCode } from '../../src/errors.ts'

/** What preflight has to say about one thing. `stop` ends setup before anything is written. */
export interface Notice {
  id: string
  verdict: 'pass' | 'warn' | 'stop'
  saw: string
  fix?: string
  exit?: ExitCode
}

/** The exit code of everything that stops: wrong input counts before a machine that is not ready. */
export function exitOf(notices: readonly Notice[]): ExitCode | undefined {
  const stops = notices.filter(notice => notice.verdict === 'stop')
  if (stops.length === 0) return undefined
  return stops.some(notice => notice.exit === Exit.usage) ? Exit.usage : Exit.unknown
}

/** All is well. */
export function pass(id: string, saw: string): Notice {
  return { id, verdict: 'pass', saw }
}

/** The machine is not ready. */
export function stop(id: string, saw: string, fix: string): Notice {
  return { id, verdict: 'stop', saw, fix, exit: Exit.unknown }
}

/** The input is not possible here. */
export function usage(id: string, saw: string, fix: string): Notice {
  return { id, verdict: 'stop', saw, fix, exit: Exit.usage }
}
