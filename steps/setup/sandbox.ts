import { readdirSync, rmSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import { hasSandbox } from '../../src/deployment/answers.ts'
import { type FileOwner, lookAt, readIfPresent, writeAtomic } from '../../src/deployment/files.ts'
import type { Layout } from '../../src/deployment/layout.ts'
import { openApprovals, shutApprovals } from '../../src/gateway/approvals.ts'
import {
  SANDBOX_CLIENT_KEY,
  SANDBOX_HOST_KEY,
  sandboxFiles,
  sandboxKnownHosts,
} from '../../src/gateway/sandbox.ts'
import { publicSshKey } from '../../src/gateway/ssh-key.ts'
import type { Step } from '../../src/procedure/step.ts'
import { isDelivered } from '../../src/stores/delivered.ts'
import type { SecretStore, StoredValue } from '../../src/stores/store.ts'
import { must, type SetupContext } from './context.ts'
import { gatewaysOwn } from './deliver.ts'

type Needs = Pick<SetupContext, 'answers' | 'layout' | 'store' | 'found'>

/** The keys by which the gateway and the sandbox know each other: each side is told the public half of the other's. */
export const writeSandboxKeys: Step<Needs> = {
  id: 'sandbox.keys',
  title: 'Make the gateway and its sandbox known to each other',
  effect: 'writes',
  async skip(ctx) {
    if (!hasSandbox(ctx.answers)) return 'no sandbox of its own'
    const { user } = must(ctx.found, 'ownership')
    const { client, shown } = await readSandboxKeys(ctx.store)
    const files = [...userFiles(user), admitting([client]), recognising([shown]), showing(shown)]
    return isHostKeyThere(ctx.layout, shown, gatewaysOwn(ctx)) &&
      files.every(file => isKeyFileThere(ctx.layout, file))
      ? 'they know each other'
      : undefined
  },
  async run({ layout, store, found }) {
    const { user } = must(found, 'ownership')
    const owner = gatewaysOwn({ found })
    const { client, shown } = await readSandboxKeys(store)
    const written = [
      ...writeHostKey(layout, shown, owner),
      ...writeKeyFiles(
        layout,
        [showing(shown), admitting([client]), ...userFiles(user), recognising([shown])],
        owner,
      ),
    ]
    return { saw: written.join(', ') }
  },
}

/** The key by which the gateway comes in, and the one that the sandbox shows: the current values of both. */
async function readSandboxKeys(
  store: Pick<SecretStore, 'load'>,
): Promise<{ client: StoredValue; shown: StoredValue }> {
  const [client, shown] = await Promise.all(
    [SANDBOX_CLIENT_KEY, SANDBOX_HOST_KEY].map(async name => (await store.load(name))?.current),
  )
  if (client === undefined || shown === undefined) throw new Error('the store lost a key of the sandbox')
  return { client, shown }
}

/** A file by which one side knows the other. Nothing in it is secret. */
export interface KeyFile {
  /** Relative to the deployment folder. */
  path: string
  content: string
}

/** By which keys the gateway may come in. sshd reads it at every login. */
export function admitting(keys: readonly StoredValue[]): KeyFile {
  const { authorized_keys: content } = sandboxFiles(NOBODY, '', publicOf(keys))
  return { path: 'sandbox/authorized_keys', content }
}

/** By which keys the sandbox is recognised. ssh reads it at every call. */
export function recognising(keys: readonly StoredValue[]): KeyFile {
  return { path: 'config/sandbox_known_hosts', content: sandboxKnownHosts(publicOf(keys)) }
}

/** Which key the sandbox shows. sshd reads it when it starts, and when it is told to. */
export function showing(key: StoredValue): KeyFile {
  const { sshd_config: content } = sandboxFiles(NOBODY, hostKeyFile(key), [])
  return { path: 'sandbox/sshd_config', content }
}

/** Whose numbers those are stands in files of its own, which no key changes. */
const NOBODY: FileOwner = { uid: 65534, gid: 65534 }

function userFiles(user: FileOwner): KeyFile[] {
  const { passwd, group } = sandboxFiles(user, '', [])
  return [
    { path: 'sandbox/passwd', content: passwd },
    { path: 'sandbox/group', content: group },
  ]
}

function publicOf(keys: readonly StoredValue[]): string[] {
  return keys.map(({ value }) => publicSshKey(value))
}

export function isKeyFileThere({ root }: Layout, { path, content }: KeyFile): boolean {
  return readIfPresent(resolve(root, path)) === content
}

/** Writes those that differ. Returns their paths. Errors: `disk_full`, `not_writable`. */
export function writeKeyFiles(
  layout: Layout,
  files: readonly KeyFile[],
  owner: FileOwner | undefined,
): string[] {
  const differing = files.filter(file => !isKeyFileThere(layout, file))
  for (const { path, content } of differing) writeAtomic(resolve(layout.root, path), content, 0o400, owner)
  return differing.map(({ path }) => path)
}

/**
 * Puts a private host key where sshd reads it, before anything names it. Returns its path, if it was not there.
 * Errors: `disk_full`, `not_writable`.
 */
export function writeHostKey(layout: Layout, key: StoredValue, owner: FileOwner | undefined): string[] {
  if (isHostKeyThere(layout, key, owner)) return []
  writeAtomic(resolve(layout.sandbox, hostKeyFile(key)), key.value, 0o400, owner)
  return [`sandbox/${hostKeyFile(key)}`]
}

function isHostKeyThere({ sandbox }: Layout, key: StoredValue, owner: FileOwner | undefined): boolean {
  return isDelivered(resolve(sandbox, hostKeyFile(key)), key.value, owner)
}

/** The names of all host keys that lie there, but for this one. */
export function otherHostKeys({ sandbox }: Layout, key: StoredValue): string[] {
  return readdirSync(sandbox).filter(name => name.startsWith('host_key.') && name !== hostKeyFile(key))
}

/** The name of a host key's file, in the sandbox's folder on either side. */
export function hostKeyFile({ rotationId }: StoredValue): string {
  return `host_key.${rotationId}`
}

/** Where an agent has no commands any more, nothing is left that opens a sandbox: behind the launch, when nobody reads it. */
export const forgetSandboxKeys: Step<Needs & Pick<SetupContext, 'launch'>> = {
  id: 'sandbox.forget',
  title: 'Forget the keys of a sandbox that is no more',
  effect: 'writes',
  skip({ answers, layout, launch }) {
    if (hasSandbox(answers)) return 'there is one'
    if (!launch) return 'nothing is launched'
    return leftFrom(layout).length === 0 ? 'none is left' : undefined
  },
  async run({ layout, store }) {
    for (const name of [SANDBOX_CLIENT_KEY, SANDBOX_HOST_KEY]) await store.destroy(name)
    const left = leftFrom(layout)
    for (const path of left) rmSync(path, { force: true })
    return { saw: left.map(path => relative(layout.root, path)).join(', ') || 'in the store' }
  },
}

/** Files of ours that only a sandbox needs. What its agents have made is not ours to remove. */
function leftFrom({ secrets, sandbox, config }: Layout): string[] {
  const named = (folder: string, prefix: string) =>
    lookAt(folder) === undefined
      ? []
      : readdirSync(folder)
          .filter(name => name.startsWith(prefix))
          .map(name => resolve(folder, name))
  return [
    ...named(secrets, `${SANDBOX_CLIENT_KEY}.`),
    ...named(sandbox, ''),
    ...named(config, 'sandbox_known_hosts'),
  ]
}

/** In the gateway itself nothing may be started: should its sandbox ever be switched off, this is what is left. */
export const refuseInGateway: Step<Pick<SetupContext, 'answers' | 'launch' | 'docker' | 'found'>> = {
  id: 'approvals.shut',
  title: 'Have OpenClaw refuse every command outside the sandbox',
  effect: 'writes',
  async skip({ answers, launch, docker, found }) {
    if (answers.posture !== 'coding') return 'the agent has no commands'
    if (!launch) return 'nothing is launched; the next run that launches does it'
    // Asking takes OpenClaw as long as setting: only where a container is known already.
    if (found.container === undefined) return undefined
    return (await openApprovals(docker, found.container)).length === 0 ? 'it does' : undefined
  },
  async run({ docker, found }) {
    await shutApprovals(docker, must(found, 'container'))
    return { saw: 'openclaw approvals get: deny, for every agent' }
  },
}
