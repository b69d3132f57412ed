import type { Finding } from '../procedure/step.ts'
import { checklist, summarize } from './text.ts'

/** Version of the envelope. Raised when a field changes its meaning or goes; new fields do not raise it. */
const SCHEMA = 1

export interface Envelope {
  tool: 'create-openclaw-secure'
  version: string
  schema: number
  command: string
  deployment: string
  startedAt: string
}

/** The envelope every `--json` output has, with what the command adds. One line, newline at the end. */
export function envelope(head: Omit<Envelope, 'tool' | 'schema'>, body: Record<string, unknown>): string {
  const full: Envelope = {
    tool: 'create-openclaw-secure',
    version: head.version,
    schema: SCHEMA,
    command: head.command,
    deployment: head.deployment,
    startedAt: head.startedAt,
  }
  return `${JSON.stringify({ ...full, ...body })}\n`
}

/** Findings for machines: the counts, the seed's ten lines, and every finding whole. */
export function findingsBody(findings: readonly Finding[]): Record<string, unknown> {
  return {
    summary: summarize(findings),
    checklist: checklist(findings).map(({ number, text, verdict }) => ({ number, text, verdict })),
    findings,
  }
}
