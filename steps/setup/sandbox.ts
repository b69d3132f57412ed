import { readdirSync, rmSync } from 'node:fs'
import { resolve } from 'node:path'
import { type FileOwner, readIfPresent, writeAtomic } from '../../src/deployment/files.ts'
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

type Needs = Pick<SetupContext, 'answers' | 'layout' | 'store' | 'found'>

/** The keys by which the gateway and the sandbox know each other: each side is told the public half of the other's. */
export const writeSandboxKeys: Step<Needs> = {
  id: 'sandbox.keys',
  title: 'Make the gateway and its sandbox known to each other',
  effect: 'writes',
  async skip(ctx) {
    if (ctx.answers.posture !== 'coding') return 'no sandbox'
    const { user, host, by } = must(ctx.found, 'ownership')
    const acquaintance = await readAcquaintance(ctx.store)
    return isAcquainted(ctx.layout, acquaintance, user, by === 'chown' ? host : undefined)
      ? 'they know each other'
      : undefined
  },
  async run({ layout, store, found }) {
    const { user, host, by } = must(found, 'ownership')
    const acquaintance = await readAcquaintance(store)
    const written = acquaint(layout, acquaintance, user, by === 'chown' ? host : undefined)
    return { saw: written.join(', ') }
  },
}

/** Whom each side accepts: the values that count, and beside them those that are on their way in or out. */
export interface Acquaintance {
  /** The host key that the sandbox shows. */
  hostKey: StoredValue
  /** Keys by which the sandbox is recognised. */
  hostKeys: readonly StoredValue[]
  /** Keys by which the gateway may come in. */
  clientKeys: readonly StoredValue[]
}

/** The acquaintance of the current values alone. */
export async function readAcquaintance(store: Pick<SecretStore, 'load'>): Promise<Acquaintance> {
  const [client, host] = await Promise.all(
    [SANDBOX_CLIENT_KEY, SANDBOX_HOST_KEY].map(async name => (await store.load(name))?.current),
  )
  if (client === undefined || host === undefined) throw new Error('the store lost a key of the sandbox')
  return { hostKey: host, hostKeys: [host], clientKeys: [client] }
}

/** Writes what differs, the private key first: nothing ever names a file that is not there. Returns the paths. */
export function acquaint(
  layout: Layout,
  acquaintance: Acquaintance,
  user: FileOwner,
  owner: FileOwner | undefined,
): string[] {
  const key = resolve(layout.sandbox, hostKeyFile(acquaintance.hostKey))
  const written: string[] = []
  if (!isDelivered(key, acquaintance.hostKey.value, owner)) {
    writeAtomic(key, acquaintance.hostKey.value, 0o400, owner)
    written.push(`sandbox/${hostKeyFile(acquaintance.hostKey)}`)
  }
  for (const [path, content] of Object.entries(filesOf(acquaintance, user))) {
    if (readIfPresent(resolve(layout.root, path)) === content) continue
    writeAtomic(resolve(layout.root, path), content, 0o400, owner)
    written.push(path)
  }
  return written
}

/** Removes every host key but the one that the sandbox shows. */
export function forgetHostKeys(layout: Layout, { hostKey }: Pick<Acquaintance, 'hostKey'>): void {
  for (const name of readdirSync(layout.sandbox))
    if (name.startsWith('host_key.') && name !== hostKeyFile(hostKey))
      rmSync(resolve(layout.sandbox, name), { force: true })
}

function isAcquainted(
  layout: Layout,
  acquaintance: Acquaintance,
  user: FileOwner,
  owner: FileOwner | undefined,
): boolean {
  const key = resolve(layout.sandbox, hostKeyFile(acquaintance.hostKey))
  return (
    isDelivered(key, acquaintance.hostKey.value, owner) &&
    Object.entries(filesOf(acquaintance, user)).every(
      ([path, content]) => readIfPresent(resolve(layout.root, path)) === content,
    )
  )
}

function hostKeyFile({ rotationId }: StoredValue): string {
  return `host_key.${rotationId}`
}

/** Path to content. */
function filesOf({ hostKey, hostKeys, clientKeys }: Acquaintance, user: FileOwner): Record<string, string> {
  const publicOf = (values: readonly StoredValue[]) => values.map(({ value }) => publicSshKey(value))
  const files = sandboxFiles(user, hostKeyFile(hostKey), publicOf(clientKeys))
  return {
    ...Object.fromEntries(Object.entries(files).map(([name, content]) => [`sandbox/${name}`, content])),
    'config/sandbox_known_hosts': sandboxKnownHosts(publicOf(hostKeys)),
  }
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
