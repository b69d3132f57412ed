import { createHash } from 'node:crypto'
import { pathToFileURL } from 'node:url'
import type { Finding, Severity } from '../procedure/step.ts'
import { oneLine } from './json.ts'
import { CHECKLIST, linesOf, type Report } from './report.ts'

const LEVEL: Record<Severity, string> = { critical: 'error', high: 'error', medium: 'warning', low: 'note' }
/** How code-scanning dashboards sort security rules: a CVSS-like number, as a string. */
const SCORE: Record<Severity, string> = { critical: '9.5', high: '8.0', medium: '5.5', low: '3.0' }
/** The name viewers know for the folder that was looked at. */
const BASE = '%SRCROOT%'

/** The report as a SARIF 2.1.0 log, for code-scanning dashboards. Section numbers are the specification's. */
export function sarifReport(report: Report): string {
  const { findings, drift, controls } = report
  const run = {
    tool: {
      driver: {
        name: 'create-openclaw-secure',
        version: report.version,
        semanticVersion: report.version,
        informationUri: 'https://www.npmjs.com/package/create-openclaw-secure',
        rules: findings.map(rule),
      },
    },
    invocations: [
      {
        startTimeUtc: report.startedAt,
        executionSuccessful: findings.every(finding => finding.verdict !== 'unknown'),
      },
    ],
    originalUriBaseIds: { [BASE]: { uri: pathToFileURL(`${report.deployment}/`).href } },
    results: findings.map((finding, index) => result(finding, index, report.deployment)),
    properties: { drift, controls },
  }
  return oneLine({ version: '2.1.0', $schema: 'https://json.schemastore.org/sarif-2.1.0.json', runs: [run] })
}

function rule({ check, title, remedy, severity, threat, kind, refs }: Finding): Record<string, unknown> {
  return {
    id: check,
    name: check.replace(/(?:^|\W)(\w)/g, (_, letter: string) => letter.toUpperCase()),
    shortDescription: { text: message(title) },
    help: { text: message(remedy) },
    defaultConfiguration: { level: LEVEL[severity] },
    properties: {
      'security-severity': SCORE[severity],
      tags: ['security', threat, kind],
      threat,
      severity,
      ...refs,
    },
  }
}

function result(finding: Finding, ruleIndex: number, deployment: string): Record<string, unknown> {
  const { check, line, evidence, suppressed } = finding
  return {
    ruleId: check,
    ruleIndex,
    ...kindAndLevel(finding),
    message: { text: message(evidence) },
    locations: [
      {
        physicalLocation: { artifactLocation: { uri: 'docker-compose.yml', uriBaseId: BASE } },
        logicalLocations: [{ name: CHECKLIST[line - 1], fullyQualifiedName: `Before Production/${line}` }],
      },
    ],
    // What a finding is, never what it says: a dashboard has to know it again when the evidence reads differently.
    partialFingerprints: {
      'checkAndDeployment/v1': createHash('sha256').update(`${check}\0${deployment}`).digest('hex'),
    },
    // Absent would mean that nobody looked for suppressions (3.27.23).
    suppressions:
      suppressed === undefined
        ? []
        : [
            {
              kind: 'external',
              status: 'accepted',
              justification: linesOf(`until ${suppressed.until}: ${suppressed.reason}`).join('\n'),
            },
          ],
  }
}

/** Only a `fail` has a level; all else says `none` (3.27.10). What is suppressed has failed. */
function kindAndLevel({ verdict, severity, suppressed }: Finding): { kind: string; level: string } {
  if (verdict === 'fail' || suppressed !== undefined) return { kind: 'fail', level: LEVEL[severity] }
  const kind = { pass: 'pass', unknown: 'open', skip: 'notApplicable' }[verdict]
  return { kind, level: 'none' }
}

/** Text in which SARIF finds neither a placeholder (3.11.5) nor a link (3.11.6); it may not be empty (3.11.8). */
function message(text: string): string {
  const escaped = linesOf(text).join('\n').replace(/[{}]/g, '$&$&').replaceAll('](', '] (')
  return escaped === '' ? '(nothing)' : escaped
}
