/** Setup cut short: by Ctrl-C and by kill -9, at every step. Whatever happens, the same command finishes the work. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { Journal } from '../../src/procedure/journal.ts'
import { setupSteps } from '../../steps/setup/index.ts'
import {
  authStatus,
  cli,
  cliUntil,
  containerOf,
  freePort,
  freshFolder,
  isThorough,
  quick,
  remove,
  sh,
  startCli,
  tokenOf,
} from './harness.ts'
import { begun } from './rotations.ts'

/** Throw-away containers of the processes that were interrupted here; other suites have theirs at the same time. */
const started: (number | undefined)[] = []

async function throwaways(): Promise<string[]> {
  const label = 'create-openclaw-secure.throwaway'
  const format = `{{.Label "${label}"}}`
  const { stdout } = await sh('docker', ['ps', '--all', '--filter', `label=${label}`, '--format', format])
  return stdout.split('\n').filter(run => started.includes(Number.parseInt(run, 10)))
}

const made: string[] = []
afterEach(async () => {
  for (const folder of made.splice(0)) await remove(folder)
})

/** The steps that change something in an ordinary setup, as the procedure itself lists them. */
const NOT_HERE = [
  ...['image.obtain', 'border.obtain', 'sandbox.obtain', 'store.open', 'secrets.deliver', 'proxy.password'],
  ...['sandbox.keys', 'sandbox.forget', 'apparmor.load', 'seccomp.canary', 'approvals.shut'],
  ...['egress.note', 'egress.reload', 'egress.cut'],
]
/** What these write is whole or not before any gateway starts: resuming them need not start one. */
const FILES_ONLY = ['folder.create', 'evidence.key', 'secrets.store', 'files.write']
const WRITES = setupSteps
  .filter(step => step.effect !== 'reads' && !NOT_HERE.includes(step.id))
  .map(step => step.id)

function journalOf(folder: string) {
  const path = resolve(folder, '.secure/journal.jsonl')
  return existsSync(path) ? new Journal(path, () => new Date()).read() : []
}

/** Starts setup and sends it a signal as soon as the journal announces the step. */
async function interruptAt(args: readonly string[], step: string, signal: NodeJS.Signals, after = 0) {
  const ran = await cliUntil({ signal, text: begun(step), after }, args)
  started.push(ran.pid)
  return ran
}

async function expectWhole(
  folder: string,
  port: number | undefined,
  first: string | undefined,
): Promise<void> {
  const token = tokenOf(folder)
  if (first !== undefined) expect(token, 'the token stored first is the one that counts').toBe(first)
  if (port !== undefined) expect(await authStatus(port, token)).toBe(404)
  expect(new Journal(resolve(folder, '.secure/journal.jsonl'), () => new Date()).verifyChain()).toMatchObject(
    { intact: true },
  )
  expect(leftovers(folder)).toEqual([])
  expect(readdirSync(resolve(folder, 'secrets')).length, 'no second token').toBe(1)
}

/** Unfinished files, probes and throw-away containers that somebody forgot. */
function leftovers(folder: string): string[] {
  return readdirSync(folder, { recursive: true })
    .map(String)
    .filter(path => /\.ocs-tmp$|\.ocs-probe|check-|\.secure\/lock/.test(path) && !path.startsWith('state'))
}

function storedToken(folder: string): string | undefined {
  const document = resolve(folder, '.secure/store/gateway_token.json')
  if (!existsSync(document)) return undefined
  const { current, pending } = JSON.parse(readFileSync(document, 'utf8'))
  return readFileSync(resolve(folder, 'secrets', `gateway_token.${current ?? pending}`), 'utf8')
}

/** A gateway that has to start takes long: with everything else, one of them stands for the others. */
const KILLED = WRITES.filter(step => isThorough || step === 'secrets.store')
const STOPPED = WRITES.filter(
  step => isThorough || ['secrets.store', 'files.write', 'gateway.launch'].includes(step),
)
const ROUNDS = 12

describe('kill -9 while setup', () => {
  it.each(KILLED)(
    'is in %s: the same command goes on, and the token stored first is accepted',
    async step => {
      const folder = freshFolder(`kill-${step.replace('.', '-')}`)
      made.push(folder)
      const port = await freePort()
      const args = await quick(folder, port)
      const { code, stderr } = await interruptAt(args, step, 'SIGKILL')
      expect(code, `it was killed, it did not end by itself: ${stderr}`).toBeNull()
      const first = storedToken(folder)
      const launch = !FILES_ONLY.includes(step)
      const again = await cli(launch ? args : [...args, '--no-launch'])
      expect(again.code, again.stderr).toBe(0)
      expect(again.stderr).toContain('Going on with the setup begun at')
      await expectWhole(folder, launch ? port : undefined, first)
    },
  )

  it.runIf(isThorough)(
    `is anywhere, ${ROUNDS} times over in one deployment: nothing is lost and nothing is doubled`,
    async () => {
      const folder = freshFolder('kill-anywhere')
      made.push(folder)
      const port = await freePort()
      const args = await quick(folder, port)
      let first: string | undefined
      for (let round = 0; round < ROUNDS; round++) {
        const child = startCli(args)
        const ended = new Promise(done => child.once('close', done))
        // Spread over the two seconds or so before the gateway starts, where all files and secrets are made.
        await sleep(250 + ((round + 1) * 2400) / ROUNDS)
        child.kill('SIGKILL')
        await ended
        const now = storedToken(folder)
        if (first !== undefined) expect(now, `round ${round}`).toBe(first)
        first ??= now
      }
      expect(first, 'at least one round got as far as a token').toBeDefined()
      const again = await cli(args)
      expect(again.code, again.stderr).toBe(0)
      await expectWhole(folder, port, first)
    },
  )
})

describe('Ctrl-C while setup', () => {
  it.each(STOPPED)(
    'is in %s: it stops at a safe point, the code is 130, and the message says what exists',
    async step => {
      const folder = freshFolder(`stop-${step.replace('.', '-')}`)
      made.push(folder)
      const port = await freePort()
      const args = await quick(folder, port)
      const { code, stderr } = await interruptAt(args, step, 'SIGINT')
      expect(code, stderr).toBe(130)
      expect(stderr).toContain('Stopping as soon as this step is at a safe point')
      expect(stderr).toMatch(/cancelled: Cancelled\. Done so far: .*Run the same command again/)
      const events = journalOf(folder)
      expect(events.at(-1)?.event).toBe('cancelled')
      // Whatever writes runs to its end; only waiting for the gateway to come up is cut short, and it goes on starting.
      const of = (kind: string) => events.filter(event => event.event === kind).map(event => event.step)
      expect(of(step === 'gateway.launch' ? 'step-failed' : 'step-done')).toContain(step)
      expect(of('step-undone')).toEqual([])
      expect(leftovers(folder)).toEqual([])
      const first = storedToken(folder)
      // A gateway that is starting already is the one that is quickest there.
      const launch = step === 'gateway.launch'
      const again = await cli(launch ? args : [...args, '--no-launch'])
      expect(again.code, again.stderr).toBe(0)
      await expectWhole(folder, launch ? port : undefined, first)
    },
  )

  it('is downloading or building the image: the child ends, and nothing but the journal exists', async () => {
    const folder = freshFolder('stop-image')
    made.push(folder)
    // A build that takes long: a base that exists and a release that npm looks for until it gives up.
    const args = (await quick(folder)).concat('--openclaw-version', '2026.9.6-nobody-made-this')
    const { code, stderr } = await interruptAt(args, 'image.obtain', 'SIGINT', 500)
    expect(code, stderr).toBe(130)
    expect(readdirSync(folder)).toEqual(['.secure'])
  })

  it('leaves no throw-away container behind', async () => {
    expect(started.length).toBeGreaterThanOrEqual(STOPPED.length)
    expect(await throwaways()).toEqual([])
  })
})

describe('a killed throw-away container', () => {
  it.runIf(isThorough)('ends by itself, and nothing of it is left', async () => {
    const folder = freshFolder('kill-throwaway')
    made.push(folder)
    const args = await quick(folder)
    const child = startCli(args)
    started.push(child.pid)
    const ended = new Promise(done => child.once('close', done))
    let seen: string[] = []
    for (let look = 0; look < 300 && seen.length === 0; look++) {
      await sleep(10)
      seen = await throwaways()
    }
    expect(seen, 'there was one to be killed with').not.toEqual([])
    child.kill('SIGKILL')
    await ended
    await cli([...args, '--quiet'])
    expect(await throwaways()).toEqual([])
    expect(await containerOf(folder)).not.toBe('')
  })
})
