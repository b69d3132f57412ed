import { type Redactor, Secret } from '../../src/secret.ts'
import type { PlainSecret, Remark } from './context.ts'
import { linesOf, read } from './files.ts'
import { shapesIn } from './recognise.ts'

/** A value has to be this long, in bytes, before finding it elsewhere is no accident. */
const TELLING = 8

/** What looks like a secret, or is one of those found, where nothing is replaced: comments, commands, other files. */
export function elsewhere(
  root: string,
  texts: ReadonlyMap<string, string>,
  others: readonly string[],
  secrets: readonly PlainSecret[],
  redactor: Redactor,
): Remark[] {
  const remarks: Remark[] = []
  const values = secrets.filter(one => one.stays === undefined && one.value.length >= TELLING)
  const look = (file: string, text: string, options: { hex: boolean }) => {
    const lines = new Map<number, string>()
    const lineOf = linesOf(text)
    for (const { at, value, kind } of shapesIn(text, options)) {
      redactor.learn(new Secret(value))
      lines.set(
        lineOf(at),
        `looks like a secret (${kind}), where this tool replaces nothing: remove it by hand`,
      )
    }
    const bytes = Buffer.from(text)
    for (const { name, value } of new Map(values.map(one => [one.name, one])).values())
      if (value.isIn(bytes)) {
        for (const line of linesWith(text, value))
          lines.set(line, `the value of ${name} stands here too: remove it by hand`)
      }
    for (const [line, found] of lines) remarks.push({ file, line, text: found, remains: true })
  }
  for (const [file, text] of texts) {
    const spans = secrets.filter(one => one.file === file).map(one => one.span)
    look(file, without(text, spans), { hex: true })
  }
  for (const file of others) {
    const found = read(root, file)
    if ('text' in found) look(file, found.text, { hex: false })
  }
  return remarks
}

/** The lines, from 1, on which a value stands that is in the text; of one of several lines, where the first one ends. */
function linesWith(text: string, value: Secret): number[] {
  const lines = text.split('\n')
  const found = lines.flatMap((line, index) => (value.isIn(line) ? [index + 1] : []))
  if (found.length > 0) return found
  let [low, high] = [1, lines.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (value.isIn(lines.slice(0, middle).join('\n'))) high = middle
    else low = middle + 1
  }
  return [low]
}

/** The text with blanks in place of these stretches, so that its lines stay what they are. */
function without(text: string, spans: readonly (readonly [number, number])[]): string {
  let result = ''
  let from = 0
  for (const [start, end] of [...spans].sort((a, b) => a[0] - b[0])) {
    if (start < from) continue
    result += text.slice(from, start) + text.slice(start, end).replace(/[^\n]/g, ' ')
    from = end
  }
  return result + text.slice(from)
}
