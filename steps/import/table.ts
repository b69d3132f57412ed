import { visible } from '../../src/errors.ts'
import type { PlainSecret, Remark } from './context.ts'

const WIDEST = 60

/** What was found, a line each: where, what it is, and under which name it is stored, or why it stays. Never a value. */
export function importTable(secrets: readonly PlainSecret[], remarks: readonly Remark[] = []): string {
  const rows = secrets.map(({ file, line, where, kind, name, uses, stays }) => [
    `${file}:${line}`,
    where,
    uses === undefined ? kind : `${kind}, by ${uses}`,
    stays === undefined ? name : `stays: ${stays}`,
  ])
  const table = aligned([['where', 'what', 'kind', 'name in the store'], ...rows])
  return [
    ...(secrets.length === 0 ? ['No secret in plain text was found.'] : table),
    ...remarks.map(({ file, line, text }) =>
      visible(`${file}${line === undefined ? '' : `:${line}`}: ${text}`),
    ),
  ].join('\n')
}

function aligned(rows: readonly (readonly string[])[]): string[] {
  const cells = rows.map(row =>
    row.map((cell, index) => {
      const shown = visible(cell)
      return index < row.length - 1 && shown.length > WIDEST ? `${shown.slice(0, WIDEST - 1)}…` : shown
    }),
  )
  const widths = cells[0]?.map((_, column) => Math.max(...cells.map(row => row[column]?.length ?? 0))) ?? []
  return cells.map(row =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}
