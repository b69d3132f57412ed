import { isDeepStrictEqual } from 'node:util'
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  parseAllDocuments,
  type Scalar,
  visit,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml'
import type { DeliveredSecret } from '../../src/gateway/policy.ts'
import { linesOf } from './files.ts'
import type { Looked } from './format.ts'
import { type Edit, edited, Unreadable } from './json5-text.ts'
import { nameOfVariable } from './names.ts'
import { judgeWithVariables } from './recognise.ts'
import { notice, placeOfVariable, whyItStays } from './variables.ts'

/** One variable that a Compose file gives a container, or the build of its image. */
interface Entry {
  variable: string
  /** As the container gets it; `$$` is a dollar sign, and one alone begins a variable of Compose. */
  text: string
  /** Where it begins and ends, with its name, and from where its value stands. */
  start: number
  end: number
  at: number
  /** Why it cannot be taken out. */
  tied?: string
  /** The list or mapping it is in, and whose value that is. */
  inside: YAMLMap | YAMLSeq
  item: unknown
  owner: Pair
}

const MANY_ALIASES = 100

/** The secrets in `environment` of a Compose file, in all its forms. Errors: {@link Unreadable}. */
export function lookAtComposition(text: string): Looked {
  const looked: Looked = { places: [], remarks: [], envFiles: [] }
  const lineOf = linesOf(text)
  for (const document of documentsOf(text)) {
    for (const entry of entriesOf(document)) {
      const { verdict, part, value } = judgeWithVariables('compose', entry.variable, entry.text)
      const line = lineOf(entry.start)
      if (verdict.is === 'left') looked.remarks.push({ line, text: `${entry.variable}: ${verdict.why}` })
      if (verdict.is !== 'secret') continue
      const stays = entry.tied ?? whyItStays(part, value)
      looked.places.push({
        ...placeOfVariable(entry.variable, value, verdict.shape, nameOfVariable(entry.variable)),
        line,
        span: [entry.at, entry.end],
        ...(stays === undefined ? {} : { stays }),
      })
    }
    looked.envFiles.push(...envFilesOf(document, lineOf))
    visit(document, {
      Pair(_, { key }) {
        if (isScalar(key) && isPlaced(key) && ['include', 'extends'].includes(String(key.value)))
          looked.remarks.push({
            line: lineOf(key.range[0]),
            text: `${key.value} may bring in other files: not looked at`,
          })
      },
    })
  }
  return looked
}

/** The text with a comment in place of each entry. Undefined when the result would not mean exactly that. */
export function commentsInComposition(
  text: string,
  changes: ReadonlyMap<number, DeliveredSecret>,
): string | undefined {
  const documents = documentsOf(text)
  const edits: Edit[] = []
  let inPlace = true
  let removed = 0
  for (const document of documents) {
    const owners = new Map<Pair, Entry[]>()
    for (const entry of entriesOf(document)) {
      const secret = changes.get(entry.at)
      if (secret === undefined) continue
      removed += 1
      owners.set(entry.owner, [...(owners.get(entry.owner) ?? []), entry])
      const edit = lineEdit(text, entry, notice(entry.variable, secret.name))
      if (edit === undefined) inPlace = false
      else edits.push(edit)
      takeOut(entry, notice(entry.variable, secret.name).slice(1))
    }
    for (const [{ key }, [entry]] of owners)
      if (entry !== undefined && entry.inside.items.length === 0) {
        // With nothing but comments below it, the key would have the value null, which Compose refuses.
        const colon = /[ \t]*:/y
        colon.lastIndex = isScalar(key) ? (key.range?.[1] ?? 0) : 0
        if (colon.test(text) && entry.inside.anchor === undefined)
          edits.push({
            start: colon.lastIndex,
            end: colon.lastIndex,
            text: isMap(entry.inside) ? ' {}' : ' []',
          })
        else inPlace = false
      }
  }
  if (removed !== changes.size) return undefined
  const means = (result: string) => isDeepStrictEqual(meaning(documentsOf(result)), meaning(documents))
  const candidates = [inPlace ? () => edited(text, edits) : undefined, () => rendered(text, documents)]
  for (const candidate of candidates)
    try {
      const result = candidate?.()
      if (result !== undefined && means(result)) return result
    } catch {
      // Not even YAML: the next way of writing it, or none.
    }
  return undefined
}

function documentsOf(text: string): Document[] {
  let documents: Document[]
  try {
    documents = [...parseAllDocuments(text, { prettyErrors: false })]
  } catch {
    throw new Unreadable(1, 'it is no YAML')
  }
  for (const { errors } of documents)
    for (const { code, pos } of errors)
      throw new Unreadable(
        linesOf(text)(pos[0]),
        code === 'DUPLICATE_KEY' ? 'a key stands twice in one mapping' : 'it is no YAML',
      )
  try {
    meaning(documents)
  } catch {
    throw new Unreadable(1, 'its aliases are nested too deep')
  }
  return documents
}

function meaning(documents: readonly Document[]): unknown[] {
  return documents.map(document => document.toJS({ maxAliasCount: MANY_ALIASES }) as unknown)
}

/** Every variable below an `environment` or build `args`, where it is written: an anchor's mapping counts once. */
function entriesOf(document: Document): Entry[] {
  const found: Entry[] = []
  const seen = new Set<unknown>()
  const add = (node: unknown, owner: Pair, tied: string | undefined) => {
    const target = isAlias(node) ? node.resolve(document) : node
    if (seen.has(target) || (!isMap(target) && !isSeq(target))) return
    seen.add(target)
    for (const item of target.items) {
      if (isMap(target) && isPairOf(item, '<<'))
        for (const source of isSeq(item.value) ? item.value.items : [item.value])
          add(source, owner, tied ?? 'it is merged from elsewhere in the file: remove it there by hand')
      const entry = entryOf(item, document)
      if (entry === undefined) continue
      const reason = tied ?? entry.tied
      found.push({ ...entry, ...(reason === undefined ? {} : { tied: reason }), inside: target, item, owner })
    }
  }
  visit(document, {
    Pair(_, pair) {
      if (isPairOf(pair, 'environment')) add(pair.value, pair, undefined)
      if (isPairOf(pair, 'args'))
        add(pair.value, pair, 'the image keeps what it was built with: use a build secret')
    },
  })
  return found
}

/** `NAME: value`, or `- NAME=value`. */
function entryOf(
  item: unknown,
  document: Document,
): Pick<Entry, 'variable' | 'text' | 'start' | 'end' | 'at' | 'tied'> | undefined {
  const node = isScalar(item) || isAlias(item) ? item : (item as Pair).value
  const value = isAlias(node) ? node.resolve(document) : node
  if (!isScalar(value) || !isPlaced(node)) return undefined
  const text = typeof value.value === 'string' ? value.value : (value.source ?? '')
  const [at, end] = node.range
  const tied =
    isAlias(node) || value.anchor !== undefined
      ? { tied: 'other places of the file name it by an anchor: remove it by hand' }
      : {}
  if (node === item) {
    const name = /^([\w.-]+)=/.exec(text)?.[1]
    return name === undefined
      ? undefined
      : { variable: name, text: text.slice(name.length + 1), start: at, end, at, ...tied }
  }
  const { key } = item as Pair
  return isScalar(key) && isPlaced(key)
    ? { variable: String(key.value), text, start: key.range[0], end, at, ...tied }
    : undefined
}

function isPlaced(node: unknown): node is (Scalar | Node) & { range: [number, number, number] } {
  return typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range)
}

function isPairOf(item: unknown, key: string): item is Pair {
  return (
    typeof item === 'object' && item !== null && 'key' in item && isScalar(item.key) && item.key.value === key
  )
}

/** The lines of an entry that has them for itself, replaced by a comment. */
function lineEdit(text: string, entry: Entry, comment: string): Edit | undefined {
  const start = text.lastIndexOf('\n', entry.start - 1) + 1
  const before = text.slice(start, entry.start)
  const indent = isMap(entry.inside) ? /^ *$/.exec(before) : /^ *(?=- *$)/.exec(before)
  // A block of several lines ends after its last line break.
  const last =
    text[entry.end - 1] === '\n' ? entry.end - 1 - (text[entry.end - 2] === '\r' ? 1 : 0) : entry.end
  const rest = /[ \t]*(?:#[^\r\n]*)?(?=\r?\n|\r?$)/y
  rest.lastIndex = last
  if (indent === null || entry.inside.flow === true || !rest.test(text)) return undefined
  return { start, end: rest.lastIndex, text: indent[0] + comment }
}

/** Removes an entry from the tree and leaves a comment there. */
function takeOut({ inside, item }: Entry, comment: string): void {
  const items: unknown[] = inside.items
  const index = items.indexOf(item)
  const next: unknown = items[index + 1]
  items.splice(index, 1)
  const holder = isScalar(next)
    ? next
    : typeof next === 'object' && next !== null && 'key' in next
      ? next.key
      : inside
  const node = isScalar(holder) ? holder : inside
  if (isScalar(holder)) node.commentBefore = [comment, node.commentBefore].filter(Boolean).join('\n')
  else node.comment = [node.comment, comment].filter(Boolean).join('\n')
}

function rendered(text: string, documents: readonly Document[]): string {
  const result = documents.map(document => document.toString({ lineWidth: 0 })).join('')
  const lines = text.includes('\r\n') ? result.replaceAll('\n', '\r\n') : result
  return text.startsWith('\ufeff') && !lines.startsWith('\ufeff') ? `\ufeff${lines}` : lines
}

function envFilesOf(document: Document, lineOf: (at: number) => number): { path: string; line: number }[] {
  const found: { path: string; line: number }[] = []
  visit(document, {
    Pair(_, pair) {
      if (!isPairOf(pair, 'env_file')) return
      const value: unknown = isAlias(pair.value) ? pair.value.resolve(document) : pair.value
      for (const item of isSeq(value) ? value.items : [value]) {
        const path = isMap(item) ? item.get('path', true) : item
        if (isScalar(path) && typeof path.value === 'string' && isPlaced(path))
          found.push({ path: path.value, line: lineOf(path.range[0]) })
      }
    },
  })
  return found
}
