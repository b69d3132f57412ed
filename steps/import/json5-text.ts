import { isDeepStrictEqual } from 'node:util'
import json5 from 'json5'

/** A value in the text of a JSON5 file, and where it stands. */
export interface JsonNode {
  start: number
  end: number
  value: unknown
  members?: { key: string; start: number; value: JsonNode }[]
  items?: JsonNode[]
}

/** What keeps a text from being read. Never what the text says: that may be a secret. */
export class Unreadable extends Error {
  readonly line: number

  constructor(line: number, what: string) {
    super(what)
    this.name = 'Unreadable'
    this.line = line
  }
}

/** Replaces this stretch of a text by another. */
export interface Edit {
  start: number
  end: number
  text: string
}

/** Deeper than anybody's configuration, and not so deep that reading it would need a larger stack. */
const DEEPEST = 200

const SPACE = /[\s\ufeff]+|\/\/[^\n\r\u2028\u2029]*|\/\*[\s\S]*?\*\//y
const PRIMITIVE = /[^\s,\]}/]+/y
const IDENTIFIER = /[^\s:/]+/y

/**
 * The tree of a JSON5 text with the place of each value: the library that reads JSON5 for us tells no places. What it says
 * the text means has to be what we found. Errors: {@link Unreadable}.
 */
export function readTree(text: string): JsonNode {
  const lineOf = (at: number) => text.slice(0, at).split('\n').length
  const meant = parsed(text)
  let at = 0

  const skip = () => {
    at = afterSpace(text, at)
  }
  const take = (pattern: RegExp): string => {
    pattern.lastIndex = at
    const found = pattern.exec(text)?.[0] ?? ''
    at += found.length
    return found
  }
  const quoted = (): string => {
    const start = at
    const quote = text[at]
    for (at += 1; at < text.length && text[at] !== quote; at += 1) if (text[at] === '\\') at += 1
    at += 1
    return String(json5.parse(text.slice(start, at)))
  }
  const isQuote = () => text[at] === '"' || text[at] === "'"

  const node = (depth: number): JsonNode => {
    if (depth > DEEPEST) throw new Unreadable(lineOf(at), `it is nested more than ${DEEPEST} deep`)
    const start = at
    if (text[at] === '{') return { start, ...members(depth), end: at }
    if (text[at] === '[') return { start, ...items(depth), end: at }
    const value: unknown = isQuote() ? quoted() : json5.parse(take(PRIMITIVE))
    return { start, value, end: at }
  }
  const members = (depth: number) => {
    const found: NonNullable<JsonNode['members']> = []
    const keys = new Set<string>()
    for (at += 1, skip(); text[at] !== '}' && at < text.length; skip()) {
      const start = at
      const key = isQuote() ? quoted() : unescaped(take(IDENTIFIER))
      if (keys.has(key)) throw new Unreadable(lineOf(start), 'a key stands twice in one object')
      keys.add(key)
      skip()
      at += 1
      skip()
      found.push({ key, start, value: node(depth + 1) })
      skip()
      if (text[at] === ',') at += 1
    }
    at += 1
    return { members: found, value: Object.fromEntries(found.map(({ key, value }) => [key, value.value])) }
  }
  const items = (depth: number) => {
    const found: JsonNode[] = []
    for (at += 1, skip(); text[at] !== ']' && at < text.length; skip()) {
      found.push(node(depth + 1))
      skip()
      if (text[at] === ',') at += 1
    }
    at += 1
    return { items: found, value: found.map(({ value }) => value) }
  }

  skip()
  const root = { ...node(0) }
  if (!isDeepStrictEqual(root.value, meant)) throw new Unreadable(1, 'it cannot be read without doubt')
  return root
}

/** What a JSON5 text means. Errors: {@link Unreadable}. */
export function parsed(text: string): unknown {
  try {
    return json5.parse(text)
  } catch (error) {
    const line = error instanceof Error && 'lineNumber' in error ? Number(error.lineNumber) : 1
    throw new Unreadable(Number.isInteger(line) ? line : 1, 'it is no JSON5')
  }
}

/** The text with all edits made. They do not overlap. */
export function edited(text: string, edits: readonly Edit[]): string {
  let result = text
  for (const { start, end, text: replacement } of [...edits].sort(
    (a, b) => b.start - a.start || b.end - a.end,
  ))
    result = result.slice(0, start) + replacement + result.slice(end)
  return result
}

/** Adds members to an object at its end, in its own indentation, leaving the comments with what they are about. */
export function addMembers(text: string, object: JsonNode, added: Readonly<Record<string, unknown>>): Edit[] {
  const newline = text.includes('\r\n') ? '\r\n' : '\n'
  const last = object.members?.at(-1)
  const outer = indentAt(text, object.start)
  const indent =
    last !== undefined && isFirstOnLine(text, last.start) ? indentAt(text, last.start) : `${outer}  `
  const lines = Object.entries(added).map(([key, value]) => {
    const body = JSON.stringify(value, null, 2).replaceAll('\n', `${newline}${indent}`)
    return `${newline}${indent}${JSON.stringify(key)}: ${body}`
  })
  const addition = lines.join(',')
  if (last === undefined) {
    const end = object.end - 1
    return [{ start: end, end, text: `${addition}${newline}${outer}` }]
  }
  const next = afterSpace(text, last.value.end)
  const comma = text[next] === ','
  const from = comma ? next + 1 : last.value.end
  // A comment on the line of the last member is about that one.
  const comment = /[ \t]*\/\/[^\n\r\u2028\u2029]*/y
  comment.lastIndex = from
  const end = comment.test(text) ? comment.lastIndex : from
  const closing = isFirstOnLine(text, object.end - 1) ? '' : `${newline}${outer}`
  const tail = text.slice(end, object.end - 1).trim() === '' ? closing : ''
  if (comma) return [{ start: end, end, text: addition + tail }]
  if (end === from) return [{ start: end, end, text: `,${addition}${tail}` }]
  return [
    { start: from, end: from, text: ',' },
    { start: end, end, text: addition + tail },
  ]
}

/** JSON, indented like the line on which it will stand. */
export function indented(text: string, at: number, value: unknown): string {
  const newline = text.includes('\r\n') ? '\r\n' : '\n'
  return JSON.stringify(value, null, 2).replaceAll('\n', `${newline}${indentAt(text, at)}`)
}

/** Where white space and comments end. */
function afterSpace(text: string, at: number): number {
  for (let next = at; ; next = SPACE.lastIndex) {
    SPACE.lastIndex = next
    if (!SPACE.test(text)) return next
  }
}

/** A key without quotes may be written with escapes. */
function unescaped(key: string): string {
  if (!key.includes('\\')) return key
  const object: unknown = json5.parse(`{${key}: 0}`)
  return Object.keys(object ?? {})[0] ?? key
}

function lineStart(text: string, at: number): number {
  return text.lastIndexOf('\n', at - 1) + 1
}

function isFirstOnLine(text: string, at: number): boolean {
  return text.slice(lineStart(text, at), at).trim() === '' && lineStart(text, at) > 0
}

function indentAt(text: string, at: number): string {
  return /^[ \t]*/.exec(text.slice(lineStart(text, at), at))?.[0] ?? ''
}
