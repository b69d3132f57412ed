import * as z from 'zod'
import { ToolError, visible } from '../errors.ts'
import { type Redactor, Secret } from '../secret.ts'
import type { Documents, Slots } from './document.ts'
import { conflict, STORE_DEADLINE, type StoredSecret, type StoredValue } from './store.ts'
import { denied, sealed, type VaultAnswer, VaultClient, type VaultPlace } from './vault-client.ts'
import { type VaultOptions, VaultSession } from './vault-session.ts'
import { unreachable } from './vault-transport.ts'

export type { VaultPlace } from './vault-client.ts'
export type { VaultOptions } from './vault-session.ts'

/**
 * `max_versions: 1`: a value that is retired is gone in the same write that retires it, and cannot be undeleted.
 * `cas_required`: nobody writes without having looked, not even by hand.
 */
const METADATA = {
  cas_required: true,
  max_versions: 1,
  custom_metadata: { managed_by: 'create-openclaw-secure' },
}

/** What we may do with documents, as Vault calls it, and what we need each for. */
const NEEDED = {
  data: ['create', 'read', 'update'],
  metadata: ['create', 'read', 'update', 'delete'],
} as const

const Id = z.string().regex(/^[0-9a-z-]{4,64}$/)
const Fields = z.strictObject({
  current: z.optional(z.string()),
  current_id: z.optional(Id),
  pending: z.optional(z.string()),
  pending_id: z.optional(Id),
  previous: z.optional(z.string()),
  previous_id: z.optional(Id),
})
const Version = z.int().positive()
const Read = z.object({
  data: z.object({ data: z.record(z.string(), z.unknown()), metadata: z.object({ version: Version }) }),
})
/** The latest version was deleted: `deletion_time` is set, and `destroyed` says whether it is so for good. */
const Deleted = z.object({
  data: z.object({ metadata: z.object({ version: Version, destroyed: z.boolean() }) }),
})
const Written = z.object({ data: z.object({ version: Version }) })
const Done = z.unknown()
const Mount = z.object({
  data: z.object({
    type: z.string(),
    path: z.string(),
    options: z.nullish(z.record(z.string(), z.string())),
  }),
})
const Health = z.object({
  initialized: z.boolean(),
  sealed: z.boolean(),
  standby: z.boolean(),
  version: z.optional(z.string()),
  replication_dr_mode: z.optional(z.string()),
})
const Leader = z.object({ leader_address: z.optional(z.string()) })
const Capabilities = z.object({ data: z.record(z.string(), z.array(z.string())) })

/**
 * Secrets in HashiCorp Vault or OpenBao, KV version 2: one document a secret at `MOUNT/data/PATH/NAME`, whose revision is
 * KV's version. Nothing is contacted before the first call. Errors are those of the port, each with what to do.
 */
export class VaultDocuments implements Documents {
  readonly deadline: number
  readonly #place: VaultPlace
  readonly #redactor: Redactor
  readonly #client: VaultClient
  readonly #session: VaultSession
  #mount: Promise<void> | undefined

  constructor(options: VaultOptions) {
    const { place, redactor, deadline = STORE_DEADLINE } = options
    this.deadline = deadline
    this.#place = place
    this.#redactor = redactor
    this.#client = new VaultClient(place, redactor, deadline)
    this.#session = new VaultSession(this.#client, options)
  }

  async check(): Promise<string> {
    const until = this.#client.until()
    const version = await this.#expectHealth(until)
    const whose = await this.#session.whose(until)
    await this.#expectMount(until)
    await this.#expectCapabilities(until)
    const { mount, path } = this.#place
    return `Vault at ${this.#client.where}${version}: ${mount}/${path}/* can be read and written as ${whose}`
  }

  read(name: string, until = this.#client.until()): Promise<StoredSecret | undefined> {
    return this.#read(name, until)
  }

  async write(name: string, slots: Slots, revision: number, until = this.#client.until()): Promise<void> {
    await this.#expectMount(until)
    // Before every write and not only the first: whatever somebody changed there, what is retired now is to be gone.
    const metadata = this.#path('metadata', name)
    await this.#session.get({ method: 'POST', path: metadata, body: METADATA, until }, Done)
    const request = {
      method: 'POST',
      path: this.#path('data', name),
      body: { data: fieldsOf(slots), options: { cas: revision } },
      until,
    } as const
    const answer = await this.#session.ask(request)
    if (answer.status === 400 && answer.errors.some(text => text.includes('check-and-set')))
      throw conflict(name)
    if (answer.status >= 300) throw this.#client.refusal(request, answer)
    this.#client.parse(answer, Written)
  }

  async remove(name: string): Promise<void> {
    const until = this.#client.until()
    // What is not ours is not removed.
    await this.#read(name, until)
    await this.#session.get({ method: 'DELETE', path: this.#path('metadata', name), until }, Done)
  }

  close(): Promise<void> {
    return this.#session.close()
  }

  async #read(name: string, until: number): Promise<StoredSecret | undefined> {
    await this.#expectMount(until)
    const request = { method: 'GET', path: this.#path('data', name), until } as const
    const answer = await this.#session.ask(request)
    if (answer.status === 404) return this.#absent(name, answer)
    if (answer.status >= 300) throw this.#client.refusal(request, answer)
    const { data, metadata } = this.#client.parse(answer, Read).data
    const fields = Fields.safeParse(data).data
    if (fields === undefined) throw this.#foreign(name)
    const found: StoredSecret = { revision: metadata.version }
    for (const slot of ['current', 'pending', 'previous'] as const) {
      const [value, rotationId] = [fields[slot], fields[`${slot}_id`]]
      if ((value === undefined) !== (rotationId === undefined)) throw this.#foreign(name)
      if (value !== undefined && rotationId !== undefined)
        found[slot] = { rotationId, value: this.#redactor.learn(new Secret(value)) }
    }
    return found
  }

  #path(kind: 'data' | 'metadata', name: string): string {
    return `${this.#place.mount}/${kind}/${this.#place.path}/${name}`
  }

  /** What a 404 means: nothing was ever there, or somebody deleted it, or there is no such engine. */
  #absent(name: string, answer: VaultAnswer): undefined {
    const { metadata } = Deleted.safeParse(answer.body).data?.data ?? {}
    if (metadata === undefined) {
      if (answer.errors.length === 0) return undefined
      throw this.#client.refusal({ method: 'GET', path: this.#path('data', name) }, answer)
    }
    const { mount, path } = this.#place
    const where = `-mount=${mount} ${path}/${name}`
    throw metadata.destroyed
      ? corrupt(
          `somebody destroyed version ${metadata.version} of ${name} in Vault (${mount}/${path}/${name}): its values are gone`,
          `Remove what is left (bao kv metadata delete ${where}), then run setup again: it makes a new value.`,
        )
      : corrupt(
          `somebody deleted version ${metadata.version} of ${name} in Vault (${mount}/${path}/${name})`,
          `Bring it back: bao kv undelete -versions=${metadata.version} ${where} (or vault kv undelete …).`,
        )
  }

  #foreign(name: string): ToolError {
    const { mount, path } = this.#place
    return corrupt(
      `${mount}/${path}/${name} in Vault is not a document of this tool, or somebody changed it by hand`,
      'Move it elsewhere, or choose another path with --vault-path. It has been left as it is.',
    )
  }

  /** KV version 2 is mounted where the answers say: version 1 would take a document without comparing anything. */
  #expectMount(until: number): Promise<void> {
    const known = this.#mount ?? this.#lookAtMount(until)
    if (this.#mount === undefined) {
      this.#mount = known
      known.catch(() => {
        this.#mount = undefined
      })
    }
    return known
  }

  async #lookAtMount(until: number): Promise<void> {
    const { mount } = this.#place
    const where = this.#client.where
    const request = { method: 'GET', path: `sys/internal/ui/mounts/${mount}`, until } as const
    const answer = await this.#session.ask(request)
    if (answer.status === 403)
      throw denied(
        `nothing is mounted at ${mount}/ in Vault at ${where}, or whoever logs in here may do nothing there`,
        `Have KV version 2 mounted there (bao secrets enable -path=${mount} kv-v2), allow this role its path, or correct --vault-mount.`,
      )
    if (answer.status >= 300) throw this.#client.refusal(request, answer)
    const { type, path, options } = this.#client.parse(answer, Mount).data
    const version = options?.version ?? '1'
    if (path === `${mount}/` && type === 'kv' && version === '2') return
    throw denied(
      type === 'kv' && path === `${mount}/`
        ? `the KV engine at ${mount}/ in Vault at ${where} is version ${visible(version)}, and version 2 is needed`
        : `there is no KV engine at ${mount}/ in Vault at ${where}, but ${visible(type)} at ${visible(path)}`,
      'Name a mount of KV version 2 with --vault-mount, or upgrade this one (bao kv enable-versioning).',
    )
  }

  /** Ready to answer, and itself the active node. Returns its version, for a message. */
  async #expectHealth(until: number): Promise<string> {
    const where = this.#client.where
    // The root namespace alone answers for the server.
    const request = { method: 'GET', path: 'sys/health', namespace: '', until } as const
    const health = await this.#client.get(request, Health)
    if (!health.initialized) throw sealed(where, 'not initialized')
    if (health.sealed) throw sealed(where)
    if (health.replication_dr_mode === 'secondary')
      throw unreachable(
        `Vault at ${where} is a disaster recovery secondary, which answers no requests`,
        'Name the active node of the primary cluster with --vault-address.',
      )
    if (health.standby) {
      const leader = await this.#client.get({ ...request, path: 'sys/leader' }, Leader)
      const active = leader.leader_address ?? ''
      throw unreachable(
        `Vault at ${where} is a standby node${active === '' ? '' : `; the active one says it is ${visible(active)}`}`,
        'What a standby answers may be old, and redirects are not followed: name the active node with --vault-address.',
      )
    }
    return health.version === undefined ? '' : ` (${visible(health.version)})`
  }

  async #expectCapabilities(until: number): Promise<void> {
    const paths = {
      data: this.#path('data', 'gateway_token'),
      metadata: this.#path('metadata', 'gateway_token'),
    }
    const request = {
      method: 'POST',
      path: 'sys/capabilities-self',
      body: { paths: Object.values(paths) },
      until,
    } as const
    const { data } = await this.#session.get(request, Capabilities)
    const missing = (['data', 'metadata'] as const).flatMap(kind => {
      const granted = data[paths[kind]] ?? []
      const lacks = NEEDED[kind].filter(need => !granted.includes(need) && !granted.includes('root'))
      return lacks.length === 0 ? [] : [`${lacks.join(', ')} on ${paths[kind].replace(/[^/]*$/, '+')}`]
    })
    if (missing.length > 0)
      throw denied(
        `whoever logs in here at Vault at ${this.#client.where} lacks: ${missing.join('; ')}`,
        'Have that added to the policy of the role or token, or use another.',
      )
  }
}

/** A document that cannot be ours any more. */
function corrupt(message: string, hint: string): ToolError {
  return new ToolError('store_corrupt', message, hint)
}

/** The document as Vault keeps it. */
function fieldsOf(slots: Slots): Record<string, string> {
  const field = (slot: string, stored: StoredValue | undefined) =>
    stored === undefined ? {} : { [slot]: stored.value.expose(), [`${slot}_id`]: stored.rotationId }
  return {
    ...field('current', slots.current),
    ...field('pending', slots.pending),
    ...field('previous', slots.previous),
  }
}
