/**
 * `npm run checks [DIRECTORY]`: runs `verify --prove` on a deployment (./demo when none is named) and writes the matrix
 * of all checks, each seen green there and red in its negative control, to docs/checks.md. A live test keeps it current.
 */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Finding } from '../src/procedure/step.ts'
import { CHECKLIST, type Control } from '../src/report/report.ts'
import { BIN } from './live/harness.ts'

/** What the matrix is made of: the JSON of `verify --prove`. */
export interface Proven {
  findings: Finding[]
  controls: Control[]
}

/** The matrix, in Markdown. It holds no time and no place, so that the same result is the same text. */
export function matrixOf({ findings, controls }: Proven): string {
  const red = new Map(controls.map(control => [control.check, control.red]))
  const green = findings.filter(finding => finding.verdict === 'pass')
  const seen = controls.filter(control => control.red)
  const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('<', '&lt;')
  const row = (finding: Finding) => {
    const { check, title, kind, threat, severity, refs, verdict } = finding
    const others = [refs.cis === undefined ? '' : `CIS ${refs.cis}`, refs.openclaw ?? ''].filter(
      text => text !== '',
    )
    return [
      `\`${check}\``,
      title,
      kind,
      threat,
      severity,
      others.join('; '),
      verdict === 'pass' ? 'yes' : 'not yet',
      red.get(check) === true ? 'yes' : 'NO',
    ].map(cell)
  }
  const sections = CHECKLIST.flatMap((text, index) => [
    `## ${index + 1}. ${text}`,
    '',
    '| check | what it proves | kind | threat | severity | see also | seen green | seen red |',
    '|---|---|---|---|---|---|---|---|',
    ...findings.filter(finding => finding.line === index + 1).map(one => `| ${row(one).join(' | ')} |`),
    '',
  ])
  return [
    '# Checks',
    '',
    `${findings.length} checks. ${green.length} were seen green on a hardened deployment, ${seen.length} were seen red in their negative control: a copy of`,
    'the deployment that was broken for them. `static` checks read files and need no engine; `live` ones look at the running',
    'container, or try something in a sibling of it. "not yet": a later version sets up what the check asks for.',
    '',
    'Made by `npm run checks` from `verify --prove`; do not edit.',
    '',
    ...sections,
  ].join('\n')
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const directory = process.argv[2] ?? 'demo'
  const { stdout, stderr } = spawnSync(process.execPath, [BIN, 'verify', directory, '--prove', '--json'], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  })
  if (stdout === '') throw new Error(stderr)
  writeFileSync(resolve('docs/checks.md'), matrixOf(JSON.parse(stdout)))
  process.stdout.write(stdout === '' ? '' : matrixOf(JSON.parse(stdout)))
}
