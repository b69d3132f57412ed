/**
 * The servers behind the stores, without a network: each holds documents that are swapped whole, and tells of each moment
 * at which a client can be killed: before it answers, and after it has done what it was asked while nobody hears of it.
 */
import * as z from 'zod'
import type { ProcessRunner } from '../../src/docker/process.ts'
import { Secret } from '../../src/secret.ts'
import type { TransportAnswer, TransportRequest } from '../../src/stores/vault-transport.ts'

/** What a store holds of one secret, read without the product's help. */
export type Slots = Partial<Record<Slot, { rotationId: string; value: string }>>
export const SLOTS = ['current', 'pending', 'previous'] as const
type Slot = (typeof SLOTS)[number]

/** What outlives the processes that talk to a server. Never changed: a changed state is another one. */
export interface ServerState {
  readonly [name: string]: { readonly version: number; readonly fields: Readonly<Record<string, string>> }
}

export interface SimulatedServer {
  state: unknown
  slotsOf(name: string): Slots
}

const Write = z.object({
  data: z.record(z.string(), z.string()),
  options: z.object({ cas: z.number() }),
})

/** The server that a suite puts in the place of the transport to Vault. */
let vault: SimulatedVault | undefined

/** What takes the place of `vault-transport.ts`'s way to the server. */
export function vaultTransport() {
  return {
    defaults: () => async (request: TransportRequest) => {
      if (vault === undefined) throw new Error('no Vault is simulated')
      return vault.answer(request)
    },
  }
}

/** KV version 2, with documents that need the version they replace. */
export class SimulatedVault implements SimulatedServer {
  state: ServerState = {}
  readonly #moment: (what: string) => void

  constructor(moment: (what: string) => void) {
    this.#moment = moment
    vault = this
  }

  slotsOf(name: string): Slots {
    const fields = this.state[name]?.fields ?? {}
    return slotsFrom(slot => [fields[`${slot}_id`], fields[slot]])
  }

  answer({ method, uri, json }: TransportRequest): TransportAnswer {
    const path = new URL(uri).pathname.replace('/v1/', '')
    const says = (statusCode: number, body: unknown) => ({ statusCode, body, request: { path } })
    if (path === 'auth/token/lookup-self')
      return says(200, { data: { ttl: 0, creation_ttl: 0, expire_time: null, display_name: 'test' } })
    if (path.startsWith('sys/internal/ui/mounts/'))
      return says(200, { data: { type: 'kv', path: 'secret/', options: { version: '2' } } })
    const [, kind, name = ''] = /^secret\/(data|metadata)\/openclaw\/(\w+)$/.exec(path) ?? []
    if (kind === 'metadata') return says(204, undefined)
    if (kind !== 'data') throw new Error(`nobody knows what Vault answers to ${path}`)
    const found = this.state[name]
    this.#moment(`before Vault answers ${method} ${name}`)
    if (method === 'GET')
      return found === undefined
        ? says(404, { errors: [] })
        : says(200, { data: { data: found.fields, metadata: { version: found.version } } })
    const { data, options } = Write.parse(json)
    if (options.cas !== (found?.version ?? 0))
      return says(400, { errors: ['check-and-set parameter did not match the current version'] })
    const version = options.cas + 1
    this.state = { ...this.state, [name]: { version, fields: data } }
    this.#moment(`after Vault has written ${name}`)
    return says(200, { data: { version } })
  }
}

const Plain = z.optional(z.object({ rotationId: z.string(), value: z.string() }))
const Question = z.object({
  mark: z.string(),
  what: z.enum(['read', 'write']),
  name: z.string(),
  revision: z.optional(z.number()),
  slots: z.optional(z.object({ current: Plain, pending: Plain, previous: Plain })),
})

/** 1Password behind the child program, to which a question is one process. */
export class SimulatedOnePassword implements SimulatedServer {
  state: ServerState = {}
  readonly #moment: (what: string) => void

  constructor(moment: (what: string) => void) {
    this.#moment = moment
  }

  slotsOf(name: string): Slots {
    const fields = this.state[name]?.fields ?? {}
    return slotsFrom(slot => [fields[`${slot}_id`], fields[slot]])
  }

  readonly run: ProcessRunner = async (_file, _args, { input }) => {
    const question = Question.parse(JSON.parse(input instanceof Secret ? input.expose() : String(input)))
    const { mark, what, name, revision = 0, slots = {} } = question
    this.#moment(`before 1Password is asked to ${what} ${name}`)
    const answer = what === 'read' ? this.#read(name) : this.#write(name, revision, slots)
    return { code: 0, stdout: `${mark} ${JSON.stringify(answer)}\n`, stderr: '' }
  }

  #read(name: string) {
    const found = this.state[name]
    if (found === undefined) return { document: null }
    return { document: { itemId: `item-${name}`, revision: found.version, slots: this.slotsOf(name) } }
  }

  #write(name: string, revision: number, slots: z.infer<typeof Question>['slots'] & object) {
    if (revision !== (this.state[name]?.version ?? 0)) return { failure: 'conflict' }
    const fields = SLOTS.flatMap(slot => {
      const stored = slots[slot]
      return stored === undefined
        ? []
        : [[slot, stored.value] as const, [`${slot}_id`, stored.rotationId] as const]
    })
    this.state = { ...this.state, [name]: { version: revision + 1, fields: Object.fromEntries(fields) } }
    this.#moment(`after 1Password has written ${name}`)
    return { itemId: `item-${name}` }
  }
}

export function slotsFrom(
  read: (slot: Slot) => readonly [rotationId: string | undefined, value: string | undefined],
): Slots {
  return Object.fromEntries(
    SLOTS.flatMap(slot => {
      const [rotationId, value] = read(slot)
      return rotationId === undefined ? [] : [[slot, { rotationId, value: value ?? '' }]]
    }),
  )
}
