/** A 1Password made of a JSON file, and the two ways to reach it: in this process, and through the child program. */
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Item } from '@1password/sdk'
import { rolldown } from 'rolldown'
import { type ProcessRunner, processRunner, type RunOptions } from '../../src/docker/process.ts'
import { ToolError } from '../../src/errors.ts'
import { generateToken, Redactor, Secret } from '../../src/secret.ts'
import { OnePasswordDocuments, type OnePasswordOptions } from '../../src/stores/onepassword.ts'
import type { StoredValue } from '../../src/stores/store.ts'
import { scratch, some, thrown } from '../unit/support.ts'

const CORE = resolve(import.meta.dirname, '../fixtures/onepassword-core.cjs')
// It takes the place of the WASM core, so it has to be there before the SDK is loaded.
createRequire(import.meta.url)(CORE)
const { respond } = await import('../../src/stores/onepassword-items.ts')

export const VAULT = 'vaultidvaultidvaultidvault'

/** What a request meets instead of its answer, or after it. */
export interface Fault {
  /** A request of the core (`init`, `ItemsPut` …) or `*`. */
  on: string
  does: 'says' | 'hangs' | 'panics' | 'stops' | 'prints' | 'touches'
  text?: string
  name?: string
  times?: number
  after?: true
  fields?: Record<string, string>
  again?: unknown[]
}

export interface State {
  vaults: { id: string; title: string; vaultType: string; activeItemCount: number; description: string }[]
  items: { item: Item; state: 'active' | 'archived' }[]
  faults?: Fault[]
  calls?: string[]
  /** Takes any version, as a server would that has no locks. */
  careless?: boolean
}

export const vault = (id: string, title: string, vaultType: string, activeItemCount = 0) => ({
  ...{ id, title, vaultType, activeItemCount },
  ...{ description: '', contentVersion: 1, attributeVersion: 1 },
})

/** A server with one empty vault, and the token of a service account that may use it. */
export function onePasswordServer() {
  const path = join(scratch(), 'server.json')
  const state = (): State => JSON.parse(readFileSync(path, 'utf8'))
  const write = (next: State) => writeFileSync(path, JSON.stringify(next))
  write({ vaults: [vault(VAULT, 'Gateway', 'userCreated')], items: [] })
  const token = tokenOf({
    signInAddress: 'https://my.1password.com',
    email: 'gateway@1passwordserviceaccounts.com',
    secretKey: 'A3-NOBODY-SHALL-SEE-THIS-KEY',
    server: path,
  })
  return {
    token,
    state,
    change(edit: (state: State) => void) {
      const next = state()
      edit(next)
      write(next)
    },
  }
}
export type Server = ReturnType<typeof onePasswordServer>

/** A service account token as 1Password makes them, with this in it. */
export function tokenOf(content: unknown): Secret {
  return new Secret(`ops_${Buffer.from(JSON.stringify(content)).toString('base64url')}`)
}

/** A client of this server, as another process would be: it remembers no item ids. */
export function clientOf(
  server: Server,
  options: Partial<OnePasswordOptions> = {},
): { documents: OnePasswordDocuments; ids: () => Record<string, string>; redactor: Redactor } {
  let ids: Record<string, string> = {}
  const redactor = new Redactor()
  return {
    ids: () => ids,
    redactor,
    documents: new OnePasswordDocuments({
      ...{ vault: VAULT, deployment: 'my-gateway', version: '0.0.0', redactor },
      itemIds: {
        read: () => ids,
        write: next => {
          ids = next
        },
      },
      credential: () => server.token,
      run: inProcess,
      child: ['unused'],
      ...options,
    }),
  }
}

/** Answers as the child program would, without starting it: the same function, over the same pipes of text. */
export const inProcess: ProcessRunner = async (file, _, { input, deadline }) => {
  const given = new AbortController()
  const late = pause(deadline, undefined, { signal: given.signal }).then(() => {
    throw new ToolError('deadline', `${file} did not finish within ${deadline / 1000} s`, 'Wait.')
  })
  try {
    return { code: 0, stdout: await Promise.race([respond(textOf(input)), late]), stderr: '' }
  } finally {
    given.abort()
    await late.catch(() => {})
  }
}

function textOf(input: RunOptions['input']): string {
  return input instanceof Secret ? input.expose() : String(input)
}

/** The child program, bundled from its source as the build does it. `remove` when done. */
export async function bundledChild(): Promise<{
  /** Over the stand-in. */
  child: [string, ...string[]]
  /** Over the real core. */
  script: string
  remove(): void
}> {
  const folder = mkdtempSync(join(tmpdir(), 'ocs-onepassword-'))
  symlinkSync(resolve(import.meta.dirname, '../../node_modules'), join(folder, 'node_modules'))
  const bundle = await rolldown({
    input: resolve(import.meta.dirname, '../../src/stores/onepassword-child.ts'),
    platform: 'node',
    external: [/^node:/, '@1password/sdk'],
  })
  const script = join(folder, 'child.mjs')
  await bundle.write({ file: script, format: 'esm' })
  await bundle.close()
  return {
    child: ['--require', CORE, script],
    script,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

/** The runner the product uses: nothing redacted, and only what a child needs of the environment. */
export const realRunner = (env: NodeJS.ProcessEnv = process.env) => processRunner(new Redactor(), env)

export const NAME = 'gateway_token'

/** A value nobody else has: what leaks is found by looking for it. */
export const slot = (rotationId: string) => ({ rotationId, value: generateToken() })

/** A server with one secret in it: `one` current, at revision 1. */
export async function filledServer(one: StoredValue) {
  const server = onePasswordServer()
  const client = clientOf(server)
  await client.documents.write(NAME, { current: one }, 0)
  return { server, client, item: () => some(server.state().items[0]).item }
}

export const faulty = (server: Server, ...faults: Fault[]) =>
  server.change(state => {
    state.faults = faults
  })

/** What a call is refused with; a failed test when it goes through, or fails otherwise. */
export async function refused(call: Promise<unknown>): Promise<ToolError> {
  const error = await thrown(() => call)
  if (!(error instanceof ToolError)) throw error
  return error
}
