import { randomUUID } from 'node:crypto'
import * as z from 'zod'
import type { ProcessRunner } from '../docker/process.ts'
import { Exit, printable, ToolError } from '../errors.ts'
import { parseJson } from '../json.ts'
import { type Redactor, Secret } from '../secret.ts'
import type { Documents, Slots } from './document.ts'
import type { PlainSlots, Question, Request, VaultSummary } from './onepassword-items.ts'
import { inspectServiceAccount, type ServiceAccount } from './onepassword-token.ts'
import { conflict, STORE_DEADLINE, type StoredSecret, type StoredValue } from './store.ts'

/** How the child program is started, and what it needs to be let in. */
export interface OnePasswordAccess {
  /** The service account token. Asked for anew each time, and checked before anything is contacted. */
  credential(): Secret
  /** Redacts nothing: what the child prints is the secret. */
  run: ProcessRunner
  /** What node runs: the child program, with flags before it in tests. */
  child: readonly [string, ...string[]]
  redactor: Redactor
  /** Of this tool, for 1Password's log. */
  version: string
  /** Milliseconds; {@link STORE_DEADLINE} when left out. */
  deadline?: number
}

export interface OnePasswordOptions extends OnePasswordAccess {
  /** The vault's id. Titles are not unique. */
  vault: string
  deployment: string
  /** Remembers which item holds which secret, by the secret's name. */
  itemIds: { read(): Record<string, string>; write(ids: Record<string, string>): void }
}

/** A vault the service account can see. `why` says why it cannot be used. */
export interface Vault {
  id: string
  title: string
  usable: boolean
  why?: string
  items: number
}

const Value = z.object({ rotationId: z.string(), value: z.string() })
const Summary = z.object({ id: z.string(), title: z.string(), kind: z.string(), items: z.int() })
const Failed = z.object({ failure: z.string(), count: z.int().optional() })
const Listed = z.object({ vaults: z.array(Summary) })
const Checked = z.object({ vault: Summary })
const Removed = z.object({ removed: z.int() })
const Written = z.object({ itemId: z.string() })
const Read = z.object({
  document: z.nullable(
    z.object({
      itemId: z.string(),
      revision: z.int(),
      slots: z.object({
        current: Value.optional(),
        pending: Value.optional(),
        previous: Value.optional(),
      }),
    }),
  ),
})

/**
 * The vaults a service account can see, and whether secrets can be kept in them. Whether it may write there only a
 * write shows: the permissions that 1Password tells belong to users and groups whose ids the account does not know.
 *
 * Errors: those of a store, and `store_credential`.
 */
export async function listVaults(access: OnePasswordAccess): Promise<Vault[]> {
  const { vaults } = await ask(access, { what: 'vaults' }, Listed)
  return vaults.map(vault => {
    const why = unusable(vault)
    return {
      id: vault.id,
      title: vault.title,
      usable: why === undefined,
      ...(why === undefined ? {} : { why }),
      items: vault.items,
    }
  })
}

/** Vaults a service account never gets (developer.1password.com/docs/service-accounts/get-started, "Limitations"). */
function unusable({ kind }: Pick<VaultSummary, 'kind'>): string | undefined {
  switch (kind) {
    case 'personal':
      return 'it is somebody’s Personal, Private or Employee vault, which 1Password opens to no service account'
    case 'everyone':
      return 'it is the default Shared vault, which 1Password opens to no service account'
    case 'transfer':
      return 'it is a vault that 1Password uses to move items, and not for keeping any'
    default:
      return undefined
  }
}

/**
 * Secrets in 1Password: an item a secret, of the category API Credential, with the current value in the field
 * `credential` and the rest in a section of its own. Every call is a process of its own (`onepassword-child.ts`) that
 * is killed at the deadline, and in which comparing and swapping happens as a whole.
 *
 * 1Password keeps the former versions of an item, and deleted items for a time. No API clears these: a value that leaked
 * has to be changed where it is used, not only removed here.
 */
export class OnePasswordDocuments implements Documents {
  readonly deadline: number
  readonly #options: OnePasswordOptions

  constructor(options: OnePasswordOptions) {
    this.#options = options
    this.deadline = options.deadline ?? STORE_DEADLINE
  }

  async check(): Promise<string> {
    const { email, host } = accountOf(this.#options).account
    const { vault } = await ask(this.#options, { what: 'check', vault: this.#options.vault }, Checked)
    const why = unusable(vault)
    if (why !== undefined)
      throw new ToolError(
        'store_denied',
        `secrets cannot be kept in the 1Password vault ${printable(vault.title)}: ${why}`,
        'Make a vault of its own for them, and a service account that may read and write items in it.',
        Exit.unknown,
      )
    return `1Password vault ${printable(vault.title)} at ${host}, as ${printable(email)}: ${vault.items} ${vault.items === 1 ? 'item' : 'items'} seen; whether it may write there shows with the first secret`
  }

  async read(name: string, until?: number): Promise<StoredSecret | undefined> {
    const { document } = await ask(this.#options, { what: 'read', ...this.#placeOf(name) }, Read, until)
    this.#remember(name, document?.itemId)
    if (document === null) return undefined
    const { current, pending, previous } = document.slots
    return {
      revision: document.revision,
      ...(current === undefined ? {} : { current: this.#stored(current) }),
      ...(pending === undefined ? {} : { pending: this.#stored(pending) }),
      ...(previous === undefined ? {} : { previous: this.#stored(previous) }),
    }
  }

  async write(name: string, slots: Slots, revision: number, until?: number): Promise<void> {
    const question: Question = { what: 'write', slots: plain(slots), revision, ...this.#placeOf(name) }
    this.#remember(name, (await ask(this.#options, question, Written, until)).itemId)
  }

  /** Deletes every item of this secret, archived ones too. What 1Password keeps of them see above. */
  async remove(name: string): Promise<void> {
    await ask(this.#options, { what: 'remove', ...this.#placeOf(name) }, Removed)
    this.#remember(name, undefined)
  }

  /** Every call logs in for itself and leaves nothing open. */
  async close(): Promise<void> {}

  #placeOf(name: string) {
    const { vault, deployment, itemIds } = this.#options
    const ids = itemIds.read()
    const itemId = Object.hasOwn(ids, name) ? ids[name] : undefined
    return { vault, deployment, name, ...(itemId === undefined ? {} : { itemId }) }
  }

  #remember(name: string, itemId: string | undefined): void {
    const { [name]: known, ...others } = this.#options.itemIds.read()
    if (known === itemId) return
    this.#options.itemIds.write(itemId === undefined ? others : { ...others, [name]: itemId })
  }

  #stored({ rotationId, value }: { rotationId: string; value: string }): StoredValue {
    return { rotationId, value: this.#options.redactor.learn(new Secret(value)) }
  }
}

function plain({ current, pending, previous }: Slots): PlainSlots {
  const exposed = ({ rotationId, value }: StoredValue) => ({ rotationId, value: value.expose() })
  return {
    ...(current === undefined ? {} : { current: exposed(current) }),
    ...(pending === undefined ? {} : { pending: exposed(pending) }),
    ...(previous === undefined ? {} : { previous: exposed(previous) }),
  }
}

function accountOf({ credential, redactor }: OnePasswordAccess): { token: Secret; account: ServiceAccount } {
  const token = redactor.learn(credential())
  return { token, account: inspectServiceAccount(token, Exit.unknown) }
}

/** Asks one question, in a process of its own. Nothing that the process prints gets into an error. */
async function ask<S extends z.ZodType>(
  access: OnePasswordAccess,
  question: Question,
  schema: S,
  until?: number,
): Promise<z.infer<S>> {
  const { token, account } = accountOf(access)
  const mark = randomUUID()
  const request: Request = { ...question, mark, token: token.expose().trim(), version: access.version }
  const input = new Secret(JSON.stringify(request))
  const deadline = access.deadline ?? STORE_DEADLINE
  const left = until === undefined ? deadline : Math.max(1, Math.ceil(until - performance.now()))
  const finished = await access
    .run(process.execPath, access.child, { input, deadline: Math.min(left, deadline) })
    .catch((error: unknown) => {
      if (!(error instanceof ToolError)) throw error
      if (error.code === 'deadline') throw late(deadline)
      // Ended by a signal: by the system for want of memory, say.
      if (error.code === 'program_failed_to_start') throw unanswered()
      throw error
    })
    .finally(() => input.wipe())
  const line = finished.stdout.split('\n').find(one => one.startsWith(`${mark} `))
  const answer = parseJson(line?.slice(mark.length + 1) ?? '')
  const failed = Failed.safeParse(answer)
  if (failed.success) throw explain(failed.data, question, account)
  const parsed = schema.safeParse(answer)
  if (!parsed.success) throw unanswered()
  return parsed.data
}

function late(deadline: number): ToolError {
  return unreachable(`1Password did not answer within ${deadline / 1000} s`, TRY_LATER)
}

function unanswered(): ToolError {
  return unreachable(
    'the library that talks to 1Password ended without an answer',
    'Run the command again. If it happens each time, check the free memory of this machine, and that the installation is complete.',
  )
}

const unreachable = (message: string, hint: string) =>
  new ToolError('store_unreachable', message, hint, Exit.unknown)

const TRY_LATER =
  'Look at status.1password.com and at the network of this machine, then run the command again: what is stored is unchanged, or changed as a whole.'

const GRANT =
  'It needs read_items and write_items on this vault. The rights of a service account cannot be changed: make a new one with them (op service-account create NAME --vault VAULT:read_items,write_items) and give its token with --store-credential.'

/** A failure in words a person can act on. */
function explain(
  { failure, count }: z.infer<typeof Failed>,
  question: Question,
  { email, host }: ServiceAccount,
): ToolError {
  const who = `the service account ${printable(email)}`
  const item = 'name' in question ? `the 1Password item of ${question.name}` : 'the 1Password item'
  const denied = (message: string, hint: string) => new ToolError('store_denied', message, hint, Exit.unknown)
  const corrupt = (message: string, hint: string) =>
    new ToolError('store_corrupt', message, hint, Exit.unknown)
  switch (failure) {
    case 'unreachable':
      return unreachable(
        `cannot reach 1Password at ${host}`,
        'Check the network and the name resolution of this machine, and that it may connect to port 443 there. HTTP proxies are not used: the library needs a direct connection.',
      )
    case 'unauthenticated':
      return denied(
        `1Password does not accept the token of ${who}`,
        'It has expired, was revoked or rotated. Make a new one at 1Password (Developer → Service Accounts) and give it with --store-credential.',
      )
    case 'forbidden':
      return denied(
        question.what === 'write' || question.what === 'remove'
          ? `${who} may not change items in this 1Password vault`
          : `${who} may not read the items of this 1Password vault`,
        GRANT,
      )
    case 'missing':
      return denied(
        `${who} sees no such 1Password vault`,
        `Check --onepassword-vault: it is the vault's id, not its title, and the service account has to be given that vault when it is made. ${GRANT}`,
      )
    case 'inactive':
      return denied(
        `1Password does not let ${who} delete ${item}, which is archived`,
        'Delete it in 1Password (Archive), then run the command again.',
      )
    case 'limited':
      return new ToolError(
        'store_limited',
        `1Password has had too many requests of ${who}`,
        'A service account has 10,000 reads and 1,000 writes an hour with 1Password Business, else 1,000 reads and 100 writes; all of an account together have a daily limit besides. Wait an hour and run the command again: it goes on where it stopped.',
        Exit.unknown,
      )
    case 'conflict':
      return conflict('name' in question ? question.name : 'the vault')
    case 'several':
      return corrupt(
        `there are ${count ?? 'several'} items for ${'name' in question ? question.name : 'one secret'} in the 1Password vault, with the same title and tags`,
        'Look at them in 1Password and archive all but the one whose value is in use. Then run the command again.',
      )
    case 'foreign':
      return corrupt(
        `${item} is not one that this tool wrote, or something was taken out of it`,
        'Restore a former version of it in 1Password (View Item History), or archive it to begin anew.',
      )
    case 'altered':
      return corrupt(
        `${item} does not hold the value as it was written`,
        'Look at it in 1Password. A value without line breaks and without spaces at its ends is kept as it is.',
      )
    case 'too big':
      return denied(`${item} would be larger than 1Password accepts`, 'Store a shorter value.')
    case 'trouble':
      return unreachable('1Password answered that something is wrong on its side', TRY_LATER)
    default:
      return unreachable('1Password answered with an error that this tool does not know', TRY_LATER)
  }
}
