import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { checks } from '../../steps/verify/index.ts'

const root = resolve(import.meta.dirname, '../..')
const page = readFileSync(resolve(root, 'docs/seed-to-reality.md'), 'utf8')
const ids = new Set(checks.map(check => check.id))
const groups = new Set(checks.map(check => check.id.split('.')[0]))

/** What looks like a check: `group.name` alone in backticks, where the group is one that checks have. */
function mentionedIn(text: string): string[] {
  return [...text.matchAll(/`([a-z]+)\.([a-z][a-z-]*)`/g)]
    .filter(([, group]) => groups.has(group))
    .map(([, group, name]) => `${group}.${name}`)
}

/** The cells of every row of every table under a heading, or of the whole text. A `\|` belongs to its cell. */
function rowsOf(text: string): string[][] {
  return text
    .split('\n')
    .filter(line => line.startsWith('|') && !/^\|[-|\s]+\|$/.test(line))
    .map(line =>
      line
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map(cell => cell.trim()),
    )
}

function sectionOf(text: string, heading: string): string {
  const [, after] = text.split(`\n${heading}\n`)
  if (after === undefined) throw new Error(`no heading ${heading}`)
  return after.split(/\n#+ /)[0] ?? ''
}

describe('docs/seed-to-reality.md', () => {
  it('names no check that does not exist', () => {
    expect(mentionedIn(page).filter(id => !ids.has(id))).toEqual([])
  })

  it('would be caught naming one', () => {
    expect(
      mentionedIn('See `token.strenght`, `token.strength`, `browser.enabled` and `docker-compose.yml`.'),
    ).toEqual(['token.strenght', 'token.strength'])
  })

  it('mentions every check', () => {
    const mentioned = new Set(mentionedIn(page))
    expect([...ids].filter(id => !mentioned.has(id))).toEqual([])
  })

  it('has nothing but checks in the columns "Proven by"', () => {
    const proven = rowsOf(page).flatMap(cells =>
      cells.length === 4 && cells[0] !== 'Seed line' ? [cells[2]] : [],
    )
    expect(proven.length).toBeGreaterThan(100)
    const odd = proven.filter(
      cell => cell !== '—' && !cell?.split(', ').every(id => ids.has(id.replace(/^`|`$/g, ''))),
    )
    expect(odd).toEqual([])
  })

  it('has as many cells in every row as its table has columns', () => {
    const counts = rowsOf(page).map(cells => cells.length)
    expect(new Set(counts)).toEqual(new Set([3, 4]))
  })

  it('lists under each line of the checklist exactly the checks that belong to it', () => {
    const rows = rowsOf(sectionOf(page, '### Before Production')).slice(1)
    const documented = rows.map(cells => mentionedIn(cells[2] ?? ''))
    const declared = Array.from({ length: 10 }, (_, index) =>
      checks.filter(check => check.line === index + 1).map(check => check.id),
    )
    expect(documented).toEqual(declared)
  })

  it('leads to headings that exist', () => {
    const slugs = [...page.matchAll(/^#+ (.+)$/gm)].map(([, title]) =>
      (title ?? '')
        .toLowerCase()
        .replace(/[^\p{L}\p{N} -]/gu, '')
        .replaceAll(' ', '-'),
    )
    const links = [...page.matchAll(/\]\(#([^)]+)\)/g)].map(([, target]) => target)
    expect(links.length).toBeGreaterThan(10)
    expect(links.filter(target => !slugs.includes(target ?? ''))).toEqual([])
  })
})
