/**
 * What the suites of rotations that are cut short share: a deployment with a real gateway, the program ended or held at a
 * moment of one's choice, and what has to be true when all is over.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, relative, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { pointerOf } from '../../src/gateway/pointer.ts'
import { Journal } from '../../src/procedure/journal.ts'
import { unfinishedRotations } from '../../steps/rotate/context.ts'
import { type Bao, until } from './bao.ts'
import {
  authStatus,
  cli,
  freePort,
  freshFolder,
  quick,
  type Ran,
  type SignalAt,
  startCli,
} from './harness.ts'
import { status } from './traffic.ts'

const NAME = 'gateway_token'
/** 32 bytes, in hexadecimal digits. */
const TOKEN_LENGTH = 64

/** A deployment whose token is rotated. */
export interface Rotating {
  folder: string
  port: number
  /** The server that has the truth; without one it is in the Docker store. */
  bao: Bao | undefined
  env: NodeJS.ProcessEnv
  /** Every token that was ever seen on the disk or in the store, oldest first. */
  known: Set<string>
}

export interface StoredToken {
  id: string
  value: string
}

/** Sets a deployment up with a running gateway that takes its token. */
export async function deployed(
  label: string,
  more: { bao?: Bao; flags?: readonly string[]; env?: NodeJS.ProcessEnv; folder?: string } = {},
): Promise<Rotating> {
  const { bao, flags = [], env = process.env, folder = freshFolder(label) } = more
  const port = await freePort()
  const args = [...(await quick(folder, port)), '--quiet', ...flags]
  const made = await cli(args, { env, timeout: 600_000 })
  expect(made.code, made.stderr).not.toBe(2)
  const isStored = bao !== undefined || existsSync(resolve(folder, `.secure/store/${NAME}.json`))
  expect(isStored, made.stderr).toBe(true)
  const rotating: Rotating = { folder, port, bao, env, known: new Set() }
  const stored = await storedTokens(rotating)
  expect(stored.current, made.stderr).toBeDefined()
  expect(await authStatus(port, stored.current?.value).catch(() => 0), made.stderr).toBe(404)
  await learn(rotating)
  return rotating
}

/** Waits until the gateway serves. */
export async function untilServed({ port }: Pick<Rotating, 'port'>): Promise<void> {
  await until(async () => (await status(port, '/startupz')) === 200, 180_000)
}

/** `rotate`, to its end. */
export function rotate(at: Rotating, more: readonly string[] = [], env = at.env): Promise<Ran> {
  return cli(rotationArgs(at, more), { env, timeout: 300_000 })
}

export const resume = (at: Rotating, env = at.env) => rotate(at, ['--resume'], env)

/** What the store holds, by a way that is not the product's. */
export async function storedTokens(
  at: Pick<Rotating, 'folder' | 'bao'>,
): Promise<{ current?: StoredToken; pending?: StoredToken; previous?: StoredToken }> {
  return at.bao === undefined ? inFiles(at.folder) : inVault(at.bao, at.folder)
}

const SLOTS = ['current', 'pending', 'previous'] as const

function inFiles(folder: string): Record<string, StoredToken> {
  const document = JSON.parse(readFileSync(resolve(folder, `.secure/store/${NAME}.json`), 'utf8'))
  const found: Record<string, StoredToken> = {}
  for (const slot of SLOTS)
    if (document[slot] !== undefined) {
      const value = readFileSync(resolve(folder, `secrets/${NAME}.${document[slot]}`), 'utf8')
      found[slot] = { id: document[slot], value }
    }
  return found
}

async function inVault(bao: Bao, folder: string): Promise<Record<string, StoredToken>> {
  const { status, body } = await bao.ask('GET', `secret/data/openclaw/${basename(folder)}/${NAME}`)
  expect(status, 'OpenBao shows the document').toBe(200)
  const { data: document } = (body as { data: { data: Record<string, string> } }).data
  const found: Record<string, StoredToken> = {}
  for (const slot of SLOTS) {
    const [value, id] = [document[slot], document[`${slot}_id`]]
    if (value !== undefined && id !== undefined) found[slot] = { id, value }
  }
  return found
}

/** The delivered tokens, finished or not, by the name of their file. */
function delivered({ folder }: Pick<Rotating, 'folder'>): Record<string, string> {
  const secrets = resolve(folder, 'secrets')
  return Object.fromEntries(
    readdirSync(secrets).map(name => [name, readFileSync(resolve(secrets, name), 'utf8')]),
  )
}

/** Remembers each token that is anywhere now. */
export async function learn(at: Rotating): Promise<void> {
  const stored = Object.values(await storedTokens(at)).map(({ value }) => value)
  // What a killed writer has not finished is no token.
  for (const value of [...Object.values(delivered(at)), ...stored])
    if (value.length === TOKEN_LENGTH) at.known.add(value)
}

/**
 * What the gateway says to each. OpenClaw counts wrong tokens from outside: ten in a row within a minute, and nobody is served
 * for five; the right one sets that back. Longer than that it remembers that this address has guessed, and says 429 to what is
 * wrong.
 */
async function verdicts(at: Rotating, tokens: readonly string[]): Promise<string[]> {
  const seen: string[] = []
  for (const token of tokens) {
    const answer = await authStatus(at.port, token).catch(() => 0)
    seen.push(answer === 404 ? 'taken' : [401, 429].includes(answer) ? 'refused' : `HTTP ${answer}`)
  }
  return seen
}

/**
 * The gateway takes a token that is in the store: nobody is locked out. It may be going from one to the other at this very
 * moment, and so is asked again.
 */
export async function expectNobodyLockedOut(at: Rotating, note: string): Promise<string> {
  const seen: string[] = []
  for (let look = 0; look < 3; look += 1) {
    if (look > 0) await sleep(700)
    for (const [slot, { value }] of Object.entries(await storedTokens(at)).reverse()) {
      const answer = await authStatus(at.port, value).catch(() => 0)
      if (answer === 404) return slot
      seen.push(`${slot}: ${answer}`)
    }
  }
  throw new Error(`${note}: the gateway takes none of the stored tokens (${seen.join(', ')})`)
}

export const journalOf = ({ folder }: Pick<Rotating, 'folder'>) =>
  new Journal(resolve(folder, '.secure/journal.jsonl'), () => new Date())

/**
 * One token, in the store, on the disk and in the gateway, and nothing of a rotation is left. `all`: every token ever
 * known is tried, and not only the last three. Not `isBegun`: killed between its lock and its first line in the journal, a
 * run leaves that lock, which the next one takes over; there is nothing to go on with.
 */
export async function expectSettled(
  at: Rotating,
  note: string,
  { all = false, isBegun = true } = {},
): Promise<void> {
  const { folder } = at
  const stored = await storedTokens(at)
  expect(Object.keys(stored), `${note}: what the store holds`).toEqual(['current'])
  const { id, value } = stored.current ?? { id: '', value: '' }
  expect(delivered(at), `${note}: what the gateway can read`).toEqual({ [`${NAME}.${id}`]: value })
  const { mode, nlink, uid } = statSync(resolve(folder, `secrets/${NAME}.${id}`))
  expect([mode & 0o7777, nlink, uid], note).toEqual([0o400, 1, statSync(resolve(folder, 'secrets')).uid])
  const config = readFileSync(resolve(folder, 'config/openclaw.json'), 'utf8')
  expect(pointerOf(config, NAME), `${note}: what openclaw.json names`).toBe(`${NAME}.${id}`)
  const base = readFileSync(resolve(folder, '.secure/base/config/openclaw.json'), 'utf8')
  expect(config === base, `${note}: openclaw.json is what was rendered last`).toBe(true)
  if (at.bao !== undefined) {
    const { body } = await at.bao.ask('GET', `secret/metadata/openclaw/${basename(folder)}/${NAME}`)
    const { versions } = (body as { data: { versions: object } }).data
    expect(Object.keys(versions), `${note}: versions that OpenBao remembers`).toHaveLength(1)
  }

  const journal = journalOf(at)
  expect(journal.verifyChain(), note).toMatchObject({ intact: true })
  expect(unfinishedRotations(journal), `${note}: rotations that are half-way`).toEqual([])
  const text = readFileSync(journal.path, 'utf8')
  expect([...at.known].filter(token => text.includes(token)).length, `${note}: tokens in the journal`).toBe(0)
  expect(
    filesOf(folder).filter(name => (isBegun ? /ocs-tmp|\.ocs-|\/lock$/ : /secrets\/\./).test(name)),
    `${note}: what a killed run has left`,
  ).toEqual([])

  at.known.add(value)
  const others = [...at.known].filter(token => token !== value)
  for (const wrong of all ? inThrees(others) : [others.slice(-3)])
    expect(
      (await verdicts(at, [...wrong, value])).join(', '),
      `${note}: the old tokens, and the one in use`,
    ).toBe([...wrong.map(() => 'refused'), 'taken'].join(', '))
}

function inThrees(tokens: readonly string[]): string[][] {
  const groups: string[][] = []
  for (let from = 0; from < tokens.length; from += 3) groups.push(tokens.slice(from, from + 3))
  return groups
}

/** All files and folders of a deployment; `state/` is the gateway's. */
function filesOf(folder: string): string[] {
  const found: string[] = []
  const walk = (below: string) => {
    for (const entry of readdirSync(below, { withFileTypes: true })) {
      const path = resolve(below, entry.name)
      if (path === resolve(folder, 'state')) continue
      found.push(relative(folder, path))
      if (entry.isDirectory()) walk(path)
    }
  }
  walk(folder)
  return found
}

/** Whether a lock lies there, whoever has left it. */
export const hasLock = ({ folder }: Rotating) => existsSync(resolve(folder, '.secure/lock'))

export interface Running {
  /** Ends it as the kernel does. Returns whether it was running. */
  kill(): Promise<boolean>
  /** Stops it where it is, as a machine does that is suspended. Returns whether it was running. */
  hold(): boolean
  /** Waits until it stands still by itself. False: it ended. */
  stopped(): Promise<boolean>
  goOn(): void
  /** Which step the journal has it in, or after the last of them. */
  lastStep(): string
  /** Waits until it has a child whose command line has this text in it. False: it ended first. */
  untilChild(text: string): Promise<boolean>
  /** Its exit code, null when it was killed, and what it said. */
  ended: Promise<{ code: number | null; stdout: string; stderr: string; took: number }>
}

/** Starts the program on a deployment and leaves it running, until it is sent the signal. */
export function start(
  at: Pick<Rotating, 'folder' | 'env'>,
  args: readonly string[],
  { env = at.env, signal }: { env?: NodeJS.ProcessEnv; signal?: SignalAt } = {},
): Running {
  const path = resolve(at.folder, '.secure/journal.jsonl')
  const before = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  const began = performance.now()
  const child = startCli(args, env, signal)
  const said = { stdout: '', stderr: '' }
  let isOver = false
  for (const stream of ['stdout', 'stderr'] as const)
    child[stream].on('data', chunk => {
      said[stream] += String(chunk)
    })
  child.once('exit', () => {
    isOver = true
  })
  const ended = new Promise<Awaited<Running['ended']>>(done =>
    child.once('close', code => done({ code, ...said, took: Math.round(performance.now() - began) })),
  )
  /** Looks again after each `next`, until it is seen or the program has ended. */
  const look = async (isSeen: () => boolean, next: () => Promise<unknown>): Promise<boolean> => {
    while (!isSeen()) {
      if (isOver) return false
      await next()
    }
    return !isOver
  }
  return {
    ended,
    async kill() {
      const wasRunning = !isOver && child.kill('SIGKILL')
      return (await ended).code === null && wasRunning
    },
    hold() {
      child.kill('SIGSTOP')
      let state = stateOf(child.pid ?? 0)
      while (!'TZ'.includes(state)) state = stateOf(child.pid ?? 0)
      return state === 'T'
    },
    stopped: () =>
      look(
        () => stateOf(child.pid ?? 0) === 'T',
        () => sleep(2),
      ),
    goOn: () => void child.kill('SIGCONT'),
    lastStep() {
      const lines = readFileSync(path).subarray(before).toString('utf8')
      const step = /.*"event":"(step-begun|step-done)","step":"([\w.-]+)"/s.exec(lines)
      return step === null ? 'before any' : `${step[1] === 'step-done' ? 'after' : 'in'} ${step[2]}`
    },
    untilChild: text =>
      look(
        () => childrenOf(child.pid ?? 0).some(command => command.includes(text)),
        () => sleep(2),
      ),
  }
}

/** `rotate`, as a timer runs it. */
export const rotationArgs = ({ folder }: Pick<Rotating, 'folder'>, more: readonly string[] = []) => [
  ...['rotate', '--dir', folder, '--quiet', ...more],
]

/** `rotate`, left running. */
export const startRotation = (at: Rotating, more: readonly string[] = [], env = at.env) =>
  start(at, rotationArgs(at, more), { env })

export const begun = (step: string) => `"step-begun","step":"${step}"`
export const done = (step: string) => `"step-done","step":"${step}"`

/**
 * A run that stands still where it has come to that. A busy machine can let a run end before it is looked at: then another one
 * is begun.
 *
 * @throws Error with what it said when a run has failed before it came to that, and when five were missed.
 */
export async function heldWhen(
  begin: () => Running,
  hasCome: (running: Running) => Promise<boolean>,
): Promise<Running> {
  for (let missed = 0; missed < 5; missed += 1) {
    const running = begin()
    if ((await hasCome(running)) && running.hold()) return running
    const { code, stderr } = await running.ended
    if (code !== 0) throw new Error(`it ended with ${code} before it came to that: ${stderr}`)
  }
  throw new Error('five runs were over before it was seen that they had come to that')
}

/** A run that stands still as soon as its journal has a line with this text. It is a rotation, unless it is told otherwise. */
export async function heldAt(
  at: Pick<Rotating, 'folder' | 'env'>,
  text: string,
  args: readonly string[] = rotationArgs(at),
): Promise<Running> {
  const running = start(at, args, { signal: { signal: 'SIGSTOP', text } })
  if (await running.stopped()) return running
  const { code, stderr } = await running.ended
  throw new Error(`it ended with ${code} and its journal never had ${text}: ${stderr}`)
}

/** proc_pid_stat(5): the letter after the name. One that is gone is as good as Z, a zombie. */
function stateOf(pid: number): string {
  try {
    return /\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'))?.[1] ?? 'Z'
  } catch {
    return 'Z'
  }
}

/** The command lines of a process's children. */
function childrenOf(pid: number): string[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
    return children
      .split(' ')
      .filter(child => child !== '')
      .map(child => readFileSync(`/proc/${child}/cmdline`, 'utf8').replaceAll('\0', ' '))
  } catch {
    // One of them ended while we looked.
    return []
  }
}

/** A generator of numbers from 0 to 1 that a seed repeats (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
