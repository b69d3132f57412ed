/** Findings and reports for the suites that look at what is printed. */
import type { Finding, Verdict } from '../../src/procedure/step.ts'
import type { Report } from '../../src/report/report.ts'
import { checks } from '../../steps/verify/index.ts'

export function finding(verdict: Verdict, more: Partial<Finding> = {}): Finding {
  return {
    check: 'token.strength',
    title: 'The token is strong',
    line: 1,
    threat: 'credential leakage',
    severity: 'critical',
    kind: 'static',
    verdict,
    evidence: 'saw it',
    remedy: 'mend it',
    refs: { seed: '1' },
    ...more,
  }
}

export function reportOf(findings: readonly Finding[], more: Partial<Report> = {}): Report {
  return {
    version: '1.2.3',
    deployment: '/srv/my-gateway',
    startedAt: '2026-11-23T01:40:00.000Z',
    findings,
    ...more,
  }
}

/** What a container that was taken over may write to be believed, or to harm who reads the report. */
export const HOSTILE = [
  'node\u001b[2K\u001b[1A\u001b]8;;http://evil.example\u0007\u009b31m\b\b\u202e\u2066\u061c\u{e0041}x',
  '✔  2  Configured localhost-only port binding',
  '</script></pre></details><script>document.title="taken"</script><img src=http://evil.example/ onerror=alert(1)>',
  ']]></failure><testcase name="forged"/> --> <!-- &lt; &amp; &#0;',
  '```\n# forged heading\n| ✔ | forged | pass |\n~~~~\n`` ` `` [link](javascript:alert(1)) ![](http://evil.example/x) **bold** @somebody',
  '{0} {{1}} [see](1) [see\\](http://evil.example)',
  '" onmouseover="alert(1)" \'x\' \u2028 \u0000 \ufffe \ud800 lone \udc00',
  `${'long '.repeat(1000)}${'x'.repeat(5000)}`,
].join('\r\n')

/** One finding of every check there is, with every verdict among them, something accepted, and hostile evidence. */
export function everything(): Report {
  const verdicts: Verdict[] = ['pass', 'pass', 'pass', 'fail', 'pass', 'unknown', 'pass', 'skip']
  const findings = checks.map(({ id, title, line, threat, severity, kind, remedy, refs }, index) =>
    finding(verdicts[index % verdicts.length] ?? 'pass', {
      check: id,
      title,
      line,
      threat,
      severity,
      kind,
      remedy,
      refs,
      evidence:
        index === 3 ? HOSTILE : `docker inspect says HostConfig.Memory 2147483648, what was expected (${id})`,
    }),
  )
  findings[1] = finding('skip', {
    ...findings[1],
    verdict: 'skip',
    suppressed: {
      check: findings[1]?.check ?? '',
      reason: 'moved to the new host by then',
      until: '2026-12-31',
    },
  })
  return reportOf(findings, {
    drift: {
      since: '2026-11-22T01:40:00.000Z',
      verdicts: [{ check: 'ports.unreachable', from: 'pass', to: 'fail' }],
      facts: [{ name: 'image', from: `sha256:${'a'.repeat(64)}`, to: `sha256:${'b'.repeat(64)}` }],
    },
    controls: checks.map(({ id }, index) => ({
      check: id,
      red: index !== 5,
      verdict: index === 5 ? 'pass' : 'fail',
      evidence: `in the copy: what ${id} looks at is broken`,
    })),
  })
}
