import { isDeepStrictEqual } from 'node:util'
import { INSIDE } from '../../src/deployment/layout.ts'
import { type DeliveredSecret, secretFileName } from '../../src/gateway/policy.ts'
import { Secret } from '../../src/secret.ts'
import { linesOf } from './files.ts'
import { type Looked, nothingSeen, type Use } from './format.ts'
import {
  addMembers,
  type Edit,
  edited,
  indented,
  type JsonNode,
  parsed,
  readTree,
  Unreadable,
} from './json5-text.ts'
import { nameOfPath } from './names.ts'
import { judgeWithVariables, kindOf, shapeOf, variablesIn } from './recognise.ts'
import { holdsSecret, takesReference } from './surface.ts'
import { whyItStays } from './variables.ts'

const NO_REFERENCE = 'OpenClaw takes no reference at this place: move it to one that does, or remove it'

type Path = readonly (string | number)[]

/**
 * The secrets of an openclaw.json: texts at places that are named like a credential, or look like one. Errors:
 * {@link Unreadable}.
 */
export function lookAtPolicy(text: string): Looked {
  const root = readTree(text)
  const lineOf = linesOf(text)
  if (root.members === undefined) throw new Unreadable(lineOf(root.start), 'it is no object')
  const looked: Looked = { ...nothingSeen(), refuses: name => providerInTheWay(root, name) }
  const walk = (node: JsonNode, path: Path) => {
    const uses = usesAt(node, path).map(use => ({ ...use, line: lineOf(node.start) }))
    looked.uses.push(...uses.map(use => placed(use, node, path)))
    const isUse = uses.some(use => use.how === undefined)
    const found = typeof node.value === 'string' && !isUse ? judgeAt(path, node.value) : undefined
    const remark = (what: string) =>
      looked.remarks.push({ line: lineOf(node.start), text: `${shown(path)}${what}` })
    if (path.at(-1) === '$include') remark(' brings in other files: not looked at')
    else if (found?.verdict.is === 'left') remark(`: ${found.verdict.why}`)
    else if (found?.verdict.is === 'secret') {
      const candidate = candidateAt(path)
      const stays = whyItStays(found.part, found.value) ?? (takesReference(path) ? undefined : NO_REFERENCE)
      looked.places.push({
        line: lineOf(node.start),
        where: shown(path),
        kind: kindOf(candidate.name, found.verdict.shape),
        candidate,
        value: new Secret(found.value),
        span: [node.start, node.end],
        ...(stays === undefined ? {} : { stays }),
      })
    }
    // A reference names its secret, and holds none.
    if (!isReference(node) && environmentRef(node) === undefined)
      for (const { key, value } of node.members ?? []) walk(value, [...path, key])
    for (const [index, item] of (node.items ?? []).entries()) walk(item, [...path, index])
  }
  walk(root, [])
  return looked
}

/**
 * The text with references in place of secrets, and with the providers that say where these lie; comments and formatting as
 * they were. Undefined when the result would not mean exactly that.
 */
export function referencesInPolicy(
  text: string,
  changes: ReadonlyMap<number, DeliveredSecret>,
): string | undefined {
  const root = readTree(text)
  if ([...changes.values()].some(({ name }) => providerInTheWay(root, name) !== undefined)) return undefined
  const providers: Record<string, unknown> = {}
  for (const secret of changes.values())
    providers[secret.name] = {
      source: 'file',
      path: `${INSIDE.secrets}/${secretFileName(secret)}`,
      mode: 'singleValue',
    }
  const edits: Edit[] = []
  const replace = (node: JsonNode): unknown => {
    const secret = changes.get(node.start)
    if (secret !== undefined && (typeof node.value === 'string' || environmentRef(node) !== undefined)) {
      const reference = { source: 'file', provider: secret.name, id: 'value' }
      edits.push({ ...node, text: JSON.stringify(reference).replace(/[{,:]/g, '$& ').replace('}', ' }') })
      return reference
    }
    if (node.items !== undefined) return node.items.map(replace)
    if (node.members === undefined) return node.value
    return Object.fromEntries(node.members.map(({ key, value }) => [key, replace(value)]))
  }
  const expected = withProviders(replace(root), providers)
  if (edits.length !== changes.size) return undefined
  edits.push(...providerEdits(text, root, providers))
  const result = edited(text, edits)
  return isDeepStrictEqual(parsed(result), expected) ? result : undefined
}

/** The variables that a value needs. OpenClaw takes `$NAME` for a reference only where it takes references at all. */
function usesAt(node: JsonNode, path: Path): Pick<Use, 'variable' | 'how'>[] {
  const takes = takesReference(path)
  const elsewhere = takes ? {} : { how: 'where OpenClaw takes no reference' }
  const referred = environmentRef(node)
  if (referred !== undefined) return [{ variable: referred, ...elsewhere }]
  if (typeof node.value !== 'string') return []
  const text = node.value.trim()
  const whole =
    /^\$\{([A-Z_][A-Z0-9_]*)\}$/.exec(text)?.[1] ??
    (takes ? /^\$([A-Z][A-Z0-9_]*)$/.exec(text)?.[1] : undefined)
  if (whole !== undefined) return [{ variable: whole, ...elsewhere }]
  // Which variables a provider may ask for does not say that one is there.
  const name = path[0] === 'secrets' ? undefined : /^[A-Z][A-Z0-9_]+$/.exec(text)?.[0]
  return [
    ...(name === undefined ? [] : [{ variable: name, how: 'by its name' }]),
    ...variablesIn(text).map(variable => ({ variable, how: 'within a longer text' })),
  ]
}

/** A use with what a reference to the variable's secret would be. */
function placed(use: Pick<Use, 'variable' | 'how' | 'line'>, node: JsonNode, path: Path): Use {
  if (use.how !== undefined) return use
  const candidate = candidateAt(path)
  const { line, variable } = use
  return {
    ...use,
    secret: holdsSecret(path),
    place: {
      ...{ line, candidate, uses: variable, where: shown(path) },
      kind: kindOf(candidate.name, undefined),
      span: [node.start, node.end],
    },
  }
}

/** The variable of `{ source: 'env', id: 'NAME' }`; OpenClaw adds a provider that is left out. */
function environmentRef(node: JsonNode): string | undefined {
  const { source, id, provider, ...others } = Object.fromEntries(
    (node.members ?? []).map(({ key, value }) => [key, value.value]),
  )
  const isOne =
    source === 'env' && ['string', 'undefined'].includes(typeof provider) && Object.keys(others).length === 0
  return isOne && typeof id === 'string' ? id : undefined
}

function candidateAt(path: Path) {
  return nameOfPath(path.map(segment => (isTelling(segment) ? 'secret' : segment)))
}

function judgeAt(path: Path, value: string) {
  const key = path.findLast(segment => typeof segment === 'string') ?? ''
  // Where secrets come from, OpenClaw describes by paths and names.
  return judgeWithVariables('openclaw', path[0] === 'secrets' ? '' : String(key), value, holdsSecret(path))
}

/** What keeps a secret of this name from getting its provider. */
function providerInTheWay(root: JsonNode, name: string): string | undefined {
  const secrets = member(root, 'secrets')
  const providers = secrets === undefined ? undefined : member(secrets, 'providers')
  for (const [node, what] of [
    [secrets, 'secrets'],
    [providers, 'secrets.providers'],
  ] as const)
    if (node !== undefined && node.members === undefined) return `${what} is no object there`
  const present = providers === undefined ? undefined : member(providers, name)
  return present === undefined || isOurs(present, name)
    ? undefined
    : `secrets.providers.${name} is something else there: rename that one`
}

/** A provider that an earlier import has put there; the secret may have been rotated since. */
function isOurs(provider: JsonNode, name: string): boolean {
  const { source, path, mode, ...others } = Object.fromEntries(
    (provider.members ?? []).map(({ key, value }) => [key, value.value]),
  )
  return (
    source === 'file' &&
    mode === 'singleValue' &&
    typeof path === 'string' &&
    path.startsWith(`${INSIDE.secrets}/${name}.`) &&
    Object.keys(others).length === 0
  )
}

function providerEdits(text: string, root: JsonNode, providers: Readonly<Record<string, unknown>>): Edit[] {
  const secrets = member(root, 'secrets')
  if (secrets === undefined) return addMembers(text, root, { secrets: { providers } })
  const present = member(secrets, 'providers')
  if (present === undefined) return addMembers(text, secrets, { providers })
  const edits: Edit[] = []
  const added: Record<string, unknown> = {}
  for (const [name, provider] of Object.entries(providers)) {
    const node = member(present, name)
    if (node === undefined) added[name] = provider
    else edits.push({ start: node.start, end: node.end, text: indented(text, node.start, provider) })
  }
  return Object.keys(added).length === 0 ? edits : [...edits, ...addMembers(text, present, added)]
}

function withProviders(tree: unknown, providers: Readonly<Record<string, unknown>>): unknown {
  const root = entriesOf(tree)
  const secrets = entriesOf(root.get('secrets'))
  const all = entriesOf(secrets.get('providers'))
  for (const [name, provider] of Object.entries(providers)) all.set(name, provider)
  secrets.set('providers', Object.fromEntries(all))
  root.set('secrets', Object.fromEntries(secrets))
  return Object.fromEntries(root)
}

function entriesOf(value: unknown): Map<string, unknown> {
  return new Map(typeof value === 'object' && value !== null ? Object.entries(value) : [])
}

function member(object: JsonNode, key: string): JsonNode | undefined {
  return object.members?.find(one => one.key === key)?.value
}

function isReference(node: JsonNode): boolean {
  return (
    node.members?.length === 3 && ['source', 'provider', 'id'].every(key => member(node, key) !== undefined)
  )
}

/** A key that is a secret itself must be shown as little as a value. */
function isTelling(segment: string | number): boolean {
  return typeof segment === 'string' && shapeOf(segment) !== undefined
}

/** `channels.telegram.accounts["my bot"].botToken` */
function shown(path: Path): string {
  return path
    .map(segment => {
      if (isTelling(segment)) return '["(not shown)"]'
      if (typeof segment === 'number') return `[${segment}]`
      return /^[\w$-]+$/.test(segment) ? `.${segment}` : `[${JSON.stringify(segment)}]`
    })
    .join('')
    .replace(/^\./, '')
}
