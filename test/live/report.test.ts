/** The page that `verify --format html` writes, in a real browser: Debian's chromium, which `test/live/up` installs. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatReport } from '../../src/report/format.ts'
import { CHECKLIST, linesOf } from '../../src/report/report.ts'
import { everything, HOSTILE } from '../unit/reports.ts'

const folder = mkdtempSync(resolve(tmpdir(), 'ocs-live-report-'))
const file = resolve(folder, 'report.html')
const url = pathToFileURL(file).href
const report = everything()
let browser: Browser

beforeAll(async () => {
  writeFileSync(file, await formatReport(report, 'html', { colour: false, verbose: false }))
  browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--disable-quic',
    ],
  })
})

afterAll(async () => {
  await browser?.close()
  rmSync(folder, { recursive: true, force: true })
})

/** The page as somebody opens it, and everything it said and asked for. */
async function opened(options: BrowserContextOptions = {}): Promise<{ page: Page; heard: string[] }> {
  const page = await (await browser.newContext(options)).newPage()
  const heard: string[] = []
  page.on('console', message => heard.push(`console: ${message.text()}`))
  page.on('pageerror', error => heard.push(`error: ${error.message}`))
  page.on('dialog', dialog => {
    heard.push(`dialog: ${dialog.message()}`)
    void dialog.dismiss()
  })
  page.on('request', request => heard.push(`request: ${request.url()}`))
  await page.goto(url, { waitUntil: 'networkidle' })
  return { page, heard }
}

describe('the page of a report in a browser', () => {
  it('asks for nothing but itself and breaks none of its own rules', async () => {
    const { page, heard } = await opened()
    expect(heard).toEqual([`request: ${url}`])
    // The style is applied, although the page forbids every style but one.
    expect(await page.evaluate(`getComputedStyle(document.querySelector('.verdict')).borderTopStyle`)).toBe(
      'solid',
    )
    await page.context().close()
  })

  it('would be heard if it broke them', async () => {
    const { page, heard } = await opened()
    await page.evaluate(`{
      document.body.insertAdjacentHTML('beforeend', '<img src="http://127.0.0.1:9/x" onerror="alert(1)">')
      document.body.append(Object.assign(document.createElement('script'), { textContent: 'document.title = 1' }))
    }`)
    await expect
      .poll(() => heard.filter(line => line.includes('Content Security Policy')).length)
      .toBeGreaterThan(1)
    expect(await page.title()).toMatch(/^Security verification of my-gateway/)
    await page.context().close()
  })

  it('tells a screen reader every check, and the ten lines as a table', async () => {
    const { page } = await opened()
    const tree = await page.locator('body').ariaSnapshot()
    for (const { check, title } of report.findings) {
      expect(tree).toContain(check)
      expect(tree).toContain(title)
    }
    const table = page.getByRole('table', { name: 'Before production' })
    expect(await table.getByRole('columnheader').allInnerTexts()).toEqual([
      'No.',
      'Line',
      'Verdict',
      'Passed',
    ])
    expect(await table.getByRole('rowheader').allInnerTexts()).toEqual([...CHECKLIST])
    expect(await page.getByRole('heading', { level: 1 }).allInnerTexts()).toEqual([
      'Security verification of my-gateway',
    ])
    expect(await page.getByRole('heading', { level: 3 }).count()).toBe(10)
    expect(await page.getByRole('heading', { level: 4 }).count()).toBe(report.findings.length)
    await page.context().close()
  })

  it('opens evidence by keyboard alone', async () => {
    const { page } = await opened()
    const closed = page.locator('details:not([open])').first()
    const id = await closed.locator('xpath=..').getAttribute('id')
    const details = page.locator(`[id="${id}"] details`)
    await details.locator('summary').focus()
    expect(await details.locator('pre').isVisible()).toBe(false)
    await page.keyboard.press('Enter')
    expect(await details.locator('pre').isVisible()).toBe(true)
    await page.keyboard.press('Space')
    expect(await details.locator('pre').isVisible()).toBe(false)
    await page.context().close()
  })

  it('shows hostile evidence word for word, and does nothing that it says', async () => {
    const { page } = await opened()
    const { check = '' } = report.findings.find(({ evidence }) => evidence === HOSTILE) ?? {}
    const shown = await page.locator(`[id="${check}"] pre`).textContent()
    expect(shown).toBe(linesOf(HOSTILE).join('\n'))
    expect(await page.title()).toBe('Security verification of my-gateway, 2026-11-23 01:40:00 UTC')
    expect(await page.locator('script, img, iframe, [onmouseover], [onerror]').count()).toBe(0)
    await page.context().close()
  })

  it.each([320, 480, 1100])('needs no scrolling sideways at %i px', async width => {
    const { page } = await opened({ viewport: { width, height: 800 } })
    await page.evaluate(`document.querySelectorAll('details').forEach(one => { one.open = true })`)
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width)
    const outside = `[...document.querySelectorAll('main *')]
      .filter(one => !one.closest('.unseen, thead') && one.getBoundingClientRect().right > innerWidth)
      .map(one => one.outerHTML.slice(0, 100))`
    expect(await page.evaluate(outside)).toEqual([])
    const table = page.getByRole('table', { name: 'Negative controls' })
    expect(await table.getByRole('rowheader').count()).toBe(report.controls?.length)
    await page.context().close()
  })

  it.each(['light', 'dark'] as const)(
    'can be read in a %s room: contrast of 4.5 at least',
    async colorScheme => {
      const { page } = await opened({ colorScheme })
      const measured = (await page.evaluate(CONTRASTS)) as { what: string; ratio: number }[]
      const verdicts = new Set(measured.map(({ what }) => /^verdict (\w+)/.exec(what)?.[1]).filter(Boolean))
      expect([...verdicts].sort()).toEqual(['fail', 'pass', 'skip', 'unknown'])
      expect(measured.filter(({ ratio }) => ratio < 4.5)).toEqual([])
      const paper = String(await page.evaluate('getComputedStyle(document.body).backgroundColor'))
      expect(paper === 'rgb(255, 255, 255)').toBe(colorScheme === 'light')
      await page.context().close()
    },
  )

  it('prints all evidence, dark on white, also from a dark room', async () => {
    const { page } = await opened({ colorScheme: 'dark' })
    await page.emulateMedia({ media: 'print', colorScheme: 'dark' })
    expect(await page.evaluate('getComputedStyle(document.body).backgroundColor')).toBe('rgb(255, 255, 255)')
    const hidden = `[...document.querySelectorAll('pre')].filter(one => !one.checkVisibility() || one.offsetHeight === 0).length`
    expect(await page.evaluate(hidden)).toBe(0)
    const measured = (await page.evaluate(CONTRASTS)) as { what: string; ratio: number }[]
    expect(measured.filter(({ ratio }) => ratio < 4.5)).toEqual([])
    await page.context().close()
  })
})

/** Runs in the page: the contrast (WCAG 2) of every element that has text of its own with what is behind it. */
const CONTRASTS = `(() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number)
  const luminance = colour => {
    const [r, g, b] = parts(colour).slice(0, 3).map(value => {
      const c = value / 255
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const behind = element => {
    for (let one = element; one !== null; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor
      const [, , , alpha = 1] = parts(colour)
      if (alpha === 1) return colour
    }
    return 'rgb(255, 255, 255)'
  }
  const hasText = element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim() !== '')
  return [...document.querySelectorAll('body *')].filter(hasText).map(element => {
    const [light, dark] = [luminance(getComputedStyle(element).color), luminance(behind(element))].sort((a, b) => b - a)
    return { what: element.className + ' ' + element.localName, ratio: (light + 0.05) / (dark + 0.05) }
  })
})()`
