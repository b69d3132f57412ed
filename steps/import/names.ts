import { createHash } from 'node:crypto'
import { GATEWAY_TOKEN } from '../../src/gateway/policy.ts'
import { weaknessOf } from '../../src/secret.ts'
import { unusableKey } from '../../src/wizard/secrets.ts'
import type { PlainSecret } from './context.ts'

/** Names that mean something else to a deployment of ours, and that nothing imported may take. */
const RESERVED = [GATEWAY_TOKEN, 'proxy_password', 'default']

/** What a secret would be called, and whether that name is settled or only derived from where it stands. */
export interface Candidate {
  name: string
  /** What it is the secret of. Two values of one identity contradict each other. */
  identity: string
  settled: boolean
}

/** A secret that was found and has no final name yet. */
export interface Unnamed extends Omit<PlainSecret, 'name'> {
  candidate: Candidate
}

/** What the value of a variable would be called. */
export function nameOfVariable(variable: string): Candidate {
  if (/^((OPENCLAW|CLAWDBOT|MOLTBOT)_)?GATEWAY_TOKEN$/.test(variable)) return settled(GATEWAY_TOKEN)
  if (/^((OPENCLAW|CLAWDBOT|MOLTBOT)_)?GATEWAY_PASSWORD$/.test(variable)) return settled('gateway_password')
  const name = snake(variable)
  return /^[A-Z0-9_]+_API_KEY$/.test(variable) ? settled(name) : { name, identity: variable, settled: false }
}

/** What the value at a path of openclaw.json would be called. */
export function nameOfPath(path: readonly (string | number)[]): Candidate {
  const [first, second, third, fourth] = path
  if (path.length === 3 && first === 'gateway' && second === 'auth')
    return settled(third === 'token' ? GATEWAY_TOKEN : snake(`gateway_${third}`))
  if (path.length === 4 && first === 'models' && second === 'providers' && fourth === 'apiKey')
    return settled(snake(`${third}_api_key`))
  const told = first === 'channels' ? path.slice(1) : path
  return { name: snake(told.join('_')), identity: `path ${JSON.stringify(path)}`, settled: false }
}

/**
 * Gives every secret its name: one a value, and one value a name. What cannot be imported stays, with the reason: two values
 * of one thing, a gateway token that could be guessed, a provider key that cannot be one.
 */
export function nameAll(found: readonly Unnamed[]): PlainSecret[] {
  const stays = new Map<Unnamed, string>()
  for (const one of found) if (one.stays !== undefined) stays.set(one, one.stays)
  for (const same of grouped(
    found.filter(one => !stays.has(one)),
    one => one.candidate.identity,
  )) {
    const values = grouped(same, keyOfValue)
    for (const group of values)
      for (const one of values.length > 1 ? group : []) {
        const others = values.filter(other => other !== group).map(other => placesOf(other))
        stays.set(one, `another value stands at ${others.join(', ')}: leave one of them`)
      }
  }

  // Settled names are given first: nothing that is only derived may take one of them.
  const groups = grouped(
    found.filter(one => !stays.has(one)),
    keyOfValue,
  )
  const names = new Map<Unnamed, string>()
  const taken = new Set<string>(RESERVED)
  const ranked = groups.map(group => ({ group, best: bestOf(group) }))
  for (const { group, best } of [
    ...ranked.filter(one => one.best.settled),
    ...ranked.filter(one => !one.best.settled),
  ]) {
    const name = best.settled ? best.name : unique(best.name, taken)
    taken.add(name)
    const reason = best.name === GATEWAY_TOKEN ? weaknessIn(group) : unusableIn(group, best)
    for (const one of group) {
      names.set(one, name)
      if (reason !== undefined) stays.set(one, reason)
    }
  }
  return found.map(one => {
    const { candidate, stays: _, ...rest } = one
    const reason = stays.get(one)
    const name = names.get(one) ?? candidate.name
    return reason === undefined ? { ...rest, name } : { ...rest, name, stays: reason }
  })
}

/** The names a derived one may have got in an earlier run, when something else stood in its way. */
export function alternativesOf(name: string): string[] {
  return [2, 3, 4, 5].map(number => numbered(name, number))
}

function bestOf(group: readonly Unnamed[]): Candidate {
  const candidates = group.map(one => one.candidate)
  const best =
    candidates.find(one => one.name === GATEWAY_TOKEN && one.settled) ??
    candidates.find(one => one.settled) ??
    candidates[0]
  if (best === undefined) throw new Error('a group has a member')
  return best
}

function grouped<T>(all: readonly T[], keyOf: (one: T) => string): T[][] {
  const groups = new Map<string, T[]>()
  for (const one of all) {
    const group = groups.get(keyOf(one))
    if (group === undefined) groups.set(keyOf(one), [one])
    else group.push(one)
  }
  return [...groups.values()]
}

function keyOfValue(one: Unnamed): string {
  return one.value.fingerprint('import')
}

/** Three are enough to begin with. */
function placesOf(group: readonly Unnamed[]): string {
  const places = group.slice(0, 3).map(one => `${one.file}:${one.line} (${one.where})`)
  return places.join(', ') + (group.length > 3 ? ` and ${group.length - 3} more` : '')
}

function weaknessIn(group: readonly Unnamed[]): string | undefined {
  const weakness = group.map(one => weaknessOf(one.value)).find(one => one !== undefined)
  return weakness === undefined
    ? undefined
    : `as a gateway token it is too weak: ${weakness}; a generated one is better`
}

function unusableIn(group: readonly Unnamed[], best: Candidate): string | undefined {
  if (!best.settled || !best.name.endsWith('_api_key')) return undefined
  const allowed = group.map(one => unusableKey(one.value)).find(one => one !== undefined)
  return allowed === undefined ? undefined : `a provider’s key is ${allowed}`
}

function settled(name: string): Candidate {
  return { name, identity: name, settled: true }
}

function unique(name: string, taken: ReadonlySet<string>): string {
  for (let number = 1; ; number++) {
    const candidate = number === 1 ? name : numbered(name, number)
    if (!taken.has(candidate)) return candidate
  }
}

function numbered(name: string, number: number): string {
  return `${name.slice(0, 60)}_${number}`
}

/** `botToken` and `BOT-TOKEN` are `bot_token`. What is too long, or has no letters, ends in a hash of what it was. */
function snake(text: string): string {
  const name = text
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '_')
    .replace(/^[^a-z]+|_+$/g, '')
  if (name !== '' && name.length <= 63) return name
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 8)
  return name === '' ? `secret_${hash}` : `${name.slice(0, 54)}_${hash}`
}
