import { plain as inline } from '../report/markdown.ts'

/**
 * Foreign text as text in Markdown: no markup, no link, no cell that ends early, nothing a reader's program would obey. Cut at
 * `most` characters.
 */
export function plain(text: string, most = 400): string {
  const short = text.length > most ? `${text.slice(0, most)}…` : text
  // The signs of its own entities stay.
  return inline(short).replace(/(?<!&)#/g, '\\#')
}

/** A table of foreign texts. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  const body = rows.map(cells => line(cells.map(cell => plain(cell))))
  return [line(head), line(head.map(() => '---')), ...body].join('\n')
}
