import { inert } from '../report/report.ts'

/**
 * Foreign text as text in Markdown: no markup, no link, no cell that ends early, nothing a reader's program would obey. Cut at
 * `most` characters.
 */
export function plain(text: string, most = 400): string {
  const short = text.length > most ? `${text.slice(0, most)}…` : text
  return inert(short)
    .replace(/[\\`*_~|[\]$!#]/g, '\\$&')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('://', '&#58;//')
    .replaceAll('www.', 'www&#46;')
    .replaceAll('@', '&#64;')
}

/** A table of foreign texts. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  const body = rows.map(cells => line(cells.map(cell => plain(cell))))
  return [line(head), line(head.map(() => '---')), ...body].join('\n')
}
