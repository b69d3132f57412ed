import type { Finding, References, Verdict } from '../procedure/step.ts'

/** All that one run of `verify` found, to be printed in any format. */
export interface Report {
  /** Of this tool. */
  version: string
  /** Absolute path of the folder that was judged. */
  deployment: string
  /** ISO 8601, UTC. */
  startedAt: string
  findings: readonly Finding[]
  /** What is different from the last run; undefined when there was none to compare with. */
  drift?: Drift
  /** With `--prove`: what each check said of the copy in which it must fail. */
  controls?: readonly Control[]
}

/** What changed since the last run. */
export interface Drift {
  /** When the last run began, ISO 8601, UTC. */
  since: string
  verdicts: { check: string; from: Verdict; to: Verdict }[]
  /** Things that are not verdicts: the image, the container, a file. */
  facts: { name: string; from: string; to: string }[]
}

/** A check in its own negative control. `red` is what it has to be. */
export interface Control {
  check: string
  red: boolean
  verdict: Verdict
  evidence: string
}

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

/** What stands for a verdict where there is little room; the word is always near it. */
export const MARK: Record<Verdict, string> = { pass: '✔', fail: '✘', unknown: '?', skip: '-' }

/** The counts in a sentence, the same in every format. */
export function counts(findings: readonly Finding[]): string {
  const { pass, fail, unknown, skip } = summarize(findings)
  const suppressed = findings.filter(finding => finding.suppressed !== undefined).length
  const of = suppressed > 0 ? ` (${suppressed} of them suppressed)` : ''
  return `${findings.length} checks: ${pass} passed, ${fail} failed, ${unknown} unknown, ${skip} skipped${of}`
}

/** How many checks of a checklist line passed, of how many: `2/3`. */
export function share(line: Line): string {
  const good = line.findings.filter(finding => finding.verdict === 'pass').length
  return line.findings.length === 0 ? 'not looked at' : `${good}/${line.findings.length}`
}

/** Whether a reader has to see this finding in the shortest report: what is wrong, and what somebody let pass. */
export function demandsAttention({ verdict, suppressed }: Finding): boolean {
  return verdict === 'fail' || verdict === 'unknown' || suppressed !== undefined
}

/** Everything that changed, as name, before and after; verdicts come first. */
export function changes(drift: Drift): { name: string; from: string; to: string }[] {
  const verdicts = drift.verdicts.map(({ check, from, to }) => ({ name: check, from, to }))
  return [...verdicts, ...drift.facts].map(({ name, from, to }) => ({
    name: inert(name),
    from: inert(from) || '(nothing)',
    to: inert(to) || '(nothing)',
  }))
}

/** How many negative controls did what they have to. */
export function seenRed(controls: readonly Control[]): string {
  return `${controls.filter(control => control.red).length} of ${controls.length} seen red`
}

/** Where the demand comes from, as document and place in it. */
export function sources({ seed, cis, openclaw }: References): [document: string, place: string][] {
  const found: [string, string | undefined][] = [
    ['Security Best Practices', seed],
    ['CIS Docker Benchmark', cis],
    ['OpenClaw', openclaw],
  ]
  return found.flatMap(([document, place]) => (place === undefined ? [] : [[document, place]]))
}

/** `2026-11-23T01:40:00.000Z` as people write it: `2026-11-23 01:40:00 UTC`. */
export function utc(iso: string): string {
  const [, day, time] = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z$/.exec(iso) ?? []
  return day === undefined ? inert(iso) : `${day} ${time} UTC`
}

/**
 * Foreign text on one line with nothing in it that a reader's program would obey, hide or reorder: what Unicode calls
 * "Other" (controls, invisible and direction marks, lone halves of characters) is written as its number.
 */
export function inert(text: string): string {
  return text.replace(/[\p{C}\u2028\u2029]/gu, char => {
    const code = (char.codePointAt(0) ?? 0).toString(16)
    return code.length > 4 ? `\\u{${code}}` : `\\u${code.padStart(4, '0')}`
  })
}

/** Foreign text as the lines it has, each {@link inert}. */
export function linesOf(text: string): string[] {
  return text
    .replaceAll('\t', '    ')
    .split(/\r\n|[\r\n]/)
    .map(inert)
}

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
}

/** Foreign text for an element or a quoted attribute of XML or HTML, each of its lines {@link inert}. */
export function escapeMarkup(text: string): string {
  return linesOf(text)
    .join('\n')
    .replace(/[&<>"']/g, char => ENTITIES[char] ?? char)
}
