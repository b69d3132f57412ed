import { normalize } from 'node:path'
import type { PlainSecret } from './context.ts'
import { isAside, read } from './files.ts'
import type { Looked, Place, Use } from './format.ts'
import type { Unnamed } from './names.ts'

/** A place with its file, and the variables that stand and fall with it. */
interface Found extends Place {
  file: string
  /** One of the variables that hand on the same value. */
  family?: string
}
type Needed = Use & { file: string }

const KEEPS_THE_GATEWAYS = 'this tool keeps only the gateway’s secrets'

/**
 * What the files say of each other. A secret leaves its file only when everything that needs it can have a reference instead,
 * or needs it no longer; and only when it is the gateway's.
 */
export interface Related {
  /** In the order of the files: plain secrets, and the uses that a reference can take the place of. */
  found: Unnamed[]
  /** Once all have names, and reasons to stay: where one stays, everything that hangs on it does. */
  settled(named: readonly PlainSecret[]): PlainSecret[]
}

export function related(looks: ReadonlyMap<string, Looked>, scripts: readonly Needed[]): Related {
  const foreign = foreignServices(looks)
  const places = placesOf(looks, foreign)
  const uses: Needed[] = [...looks].flatMap(([file, looked]) => looked.uses.map(use => ({ ...use, file })))
  const familyOf = families(uses)
  for (const place of places)
    if (place.variable !== undefined && foreign(place.services) === undefined)
      place.family = familyOf(place.variable)

  const broken = new Map<string, string>()
  for (const use of [...uses, ...scripts]) {
    const service = foreign(use.services)
    const reason =
      service === undefined
        ? use.how === undefined
          ? undefined
          : `uses it ${use.how}`
        : `gives it to ${service}`
    const family = familyOf(use.variable)
    if (reason !== undefined && !broken.has(family)) broken.set(family, `${use.file}:${use.line} ${reason}`)
  }
  for (const place of places) {
    const reason = place.family === undefined ? undefined : broken.get(place.family)
    if (reason !== undefined) place.stays ??= reason
  }

  const valuesOf = valuesIn(places, uses)
  const replaceable = uses.flatMap(({ file, variable, place }): Found[] => {
    const family = familyOf(variable)
    if (place === undefined || broken.has(family)) return []
    const [value, ...others] = valuesOf(variable)
    return value === undefined || others.length > 0 ? [] : [{ ...place, file, value, family }]
  })
  const found = [...looks.keys()].flatMap(file =>
    [...places, ...replaceable]
      .filter(one => one.file === file)
      .sort((one, other) => one.span[0] - other.span[0]),
  )
  return { found, settled: named => settle(found, named) }
}

/** Where scripts beside the set-up need a variable: `$NAME`, or passed on by `docker run`. */
export function usesInScripts(root: string, files: readonly string[]): Needed[] {
  return files
    .filter(file => !isAside(file) && !/\.(md|log)$/i.test(file))
    .flatMap(file => {
      const found = read(root, file)
      return 'text' in found
        ? found.text.split('\n').flatMap((line, index) =>
            [...line.matchAll(/(?:\$\{?|(?:-e|--env)[ =])([A-Za-z_]\w*)\b(?!=)/g)].map(match => ({
              ...{ file, line: index + 1, variable: match[1] ?? '', how: 'by its name' },
            })),
          )
        : []
    })
}

/** Tells the first of these services that is not OpenClaw's, in words. */
function foreignServices(looks: ReadonlyMap<string, Looked>) {
  const services = [...looks.values()].flatMap(looked => looked.services)
  const names = new Set(services.map(({ name }) => name))
  const ours =
    names.size === 1 ? names : new Set(services.filter(one => one.isOpenClaw).map(({ name }) => name))
  return (of: readonly string[] | undefined): string | undefined => {
    if (of === undefined) return undefined
    if (of.length === 0) return `no service that this tool sees: ${KEEPS_THE_GATEWAYS}`
    const other = of.find(name => !ours.has(name))
    return other === undefined
      ? undefined
      : `the service ${other}, which is not seen to be OpenClaw: ${KEEPS_THE_GATEWAYS}`
  }
}

function placesOf(
  looks: ReadonlyMap<string, Looked>,
  foreign: (services: readonly string[] | undefined) => string | undefined,
): Found[] {
  const given = new Map<string, string>()
  for (const [file, { envFiles }] of looks)
    for (const { path, line, services } of envFiles) {
      const service = foreign(services)
      if (service !== undefined) given.set(normalize(path), `${file}:${line} gives it to ${service}`)
    }
  return [...looks].flatMap(([file, looked]) =>
    looked.places.map(place => {
      const service = foreign(place.services)
      const stays = place.stays ?? (service === undefined ? given.get(file) : `it is given to ${service}`)
      return { ...place, file, ...(stays === undefined ? {} : { stays }) }
    }),
  )
}

/** `FOO: ${BAR}` makes one family of two variables: neither can go without the other. */
function families(uses: readonly Use[]): (variable: string) => string {
  const parents = new Map<string, string>()
  const head = (name: string): string => {
    const parent = parents.get(name)
    return parent === undefined ? name : head(parent)
  }
  for (const { variable, place } of uses) {
    const [one, other] = [head(variable), head(place?.variable ?? variable)]
    if (one !== other) parents.set(other, one)
  }
  return head
}

/** The different values a variable has, through the variables that hand it theirs. */
function valuesIn(places: readonly Found[], uses: readonly Use[]) {
  const valuesOf = (variable: string, seen: ReadonlySet<string> = new Set()): Place['value'][] => {
    if (seen.has(variable)) return []
    const own = places.filter(place => place.family !== undefined && place.variable === variable)
    const handed = uses.filter(({ place }) => place?.variable === variable)
    const all = [
      ...own.map(({ value }) => value),
      ...handed.flatMap(use => valuesOf(use.variable, new Set([...seen, variable]))),
    ]
    return all.filter((value, index) => all.findIndex(one => one.equals(value)) === index)
  }
  return valuesOf
}

function settle(found: readonly Found[], named: readonly PlainSecret[]): PlainSecret[] {
  const held = new Map<string, string>()
  const used = new Set(found.flatMap(({ uses, family }) => (uses === undefined ? [] : [family])))
  for (const [index, { file, line, stays, uses }] of named.entries()) {
    const family = found[index]?.family
    if (family === undefined || !used.has(family) || stays === undefined || held.has(family)) continue
    held.set(family, `${file}:${line} ${uses === undefined ? 'has it too' : 'uses it'}, and stays: ${stays}`)
  }
  return named.flatMap((secret, index) => {
    const { family, variable: _, services: __, ...rest } = { ...found[index], ...secret }
    const stays = secret.stays ?? (family === undefined ? undefined : held.get(family))
    if (stays === undefined) return [rest]
    return secret.uses === undefined ? [{ ...rest, stays }] : []
  })
}
