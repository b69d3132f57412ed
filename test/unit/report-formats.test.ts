import { readFileSync } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { FORMATS, type Format, formatReport } from '../../src/report/format.ts'
import { everything, finding, HOSTILE, reportOf } from './reports.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const options = { colour: false, verbose: true }

/** How a format writes a text that has a quotation mark and an angle in it. */
const SPOKEN: Record<Format, (text: string) => string> = {
  text: text => text,
  json: text => JSON.stringify(text).slice(1, -1),
  sarif: text => JSON.stringify(text).slice(1, -1),
  junit: text => text.replaceAll('<', '&lt;').replaceAll('"', '&quot;'),
  markdown: text => text,
  html: text => text.replaceAll('<', '&lt;').replaceAll('"', '&quot;'),
}

/** The files that are loaded with a file: what it imports, but for types and what it imports later. */
function loadedWith(path: string, found = new Set<string>()): Set<string> {
  if (found.has(path)) return found
  found.add(path)
  const text = readFileSync(resolve(ROOT, path), 'utf8')
  for (const [, name = ''] of text.matchAll(/^import (?!type\b)[^']*'([^']+)'/gm))
    if (name.startsWith('.')) loadedWith(relative(ROOT, resolve(ROOT, dirname(path), name)), found)
    else found.add(name)
  return found
}

describe.each(FORMATS)('the report as %s', format => {
  it('shows every check', async () => {
    const report = everything()
    const text = await formatReport(report, format, options)
    expect(report.findings.length).toBeGreaterThan(20)
    for (const { check } of report.findings) expect(text).toContain(check)
  })

  it('shows what is suppressed, also when it is short, until when and why', async () => {
    const reason = 'the "old" proxy <until moved>'
    const suppressed = { check: 'ports.published', until: '2026-12-31', reason }
    const report = reportOf([finding('skip', { check: 'ports.published', suppressed })])
    const text = await formatReport(report, format, { colour: false, verbose: false })
    for (const shown of ['ports.published', '2026-12-31', SPOKEN[format]('the "old" proxy <until')])
      expect(text).toContain(shown)
  })

  it('lets nothing through that a terminal, an editor or a browser would obey', async () => {
    const text = await formatReport(
      reportOf(
        [
          finding('fail', { evidence: HOSTILE, remedy: HOSTILE }),
          finding('unknown', { evidence: HOSTILE }),
          finding('skip', {
            evidence: HOSTILE,
            suppressed: { check: 'a.a', until: HOSTILE, reason: HOSTILE },
          }),
        ],
        {
          deployment: `/srv/${HOSTILE}`,
          drift: { since: HOSTILE, verdicts: [], facts: [{ name: HOSTILE, from: HOSTILE, to: HOSTILE }] },
          controls: [{ check: 'a.a', red: false, verdict: 'pass', evidence: HOSTILE }],
        },
      ),
      format,
      options,
    )
    expect(text).not.toMatch(/[^\P{Cc}\n]|[\p{Cs}\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/u)
  })

  it('ends with one newline', async () => {
    for (const report of [everything(), reportOf([])])
      expect(await formatReport(report, format, options)).toMatch(/[^\n]\n$/)
  })
})

describe('a format', () => {
  it('is loaded when it is chosen, and no other with it', () => {
    const heavy = ['html', 'sarif', 'junit', 'markdown'].map(name => `src/report/${name}.ts`)
    expect([...loadedWith('src/report/format.ts')]).toEqual(['src/report/format.ts'])
    expect([...loadedWith('src/report/text.ts')]).toEqual(
      expect.arrayContaining(['src/report/report.ts', 'node:util']),
    )
    for (const first of ['src/report/text.ts', 'src/report/json.ts'])
      expect([...loadedWith(first)].filter(path => heavy.includes(path))).toEqual([])
  })
})
