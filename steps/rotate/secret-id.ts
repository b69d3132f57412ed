import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Answers } from '../../src/deployment/answers.ts'
import type { Layout } from '../../src/deployment/layout.ts'
import { Exit, ToolError } from '../../src/errors.ts'
import { GATEWAY_TOKEN } from '../../src/gateway/policy.ts'
import type { Step } from '../../src/procedure/step.ts'
import type { Redactor, Secret } from '../../src/secret.ts'
import {
  credentialNameOf,
  credentialWrittenAt,
  isWrapped,
  keepNextCredential,
  keptCredential,
  nextCredential,
  switchCredential,
} from '../../src/stores/credential.ts'
import { vaultPlace } from '../../src/stores/open.ts'
import type { VaultSecretIds } from '../../src/stores/vault-secret-id.ts'

/** The rotation of what opens a Vault: the secret id that is kept here. */
export interface SecretIdContext {
  layout: Pick<Layout, 'credentials'>
  /** As they were rendered last: of the store that is in use. */
  answers: Answers
  redactor: Redactor
  env: Readonly<Record<string, string | undefined>>
  /** A secret id that somebody has brought now: for when neither the kept one nor the one beside it opens the store. */
  given?: Secret
  /**
   * Filled in by the steps of one run: what opened the store when it began, and by its fingerprint what is to open it. A
   * run that follows a killed one needs neither: it makes another, and destroys what the killed one has left.
   */
  found: { old?: Secret; made?: string }
}

/** What a secret id's fingerprint in the journal is made with. */
const DOMAIN = 'secret id'

const look: Step<SecretIdContext> = {
  id: 'secret-id.look',
  title: 'See whether the secret id can be rotated here',
  effect: 'reads',
  async run(ctx) {
    expectKeptHere(ctx)
    return using(ctx, await opener(ctx), async ids => {
      await ids.expectRights()
      return { saw: `AppRole role ${await ids.role()} has ${counted((await ids.accessors()).length)}` }
    })
  },
}

/** Another one each time: what a killed run has left may have lain about for long. */
const make: Step<SecretIdContext> = {
  id: 'secret-id.make',
  title: 'Have a new secret id made, and keep it beside the present one',
  effect: 'writes',
  async run(ctx) {
    const { layout, found } = ctx
    const old = await opener(ctx)
    const next = await using(ctx, old, ids => ids.make())
    // On the disk before anything is done with it.
    keepNextCredential(layout, 'vault', next)
    found.old = old
    found.made = next.fingerprint(DOMAIN)
    return { saw: `fingerprint ${found.made}`, facts: { made: found.made } }
  },
}

const prove: Step<SecretIdContext> = {
  id: 'secret-id.prove',
  title: 'Open the store with the new secret id, and read from it',
  effect: 'reads',
  skip: ({ found }) => (found.made === undefined ? 'no new one was made' : undefined),
  async run(ctx) {
    const { layout, answers, redactor, found } = ctx
    // Not the one in memory: what is on the disk is what has to open the store from now on.
    const next = nextCredential(layout, answers)
    if (next === undefined || next.fingerprint(DOMAIN) !== found.made)
      throw new Error('what is kept is not the secret id that was made')
    const { VaultDocuments } = await import('../../src/stores/vault.ts')
    const documents = new VaultDocuments({ place: vaultPlace(answers), credential: () => next, redactor })
    try {
      if ((await documents.read(GATEWAY_TOKEN))?.current === undefined)
        throw new ToolError(
          'secret_id_not_proven',
          `the new secret id opens the store, and no ${GATEWAY_TOKEN} is in it`,
          'Run create-openclaw-secure store check. The secret id before is still in use.',
        )
    } finally {
      await documents.close()
    }
    return { saw: `${GATEWAY_TOKEN} can be read` }
  },
}

const switchOver: Step<SecretIdContext> = {
  id: 'secret-id.switch',
  title: 'Put the new secret id in the place of the old one',
  effect: 'writes',
  async run({ layout }) {
    switchCredential(layout, 'vault')
    return { saw: 'from now on the new one opens the store' }
  },
}

/** All but the one in use: also what killed runs, and those who made the role, have left. */
const destroyOld: Step<SecretIdContext> = {
  id: 'secret-id.destroy-old',
  title: 'Destroy every other secret id of the role, and see the old one refused',
  effect: 'destroys',
  async run(ctx) {
    const { layout, answers, found } = ctx
    const kept = keptCredential(layout, answers)
    if (kept === undefined || found.old === undefined || kept.equals(found.old))
      throw new Error('the new secret id is not in use yet')
    const destroyed = await using(ctx, kept, ids => destroyOthers(ids, kept))
    if (await using(ctx, found.old, ids => ids.opens()))
      throw new ToolError(
        'secret_id_not_refused',
        'the old secret id has been destroyed, and still opens the store',
        'See whether the role asks for a secret id at all (bind_secret_id). The new one is in use.',
        Exit.interrupted,
      )
    return {
      saw: `${counted(destroyed)} destroyed; the old one is refused`,
      facts: { destroyed, old: found.old.fingerprint(DOMAIN), kept: kept.fingerprint(DOMAIN) },
    }
  },
}

/**
 * Gives a Vault's AppRole a new secret id, and destroys all others that the role has. At any moment the one that is kept
 * opens the store. Killed anywhere, the same steps go on from what is on the disk and in the server. What opened the
 * store with the old one keeps its token until that expires. Errors: `credential_elsewhere`, `credential_not_ours`,
 * `store_credential`, `secret_id_not_proven`, `secret_id_remains`, `secret_id_not_refused`, and those of the store.
 */
export const secretIdSteps: readonly Step<SecretIdContext>[] = [look, make, prove, switchOver, destroyOld]

/** When the secret id that is kept here was written; undefined when none is. */
export function secretIdAge(layout: Pick<Layout, 'credentials'>): Date | undefined {
  return credentialWrittenAt(layout, 'vault')
}

/** Destroys all secret ids of a role but this one, and returns how many. Errors: `secret_id_remains`. */
async function destroyOthers(ids: VaultSecretIds, kept: Secret): Promise<number> {
  const own = await ids.accessorOf(kept)
  const all = await ids.accessors()
  // Without knowing which one is in use, none is destroyed.
  if (own === undefined || !all.includes(own)) throw new Error('the secret id in use is not listed')
  const others = all.filter(accessor => accessor !== own)
  for (const accessor of others) await ids.destroy(accessor)
  const remaining = (await ids.accessors()).filter(accessor => accessor !== own)
  if (remaining.length === 0) return others.length
  throw new ToolError(
    'secret_id_remains',
    `the role has ${counted(remaining.length)} again that nobody here has made`,
    'Somebody makes secret ids for it: give this deployment a role of its own. Then: create-openclaw-secure rotate --resume.',
    Exit.interrupted,
  )
}

/**
 * What opens the store: the secret id that is kept, or the one beside it, where a run was cut short and somebody has
 * destroyed the kept one since. Errors: `store_credential`; of the first one, when neither does.
 */
async function opener(ctx: SecretIdContext): Promise<Secret> {
  const { layout, answers, given } = ctx
  const brought = given === undefined || isWrapped(answers, given) ? undefined : given
  const candidates = [brought, keptCredential(layout, answers), nextCredential(layout, answers)]
  let refusal: ToolError | undefined
  for (const secretId of candidates) {
    if (secretId === undefined) continue
    try {
      await using(ctx, secretId, ids => ids.role())
      return secretId
    } catch (error) {
      if (!(error instanceof ToolError && error.code === 'store_denied')) throw error
      refusal ??= error
    }
  }
  throw (
    refusal ??
    new ToolError(
      'store_credential',
      'there is no secret id here that opens the store',
      'Give one first: create-openclaw-secure . --store-credential @FILE (or @-) keeps it.',
    )
  )
}

async function using<T>(
  { answers, redactor }: SecretIdContext,
  secretId: Secret,
  act: (ids: VaultSecretIds) => Promise<T>,
): Promise<T> {
  const { VaultSecretIds } = await import('../../src/stores/vault-secret-id.ts')
  const ids = new VaultSecretIds({ place: vaultPlace(answers), credential: () => secretId, redactor })
  try {
    return await act(ids)
  } finally {
    await ids.close()
  }
}

/** What opens the store is a secret id, and ours to replace. Errors: `credential_not_ours`, `credential_elsewhere`. */
function expectKeptHere({ answers, env }: SecretIdContext): void {
  if (answers.store !== 'vault' || answers.vaultAuth !== 'approle') throw notOurs(answers)
  const { CREDENTIALS_DIRECTORY: handed } = env
  const systemd = handed === undefined ? '' : resolve(handed, 'vault_credential')
  const place = answers.credentialFile || (existsSync(systemd) ? systemd : '')
  if (place === '') return
  throw new ToolError(
    'credential_elsewhere',
    `the secret id is kept in ${place}, which ${place === systemd ? 'systemd hands over' : 'credential-file names'}: it cannot be replaced from here`,
    `Whoever keeps it there has to rotate it: make a new one (bao write -f auth/${answers.vaultAuthMount}/role/NAME/secret-id), put it there, and destroy the old one.`,
    Exit.usage,
  )
}

function notOurs(answers: Answers): ToolError {
  if (answers.store === 'docker')
    return new ToolError(
      'credential_not_ours',
      'the secrets are kept here: there is no credential that opens the store',
      'Rotate the secrets themselves.',
      Exit.usage,
    )
  const name = credentialNameOf(answers)
  const where = answers.store === '1password' ? '1Password' : `Vault (${answers.vaultAuth})`
  const bring =
    answers.credentialFile === ''
      ? 'give it with create-openclaw-secure . --store-credential @FILE'
      : `put it into ${answers.credentialFile}`
  return new ToolError(
    'credential_not_ours',
    `what opens the store is a ${name} for ${where}, which is not made here`,
    `Whoever issues it has to make a new one: ${bring}, then revoke the old one.`,
    Exit.usage,
  )
}

function counted(secretIds: number): string {
  return `${secretIds} secret id${secretIds === 1 ? '' : 's'}`
}
