import { setTimeout as pause } from 'node:timers/promises'
import {
  AuthExpiredError,
  type Client,
  createClient,
  type Item,
  ItemCategory,
  type ItemField,
  ItemFieldType,
  type ItemOverview,
  RateLimitExceededError,
  type VaultOverview,
} from '@1password/sdk'

/** One value as it travels to the child program and back: exposed, over pipes that nobody else holds. */
export interface Plain {
  rotationId: string
  value: string
}
export type PlainSlots = Partial<Record<(typeof SLOTS)[number], Plain>>

interface Placed {
  vault: string
  deployment: string
  name: string
  /** Which item it was when we last looked. */
  itemId?: string
}

/** What the child program can be asked. One question a process. */
export type Question =
  | { what: 'vaults' }
  | { what: 'check'; vault: string }
  | ({ what: 'read' } & Placed)
  | ({ what: 'write'; slots: PlainSlots; revision: number } & Placed)
  | ({ what: 'remove' } & Placed)

/** A question with what it needs to be answered, as it goes to the child's stdin. */
export type Request = Question & {
  /** Begins the line with the answer, so that nothing else that is printed can be taken for it. */
  mark: string
  token: string
  version: string
}

export interface VaultSummary {
  id: string
  title: string
  kind: string
  items: number
}

/** What went wrong, without a word of the SDK's: its texts are not known not to quote. */
export type Failure =
  | 'unreachable'
  | 'trouble'
  | 'unknown'
  | 'unauthenticated'
  | 'forbidden'
  | 'limited'
  | 'missing'
  | 'inactive'
  | 'too big'
  | 'conflict'
  | 'several'
  | 'foreign'
  | 'altered'

export type Answer =
  | { failure: Failure; count?: number }
  | { vaults: VaultSummary[] }
  | { vault: VaultSummary }
  | { document: (Document & { itemId: string }) | null }
  | { itemId: string }
  | { removed: number }

interface Document {
  revision: number
  slots: PlainSlots
}

class Refusal extends Error {
  readonly failure: Failure
  readonly count: number | undefined

  constructor(failure: Failure, count?: number) {
    super(failure)
    this.failure = failure
    this.count = count
  }
}

const SLOTS = ['current', 'pending', 'previous'] as const
const TAG = 'create-openclaw-secure'
const SECTION = { id: 'rotation', title: 'Rotation' }

/** How often a change is tried that 1Password refuses because of another one in the same vault. */
const TRIES = 3

/**
 * What SDK 0.5.0 says, as it was measured and as it stands in its WASM file. Only two errors have types; the order
 * matters, because texts are put together ("authentication error: rate limit exceeded").
 */
const TEXTS: [text: RegExp, failure: Failure][] = [
  [/reqwest|request timeout/, 'unreachable'],
  [/rate limit/, 'limited'],
  // While logging in, it is not the vault that is meant.
  [/^authentication error: .*conflict/, 'trouble'],
  [/^authentication error: .*(permissions|not found)/, 'unauthenticated'],
  [/conflict occurred|race condition|incorrect item version/, 'conflict'],
  [/right permissions|sufficient permissions/, 'forbidden'],
  [
    /not authenticated|service account|session expired|inactive session|account couldn't be found/,
    'unauthenticated',
  ],
  [/not found|couldn't be found/, 'missing'],
  [/not in an active state/, 'inactive'],
  [/too big|size exceeds/, 'too big'],
  [/internal server error|unexpected status|bad request|server error/, 'trouble'],
]

/** What the person who asked has to know about an error of the SDK. */
export function failureOf(error: unknown): Failure {
  if (error instanceof Refusal) return error.failure
  if (error instanceof RateLimitExceededError) return 'limited'
  if (error instanceof AuthExpiredError) return 'unauthenticated'
  const text = (error instanceof Error ? error.message : String(error)).toLowerCase()
  return TEXTS.find(([known]) => known.test(text))?.[1] ?? 'unknown'
}

/** From a request, as JSON, to the line that answers it. Never throws for what 1Password does. */
export async function respond(input: string): Promise<string> {
  const request: Request = JSON.parse(input)
  const answer = await answerTo(request).catch(
    (error: unknown): Answer => ({
      failure: failureOf(error),
      ...(error instanceof Refusal && error.count !== undefined ? { count: error.count } : {}),
    }),
  )
  return `\n${request.mark} ${JSON.stringify(answer)}\n`
}

async function answerTo(request: Request): Promise<Answer> {
  const client = await createClient({
    auth: request.token,
    integrationName: TAG,
    integrationVersion: request.version,
  })
  switch (request.what) {
    case 'vaults':
      return { vaults: (await client.vaults.list({ decryptDetails: true })).map(summaryOf) }
    case 'check': {
      const vault = await client.vaults.getOverview(request.vault)
      // That the vault is seen does not mean that its items are.
      const items = await client.items.list(request.vault)
      return { vault: { ...summaryOf(vault), items: items.length } }
    }
    case 'read': {
      const item = await find(client, request)
      return { document: item === undefined ? null : { itemId: item.id, ...documentOf(item) } }
    }
    case 'write':
      return { itemId: await insist(attempt => write(client, request, attempt > 1)) }
    case 'remove':
      return { removed: await remove(client, request) }
  }
}

function summaryOf({ id, title, vaultType, activeItemCount }: VaultOverview): VaultSummary {
  return { id, title, kind: vaultType, items: activeItemCount }
}

/**
 * The item of a secret: the one it was before, else the one that bears its title and both tags. Titles are not unique
 * at 1Password; which of several would be right nobody can know.
 */
async function find(client: Client, place: Placed): Promise<Item | undefined> {
  const known = await remembered(client, place)
  if (known !== undefined) return known
  const [found, ...others] = await namesakes(client, place, false)
  if (others.length > 0) throw new Refusal('several', others.length + 1)
  return found === undefined ? undefined : get(client, place.vault, found.id)
}

/**
 * The item of the remembered id, whatever its title is now. Not without our tags: a copy of a deployment's folder
 * remembers the items of the original, and must not write into them.
 */
async function remembered(client: Client, place: Placed): Promise<Item | undefined> {
  const item = place.itemId === undefined ? undefined : await get(client, place.vault, place.itemId)
  return item !== undefined && isTagged(item, place) ? item : undefined
}

function isTagged({ tags }: Pick<Item, 'tags'>, { deployment }: Placed): boolean {
  return tags.includes(TAG) && tags.includes(deployment)
}

async function get(client: Client, vault: string, id: string): Promise<Item | undefined> {
  return client.items.get(vault, id).catch((error: unknown) => {
    if (['missing', 'inactive'].includes(failureOf(error))) return undefined
    throw error
  })
}

async function namesakes(client: Client, place: Placed, archived: boolean): Promise<ItemOverview[]> {
  const items = await client.items.list(place.vault, { type: 'ByState', content: { active: true, archived } })
  return items.filter(item => item.title === titleOf(place) && isTagged(item, place))
}

function titleOf({ deployment, name }: Placed): string {
  return `openclaw ${deployment} ${name}`
}

/**
 * One try to replace the document, under two locks: our revision, and the item's version, which travels with the item
 * and is compared by 1Password. What was written is read again: the SDK promises a refusal of old versions only for
 * its batch calls.
 */
async function write(
  client: Client,
  request: Extract<Request, { what: 'write' }>,
  again: boolean,
): Promise<string> {
  const wanted = { revision: request.revision + 1, slots: request.slots }
  const found = await find(client, request)
  const present = found === undefined ? undefined : documentOf(found)
  // Our own change, for which we got a refusal all the same.
  if (again && found !== undefined && present !== undefined && isSame(present, wanted)) {
    expectValues(present, wanted)
    return found.id
  }
  if ((present?.revision ?? 0) !== request.revision) throw new Refusal('conflict')
  const written =
    found === undefined
      ? await create(client, request, fieldsOf(wanted))
      : await client.items.put({
          ...found,
          sections: [...found.sections.filter(({ id }) => id !== SECTION.id), SECTION],
          fields: [...found.fields.filter(field => !OURS.has(field.id)), ...fieldsOf(wanted)],
        })
  const kept = await get(client, request.vault, written.id)
  if (kept === undefined || !isSame(documentOf(kept), wanted)) throw new Refusal('conflict')
  expectValues(documentOf(kept), wanted)
  return written.id
}

/** 1Password gives back what it was given, byte for byte, or it cannot keep this value. */
function expectValues(kept: Document, wanted: Document): void {
  if (SLOTS.some(slot => kept.slots[slot]?.value !== wanted.slots[slot]?.value)) throw new Refusal('altered')
}

/**
 * A new item. 1Password would take a second one with the same title, so we look afterwards: who is not certain to have
 * come first takes his own away again. Who does not see the other has come first; when both come in the same instant,
 * both go.
 */
async function create(client: Client, place: Placed, fields: ItemField[]): Promise<Item> {
  const item = await client.items.create({
    category: ItemCategory.ApiCredentials,
    vaultId: place.vault,
    title: titleOf(place),
    tags: [TAG, place.deployment],
    sections: [SECTION],
    fields,
  })
  const all = await namesakes(client, place, false)
  const mine = all.find(({ id }) => id === item.id)
  const others = all.filter(other => other !== mine)
  if (others.some(other => mine === undefined || other.createdAt <= mine.createdAt)) {
    // One that cannot be taken away now is seen by the next call, which asks a person: `several`.
    await insist(() => client.items.delete(place.vault, item.id)).catch(() => {})
    throw new Refusal('conflict')
  }
  return item
}

async function remove(client: Client, place: Placed): Promise<number> {
  const ids = new Set((await namesakes(client, place, true)).map(({ id }) => id))
  const known = await remembered(client, place)
  if (known !== undefined) ids.add(known.id)
  for (const id of ids)
    await insist(() =>
      client.items.delete(place.vault, id).catch((error: unknown) => {
        if (failureOf(error) !== 'missing') throw error
      }),
    )
  return ids.size
}

/**
 * Makes a change, again when 1Password speaks of a conflict: it does so for any two changes in one vault at the same
 * time, also of different items (github.com/1Password/onepassword-sdk-js, issue 151).
 */
async function insist<T>(change: (attempt: number) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++)
    try {
      return await change(attempt)
    } catch (error) {
      if (error instanceof Refusal || failureOf(error) !== 'conflict' || attempt === TRIES) throw error
      await pause(attempt * (100 + Math.random() * 200))
    }
}

const OURS = new Set([
  'credential',
  'current_id',
  'pending',
  'pending_id',
  'previous',
  'previous_id',
  'revision',
])

/** The current value lies where 1Password itself looks for an API credential. */
const fieldOf = (slot: (typeof SLOTS)[number]) => (slot === 'current' ? 'credential' : slot)

function fieldsOf({ revision, slots }: Document): ItemField[] {
  const field = (id: string, value: string, fieldType: ItemFieldType): ItemField => ({
    id,
    title: id,
    value,
    fieldType,
    ...(id === 'credential' ? {} : { sectionId: SECTION.id }),
  })
  return [
    ...SLOTS.flatMap(slot => {
      const stored = slots[slot]
      if (stored === undefined) return []
      return [
        field(fieldOf(slot), stored.value, ItemFieldType.Concealed),
        field(`${slot}_id`, stored.rotationId, ItemFieldType.Text),
      ]
    }),
    field('revision', String(revision), ItemFieldType.Text),
  ]
}

/** What an item of ours holds. An item that somebody else made, or made incomplete, is refused. */
function documentOf(item: Item): Document {
  const textOf = (id: string) => item.fields.find(field => field.id === id)?.value ?? ''
  const slots: PlainSlots = {}
  for (const slot of SLOTS) {
    const [rotationId, value] = [textOf(`${slot}_id`), textOf(fieldOf(slot))]
    if (rotationId === '' && value === '') continue
    if (value === '' || !/^[0-9a-z-]{4,64}$/.test(rotationId)) throw new Refusal('foreign')
    slots[slot] = { rotationId, value }
  }
  if (!/^[1-9][0-9]{0,14}$/.test(textOf('revision'))) throw new Refusal('foreign')
  return { revision: Number(textOf('revision')), slots }
}

/** A value never changes under its rotation id, so the ids tell. */
function isSame(one: Document, other: Document): boolean {
  return (
    one.revision === other.revision &&
    SLOTS.every(slot => one.slots[slot]?.rotationId === other.slots[slot]?.rotationId)
  )
}
