import { createHash } from 'node:crypto'
import { XMLParser, XMLValidator } from 'fast-xml-parser'
import { describe, expect, it } from 'vitest'
import { htmlReport } from '../../src/report/html.ts'
import { CHECKLIST, linesOf } from '../../src/report/report.ts'
import { everything, finding, HOSTILE, reportOf } from './reports.ts'

/** A page with foreign text wherever there can be any. */
const filled = (text: string) =>
  htmlReport(
    reportOf(
      [
        finding('fail', {
          check: text,
          title: text,
          evidence: text,
          remedy: text,
          refs: { seed: text, cis: text },
        }),
        finding('skip', { evidence: text, suppressed: { check: 'a.a', until: text, reason: text } }),
      ],
      {
        version: text,
        deployment: `/srv/${text}`,
        startedAt: text,
        drift: { since: text, verdicts: [], facts: [{ name: text, from: text, to: text }] },
        controls: [{ check: 'a.a', red: false, verdict: 'pass', evidence: text }],
      },
    ),
  )
/** The page's tags with their attributes' names, in order. */
const tagsOf = (page: string) =>
  [...page.replace(/<style>[\s\S]*<\/style>/, '').matchAll(/<\/?[a-z][^>]*>/g)].map(([tag]) =>
    tag.replace(/"[^"]*"/g, '""'),
  )

describe('the page', () => {
  it('may load and run nothing, and its style is the only one that may be applied', () => {
    const page = htmlReport(everything())
    const style = /<style>([\s\S]*)<\/style>/.exec(page)?.[1] ?? ''
    const hash = createHash('sha256').update(style).digest('base64')
    expect(page).toContain(
      `content="default-src &apos;none&apos;; style-src &apos;sha256-${hash}&apos;; base-uri &apos;none&apos;; form-action &apos;none&apos;"`,
    )
    expect(page.indexOf('Content-Security-Policy')).toBeLessThan(page.indexOf('<style>'))
    expect(style).not.toMatch(/url\(|@import|@font-face/)
    for (const tag of tagsOf(page))
      expect(tag).not.toMatch(/^<(script|img|link|iframe|object|embed|base|form|svg)\b|\s(src|style|on\w+)=/)
  })

  it('opens and closes every element in its place', () => {
    const asXml = htmlReport(everything())
      .replace('<!doctype html>', '')
      .replace(/<meta ([^>]*)>/g, '<meta $1/>')
      .replaceAll('<details open>', '<details open="">')
      .replace(/<style>[\s\S]*<\/style>/, '')
    expect(XMLValidator.validate(asXml)).toBe(true)
    const { html } = new XMLParser().parse(asXml)
    expect(html.body.main).toBeDefined()
  })

  it('has no name twice, and every link leads somewhere on it', () => {
    const page = htmlReport(everything())
    const names = [...page.matchAll(/ id="([^"]+)"/g)].map(([, name]) => name)
    expect(new Set(names).size).toBe(names.length)
    const links = [...page.matchAll(/ href="([^"]+)"/g)].map(([, target = '']) => target)
    expect(links.length).toBeGreaterThan(10)
    expect(links.filter(target => !names.includes(target.slice(1)) || !target.startsWith('#'))).toEqual([])
  })

  it('has the ten lines, and each check with all that is known of it', () => {
    const page = htmlReport(everything())
    for (const text of CHECKLIST) expect(page).toContain(text)
    const one = finding('fail', {
      check: 'ports.unreachable',
      refs: { seed: '2. Network Isolation', cis: '5.14', openclaw: 'gateway.bind' },
    })
    const article = /<article[\s\S]*<\/article>/.exec(htmlReport(reportOf([one])))?.[0]
    for (const shown of [
      'ports.unreachable',
      one.title,
      'fail',
      'credential leakage',
      'critical',
      'static',
      'saw it',
      'mend it',
      'Security Best Practices',
      '2. Network Isolation',
      'CIS Docker Benchmark',
      '5.14',
      'OpenClaw',
      'gateway.bind',
    ])
      expect(article).toContain(shown)
  })

  it('opens the evidence of what is wrong or suppressed, and of nothing else', () => {
    const suppressed = { check: 'a.a', until: '2026-12-31', reason: 'x' }
    const open = (one: ReturnType<typeof finding>) => htmlReport(reportOf([one])).includes('<details open>')
    expect([finding('fail'), finding('unknown'), finding('skip', { suppressed })].map(open)).toEqual([
      true,
      true,
      true,
    ])
    expect([finding('pass'), finding('skip')].map(open)).toEqual([false, false])
  })

  it('says that the checklist holds only when every line was looked at and nothing is wrong', () => {
    const ten = CHECKLIST.map((_, index) => finding('pass', { line: index + 1 }))
    const says = (...findings: ReturnType<typeof finding>[]) =>
      /<h2 id="result">(.*)<\/h2>/.exec(htmlReport(reportOf(findings)))?.[1]
    expect(says(...ten)).toContain('The checklist holds')
    expect(says(...ten, finding('skip'))).toContain('The checklist holds')
    expect(says(...ten, finding('unknown'))).toContain('not proven')
    expect(says(...ten, finding('unknown'), finding('fail'))).toContain('does not hold')
    expect(says(...ten.slice(1))).toContain('not proven')
    expect(says(...ten.map(one => ({ ...one, verdict: 'skip' as const })))).toContain('not proven')
    expect(says()).toContain('not proven')
  })

  it('has the same elements whatever is written in it, and shows all of it', () => {
    const page = filled(HOSTILE)
    expect(tagsOf(page)).toEqual(tagsOf(filled('harmless')))
    expect(page).not.toContain('<script')
    const shown = page.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"')
    expect(shown.replaceAll('&apos;', "'").replaceAll('&amp;', '&')).toContain(linesOf(HOSTILE).join('\n'))
  })
})
