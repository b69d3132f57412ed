import { visible } from '../errors.ts'
import type { Finding } from '../procedure/step.ts'
import { checklist, type Report, summarize } from './report.ts'

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
  return oneLine({ ...full, ...body })
}

/**
 * JSON on one line, newline at the end. JSON escapes only the oldest control characters itself; `visible` writes the
 * rest in JSON's own notation, so that a terminal obeys nothing and a parser reads the same value.
 */
export function oneLine(value: unknown): string {
  return `${visible(JSON.stringify(value))}\n`
}

/** Findings for machines: the counts, the seed's ten lines, and every finding whole. */
export function findingsBody(findings: readonly Finding[]): Record<string, unknown> {
  return {
    summary: summarize(findings),
    checklist: checklist(findings).map(({ number, text, verdict }) => ({ number, text, verdict })),
    findings,
  }
}

/** What `verify` adds to the envelope (schemas/verify.schema.json): the findings, and drift and controls when there are any. */
export function reportBody({ findings, drift, controls }: Report): Record<string, unknown> {
  return {
    ...findingsBody(findings),
    ...(drift !== undefined && { drift }),
    ...(controls !== undefined && { controls }),
  }
}

/** The whole of `verify --json`. */
export function jsonReport(report: Report): string {
  return envelope({ ...report, command: 'verify' }, reportBody(report))
}
