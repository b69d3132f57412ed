import * as fc from 'fast-check'
import { Marked, type Token, type Tokens } from 'marked'
import { describe, expect, it } from 'vitest'
import { markdownReport } from '../../src/report/markdown.ts'
import { CHECKLIST, linesOf } from '../../src/report/report.ts'
import { anyText } from './generators.ts'
import { everything, finding, HOSTILE, reportOf } from './reports.ts'

const marked = new Marked({ gfm: true })

/** Every piece of markup, however deep. */
function tokensOf(markdown: string): Token[] {
  const found: Token[] = []
  marked.walkTokens(marked.lexer(markdown), token => {
    found.push(token)
  })
  return found
}

const kinds = (markdown: string, ...types: string[]) =>
  tokensOf(markdown).filter(token => types.includes(token.type))
const headings = (markdown: string) => kinds(markdown, 'heading').map(token => (token as Tokens.Heading).text)
const fences = (markdown: string) => kinds(markdown, 'code').map(token => (token as Tokens.Code).text)

describe('the Markdown report', () => {
  it('has the counts and the ten lines as a table with their checks', () => {
    const report = everything()
    const markdown = markdownReport(report)
    expect(markdown).toMatch(/\*\*\d+ checks: \d+ passed, .* \(1 of them suppressed\)\*\*/)
    const [table, ...others] = kinds(markdown, 'table') as Tokens.Table[]
    expect(others).toEqual([])
    expect(table?.rows.map(row => row[1]?.text)).toEqual(
      CHECKLIST.map((text, index) => `${index + 1}. ${text}`),
    )
    const shown = table?.rows
      .map(row => row[4]?.text)
      .join(', ')
      .split(', ')
      .map(text => text.slice(2))
    expect(shown?.sort()).toEqual(report.findings.map(one => one.check).sort())
  })

  it('explains what failed, what is unknown and what is suppressed, in this order', () => {
    const suppressed = { check: 'c.c', until: '2026-12-31', reason: 'the old `proxy`' }
    const markdown = markdownReport(
      reportOf([
        finding('skip', { check: 'c.c', suppressed }),
        finding('unknown', { check: 'b.b' }),
        finding('fail', { check: 'a.a', evidence: 'one\ntwo' }),
        finding('pass', { check: 'd.d' }),
        finding('skip', { check: 'e.e' }),
      ]),
    )
    expect(headings(markdown)).toEqual([
      'Security verification of `my-gateway`',
      'Failed',
      'a.a: The token is strong',
      'Unknown',
      'b.b: The token is strong',
      'Suppressed',
      'c.c: The token is strong',
    ])
    expect(fences(markdown)).toEqual(['one\ntwo', 'saw it', 'saw it'])
    expect(markdown).toContain('Suppressed until `2026-12-31`: `` the old `proxy` ``')
    expect(markdown.match(/^To do: mend it$/gm)).toHaveLength(3)
  })

  it('has drift and controls when there are any', () => {
    expect(headings(markdownReport(everything()))).toEqual(
      expect.arrayContaining(['Changed since 2026-11-22 01:40:00 UTC', 'Negative controls']),
    )
    const drift = { since: '2026-11-22T01:40:00.000Z', verdicts: [], facts: [] }
    expect(markdownReport(reportOf([], { drift }))).toContain(
      'Nothing has changed since 2026-11-22 01:40:00 UTC.',
    )
    expect(headings(markdownReport(reportOf([])))).toHaveLength(1)
  })

  /** A report with foreign text wherever there can be any, and the same with harmless text. */
  const filled = (text: string) =>
    markdownReport(
      reportOf(
        [
          finding('fail', { evidence: text }),
          finding('skip', { evidence: text, suppressed: { check: 'a.a', until: text, reason: text } }),
        ],
        {
          deployment: `/srv/${text}`,
          drift: { since: text, verdicts: [], facts: [{ name: text, from: text, to: text }] },
          controls: [{ check: 'a.a', red: false, verdict: 'pass', evidence: text }],
        },
      ),
    )
  const shape = (markdown: string) =>
    tokensOf(markdown)
      .map(token => token.type)
      .filter(type => type !== 'text' && type !== 'escape')

  it('shows hostile text as it is, and none of it becomes markup', () => {
    const markdown = filled(HOSTILE)
    expect(fences(markdown)).toEqual(Array(3).fill(linesOf(HOSTILE).join('\n')))
    expect(kinds(markdown, 'html', 'link', 'image')).toEqual([])
    expect(shape(markdown)).toEqual(shape(filled('harmless')))
    expect(marked.parse(markdown)).not.toMatch(/<(script|img|a)\b/)
    expect(markdown).not.toMatch(/[^\P{C}\n]/u)
  })

  it('has the same shape whatever is in it', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(anyText(5), fc.constantFrom('`', '``', '```', '~~~', '\n', '|', '<b>', '> ', '# ', '- ')),
          { maxLength: 12 },
        ),
        parts => {
          expect(kinds(filled(parts.join('')), 'html', 'link', 'image')).toEqual([])
          expect(fences(filled(parts.join(''))).length).toBe(3)
        },
      ),
      { numRuns: 100 },
    )
  })

  it('puts no markup of a title or a remedy through', () => {
    const text = '<img src=x> [a](http://evil.example) **b** `c` | d &lt; ~~e~~ # f'
    const markdown = markdownReport(reportOf([finding('fail', { check: text, title: text, remedy: text })]))
    expect(kinds(markdown, 'html', 'link', 'image', 'codespan', 'del')).toHaveLength(2)
    expect(kinds(markdown, 'codespan').map(token => token.raw)).toEqual(['`my-gateway`', '`/srv/my-gateway`'])
  })
})
