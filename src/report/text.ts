import { styleText } from 'node:util'
import type { Finding, Verdict } from '../procedure/step.ts'
import {
  type Control,
  changes,
  checklist,
  counts,
  type Drift,
  demandsAttention,
  inert,
  MARK,
  type Report,
  seenRed,
  share,
  utc,
} from './report.ts'

const COLOUR = { pass: 'green', fail: 'red', unknown: 'yellow', skip: 'gray' } as const

/** Colours a text as its verdict, or leaves it. */
type Paint = (verdict: Verdict, text: string) => string

/** The checklist for people, at most 80 columns wide but for unbreakable words. `verbose` shows every check and control. */
export function textReport(report: Report, options: { colour: boolean; verbose: boolean }): string {
  const paint: Paint = (verdict, text) =>
    options.colour ? styleText(COLOUR[verdict], text, { validateStream: false }) : text
  const out: string[] = []
  for (const line of checklist(report.findings)) {
    const number = String(line.number).padStart(2)
    const mark = paint(line.verdict, MARK[line.verdict])
    out.push(`${mark} ${number}  ${line.text.padEnd(52)} ${line.verdict.padEnd(8)}${share(line).padStart(5)}`)
    for (const finding of line.findings)
      if (options.verbose || demandsAttention(finding)) out.push(...findingRows(finding, paint))
  }
  if (report.drift !== undefined) out.push('', ...driftRows(report.drift))
  if (report.controls !== undefined) out.push('', ...controlRows(report.controls, options.verbose, paint))
  out.push('', counts(report.findings))
  return `${out.join('\n')}\n`
}

function findingRows(finding: Finding, paint: Paint): string[] {
  const { check, title, verdict, evidence, remedy, suppressed } = finding
  const rows = [...headRows(verdict, verdict, `${check}: ${title}`, paint), ...wrap(evidence, 8, 'saw: ')]
  if (suppressed !== undefined)
    rows.push(...wrap(`suppressed until ${suppressed.until}: ${suppressed.reason}`, 8))
  if (verdict === 'fail' || verdict === 'unknown') rows.push(...wrap(remedy, 8, 'do:  '))
  return rows
}

function driftRows(drift: Drift): string[] {
  const changed = changes(drift)
  if (changed.length === 0) return [`nothing has changed since ${utc(drift.since)}`]
  return [
    `Changed since ${utc(drift.since)}`,
    ...changed.flatMap(({ name, from, to }) => wrap(`${name}: ${from} → ${to}`, 6)),
  ]
}

function controlRows(controls: readonly Control[], verbose: boolean, paint: Paint): string[] {
  const rows = [`Negative controls: ${seenRed(controls)}`]
  for (const { check, red, verdict, evidence } of controls) {
    if (red && !verbose) continue
    const [label, colour] = red ? (['red', 'pass'] as const) : (['not red', 'fail'] as const)
    rows.push(...headRows(label, colour, `${check}: ${verdict}`, paint), ...wrap(evidence, 8, 'saw: '))
  }
  return rows
}

/** A line that begins with a coloured label. Painted last, so that colour does not count as width. */
function headRows(label: string, colour: Verdict, text: string, paint: Paint): string[] {
  const [first = '', ...more] = wrap(text, 6, `${label} `)
  return [first.replace(label, () => paint(colour, label)), ...more]
}

/** Breaks text at spaces so that it fits 80 columns, indented under its label. */
function wrap(text: string, indent: number, label = ''): string[] {
  const width = 80 - indent - label.length
  const lines: string[] = []
  let line = ''
  for (const word of text.split(/\s+/).map(inert)) {
    if (line !== '' && line.length + word.length + 1 > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  lines.push(line)
  return lines.map(
    (content, index) => `${' '.repeat(indent)}${index === 0 ? label : ' '.repeat(label.length)}${content}`,
  )
}
