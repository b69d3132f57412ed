import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import * as z from 'zod'
import type { Answers } from '../deployment/answers.ts'
import { errorCode, type FileOwner, lookAt, readIfPresent, writeAtomic } from '../deployment/files.ts'
import type { Layout } from '../deployment/layout.ts'
import { packageFile } from '../deployment/package.ts'
import type { ProcessRunner } from '../docker/process.ts'
import { Exit, ToolError } from '../errors.ts'
import { PROXY_PASSWORD } from '../gateway/policy.ts'
import { SANDBOX_HOST_KEY } from '../gateway/sandbox.ts'
import { parseJson } from '../json.ts'
import type { Redactor, Secret } from '../secret.ts'
import { findCredential, keepCredential } from './credential.ts'
import { DockerSecretFiles } from './docker.ts'
import type { SecretStore } from './store.ts'
import type { VaultPlace } from './vault.ts'

/** What a store is opened with. */
export interface StoreSources {
  answers: Answers
  layout: Layout
  redactor: Redactor
  /** Redacts nothing: what the child prints is the secret. */
  run: ProcessRunner
  /** Who must own what the gateway reads; undefined: whoever runs this. */
  owner(): FileOwner | undefined
  /** What opens a remote store, when somebody gave it just now. */
  credential?(): Secret | undefined
  env: Readonly<Record<string, string | undefined>>
  version: string
}

/** Secrets that are not for the gateway do not lie in the folder that is mounted into it. */
export const isForGateway = (name: string) => ![PROXY_PASSWORD, SANDBOX_HOST_KEY].includes(name)

/**
 * The store that the answers name. Nothing is contacted before the first call, and the libraries of the other stores are
 * not loaded. Whoever opened it closes it. Errors: `store_ca`, for a CA file that cannot be read.
 */
export async function openStore(sources: StoreSources): Promise<SecretStore> {
  const { answers, layout, redactor, run, owner, env, version } = sources
  const credential = () => findCredential({ answers, layout, given: sources.credential?.(), env, redactor })
  switch (answers.store) {
    case 'docker':
      if (answers.seal === 'none') return secretFiles(layout, owner, redactor)
      // What is encrypted the gateway cannot read: it is handed a copy, as from a store that is elsewhere.
      return new DockerSecretFiles({
        documents: layout.sealed,
        valuesOf: () => layout.sealed,
        ownerOf: () => undefined,
        redactor,
        seal: (await import('./seal.ts')).hostSeal(run),
      })
    case 'vault': {
      const { DocumentStore } = await import('./document.ts')
      const { VaultDocuments } = await import('./vault.ts')
      const keep = (secretId: Secret) => {
        if (answers.credentialFile === '') keepCredential(layout, 'vault', secretId, sources.credential?.())
      }
      return new DocumentStore(new VaultDocuments({ place: vaultPlace(answers), credential, keep, redactor }))
    }
    case '1password': {
      const { DocumentStore } = await import('./document.ts')
      const { OnePasswordDocuments } = await import('./onepassword.ts')
      return new DocumentStore(
        new OnePasswordDocuments({
          vault: answers.onepasswordVault,
          deployment: answers.name,
          itemIds: itemIds(layout),
          credential,
          run,
          child: onePasswordChild(),
          redactor,
          version,
        }),
      )
    }
  }
}

/** Docker secret files, which are the store and what the gateway reads at once. */
export function secretFiles(
  layout: Pick<Layout, 'store' | 'secrets'>,
  owner: StoreSources['owner'],
  redactor: Redactor,
): DockerSecretFiles {
  return new DockerSecretFiles({
    documents: layout.store,
    valuesOf: name => (isForGateway(name) ? layout.secrets : layout.store),
    ownerOf: name => (isForGateway(name) ? owner() : undefined),
    redactor,
  })
}

/** The program in which 1Password's library runs. */
export function onePasswordChild(): readonly [string, ...string[]] {
  return [packageFile('dist/cli/onepassword-child.js')]
}

/** Where the answers say that Vault is. Errors: `store_ca`. */
export function vaultPlace(answers: Answers): VaultPlace {
  return {
    address: answers.vaultAddress,
    ca: answers.vaultCa === '' ? '' : readCa(answers.vaultCa),
    namespace: answers.vaultNamespace,
    mount: answers.vaultMount,
    path: answers.vaultPath,
    auth: answers.vaultAuth,
    authMount: answers.vaultAuthMount,
    role: answers.vaultRole,
  }
}

function readCa(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new ToolError(
      'store_ca',
      `the CA of Vault's certificate, ${path}, cannot be read (${errorCode(error) ?? 'unreadable'})`,
      'Correct --vault-ca, or leave it out when the certificate is signed by a CA this system trusts.',
      Exit.usage,
    )
  }
}

/** Which 1Password item holds which secret. Titles are not unique there; ids are. */
function itemIds({ own }: Pick<Layout, 'own'>) {
  const path = resolve(own, 'onepassword.json')
  const Ids = z.record(z.string(), z.string())
  return {
    read: () => Ids.safeParse(parseJson(readIfPresent(path) ?? '{}')).data ?? {},
    // Before there is a deployment nothing is written: what is found is found again.
    write: (ids: Record<string, string>) =>
      lookAt(own) === undefined ? undefined : writeAtomic(path, `${JSON.stringify(ids)}\n`, 0o600),
  }
}
