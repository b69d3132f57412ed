/**
 * What the live suites share: the built program as a person runs it, deployments with names and ports of their own,
 * and clean-up that leaves nothing behind.
 */
import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { basename, resolve } from 'node:path'
import { promisify } from 'node:util'
import { addressesOf, freePort } from '../../src/deployment/network.ts'
import { imageLabel } from '../../src/gateway/image.ts'
import { OPENCLAW_VERSION } from '../../src/wizard/questions.ts'

export { freePort }

const execute = promisify(execFile)

export const BIN = resolve(packageRoot(), 'bin/create-openclaw-secure.js')
const SIGNAL_AT = resolve(packageRoot(), 'test/fixtures/signal-at.mjs')
export const BASE_IMAGE = 'openclaw-live/base:bookworm-node24'
/** The package, from the sources and from `dist` alike. */
function packageRoot(): string {
  let folder = import.meta.dirname
  while (!existsSync(resolve(folder, 'biome.json'))) folder = resolve(folder, '..')
  return folder
}
/** The gateway image that `test/live/up` has built with the product's own Dockerfile. */
export const IMAGE = imageLabel({
  image: 'build',
  version: OPENCLAW_VERSION,
  imageReference: '',
  baseImage: BASE_IMAGE,
})

/** Set by `npm run crash`: what takes too long to be run with everything else is run as well. */
export const isThorough = process.env.THOROUGH !== undefined

/** A bound as it is promised for a machine that does nothing else; with other suites beside, three times that. */
export function patience(milliseconds: number): number {
  return Number(loadavg()[0]) < 2 ? milliseconds : milliseconds * 3
}

export interface Ran {
  code: number
  stdout: string
  stderr: string
}

/** Runs any program to its end; a non-zero code is an answer. */
export async function sh(
  file: string,
  args: readonly string[],
  options: { input?: string; env?: NodeJS.ProcessEnv; cwd?: string; timeout?: number } = {},
): Promise<Ran> {
  const { input, ...rest } = options
  const child = execute(file, [...args], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    timeout: 180_000,
    ...rest,
  })
  // A program that ends without reading its input is no error of the test.
  child.child.stdin?.on('error', () => {})
  child.child.stdin?.end(input ?? '')
  try {
    const { stdout, stderr } = await child
    return { code: 0, stdout, stderr }
  } catch (error) {
    const failed = error as { code?: number | string; stdout?: string; stderr?: string }
    return {
      code: typeof failed.code === 'number' ? failed.code : -1,
      stdout: failed.stdout ?? '',
      stderr: failed.stderr ?? '',
    }
  }
}

/** `create-openclaw-secure ARGS`, as the person would run it, without a terminal. */
export function cli(args: readonly string[], options: Parameters<typeof sh>[2] = {}): Promise<Ran> {
  return sh(process.execPath, [BIN, ...args], options)
}

/** What the program is sent as soon as this text is on its disk: a line of its journal, say. */
export interface SignalAt {
  signal: NodeJS.Signals
  text: string
  /** Milliseconds that it goes on meanwhile. */
  after?: number
}

/** Starts the program and leaves it running, for signals. */
export function startCli(args: readonly string[], env: NodeJS.ProcessEnv = process.env, at?: SignalAt) {
  const preload = at === undefined ? [] : ['--import', SIGNAL_AT]
  return spawn(process.execPath, [...preload, BIN, ...args], {
    env: at === undefined ? env : { ...env, SIGNAL_AT: JSON.stringify(at) },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

/** Runs the program and sends it a signal. Its exit code is null when that has ended it. */
export async function cliUntil(
  at: SignalAt,
  args: readonly string[],
  env = process.env,
): Promise<{ pid: number | undefined; code: number | null; stderr: string }> {
  const child = startCli(args, env, at)
  let stderr = ''
  child.stderr.on('data', chunk => {
    stderr += String(chunk)
  })
  child.stdout.resume()
  const [code] = await once(child, 'close')
  return { pid: child.pid, code, stderr }
}

/** A folder for one deployment, not made yet, in a private temporary folder. Its name is the project's name. */
export function freshFolder(label: string): string {
  return resolve(mkdtempSync(resolve(tmpdir(), 'ocs-live-')), `t-${label}-${process.pid}`.slice(0, 39))
}

/** The arguments of an ordinary hardened deployment on the live environment. */
export async function usual(folder: string, port?: number): Promise<string[]> {
  return [
    folder,
    '--yes',
    '--build',
    '--base-image',
    BASE_IMAGE,
    '--port',
    String(port ?? (await freePort())),
    '--firewall',
    '--contact',
    'Test, +1 555 0100',
  ]
}

/** The same without the checks at its end, for suites that are about something else: those take as long as the start. */
export async function quick(folder: string, port?: number): Promise<string[]> {
  return [...(await usual(folder, port)), '--no-verify']
}

/** The value of the delivered gateway token. Tests know it, and search for it. */
export function tokenOf(folder: string): string {
  const name = readdirSync(resolve(folder, 'secrets')).find(file => file.startsWith('gateway_token.'))
  if (name === undefined) throw new Error(`no token in ${folder}`)
  return readFileSync(resolve(folder, 'secrets', name), 'utf8')
}

/** The container id of a deployment's service, the gateway's unless another is named. */
export async function containerOf(folder: string, service = 'openclaw-gateway'): Promise<string> {
  const { stdout } = await sh('docker', [
    'ps',
    '--all',
    '--quiet',
    '--no-trunc',
    '--filter',
    `label=com.docker.compose.project=${basename(folder)}`,
    '--filter',
    `label=com.docker.compose.service=${service}`,
  ])
  return stdout.trim()
}

/** HTTP status of the auth path: 401 or 404. */
export async function authStatus(port: number, token?: string): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${port}/api/channels/x`, {
    ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }),
    // The port takes connections before the gateway behind it answers.
    signal: AbortSignal.timeout(10_000),
  })
  return response.status
}

/** Everything in a folder, path to "mtime size hash": two equal maps mean nothing was touched. `state/` is the gateway's. */
export function fingerprints(folder: string, below = ''): Record<string, string> {
  const found: Record<string, string> = {}
  for (const entry of readdirSync(resolve(folder, below), { withFileTypes: true, recursive: false })) {
    const path = below === '' ? entry.name : `${below}/${entry.name}`
    if (path === 'state') continue
    if (entry.isDirectory()) Object.assign(found, fingerprints(folder, path))
    else
      found[path] = createHash('sha256')
        .update(readFileSync(resolve(folder, path)))
        .digest('hex')
  }
  return found
}

/** Removes containers, networks, firewall rule and folder of a deployment. */
export async function remove(folder: string): Promise<void> {
  const name = basename(folder)
  const { stdout } = await sh('docker', [
    'ps',
    '--all',
    '--quiet',
    '--filter',
    `label=com.docker.compose.project=${name}`,
  ])
  for (const id of stdout.split('\n').filter(line => line !== ''))
    await sh('docker', ['rm', '--force', '--volumes', id])
  await sh('docker', ['network', 'rm', ...networksOf(name)])
  await openToNeighbours(name)
  rmSync(resolve(folder, '..'), { recursive: true, force: true })
}

/** The names of a deployment's networks. */
export function networksOf(name: string): string[] {
  return ['inside', 'front', 'outside', 'sandbox'].map(network => `${name}_${network}`)
}

/** Takes the neighbours' rule of a deployment away, as somebody who flushes the firewall would. */
export async function openToNeighbours(name: string): Promise<void> {
  const { bridge } = addressesOf(name)
  const match = ['-o', bridge, '!', '-i', bridge, '-m', 'conntrack', '--ctstate', 'NEW', '-j', 'DROP']
  await sh('iptables', ['--wait', '5', '-t', 'mangle', '-D', 'FORWARD', ...match])
}
