import { isDeepStrictEqual } from 'node:util'
import { visible } from '../../src/errors.ts'
import type { DeliveredSecret } from '../../src/gateway/policy.ts'
import { Secret } from '../../src/secret.ts'
import { linesOf } from './files.ts'
import { type Looked, nothingSeen, type Place } from './format.ts'
import { type Edit, edited, Unreadable } from './json5-text.ts'
import { type Candidate, nameOfVariable } from './names.ts'
import { judge, judgeWithVariables, kindOf, unfit, variablesIn } from './recognise.ts'

/** One variable of an env file. */
interface Entry {
  name: string
  value: string
  /** From the start of its line to the end of its last one, without the line break. */
  start: number
  end: number
  /** Where its value stands, with the quotation marks. */
  span: readonly [number, number]
  quote: '"' | "'" | ''
  /** Whether programs that read such files would disagree about what it means. */
  doubtful: boolean
}

const START = /[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.-]*)[ \t]*(?:=|:(?=[ \t]))[ \t]*/y
const DOUBTFUL = 'programs read its quotation marks differently: write it without the backslash'
const NO_ENTRY = /[ \t]*(?:#[^\n]*|(?:export[ \t]+)?[A-Za-z_][\w.-]*[ \t]*)?\r?(?:\n|$)/y

/** The comment that takes the place of a variable. */
export function notice(variable: string, secretName: string): string {
  return `# ${visible(variable)} is in the secret store of this deployment (${secretName})`
}

/** The secrets of a `.env` or `env_file`. `used`: names that are secrets by where they are used. Errors: {@link Unreadable}. */
export function lookAtVariables(text: string, used: ReadonlySet<string> = new Set()): Looked {
  const looked = nothingSeen()
  const lineOf = linesOf(text)
  const { entries, others } = readVariables(text)
  for (const entry of entries) {
    const { name, value, quote, span } = entry
    const line = lineOf(entry.start)
    const { verdict, ...rest } =
      quote === "'"
        ? { verdict: judge(name, value, used.has(name)), value }
        : judgeWithVariables('variables', name, value, used.has(name))
    for (const variable of quote === "'" ? [] : variablesIn(value))
      looked.uses.push({ variable, line, how: `in ${visible(name)}` })
    if (verdict.is === 'left') looked.remarks.push({ line, text: `${name}: ${verdict.why}` })
    if (verdict.is !== 'secret') continue
    const stays = whyItStays(rest.part, rest.value) ?? (entry.doubtful ? DOUBTFUL : undefined)
    looked.places.push({
      ...placeOfVariable(name, rest.value, verdict.shape, nameOfVariable(name)),
      variable: name,
      line,
      span,
      ...(stays === undefined ? {} : { stays }),
    })
  }
  for (const at of others.slice(0, 3))
    looked.remarks.push({ line: lineOf(at), text: 'the line is no NAME=VALUE: not looked at' })
  return looked
}

/** The text with a comment in place of each variable. Undefined when the result would not mean exactly that. */
export function commentsForVariables(
  text: string,
  changes: ReadonlyMap<number, DeliveredSecret>,
): string | undefined {
  const { entries } = readVariables(text)
  const gone = (entry: Entry) => changes.get(entry.span[0])
  const edits: Edit[] = entries.flatMap(entry => {
    const secret = gone(entry)
    return secret === undefined
      ? []
      : [{ start: entry.start, end: entry.end, text: notice(entry.name, secret.name) }]
  })
  const result = edited(text, edits)
  const meaning = (all: readonly Entry[]) => all.map(({ name, value, quote }) => [name, value, quote])
  const expected = entries.filter(entry => gone(entry) === undefined)
  return edits.length === changes.size &&
    isDeepStrictEqual(meaning(readVariables(result).entries), meaning(expected))
    ? result
    : undefined
}

/** What is the same of a variable wherever it is set. */
export function placeOfVariable(
  variable: string,
  value: string,
  shape: string | undefined,
  candidate: Candidate,
): Omit<Place, 'line' | 'span'> {
  return { where: variable, kind: kindOf(candidate.name, shape), candidate, value: new Secret(value) }
}

/** Why a value cannot be taken out by machine. */
export function whyItStays(part: 'default' | 'mixed' | undefined, value: string): string | undefined {
  if (part === 'default') return 'it is the default of a reference: remove it there by hand'
  if (part === 'mixed')
    return 'it holds a variable, or a $ that could begin one: write the value alone, in single quotes'
  return unfit(value)
}

function readVariables(text: string): { entries: Entry[]; others: number[] } {
  const entries: Entry[] = []
  const others: number[] = []
  for (let at = text.startsWith('\ufeff') ? 1 : 0; at < text.length; ) {
    const start = at
    NO_ENTRY.lastIndex = at
    if (NO_ENTRY.test(text)) {
      at = NO_ENTRY.lastIndex
      continue
    }
    START.lastIndex = at
    const name = START.exec(text)?.[1]
    if (name === undefined) others.push(at)
    else {
      const entry = readEntry(text, START.lastIndex)
      entries.push({ ...entry, name, start })
      at = entry.end
    }
    const next = text.indexOf('\n', at)
    at = next < 0 ? text.length : next + 1
  }
  return { entries, others }
}

function readEntry(text: string, from: number): Omit<Entry, 'name' | 'start'> {
  const quote = text[from]
  if (quote !== '"' && quote !== "'") {
    const line = /[^\r\n]*/y
    line.lastIndex = from
    const all = line.exec(text)?.[0] ?? ''
    const value = all.replace(/(^|\s)#.*$/, '').trim()
    return { value, span: [from, from + value.length], end: from + all.length, quote: '', doubtful: false }
  }
  let close = from + 1
  for (; close < text.length && text[close] !== quote; close += 1) if (text[close] === '\\') close += 1
  const tail = /[ \t]*(?:#[^\r\n]*)?(?=\r?\n|\r?$)/y
  tail.lastIndex = close + 1
  if (close >= text.length) throw new Unreadable(linesOf(text)(from), 'a quotation mark is not closed')
  if (!tail.test(text)) throw new Unreadable(linesOf(text)(close), 'text follows the closing quotation mark')
  const inner = text.slice(from + 1, close)
  const meant: Record<string, string> = { n: '\n', r: '\r', t: '\t', '"': '"', '\\': '\\' }
  return {
    value: quote === "'" ? inner : inner.replace(/\\([nrt"\\])/g, (all, char: string) => meant[char] ?? all),
    span: [from, close + 1],
    end: tail.lastIndex,
    quote,
    // A backslash before the mark ends the text for some, and is part of it for others; one before anything else, too.
    doubtful: quote === "'" ? inner.includes("\\'") || inner.endsWith('\\') : /\\[^nrt"\\]/.test(inner),
  }
}
