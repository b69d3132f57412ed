import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  parseAllDocuments,
  type Scalar,
  visit,
  type YAMLMap,
} from 'yaml'
import { linesOf } from './files.ts'
import type { Looked, Service } from './format.ts'
import { Unreadable } from './json5-text.ts'

const MANY_ALIASES = 100

const OPENCLAW = /openclaw|clawdbot|moltbot/i
/** Images of what stands beside a gateway, and is named after it. */
const BESIDE = /postgres|pgvector|mysql|maria|mongo|redis|valkey|nginx|caddy|traefik/i
const NAMED_OPENCLAW = /^(openclaw|clawdbot|moltbot)([-_](gateway|cli))?$/i
const RUNS_OPENCLAW = /(openclaw|clawdbot|moltbot)(\.mjs|["',\s]+gateway\b)/i

/** The documents of a Compose file. Errors: {@link Unreadable}. */
export function documentsOf(text: string): Document[] {
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

/**
 * What the documents mean, and how each scalar is spelled: Compose reads YAML by older rules than we do, by which `0440` is
 * another number than `440`.
 */
export function meaning(documents: readonly Document[]): unknown[] {
  return documents.map(document => {
    const spelled: string[] = []
    visit(document, {
      Scalar(_, { value, source, type }) {
        spelled.push(type === 'PLAIN' ? `plain ${source ?? String(value)}` : `text ${String(value)}`)
      },
    })
    return [document.toJS({ maxAliasCount: MANY_ALIASES }) as unknown, spelled]
  })
}

export function isPlaced(node: unknown): node is (Scalar | Node) & { range: [number, number, number] } {
  return typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range)
}

export function isPairOf(item: unknown, key: string): item is Pair {
  return (
    typeof item === 'object' && item !== null && 'key' in item && isScalar(item.key) && item.key.value === key
  )
}

export function resolved(node: unknown, document: Document): unknown {
  return isAlias(node) ? node.resolve(document) : node
}

/** The services of a document, and which of them each of their settings belongs to, through anchors and merges. */
export function servicesOf(document: Document): { services: Service[]; owners: Map<Pair, string[]> } {
  const services: Service[] = []
  const owners = new Map<Pair, string[]>()
  for (const block of isMap(document.contents) ? document.contents.items : []) {
    const all = isPairOf(block, 'services') ? resolved(block.value, document) : undefined
    for (const { key, value } of isMap(all) ? all.items : []) {
      const name = isScalar(key) ? String(key.value) : ''
      const settings = mappingsOf(value, document).flatMap(({ items }) => items)
      for (const pair of settings) owners.set(pair, [...(owners.get(pair) ?? []), name])
      services.push({ name, isOpenClaw: isOpenClaw(name, settings, document) })
    }
  }
  return { services, owners }
}

/** A mapping and all that are merged into it. */
function mappingsOf(node: unknown, document: Document, seen = new Set<unknown>()): YAMLMap[] {
  const target = resolved(node, document)
  if (!isMap(target) || seen.has(target)) return []
  seen.add(target)
  const merged = target.items
    .filter(item => isPairOf(item, '<<'))
    .flatMap(({ value }) => (isSeq(value) ? value.items : [value]))
  return [target, ...merged.flatMap(source => mappingsOf(source, document, seen))]
}

function isOpenClaw(name: string, settings: readonly Pair[], document: Document): boolean {
  const said = (key: string) => {
    const value = resolved(settings.find(pair => isPairOf(pair, key))?.value, document)
    return isNode(value) ? (JSON.stringify(value.toJS(document, { maxAliasCount: MANY_ALIASES })) ?? '') : ''
  }
  const image = said('image') + said('build')
  return (
    NAMED_OPENCLAW.test(name) ||
    (OPENCLAW.test(image) && !BESIDE.test(image)) ||
    RUNS_OPENCLAW.test(`${said('entrypoint')} ${said('command')}`)
  )
}

/** The files of variables that services name. */
export function envFilesOf(
  document: Document,
  owners: ReadonlyMap<Pair, string[]>,
  lineOf: (at: number) => number,
): Looked['envFiles'] {
  const found: Looked['envFiles'] = []
  visit(document, {
    Pair(_, pair) {
      if (!isPairOf(pair, 'env_file')) return
      const value = resolved(pair.value, document)
      for (const item of isSeq(value) ? value.items : [value]) {
        const path = isMap(item) ? item.get('path', true) : item
        if (isScalar(path) && typeof path.value === 'string' && isPlaced(path))
          found.push({
            path: path.value,
            line: lineOf(path.range[0]),
            services: owners.get(pair) ?? [],
          })
      }
    },
  })
  return found
}
