import { isDeepStrictEqual } from 'node:util'
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Pair,
  visit,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml'
import type { DeliveredSecret } from '../../src/gateway/policy.ts'
import { documentsOf, envFilesOf, isPairOf, isPlaced, meaning, resolved, servicesOf } from './compose-tree.ts'
import { linesOf } from './files.ts'
import { type Looked, nothingSeen, type Use } from './format.ts'
import { type Edit, edited } from './json5-text.ts'
import { nameOfVariable } from './names.ts'
import { isNamedLikeCredential, judgeWithVariables, kindOf, variablesIn } from './recognise.ts'
import { notice, placeOfVariable, whyItStays } from './variables.ts'

/** One variable that a Compose file gives a container, or the build of its image. */
interface Entry {
  variable: string
  /** As the container gets it; `$$` is a dollar sign, and one alone begins a variable of Compose. */
  text: string
  /** Whether it is only named: the container gets what Compose itself has under this name. */
  passed?: true
  /** The services that get it; undefined for the build of an image. */
  services?: readonly string[]
  /** What holds its text. */
  node: unknown
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

/** A variable of Compose as all there is, without another value in its place. */
const WHOLE = /^\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?::?\?[^{}]*|:?-)?\})$/

/**
 * The secrets in `environment` of a Compose file, in all its forms. `used`: names that are secrets by where they are used.
 * Errors: {@link Unreadable}.
 */
export function lookAtComposition(text: string, used: ReadonlySet<string> = new Set()): Looked {
  const looked = nothingSeen()
  const lineOf = linesOf(text)
  for (const document of documentsOf(text)) {
    const { services, owners } = servicesOf(document)
    looked.services.push(...services)
    const entries = entriesOf(document, owners)
    for (const entry of entries) {
      const line = lineOf(entry.start)
      const use = useOf(entry, line)
      looked.uses.push(...use)
      if (use.some(({ place }) => place !== undefined)) continue
      const { verdict, part, value } = judgeWithVariables(
        'compose',
        entry.variable,
        entry.text,
        used.has(entry.variable),
      )
      if (verdict.is === 'left') looked.remarks.push({ line, text: `${entry.variable}: ${verdict.why}` })
      if (verdict.is !== 'secret') continue
      const stays = whyItStays(part, value) ?? entry.tied
      looked.places.push({
        ...placeOfVariable(entry.variable, value, verdict.shape, nameOfVariable(entry.variable)),
        ...{ variable: entry.variable, line, span: [entry.at, entry.end] as const },
        ...(entry.services === undefined ? {} : { services: entry.services }),
        ...(stays === undefined ? {} : { stays }),
      })
    }
    looked.envFiles.push(...envFilesOf(document, owners, lineOf))
    looked.uses.push(...otherUses(document, new Set(entries.map(({ node }) => node)), lineOf))
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

/** The variables of Compose that an entry needs. */
function useOf(entry: Entry, line: number): Use[] {
  const { variable, services, at, end, tied, text } = entry
  const whole = WHOLE.exec(text.trim())
  const needed = entry.passed === true ? variable : (whole?.[1] ?? whole?.[2])
  const common = { line, ...(services === undefined ? {} : { services }) }
  if (needed === undefined)
    return variablesIn(text).map(one => ({ ...common, variable: one, how: 'within a longer text' }))
  if (tied !== undefined)
    return [
      {
        ...common,
        variable: needed,
        how: services === undefined ? 'to build an image' : 'where several places share it',
      },
    ]
  const candidate = nameOfVariable(variable)
  return [
    {
      ...common,
      variable: needed,
      secret: isNamedLikeCredential(variable, ''),
      place: {
        ...{ line, candidate, variable, where: variable, uses: needed },
        kind: kindOf(candidate.name, undefined),
        span: [at, end],
      },
    },
  ]
}

/** The variables that are needed outside of `environment`: by Compose itself, or (`$$NAME`) by a shell in the container. */
function otherUses(document: Document, entries: ReadonlySet<unknown>, lineOf: (at: number) => number): Use[] {
  const found: Use[] = []
  visit(document, {
    Scalar(_, node) {
      if (typeof node.value !== 'string' || entries.has(node) || !isPlaced(node)) return
      for (const variable of variablesIn(node.value))
        found.push({ variable, line: lineOf(node.range[0]), how: 'outside of environment' })
    },
    Pair(_, pair) {
      const name = isPairOf(pair, 'environment') ? pair.value : undefined
      if (isScalar(name) && isPlaced(name))
        found.push({
          variable: String(name.value),
          line: lineOf(name.range[0]),
          how: 'for a secret of Compose',
        })
    },
  })
  return found
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
    for (const entry of entriesOf(document, new Map())) {
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

/** Every variable below an `environment` or build `args`, where it is written: an anchor's mapping counts once. */
function entriesOf(document: Document, owners: ReadonlyMap<Pair, string[]>): Entry[] {
  const found = new Map<number, Entry>()
  const add = (
    node: unknown,
    owner: Pair,
    services: readonly string[] | undefined,
    tied: string | undefined,
    seen = new Set<unknown>(),
  ) => {
    const target = resolved(node, document)
    if (seen.has(target) || (!isMap(target) && !isSeq(target))) return
    seen.add(target)
    for (const item of target.items) {
      if (isMap(target) && isPairOf(item, '<<'))
        for (const source of isSeq(item.value) ? item.value.items : [item.value])
          add(
            source,
            owner,
            services,
            tied ?? 'it is merged from elsewhere in the file: remove it there by hand',
            seen,
          )
      const entry = entryOf(item, document)
      if (entry === undefined) continue
      const known = found.get(entry.at)
      const all = services && [...new Set([...(known?.services ?? []), ...services])]
      const reason = tied ?? entry.tied
      found.set(entry.at, {
        ...(known ?? { ...entry, inside: target, item, owner }),
        ...(known !== undefined || reason === undefined ? {} : { tied: reason }),
        ...(all === undefined ? {} : { services: all }),
      })
    }
  }
  visit(document, {
    Pair(_, pair) {
      if (isPairOf(pair, 'environment')) add(pair.value, pair, owners.get(pair) ?? [], undefined)
      if (isPairOf(pair, 'args'))
        add(pair.value, pair, undefined, 'the image keeps what it was built with: use a build secret')
    },
  })
  return [...found.values()]
}

/** `NAME: value`, `- NAME=value`, or the name alone. */
function entryOf(
  item: unknown,
  document: Document,
): Omit<Entry, 'inside' | 'item' | 'owner' | 'services'> | undefined {
  const isListed = isScalar(item) || isAlias(item)
  const key: unknown = isListed ? undefined : (item as Pair).key
  const node: unknown = isListed ? item : (item as Pair).value
  const value = resolved(node, document)
  if (isPlaced(key) && isScalar(key) && (value === null || (isScalar(value) && value.value === null))) {
    const [start, keyEnd] = key.range
    const end = isPlaced(value) ? value.range[1] : keyEnd
    const tied = isAlias(node)
      ? { tied: 'other places of the file name it by an anchor: remove it by hand' }
      : {}
    return {
      variable: String(key.value),
      text: '',
      passed: true,
      node: value,
      start,
      end,
      at: start,
      ...tied,
    }
  }
  if (!isScalar(value) || !isPlaced(node)) return undefined
  const text = typeof value.value === 'string' ? value.value : (value.source ?? '')
  const [at, end] = node.range
  const tied =
    isAlias(node) || value.anchor !== undefined
      ? { tied: 'other places of the file name it by an anchor: remove it by hand' }
      : {}
  if (isListed) {
    const parts = /^([\w.-]+)(=?)/.exec(text)
    if (parts === null || (parts[2] === '' && parts[0] !== text)) return undefined
    const passed = parts[2] === '' ? { passed: true as const } : {}
    return {
      ...{ variable: parts[1] ?? '', text: text.slice(parts[0].length), node: value },
      ...{ start: at, end, at },
      ...passed,
      ...tied,
    }
  }
  return isScalar(key) && isPlaced(key)
    ? { variable: String(key.value), text, node: value, start: key.range[0], end, at, ...tied }
    : undefined
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
