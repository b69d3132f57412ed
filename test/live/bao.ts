/** Real OpenBao servers for the live suites: one for a suite, of its own, gone at the end. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import * as http from 'node:http'
import * as https from 'node:https'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { onTestFinished } from 'vitest'
import { parseJson } from '../../src/json.ts'
import { Redactor, Secret } from '../../src/secret.ts'
import { DocumentStore } from '../../src/stores/document.ts'
import type { SecretStore } from '../../src/stores/store.ts'
import { VaultDocuments, type VaultOptions, type VaultPlace } from '../../src/stores/vault.ts'
import { bootstrap } from '../../src/stores/vault-bootstrap.ts'
import { authority, type Certificate, freePorts } from '../unit/vault-servers.ts'

const CACHE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'create-openclaw-secure')
/** Where `test/live/up` puts it; BAO_BIN names another. */
export const BAO = process.env.BAO_BIN ?? join(CACHE, 'bin/bao')

/** Whether there is a server to test against. `LIVE=required` makes its absence a failure. */
export function hasBao(): boolean {
  try {
    execFileSync(BAO, ['version'], { stdio: 'ignore', timeout: 20_000 })
    return true
  } catch (error) {
    if (process.env.LIVE === 'required') throw error
    return false
  }
}

/** What the server answers, whatever it is. */
export interface Answer {
  status: number
  body: unknown
}

/** A running server, and somebody with its root token who asks it by a way of his own: not through the product. */
export interface Bao {
  address: string
  port: number
  /** PEM of its CA; empty without TLS. */
  ca: string
  root: Secret
  /** Asks as root; with a token, as its owner (empty: as nobody). */
  ask(method: string, path: string, body?: object, token?: string, namespace?: string): Promise<Answer>
  stop(): Promise<void>
}

/** A server in memory, without TLS, with KV version 2 at secret/. */
export async function startDev(): Promise<Bao> {
  const port = await freePorts()
  const home = mkdtempSync(join(tmpdir(), 'ocs-bao-'))
  const root = `root-${port}-of-the-tests`
  const child = start(home, [
    ...['server', '-dev', '-dev-no-store-token', `-dev-root-token-id=${root}`],
    `-dev-listen-address=127.0.0.1:${port}`,
  ])
  const bao = running(port, '', root, async () => stopped(child, home))
  await until(async () => (await bao.ask('GET', 'secret/config')).status === 200)
  return bao
}

/** A server that can be sealed, stopped in its tracks, and joined by another node. */
export interface Sealable extends Bao {
  seal(): Promise<void>
  unseal(): Promise<void>
  /** It takes connections, as the kernel does for it, and does nothing. */
  freeze(): void
  thaw(): void
  /** Another node of the same cluster, which stands by. */
  join(): Promise<Bao>
}

/** A server with Raft storage and TLS by a CA of its own, initialized and unsealed. */
export async function startSealable(): Promise<Sealable> {
  const ca = authority()
  const certificate = ca.sign('bao')
  const one = await startNode('one', ca.ca.pem, certificate)
  const made = await one.as('').ask('POST', 'sys/init', { secret_shares: 1, secret_threshold: 1 })
  const { keys, root_token: root } = made.body as { keys: string[]; root_token: string }
  const bao = one.as(root)
  const key = { key: keys[0] }
  const unseal = async () => {
    await bao.ask('POST', 'sys/unseal', key)
    // Unsealed is not yet active: Raft elects first.
    await until(async () => (await bao.ask('GET', 'sys/health')).status === 200)
  }
  await unseal()
  return {
    ...bao,
    unseal,
    seal: async () => {
      await bao.ask('POST', 'sys/seal')
    },
    freeze: () => void one.child.kill('SIGSTOP'),
    thaw: () => void one.child.kill('SIGCONT'),
    join: async () => {
      const two = (await startNode('two', ca.ca.pem, certificate)).as(root)
      await two.ask('POST', 'sys/storage/raft/join', {
        leader_api_addr: bao.address,
        leader_ca_cert: ca.ca.pem,
      })
      await two.ask('POST', 'sys/unseal', key)
      await until(async () => (await two.ask('GET', 'sys/health')).status === 429)
      return two
    },
    stop: async () => {
      await bao.stop()
      ca.remove()
    },
  }
}

/** A node that answers, and is neither initialized nor unsealed. */
async function startNode(name: string, ca: string, { certificate, key }: Certificate) {
  const port = await freePorts()
  const home = mkdtempSync(join(tmpdir(), 'ocs-bao-'))
  mkdirSync(join(home, 'data'))
  writeFileSync(
    join(home, 'server.hcl'),
    `storage "raft" {
      path    = "${join(home, 'data')}"
      node_id = "${name}"
    }
    listener "tcp" {
      address         = "127.0.0.1:${port}"
      cluster_address = "127.0.0.1:${port + 1}"
      tls_cert_file   = "${certificate}"
      tls_key_file    = "${key}"
    }
    cluster_addr = "https://127.0.0.1:${port + 1}"
    api_addr     = "https://127.0.0.1:${port}"
    # Lets the suite look at what is really stored.
    raw_storage_endpoint = true
    `,
  )
  const child = start(home, ['server', `-config=${join(home, 'server.hcl')}`])
  const as = (root: string) => running(port, ca, root, () => stopped(child, home))
  await until(async () => (await as('').ask('GET', 'sys/seal-status')).status === 200)
  return { child, as }
}

/** A deployment's place in a server, with the AppRole that the product itself makes for it. */
export async function madePlace(bao: Bao, deployment: string, more: Partial<VaultPlace> = {}) {
  const place: VaultPlace = {
    ...{ address: bao.address, ca: bao.ca, namespace: '', mount: 'secret', path: `openclaw/${deployment}` },
    ...{ auth: 'approle', authMount: 'approle', role: `role-id-of-${deployment}`, ...more },
  }
  const secretId = await bootstrap(place, new Secret(bao.root.expose()), new Redactor())
  return { place, secretId, deployment }
}

/** A store at a place. `documents` is below it, `redactor` has learnt what came through. */
function storeAt(place: VaultPlace, secret: Secret, more: Partial<VaultOptions> = {}) {
  const redactor = new Redactor()
  const documents = new VaultDocuments({ place, credential: () => secret, redactor, ...more })
  const store: SecretStore = new DocumentStore(documents)
  return { store, documents, redactor }
}

let deployments = 0

/** A deployment of its own, with a store that is closed when the test ends. */
export async function opened(bao: Bao, more: Partial<VaultPlace> = {}, options: Partial<VaultOptions> = {}) {
  deployments += 1
  const made = await madePlace(bao, `own-${deployments}`, more)
  return { ...made, ...open(made.place, made.secretId, options) }
}

/** Another store at a place, closed when the test ends. */
export function open(place: VaultPlace, secret: Secret, options: Partial<VaultOptions> = {}) {
  const here = storeAt(place, secret, options)
  onTestFinished(() => here.store.close())
  return here
}

/** A value nobody else has. */
export const value = (rotationId: string) => ({
  rotationId,
  value: new Secret(`${rotationId}-${'x9Qz'.repeat(12)}`),
})

/** Waits for something to become true. */
export async function until(isTrue: () => Promise<boolean>, patience = 30_000): Promise<void> {
  const end = performance.now() + patience
  while (!(await isTrue().catch(() => false))) {
    if (performance.now() > end) throw new Error('it did not come true in time')
    await pause(50)
  }
}

function start(home: string, args: string[]): ChildProcess {
  const child = spawn(BAO, args, { env: { HOME: home, PATH: process.env.PATH }, cwd: home, stdio: 'ignore' })
  // A suite that is cut off leaves no server behind.
  process.once('exit', () => child.kill('SIGKILL'))
  return child
}

async function stopped(child: ChildProcess, home: string): Promise<void> {
  const gone = new Promise(resolve => child.once('exit', resolve))
  if (child.exitCode === null && child.kill('SIGKILL')) await gone
  rmSync(home, { recursive: true, force: true })
}

function running(port: number, ca: string, root: string, stop: () => Promise<void>): Bao {
  const secure = ca !== ''
  const ask = (method: string, path: string, body?: object, token = root, namespace = '') =>
    new Promise<Answer>((resolve, reject) => {
      const request = (secure ? https.request : http.request)(
        `${secure ? 'https' : 'http'}://127.0.0.1:${port}/v1/${path}`,
        {
          method,
          agent: false,
          timeout: 20_000,
          ...(secure ? { ca } : {}),
          headers: {
            ...(token === '' ? {} : { 'X-Vault-Token': token }),
            ...(namespace === '' ? {} : { 'X-Vault-Namespace': namespace }),
            ...(method === 'PATCH' ? { 'Content-Type': 'application/merge-patch+json' } : {}),
          },
        },
        response => {
          let text = ''
          response.setEncoding('utf8')
          response.on('data', (chunk: string) => {
            text += chunk
          })
          response.on('error', reject)
          response.on('end', () => resolve({ status: response.statusCode ?? 0, body: parseJson(text) }))
        },
      )
      request.on('timeout', () => request.destroy(new Error('the server does not answer')))
      request.on('error', reject)
      request.end(body === undefined ? undefined : JSON.stringify(body))
    })
  return {
    address: `${secure ? 'https' : 'http'}://127.0.0.1:${port}`,
    port,
    ca,
    root: new Secret(root),
    ask,
    stop,
  }
}
