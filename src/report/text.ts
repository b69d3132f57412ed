import { styleText } from 'node:util'
import { visible } from '../errors.ts'
import type { Finding, Verdict } from '../procedure/step.ts'

/** The seed's "Before Production" checklist, word for word. Every check belongs to one of its lines. */
export const CHECKLIST = [
  'Generated strong gateway token (≥64 chars)',
  'Configured localhost-only port binding',
  'Enabled sandbox mode for all agents',
  'Set up secrets management (1password/vault)',
  'Configured filesystem scoping',
  'Added resource limits to all containers',
  'Enabled audit logging',
  'Set up log monitoring/alerting',
  'Tested backup and recovery',
  'Documented incident response procedure',
] as const

export interface Summary {
  pass: number
  fail: number
  unknown: number
  skip: number
}

/** One line of the checklist with all its checks. Green only when every one passed or was skipped with a reason. */
export interface Line {
  number: number
  text: string
  verdict: Verdict
  findings: Finding[]
}

export function summarize(findings: readonly Finding[]): Summary {
  const summary: Summary = { pass: 0, fail: 0, unknown: 0, skip: 0 }
  for (const finding of findings) summary[finding.verdict] += 1
  return summary
}

export function checklist(findings: readonly Finding[]): Line[] {
  return CHECKLIST.map((text, index) => {
    const own = findings.filter(finding => finding.line === index + 1)
    const has = (verdict: Verdict) => own.some(finding => finding.verdict === verdict)
    const verdict = has('fail')
      ? 'fail'
      : has('unknown') || own.length === 0
        ? 'unknown'
        : has('pass')
          ? 'pass'
          : 'skip'
    return { number: index + 1, text, verdict, findings: own }
  })
}

const MARK: Record<Verdict, string> = { pass: '✔', fail: '✘', unknown: '?', skip: '-' }
const COLOUR = { pass: 'green', fail: 'red', unknown: 'yellow', skip: 'gray' } as const

/** The checklist for people, at most 80 columns wide but for evidence. `verbose` shows every check and what it saw. */
export function textReport(
  findings: readonly Finding[],
  options: { colour: boolean; verbose: boolean },
): string {
  const paint = (verdict: Verdict, text: string) =>
    options.colour ? styleText(COLOUR[verdict], text, { validateStream: false }) : text
  const out: string[] = []
  for (const line of checklist(findings)) {
    const good = line.findings.filter(finding => finding.verdict === 'pass').length
    const count = line.findings.length === 0 ? 'not looked at' : `${good}/${line.findings.length}`
    out.push(
      `${paint(line.verdict, MARK[line.verdict])} ${String(line.number).padStart(2)}  ${line.text.padEnd(52)} ${line.verdict.padEnd(8)}${count.padStart(5)}`,
    )
    for (const finding of line.findings) {
      if (!options.verbose && (finding.verdict === 'pass' || finding.verdict === 'skip')) continue
      const [first = '', ...more] = wrap(`${finding.check}: ${finding.title}`, 6, `${finding.verdict} `)
      out.push(
        first.replace(finding.verdict, verdict => paint(finding.verdict, verdict)),
        ...more,
      )
      out.push(...wrap(finding.evidence, 8, 'saw: '))
      if (finding.verdict === 'fail' || finding.verdict === 'unknown')
        out.push(...wrap(finding.remedy, 8, 'do:  '))
    }
  }
  const { pass, fail, unknown, skip } = summarize(findings)
  out.push(
    '',
    `${findings.length} checks: ${pass} passed, ${fail} failed, ${unknown} unknown, ${skip} skipped`,
  )
  return `${out.join('\n')}\n`
}

/** Breaks text at spaces so that it fits 80 columns, indented under its label. */
function wrap(text: string, indent: number, label: string): string[] {
  const width = 80 - indent - label.length
  const lines: string[] = []
  let line = ''
  for (const word of text.split(/\s+/).map(visible)) {
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
