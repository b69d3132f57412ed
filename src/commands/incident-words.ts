import type { ExitCode } from '../errors.ts'
import type { IncidentOptions } from './incident-input.ts'
import type { Program } from './program.ts'

/** `incident RUNBOOK`: for real, or as a drill. */
export async function startIncident(
  program: Program,
  runbook: string | undefined,
  options: IncidentOptions,
): Promise<ExitCode> {
  if (options.drill === true) return (await import('./drill.ts')).drill(program, runbook, options)
  return (await import('./incident.ts')).incident(program, runbook, options)
}

/** `incident WORD ...` where the word is no runbook. */
export async function incidentWord(
  program: Program,
  word: string,
  args: readonly string[],
  options: IncidentOptions & { publicKey?: string; service?: string },
): Promise<ExitCode> {
  const [first = '', ...rest] = args
  switch (word) {
    case 'verify-bundle':
      return (await import('./verify-bundle.ts')).verifyBundle(program, first, options)
    case 'analyze':
      return (await import('./analyze.ts')).analyze(program, first, rest, options)
    default:
      return (await import('./incident.ts')).closeCase(program, options)
  }
}
