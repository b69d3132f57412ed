import type { Finding, Verdict } from '../procedure/step.ts'
import { type Control, checklist, escapeMarkup, type Report, sources } from './report.ts'

/** What JUnit calls the verdicts. It counts what passed by leaving the others out. */
const TALLY: [attribute: string, verdict: Verdict][] = [
  ['failures', 'fail'],
  ['errors', 'unknown'],
  ['skipped', 'skip'],
]

/** One test case, and what it counts as. */
interface Case {
  verdict: Verdict
  xml: string[]
}

/** The report as JUnit XML for build servers: a suite for every line of the checklist, a case for every check. */
export function junitReport(report: Report): string {
  const suites = checklist(report.findings).map(({ number, text, findings }) => ({
    name: `${number}. ${text}`,
    cases: findings.map(findingCase),
  }))
  if (report.controls !== undefined)
    suites.push({ name: 'Negative controls', cases: report.controls.map(controlCase) })
  const all = suites.flatMap(suite => suite.cases)
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="create-openclaw-secure verify" ${tally(all)}>`,
    ...suites.flatMap(({ name, cases }) => [
      // JUnit's own format has a time without a zone; it is UTC.
      `  <testsuite name="${attribute(name)}" ${tally(cases)} timestamp="${attribute(report.startedAt.slice(0, 19))}">`,
      '    <properties>',
      `      <property name="deployment" value="${attribute(report.deployment)}"/>`,
      `      <property name="version" value="${attribute(report.version)}"/>`,
      '    </properties>',
      ...cases.flatMap(one => one.xml),
      '  </testsuite>',
    ]),
    '</testsuites>',
    '',
  ].join('\n')
}

function findingCase(finding: Finding): Case {
  const { check, title, threat, severity, verdict, evidence, remedy, refs, suppressed } = finding
  const opening = `    <testcase classname="${attribute(threat)}" name="${attribute(`${check}: ${title}`)}" time="0"`
  const [first = ''] = evidence.split(/[\r\n]/)
  const body = [
    `saw: ${evidence}`,
    `do: ${remedy}`,
    ...sources(refs).map(([document, place]) => `see: ${document}, ${place}`),
  ].join('\n')
  const inside = {
    pass: () => `<system-out>${escapeMarkup(evidence)}</system-out>`,
    fail: () => `<failure type="${severity}" message="${attribute(first)}">${escapeMarkup(body)}</failure>`,
    unknown: () => `<error type="unknown" message="${attribute(first)}">${escapeMarkup(body)}</error>`,
    skip: () =>
      suppressed === undefined
        ? `<skipped message="${attribute(evidence)}"/>`
        : `<skipped message="${attribute(`suppressed until ${suppressed.until}: ${suppressed.reason}`)}"/>` +
          `<system-out>${escapeMarkup(body)}</system-out>`,
  }[verdict]()
  return { verdict, xml: [`${opening}>`, `      ${inside}`, '    </testcase>'] }
}

function controlCase({ check, red, verdict, evidence }: Control): Case {
  const name = attribute(`${check}: fails where it has to`)
  const inside = red
    ? `<system-out>${escapeMarkup(evidence)}</system-out>`
    : `<failure type="not red" message="${attribute(`${verdict} where it has to fail`)}">${escapeMarkup(evidence)}</failure>`
  return {
    verdict: red ? 'pass' : 'fail',
    xml: [
      `    <testcase classname="negative control" name="${name}" time="0">`,
      `      ${inside}`,
      '    </testcase>',
    ],
  }
}

function tally(cases: readonly Case[]): string {
  const counted = TALLY.map(
    ([attribute, verdict]) => `${attribute}="${cases.filter(one => one.verdict === verdict).length}"`,
  )
  return [`tests="${cases.length}"`, ...counted].join(' ')
}

/** Foreign text for an attribute, where a bare newline would be read as a space. */
function attribute(text: string): string {
  return escapeMarkup(text).replaceAll('\n', '&#10;')
}
