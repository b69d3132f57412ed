import nodeVault from 'node-vault'
import * as z from 'zod'
import { printable, ToolError } from '../errors.ts'
import type { Redactor, Secret } from '../secret.ts'
import { STORE_DEADLINE } from './store.ts'
import { foreignAnswer, limited, safeTransport, serverAt, unreachable } from './vault-transport.ts'

/** Where Vault or OpenBao is, where in it the secrets lie, and how one logs in. */
export interface VaultPlace {
  address: string
  /** PEM text; empty: the CAs that the system trusts. */
  ca: string
  namespace: string
  mount: string
  path: string
  auth: 'approle' | 'token' | 'jwt' | 'kubernetes'
  authMount: string
  /** For AppRole the role id. */
  role: string
}

/** One request. */
export interface VaultRequest {
  /** LIST is a GET that asks for a list: proxies know no such verb. */
  method: 'GET' | 'POST' | 'DELETE' | 'LIST'
  /** Below `/v1/`, without a leading slash. */
  path: string
  body?: Readonly<Record<string, unknown>>
  token?: Secret | undefined
  /** When the answer must be there, on the clock of `performance.now()`. */
  until: number
  /** In which namespace; the client's own where it is left out. */
  namespace?: string
  /** Has the answer wrapped: what comes back is a token that can be exchanged for it once, within this time. */
  wrapTtl?: string
}

/** What Vault answered. Below 300 all is well; else `errors` are its own words. */
export interface VaultAnswer {
  status: number
  body: unknown
  errors: readonly string[]
}

const ApiError = z.object({ response: z.object({ statusCode: z.int(), body: z.unknown() }) })
const Errors = z.object({ errors: z.array(z.string()) })
/** A document that is there and deleted is a 404 with data. */
const Gone = z.object({ data: z.record(z.string(), z.unknown()) })

/**
 * node-vault behind {@link safeTransport}, and deaf to the environment. It keeps no token: each request brings its own,
 * so that none is sent where it does not belong.
 */
export class VaultClient {
  readonly #client: nodeVault.client
  readonly #address: string
  readonly #namespace: string
  readonly #redactor: Redactor
  readonly #deadline: number

  constructor(
    place: Pick<VaultPlace, 'address' | 'ca' | 'namespace'>,
    redactor: Redactor,
    deadline = STORE_DEADLINE,
  ) {
    this.#address = place.address.replace(/\/$/, '')
    this.#namespace = place.namespace
    this.#redactor = redactor
    this.#deadline = deadline
    this.#client = nodeVault({
      endpoint: this.#address,
      // Its own would print what is sent, with DEBUG set.
      debug: () => {},
      noCustomHTTPVerbs: true,
      'request-promise': safeTransport({ address: this.#address, ca: place.ca, deadline }),
    })
    // Empty options count as missing ones, which it takes from VAULT_TOKEN, VAULT_NAMESPACE and VAULT_PREFIX.
    Object.assign(this.#client, { endpoint: this.#address, token: '', namespace: '', pathPrefix: '' })
  }

  /** Where it is, for messages: no user, no path. */
  get where(): string {
    return serverAt(this.#address).origin
  }

  /** When a call that begins now has to be done. */
  until(): number {
    return performance.now() + this.#deadline
  }

  /**
   * Sends a request and returns whatever Vault answers to it. Throws where the answer would be the same to any request:
   * `store_unreachable` (no answer, sealed, not Vault, an error of the server), `store_limited`.
   */
  async ask(request: VaultRequest): Promise<VaultAnswer> {
    const { method, path, body, token, until, namespace = this.#namespace, wrapTtl } = request
    if (!/^[\w-]+([/.][\w-]+)*$/.test(path))
      throw new Error('a path in Vault is plain segments with / between')
    const headers = {
      ...(token === undefined ? {} : { 'X-Vault-Token': token.expose() }),
      ...(namespace === '' ? {} : { 'X-Vault-Namespace': namespace }),
      ...(wrapTtl === undefined ? {} : { 'X-Vault-Wrap-TTL': wrapTtl }),
    }
    const options = {
      path: method === 'LIST' ? `/${path}?list=true` : `/${path}`,
      method: method === 'LIST' ? 'GET' : method,
      headers,
      until,
      ...(body === undefined ? {} : { json: body }),
    }
    try {
      return { status: 200, body: await this.#client.request(options), errors: [] }
    } catch (error) {
      if (error instanceof ToolError) throw error
      const { response } = ApiError.safeParse(error).data ?? {}
      // The original holds the request, with all that is secret in it.
      if (response === undefined) throw new Error('node-vault failed before it sent anything')
      return this.#judge(response.statusCode, response.body)
    }
  }

  /**
   * As {@link ask}, for an answer of one shape. Errors, besides: `store_denied`, naming what is refused.
   */
  async get<T>(request: VaultRequest, shape: z.ZodType<T>): Promise<T> {
    const answer = await this.ask(request)
    if (answer.status >= 300) throw this.refusal(request, answer)
    return this.parse(answer, shape)
  }

  /** What an answer holds. Errors: `store_unreachable`, when Vault does not answer like that. */
  parse<T>(answer: VaultAnswer, shape: z.ZodType<T>): T {
    const parsed = shape.safeParse(answer.body)
    if (!parsed.success) throw foreignAnswer(serverAt(this.#address), answer.status)
    return parsed.data
  }

  /** Why Vault would not, in words that name the path and what to allow. */
  refusal({ method, path }: Pick<VaultRequest, 'method' | 'path'>, answer: VaultAnswer): ToolError {
    const verb = { GET: 'read', POST: 'create and update', DELETE: 'delete', LIST: 'list' }[method]
    if (answer.status === 401 || answer.status === 403)
      return denied(
        `Vault at ${this.where} refuses to ${verb === 'create and update' ? 'write' : verb} ${path} (HTTP ${answer.status})`,
        `Allow ${verb} on "${path}" in the policy of the role or token that is used here, or use another.`,
      )
    if (answer.errors.some(text => text.includes('no handler for route')))
      return denied(
        `nothing is mounted in Vault at ${this.where} where ${path} should be`,
        'Correct --vault-mount, --vault-auth-mount or --vault-namespace, or have it mounted.',
      )
    if (answer.errors.some(text => text.includes('namespace not found')))
      return denied(
        `there is no such namespace in Vault at ${this.where}`,
        'Correct --vault-namespace, or leave it out where there are none.',
      )
    return denied(
      `Vault at ${this.where} does not accept ${method} ${path}: ${this.quote(answer)}`,
      'What Vault says there has to be put right in Vault, or in the --vault-… options.',
    )
  }

  /** Vault's own words, without any secret in them. */
  quote({ status, errors }: VaultAnswer): string {
    return `HTTP ${status}${errors.length === 0 ? '' : `, ${printable(this.#redactor.clean(errors.join('; ')))}`}`
  }

  #judge(status: number, body: unknown): VaultAnswer {
    const parsed = Errors.safeParse(body)
    const errors = parsed.data?.errors ?? []
    if (errors.some(text => /\bis sealed\b|not (yet )?initialized/.test(text))) throw sealed(this.where)
    if (status === 429) throw limited(serverAt(this.#address))
    if (!parsed.success && !(status === 404 && Gone.safeParse(body).success))
      throw foreignAnswer(serverAt(this.#address), status)
    // 412, 472, 473: a node that lags behind, or that only stands by.
    if (status >= 500 || status === 412 || status >= 470)
      throw unreachable(
        `Vault at ${this.where} has trouble of its own: ${this.quote({ status, body: undefined, errors })}`,
        'The server’s own log says more. Run the command again when it is well; nothing stored is lost.',
      )
    return { status, body, errors }
  }
}

/** `store_denied`, with what to do. */
export function denied(message: string, hint: string): ToolError {
  return new ToolError('store_denied', message, hint)
}

/** A server that holds everything and can read nothing of it. */
export function sealed(where: string, what: 'sealed' | 'not initialized' = 'sealed'): ToolError {
  return unreachable(
    `Vault at ${where} is ${what}`,
    what === 'sealed'
      ? 'Unseal it (bao operator unseal, or vault operator unseal) and run the command again. Nothing stored is lost.'
      : 'Initialize it (bao operator init, or vault operator init), unseal it, and run the command again.',
  )
}
