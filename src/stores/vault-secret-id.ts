import * as z from 'zod'
import { printable, ToolError } from '../errors.ts'
import { type Redactor, Secret } from '../secret.ts'
import { denied, type VaultAnswer, VaultClient, type VaultPlace, type VaultRequest } from './vault-client.ts'
import { unwrapSecretId, type VaultOptions, VaultSession } from './vault-session.ts'

/** How long a new secret id can be unwrapped. We do it at once. */
export const WRAP_TTL = '60s'

/** What a policy allows at one path. */
export interface Right {
  path: string
  capabilities: readonly string[]
}

const Wrap = z.object({ wrap_info: z.object({ token: z.string().min(1) }) })
const Self = z.object({
  data: z.object({ meta: z.nullish(z.object({ role_name: z.optional(z.string()) })) }),
})
const Capabilities = z.object({ data: z.record(z.string(), z.array(z.string())) })
const Looked = z.object({ data: z.object({ secret_id_accessor: z.string().min(1) }) })
const Listed = z.object({ data: z.object({ keys: z.array(z.string()) }) })

/**
 * What a role has to be allowed at itself for its secret id to be rotated, and no more (tried on OpenBao 2.7.2): making and
 * listing is one path; of a secret id one holds one learns the accessor; what is not one's own goes by its accessor.
 */
export function rotationRights({ authMount }: Pick<VaultPlace, 'authMount'>, role: string): Right[] {
  const at = rolePath(authMount, role)
  return [
    { path: `${at}/secret-id`, capabilities: ['update', 'list'] },
    { path: `${at}/secret-id/lookup`, capabilities: ['update'] },
    { path: `${at}/secret-id-accessor/destroy`, capabilities: ['update'] },
  ]
}

/** Rights as they are written in a policy. */
export function policyText(rights: readonly Right[]): string {
  return rights
    .map(
      ({ path, capabilities }) =>
        `path "${path}" {\n  capabilities = [${capabilities.map(one => `"${one}"`).join(', ')}]\n}\n`,
    )
    .join('')
}

/**
 * A new secret id of a role. It comes wrapped and is unwrapped at once: that it is one, and nobody else has seen it, is
 * looked up on the way. `get` asks as somebody who may make one. Errors: `store_denied`, and those of any request.
 */
export async function newSecretId(
  get: VaultSession['get'],
  path: string,
  by: { client: VaultClient; place: VaultPlace; redactor: Redactor; until: number },
): Promise<Secret> {
  const { client, place, redactor, until } = by
  const request = { method: 'POST', path, body: {}, until, wrapTtl: WRAP_TTL } as const
  const { wrap_info } = await get(request, Wrap)
  const wrapping = redactor.learn(new Secret(wrap_info.token))
  return redactor.learn(await unwrapSecretId(client, place, wrapping, until))
}

/**
 * The secret ids of the AppRole that one of them opens the store as. Whose they are the server says: a role that somebody
 * made by hand is called as he liked. Nothing is contacted before the first call; whoever opened it closes it.
 * Errors of all: those of the store's port; `store_denied` names what to add to the policy.
 */
export class VaultSecretIds {
  readonly #place: VaultPlace
  readonly #redactor: Redactor
  readonly #client: VaultClient
  readonly #session: VaultSession
  #role: string | undefined

  constructor(options: Pick<VaultOptions, 'place' | 'credential' | 'redactor' | 'deadline'>) {
    const { place, redactor, deadline } = options
    this.#place = place
    this.#redactor = redactor
    this.#client = new VaultClient(place, redactor, deadline)
    this.#session = new VaultSession(this.#client, options)
  }

  /** The name of the role, as the server writes it: in lower case. Logs in for it. */
  async role(): Promise<string> {
    if (this.#role !== undefined) return this.#role
    const request = { method: 'GET', path: 'auth/token/lookup-self', until: this.#client.until() } as const
    const name = (await this.#session.get(request, Self)).data.meta?.role_name
    // It becomes part of a path, and of a policy that is shown.
    if (name === undefined || !/^[\w-]+(\.[\w-]+)*$/.test(name))
      throw denied(
        `Vault at ${this.#client.where} names no role for what opens the store here${name === undefined ? '' : `, but ${printable(name)}`}`,
        'Use an AppRole whose name has letters, digits, - and _ alone.',
      )
    this.#role = name
    return name
  }

  /** Whether it opens the store: one login. */
  async opens(): Promise<boolean> {
    try {
      await this.#session.whose(this.#client.until())
      return true
    } catch (error) {
      if (error instanceof ToolError && error.code === 'store_denied') return false
      throw error
    }
  }

  /** Everything that rotating needs is allowed: known before anything is changed. Errors: `store_denied`. */
  async expectRights(): Promise<void> {
    const role = await this.role()
    const rights = rotationRights(this.#place, role)
    const paths = rights.map(({ path }) => path)
    const request = {
      method: 'POST',
      path: 'sys/capabilities-self',
      body: { paths },
      until: this.#client.until(),
    } as const
    const { data } = await this.#session.get(request, Capabilities)
    const lacking = rights.filter(({ path, capabilities }) => {
      const granted = data[path] ?? []
      return !granted.includes('root') && capabilities.some(one => !granted.includes(one))
    })
    if (lacking.length > 0) throw this.#lacking(role, lacking)
  }

  /** One more secret id. Each call makes another. */
  async make(): Promise<Secret> {
    const path = `${await this.#at()}/secret-id`
    return newSecretId(async (request, shape) => this.#client.parse(await this.#ask(request), shape), path, {
      client: this.#client,
      place: this.#place,
      redactor: this.#redactor,
      until: this.#client.until(),
    })
  }

  /** By what name a secret id of the role is listed; undefined when the role has no such secret id. */
  async accessorOf(secretId: Secret): Promise<string | undefined> {
    const body = { secret_id: secretId.expose() }
    const answer = await this.#about('POST', 'secret-id/lookup', body)
    // 204 or 404: OpenBao and Vault differ in how they say that there is none.
    return Looked.safeParse(answer.body).data?.data.secret_id_accessor
  }

  /** All secret ids of the role, by their accessors; expired ones too, until the server tidies up. */
  async accessors(): Promise<string[]> {
    const answer = await this.#about('LIST', 'secret-id')
    return answer.status === 404 ? [] : this.#client.parse(answer, Listed).data.keys
  }

  /** Destroys a secret id of this role. The tokens that were obtained with it live on until they expire. */
  async destroy(accessor: string): Promise<void> {
    await this.#about('POST', 'secret-id-accessor/destroy', { secret_id_accessor: accessor })
  }

  /** Logs out. */
  close(): Promise<void> {
    return this.#session.close()
  }

  async #at(): Promise<string> {
    return rolePath(this.#place.authMount, await this.role())
  }

  /** Something about the role. */
  async #about(
    method: VaultRequest['method'],
    what: string,
    body?: VaultRequest['body'],
  ): Promise<VaultAnswer> {
    const request = { method, path: `${await this.#at()}/${what}`, until: this.#client.until() }
    return this.#ask(body === undefined ? request : { ...request, body })
  }

  /** 404 is an answer: there is none. */
  async #ask(request: VaultRequest): Promise<VaultAnswer> {
    const answer = await this.#session.ask(request)
    if (answer.status < 300 || answer.status === 404) return answer
    const role = await this.role()
    const lacking = rotationRights(this.#place, role).filter(({ path }) => path === request.path)
    throw answer.status === 403
      ? this.#lacking(role, lacking)
      : this.#client.refusal({ ...request, method: 'POST' }, answer)
  }

  #lacking(role: string, lacking: readonly Right[]): ToolError {
    return denied(
      `the AppRole role ${printable(role)} in Vault at ${this.#client.where} may not rotate its own secret id`,
      `Have this added to its policy:\n${policyText(lacking)}Or, where this tool has made the role, run create-openclaw-secure . --vault-admin @FILE again.`,
    )
  }
}

/** Policies compare letter by letter, and the server knows roles in lower case. */
function rolePath(authMount: string, role: string): string {
  return `auth/${authMount}/role/${role.toLowerCase()}`
}
