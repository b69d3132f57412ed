import * as z from 'zod'
import { printable } from '../errors.ts'
import { type Redactor, Secret } from '../secret.ts'
import {
  denied,
  type VaultAnswer,
  type VaultClient,
  type VaultPlace,
  type VaultRequest,
} from './vault-client.ts'

/** How long logging out may take: nobody waits for it, and a token that stays expires by itself. */
const GOODBYE = 3_000

/** What Vault and OpenBao call service tokens, which response-wrapping tokens are. A secret id is a UUID. */
const WRAPPING_TOKEN = /^(hvs|s|b)\./

/** What a session needs to log in. */
export interface VaultOptions {
  place: VaultPlace
  /** What opens the store; asked at each login, since a JWT is renewed where it lies. */
  credential(): Secret
  /** Called at once with a secret id that came wrapped, before it is used: it cannot be unwrapped a second time. */
  keep?(secretId: Secret): void
  redactor: Redactor
  /** How long one call may take altogether, in milliseconds. */
  deadline?: number
  /** The clock, in milliseconds. */
  now?(): number
}

/** A token, and how long it will do. */
interface Login {
  token: Secret
  /** We logged in for it: it is ours to revoke. */
  obtained: boolean
  renewable: boolean
  /** In milliseconds; 0: it never expires. */
  lease: number
  expires: number
  /** Whose it is, for a person. */
  whose: string
}

const Auth = z.object({
  auth: z.object({
    client_token: z.string().min(1),
    lease_duration: z.number().nonnegative(),
    renewable: z.boolean(),
    metadata: z.nullish(z.record(z.string(), z.string())),
  }),
})
const Renewed = z.object({
  auth: z.object({ lease_duration: z.number().nonnegative(), renewable: z.boolean() }),
})
const Looked = z.object({
  data: z.object({
    ttl: z.number().nonnegative(),
    creation_ttl: z.number().nonnegative(),
    /** null: never, as for a root token. */
    expire_time: z.nullish(z.string()),
    renewable: z.optional(z.boolean()),
    display_name: z.string(),
  }),
})
const Wrapped = z.object({ data: z.object({ creation_path: z.string() }) })
const SecretId = z.object({ data: z.object({ secret_id: z.string().min(1) }) })

/**
 * Being logged in: once, however many calls are made at the same time, and as long as there are calls. A token that we
 * logged in for is renewed while it is in use and revoked at the end; one that somebody gave us is renewed and left.
 */
export class VaultSession {
  readonly #client: VaultClient
  readonly #options: VaultOptions
  readonly #now: () => number
  /** Every token we logged in for and have not revoked. */
  readonly #obtained = new Set<Login>()
  #login: Promise<Login> | undefined
  #unwrapped: Secret | undefined
  #isKept = false
  #closed = false

  constructor(client: VaultClient, options: VaultOptions) {
    this.#client = client
    this.#options = options
    this.#now = options.now ?? Date.now
  }

  /** As {@link VaultClient.ask}, logged in. */
  async ask(request: VaultRequest): Promise<VaultAnswer> {
    const login = await this.#valid(request.until)
    const answer = await this.#client.ask({ ...request, token: login.token })
    // "Permission denied" is also what Vault says to a token that is gone: expired while we slept, or revoked.
    if (answer.status !== 403 || (await this.#isAlive(login, request.until))) return answer
    if (!login.obtained)
      throw denied(
        `Vault at ${this.#client.where} refuses ${request.path} to the token that was given, and even to look at itself`,
        'It has expired, was revoked, or is none; or its policy lacks this path, and auth/token/lookup-self. Give a new one with --store-credential @FILE.',
      )
    const known = this.#login
    const latest = await known?.catch(() => undefined)
    if (latest === login && this.#login === known) this.#login = undefined
    const { token } = await this.#valid(request.until)
    return this.#client.ask({ ...request, token })
  }

  /** As {@link VaultClient.get}, logged in. */
  async get<T>(request: VaultRequest, shape: z.ZodType<T>): Promise<T> {
    const answer = await this.ask(request)
    if (answer.status >= 300) throw this.#client.refusal(request, answer)
    return this.#client.parse(answer, shape)
  }

  /** As whom, for a person; logs in for it. */
  async whose(until: number): Promise<string> {
    return (await this.#valid(until)).whose
  }

  /** Revokes what we logged in for, as far as the server answers, and forgets everything. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    // A login that is under way is waited for no longer than that: its token would not be ours to see otherwise.
    let timer: NodeJS.Timeout | undefined
    const patience = new Promise(resolve => {
      timer = setTimeout(resolve, GOODBYE)
    })
    await Promise.race([this.#login?.catch(() => undefined), patience])
    clearTimeout(timer)
    const until = performance.now() + GOODBYE
    await Promise.allSettled(
      [...this.#obtained].map(({ token }) =>
        this.#client.ask({ method: 'POST', path: 'auth/token/revoke-self', token, until }),
      ),
    )
    for (const { token } of this.#obtained) token.wipe()
    this.#obtained.clear()
    this.#login = undefined
    this.#unwrapped = undefined
  }

  /** A login that will do for a call now: made, renewed or made anew, by whichever call comes first. */
  async #valid(until: number): Promise<Login> {
    if (this.#closed) throw new Error('this store has been closed')
    const known = this.#login ?? this.#replace(this.#logIn(until))
    const login = await known
    if (!this.#isShort(login)) return login
    if (this.#login === known) this.#replace(this.#prolong(login, until))
    return (await this.#login) ?? (await this.#valid(until))
  }

  /** Makes an attempt the one that all calls wait for, until it fails. */
  #replace(attempt: Promise<Login>): Promise<Login> {
    this.#login = attempt
    attempt.catch(() => {
      if (this.#login === attempt) this.#login = undefined
    })
    return attempt
  }

  #isShort({ lease, expires, obtained, renewable }: Login): boolean {
    if (lease === 0) return false
    const left = expires - this.#now()
    // A token that was given and cannot be renewed is used as long as it lasts.
    return left <= 0 || (left < lease / 3 && (obtained || renewable))
  }

  async #prolong(login: Login, until: number): Promise<Login> {
    const began = this.#now()
    if (login.renewable && login.expires > began) {
      const { lease_duration = 0, renewable = true } = (await this.#renewed(login.token, until)) ?? {}
      const lease = lease_duration * 1000
      // The same object: it is also in the list of what is to be revoked.
      if (began + lease > login.expires)
        return Object.assign(login, { lease, expires: began + lease, renewable })
    }
    if (login.obtained) return this.#logIn(until)
    if (login.expires > began) return login
    throw denied(
      `the token for Vault at ${this.#client.where} has expired`,
      'Give a new one with --store-credential @FILE.',
    )
  }

  /** A longer lease, or undefined: past its longest time OpenBao answers HTTP 500, and whatever is wrong shows again. */
  async #renewed(token: Secret, until: number) {
    try {
      const request = { method: 'POST', path: 'auth/token/renew-self', token, until } as const
      return (await this.#client.get(request, Renewed)).auth
    } catch {
      return undefined
    }
  }

  async #isAlive({ token }: Login, until: number): Promise<boolean> {
    const answer = await this.#client.ask({ method: 'GET', path: 'auth/token/lookup-self', token, until })
    return answer.status < 300
  }

  async #logIn(until: number): Promise<Login> {
    const { place, credential, redactor } = this.#options
    const given = this.#unwrapped ?? redactor.learn(credential())
    if (place.auth === 'token') return this.#asGiven(given, until)
    const secret = place.auth === 'approle' ? await this.#secretIdOf(given, until) : given
    const began = this.#now()
    const body =
      place.auth === 'approle'
        ? { role_id: place.role, secret_id: secret.expose() }
        : { role: place.role, jwt: secret.expose() }
    const answer = await this.#client.ask({
      method: 'POST',
      path: `auth/${place.authMount}/login`,
      body,
      until,
    })
    if (answer.status >= 300) throw this.#loginRefused(answer)
    const { auth } = this.#client.parse(answer, Auth)
    const lease = auth.lease_duration * 1000
    const login = {
      token: redactor.learn(new Secret(auth.client_token)),
      obtained: true,
      renewable: auth.renewable,
      lease,
      expires: began + lease,
      whose: `${METHODS[place.auth]} role ${printable(auth.metadata?.role_name ?? auth.metadata?.role ?? place.role)}`,
    }
    this.#obtained.add(login)
    return login
  }

  async #asGiven(token: Secret, until: number): Promise<Login> {
    const began = this.#now()
    const answer = await this.#client.ask({ method: 'GET', path: 'auth/token/lookup-self', token, until })
    const data = answer.status >= 300 ? undefined : this.#client.parse(answer, Looked).data
    // Whoever may not look at his own token may still use it: the first call tells.
    const ttl = (data?.ttl ?? 0) * 1000
    return {
      token,
      obtained: false,
      renewable: data?.renewable ?? false,
      lease: typeof data?.expire_time === 'string' ? Math.max(ttl, data.creation_ttl * 1000) : 0,
      expires: began + ttl,
      whose: data === undefined ? 'the token that was given' : `token ${printable(data.display_name)}`,
    }
  }

  /** The secret id itself, out of its wrapping where it came in one. */
  async #secretIdOf(given: Secret, until: number): Promise<Secret> {
    const { place, keep, redactor } = this.#options
    if (this.#unwrapped === undefined) {
      if (!WRAPPING_TOKEN.test(given.expose())) return given
      this.#unwrapped = redactor.learn(await unwrapSecretId(this.#client, place, given, until))
    }
    // A disk may be full: no login before it is kept, or the next run would have nothing.
    if (!this.#isKept) keep?.(this.#unwrapped)
    this.#isKept = true
    return this.#unwrapped
  }

  #loginRefused(answer: VaultAnswer) {
    const { place } = this.#options
    const path = `auth/${place.authMount}/login`
    if (answer.status !== 400) {
      const { message } = this.#client.refusal({ method: 'POST', path }, answer)
      return denied(
        answer.status === 403
          ? `Vault at ${this.#client.where} lets nobody log in at ${path} (HTTP 403)`
          : message,
        `Have the ${METHODS[place.auth]} method enabled at auth/${place.authMount}, or correct --vault-auth, --vault-auth-mount or --vault-namespace.`,
      )
    }
    return place.auth === 'approle'
      ? denied(
          `Vault at ${this.#client.where} does not know this role id with this secret id (${this.#client.quote(answer)})`,
          `Have a new one made (bao write -f auth/${place.authMount}/role/NAME/secret-id) and give it with --store-credential @FILE; --vault-role is the role id.`,
        )
      : denied(
          `Vault at ${this.#client.where} does not accept this JWT for role ${place.role} (${this.#client.quote(answer)})`,
          'See whether it has expired, and whether its issuer, audience and subject are those that the role is bound to.',
        )
  }
}

const METHODS = { approle: 'AppRole', token: 'token', jwt: 'JWT', kubernetes: 'Kubernetes' } as const

/**
 * The secret id inside a response-wrapping token, if that is what was wrapped: a token that somebody put in the place of
 * ours would hold what he chose. It can be done once. Errors: `store_denied`, and those of any request.
 */
export async function unwrapSecretId(
  client: VaultClient,
  { authMount }: Pick<VaultPlace, 'authMount'>,
  token: Secret,
  until: number,
): Promise<Secret> {
  // Neither request needs another token than the wrapping one.
  const path = 'sys/wrapping/lookup'
  const looked = await client.ask({ method: 'POST', path, body: { token: token.expose() }, until })
  if (looked.status === 404) throw client.refusal({ method: 'POST', path }, looked)
  if (looked.status >= 300)
    throw denied(
      `the wrapping token for Vault at ${client.where} is not valid: its time is over, or it has been unwrapped (${client.quote(looked)})`,
      'If it was not you who unwrapped it, somebody else has the secret id: have it destroyed. Then have a new one made.',
    )
  const from = client.parse(looked, Wrapped).data.creation_path
  if (!new RegExp(`(^|/)auth/${authMount}/role/[^/]+/secret-id$`).test(from))
    throw denied(
      `what the wrapping token holds does not come from auth/${authMount}/role/…/secret-id but from ${printable(from)}`,
      'Do not use it: somebody may have swapped it. Have a new one made, and have the old one looked into.',
    )
  const unwrapped = await client.get({ method: 'POST', path: 'sys/wrapping/unwrap', token, until }, SecretId)
  return new Secret(unwrapped.data.secret_id)
}
