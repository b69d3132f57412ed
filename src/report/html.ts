import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import type { Finding, Verdict } from '../procedure/step.ts'
import { STYLE } from './html-style.ts'
import {
  type Control,
  changes,
  checklist,
  counts,
  type Drift,
  demandsAttention,
  escapeMarkup,
  type Line,
  MARK,
  type Report,
  seenRed,
  share,
  sources,
  summarize,
  utc,
} from './report.ts'

/** The report as one page to hand to an auditor. It loads nothing, runs nothing, and is forbidden to. */
export function htmlReport(report: Report): string {
  const { findings, drift, controls } = report
  const lines = checklist(findings)
  const suppressed = findings.filter(finding => finding.suppressed !== undefined)
  const name = basename(report.deployment)
  const styleHash = createHash('sha256').update(STYLE).digest('base64')
  const policy = `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; form-action 'none'`
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>Security verification of ${name}, ${utc(report.startedAt)}</title>
<style>${new Markup(STYLE)}</style>
</head>
<body>
<header>
<p class="kind">OpenClaw gateway</p>
<h1>Security verification of ${name}</h1>
<dl class="facts">
<div><dt>Deployment</dt><dd><code>${report.deployment}</code></dd></div>
<div><dt>Looked at</dt><dd><time datetime="${report.startedAt}">${utc(report.startedAt)}</time></dd></div>
<div><dt>Tool</dt><dd>create-openclaw-secure ${report.version}</dd></div>
</dl>
</header>
<main>
${outcome(findings, lines)}
${checklistTable(lines)}
${attention(findings)}
${suppressed.length > 0 && suppressions(suppressed)}
${drift !== undefined && changed(drift)}
<section>
<h2>Checks</h2>
${lines.map(lineSection)}
</section>
${controls !== undefined && controlTable(controls)}
</main>
<footer>
<p>Made by create-openclaw-secure ${report.version}. “Pass” was seen at this deployment, at this time. “Unknown” could
not be looked at, and is never a pass. “Skip” does not apply, or somebody answers for it.</p>
</footer>
</body>
</html>
`.text
}

const SENTENCE = {
  fail: 'The checklist does not hold: at least one check failed.',
  unknown: 'The checklist is not proven: not everything was looked at.',
  pass: 'The checklist holds: every check passed, or was skipped with a reason.',
}

/** The result in a sentence, and the counts. A line that nobody looked at proves nothing, however good the others are. */
function outcome(findings: readonly Finding[], lines: readonly Line[]): Markup {
  const summary = summarize(findings)
  const open = summary.pass === 0 || lines.some(line => line.verdict === 'unknown')
  const verdict = summary.fail > 0 ? 'fail' : open ? 'unknown' : 'pass'
  const tile = (of: Verdict, word: string) =>
    html`<div class="tile ${of}"><dt>${word}</dt><dd>${summary[of]}</dd></div>\n`
  return html`<section class="outcome ${verdict}" aria-labelledby="result">
<h2 id="result">${SENTENCE[verdict]}</h2>
<dl class="tiles">
${tile('pass', 'passed')}${tile('fail', 'failed')}${tile('unknown', 'unknown')}${tile('skip', 'skipped')}</dl>
<p>${counts(findings)}.</p>
</section>`
}

function checklistTable(lines: readonly Line[]): Markup {
  return html`<section>
<h2 id="checklist">Before production</h2>
<table aria-labelledby="checklist">
<thead><tr><th scope="col">No.</th><th scope="col">Line</th><th scope="col">Verdict</th><th scope="col">Passed</th></tr></thead>
<tbody>
${lines.map(
  line => html`<tr>
<td class="number">${line.number}</td>
<th scope="row"><a href="#line-${line.number}">${line.text}</a></th>
<td>${label(line.verdict)}</td>
<td class="number">${share(line)}</td>
</tr>
`,
)}</tbody>
</table>
</section>`
}

/** What is wrong, with a way to where it is explained. */
function attention(findings: readonly Finding[]): Markup | undefined {
  const wrong = (['fail', 'unknown'] as const).flatMap(verdict =>
    findings.filter(finding => finding.verdict === verdict),
  )
  if (wrong.length === 0) return undefined
  return html`<section>
<h2>Failed and unknown</h2>
<ul class="attention">
${wrong.map(
  ({ check, title, verdict }) =>
    html`<li>${label(verdict)} <span><a href="#${check}">${title}</a> <code>${check}</code></span></li>\n`,
)}</ul>
</section>`
}

function suppressions(findings: readonly Finding[]): Markup {
  return html`<section>
<h2 id="suppressions">Suppressed failures</h2>
<p>These checks failed, and somebody answers for that until the day given, by an entry in <code>deployment.yaml</code>.</p>
<table class="wide" aria-labelledby="suppressions">
<thead><tr><th scope="col">Check</th><th scope="col">Until</th><th scope="col">Reason</th></tr></thead>
<tbody>
${findings.map(
  ({ check, suppressed }) => html`<tr>
<th scope="row"><code>${check}</code></th>
<td data-head="until: ">${suppressed?.until}</td>
<td>${suppressed?.reason}</td>
</tr>
`,
)}</tbody>
</table>
</section>`
}

function changed(drift: Drift): Markup {
  const all = changes(drift)
  const since = utc(drift.since)
  if (all.length === 0)
    return html`<section><h2>Changes</h2><p>Nothing has changed since ${since}.</p></section>`
  return html`<section>
<h2 id="changes">Changed since <time>${since}</time></h2>
<table class="wide" aria-labelledby="changes">
<thead><tr><th scope="col">What</th><th scope="col">Before</th><th scope="col">Now</th></tr></thead>
<tbody>
${all.map(
  ({ name, from, to }) => html`<tr>
<th scope="row"><code>${name}</code></th>
<td data-head="before: ">${from}</td>
<td data-head="now: ">${to}</td>
</tr>
`,
)}</tbody>
</table>
</section>`
}

function lineSection(line: Line): Markup {
  return html`<section class="line" id="line-${line.number}">
<h3><span>${line.number}. ${line.text}</span> ${label(line.verdict)}</h3>
${line.findings.length === 0 && html`<p>No check of this line was run.</p>`}
${line.findings.map(checkArticle)}
</section>
`
}

function checkArticle(finding: Finding): Markup {
  const { check, title, verdict, threat, severity, kind, evidence, remedy, refs, suppressed } = finding
  const toDo = demandsAttention(finding)
  return html`<article id="${check}">
<h4>${label(verdict)} <span>${title}</span></h4>
<p class="meta"><code>${check}</code> <span>${threat}</span> <span>${severity}</span> <span>${kind}</span></p>
${suppressed && html`<p class="note"><strong>Suppressed until ${suppressed.until}:</strong> ${suppressed.reason}</p>`}
${toDo && html`<p class="note"><strong>To do:</strong> ${remedy}</p>`}
<details${toDo && new Markup(' open')}>
<summary>Evidence <span class="unseen">for ${check}</span></summary>
<pre>${evidence}</pre>
${toDo || html`<p><strong>If it fails:</strong> ${remedy}</p>`}
<dl class="references">${sources(refs).map(
    ([document, place]) => html`<div><dt>${document}</dt><dd>${place}</dd></div>`,
  )}</dl>
</details>
</article>
`
}

function controlTable(controls: readonly Control[]): Markup {
  return html`<section>
<h2 id="controls">Negative controls</h2>
<p>${seenRed(controls)}: each check was run against a copy of the deployment in which it has to fail.</p>
<table class="wide" aria-labelledby="controls">
<thead><tr><th scope="col">Check</th><th scope="col">Result</th><th scope="col">Evidence</th></tr></thead>
<tbody>
${controls.map(
  ({ check, red, verdict, evidence }) => html`<tr>
<th scope="row"><code>${check}</code></th>
<td>${red ? html`<span class="verdict pass">seen red</span>` : html`<span class="verdict fail">not red: ${verdict}</span>`}</td>
<td class="evidence">${evidence}</td>
</tr>
`,
)}</tbody>
</table>
</section>`
}

function label(verdict: Verdict): Markup {
  return html`<span class="verdict ${verdict}"><span aria-hidden="true">${MARK[verdict]}</span> ${verdict}</span>`
}

/** A piece of the page itself, in contrast to text that is shown on it. */
class Markup {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

type Piece = Markup | string | number | boolean | undefined | readonly Markup[]

/** A template in which everything is text and escaped, but for other templates. True, false and undefined are nothing. */
function html(parts: TemplateStringsArray, ...pieces: readonly Piece[]): Markup {
  return new Markup(parts.map((part, index) => part + render(pieces[index])).join(''))
}

function render(piece: Piece): string {
  if (piece === undefined || typeof piece === 'boolean') return ''
  if (piece instanceof Markup) return piece.text
  if (typeof piece === 'object') return piece.map(render).join('')
  return escapeMarkup(String(piece))
}
