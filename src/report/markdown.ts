import { basename } from 'node:path'
import type { Finding } from '../procedure/step.ts'
import {
  type Control,
  changes,
  checklist,
  counts,
  type Drift,
  inert,
  type Line,
  linesOf,
  MARK,
  type Report,
  seenRed,
  share,
  sources,
  utc,
} from './report.ts'

/** The report as Markdown, to be put into a ticket. Foreign text is only ever inside of code, where it can do nothing. */
export function markdownReport(report: Report): string {
  const { findings, drift, controls } = report
  const suppressed = (finding: Finding) => finding.suppressed !== undefined
  return `${[
    `# Security verification of ${code(basename(report.deployment))}`,
    `Deployment ${code(report.deployment)}, looked at ${time(report.startedAt)} by create-openclaw-secure ${plain(report.version)}.`,
    `**${counts(findings)}**`,
    table(checklist(findings)),
    ...section('Failed', findings.filter(finding => finding.verdict === 'fail').map(detail)),
    ...section('Unknown', findings.filter(finding => finding.verdict === 'unknown').map(detail)),
    ...section('Suppressed', findings.filter(suppressed).map(detail)),
    ...(drift === undefined ? [] : driftBlocks(drift)),
    ...(controls === undefined ? [] : controlBlocks(controls)),
  ].join('\n\n')}\n`
}

function section(title: string, blocks: readonly string[]): string[] {
  return blocks.length === 0 ? [] : [`## ${title}`, ...blocks]
}

function table(lines: readonly Line[]): string {
  const rows = lines.map(line => {
    const checks = line.findings.map(({ verdict, check }) => `${MARK[verdict]} ${plain(check)}`).join(', ')
    const cells = [MARK[line.verdict], `${line.number}. ${line.text}`, line.verdict, share(line), checks]
    return `| ${cells.join(' | ')} |`
  })
  return ['| | Before production | Verdict | Passed | Checks |', '|---|---|---|---|---|', ...rows].join('\n')
}

function detail(finding: Finding): string {
  const { check, title, threat, severity, evidence, remedy, refs, suppressed } = finding
  const facts = [threat, severity, ...sources(refs).map(([document, place]) => `${document}: ${place}`)]
  return [
    `### ${plain(check)}: ${plain(title)}`,
    facts.map(plain).join(' · '),
    ...(suppressed === undefined
      ? []
      : [`Suppressed until ${code(suppressed.until)}: ${code(suppressed.reason)}`]),
    'Saw:',
    fence(evidence),
    `To do: ${plain(remedy)}`,
  ].join('\n\n')
}

function driftBlocks(drift: Drift): string[] {
  const changed = changes(drift)
  if (changed.length === 0) return [`Nothing has changed since ${time(drift.since)}.`]
  return [
    `## Changed since ${time(drift.since)}`,
    changed.map(({ name, from, to }) => `- ${code(name)}: ${code(from)} → ${code(to)}`).join('\n'),
  ]
}

function controlBlocks(controls: readonly Control[]): string[] {
  const pale = controls.filter(control => !control.red)
  return [
    '## Negative controls',
    `${seenRed(controls)}: each check was run against a copy of the deployment in which it has to fail.`,
    ...pale.flatMap(({ check, verdict, evidence }) => [
      `${MARK.fail} ${plain(check)} was not red but ${verdict}. Saw:`,
      fence(evidence),
    ]),
  ]
}

/** A code block that no line of its text can close. */
function fence(text: string): string {
  const lines = linesOf(text)
  const ticks = '`'.repeat(Math.max(3, longestRun(lines.join('\n')) + 1))
  return [`${ticks}text`, ...lines, ticks].join('\n')
}

/** A code span that its text cannot close. */
function code(text: string): string {
  const shown = inert(text) || ' '
  const ticks = '`'.repeat(longestRun(shown) + 1)
  const pad = /^[ `]|[ `]$/.test(shown) ? ' ' : ''
  return ticks + pad + shown + pad + ticks
}

function longestRun(text: string): number {
  return Math.max(0, ...Array.from(text.matchAll(/`+/g), ([run]) => run.length))
}

function time(iso: string): string {
  return plain(utc(iso))
}

/** Text that is no markup, and no link either: an address is one without any markup round it. */
export function plain(text: string): string {
  return inert(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('://', '&#58;//')
    .replaceAll('www.', 'www&#46;')
    .replaceAll('@', '&#64;')
    .replace(/[\\`*_~|[\]$!]/g, '\\$&')
}
