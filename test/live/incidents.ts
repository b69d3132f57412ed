/** What the suites about incidents share: a compromise that is planted, and what becomes of it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { basename, dirname, relative, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Decrypter } from 'age-encryption'
import { statOf } from '../../src/deployment/alive.ts'
import { INSIDE, layoutOf } from '../../src/deployment/layout.ts'
import { searchFolder } from '../../src/deployment/search.ts'
import { Compose } from '../../src/docker/compose.ts'
import { Docker } from '../../src/docker/engine.ts'
import { processRunner } from '../../src/docker/process.ts'
import { listCases } from '../../src/evidence/case.ts'
import { Journal, type JournalEvent } from '../../src/procedure/journal.ts'
import { Redactor, Secret } from '../../src/secret.ts'
import { type Planted, plant } from '../../steps/incident/plant.ts'
import { containerOf, sh, startCli } from './harness.ts'

/** Everything that the issue wants to be found again, planted in a running deployment. */
export async function compromise(folder: string): Promise<Planted[]> {
  const docker = new Docker(processRunner(new Redactor(), process.env))
  const planted = await plant(docker, new Compose(docker, folder, basename(folder)), { hasProxy: true })
  return [...planted, await plantInLayer(folder)]
}

/** The root is read-only for whoever is inside; whoever got out of it can write to its layer all the same. */
async function plantInLayer(folder: string): Promise<Planted> {
  const mark = `layer-${Math.random().toString(16).slice(2, 14)}`
  const id = await containerOf(folder)
  const { stdout } = await sh('docker', ['inspect', '--format', '{{.GraphDriver.Data.MergedDir}}', id])
  const place = resolve(stdout.trim(), 'usr/local/bin')
  mkdirSync(place, { recursive: true })
  writeFileSync(resolve(place, mark), `#!/bin/sh\n# ${mark}\n`, { mode: 0o755 })
  return { what: 'a program in the container’s own layer', mark: new Secret(mark), by: ['evidence.changes'] }
}

/** Leaves a line in the gateway's audit ledger, as whoever is inside can: for a turn of an agent it needs no model. Returns its mark. */
export async function noteInLedger(folder: string): Promise<string> {
  const mark = `tool-${Math.random().toString(16).slice(2, 14)}`
  const columns =
    'event_id, source_id, source_sequence, occurred_at, kind, action, status, actor_type, actor_id, tool_name'
  const values = `'${mark}', '${mark}', 1, ${Date.now()}, 'tool_action', 'tool.action.finished', 'failed', 'agent', 'main', '${mark}'`
  const note = `
    const { DatabaseSync } = require('node:sqlite')
    const ledger = new DatabaseSync('${INSIDE.state}/state/openclaw.sqlite', { timeout: 10000 })
    ledger.exec("INSERT INTO audit_events (${columns}) VALUES (${values})")`
  const { code, stderr } = await sh('docker', ['exec', await containerOf(folder), 'node', '-e', note])
  if (code !== 0) throw new Error(`nothing was written into the ledger: ${stderr}`)
  return mark
}

/** The newest case of a deployment. */
export function newestCase(folder: string): { id: string; folder: string; events: JournalEvent[] } {
  const [found] = listCases(layoutOf(folder)).sort((a, b) => b.id.localeCompare(a.id))
  if (found === undefined) throw new Error('there is no case')
  const events = new Journal(resolve(found.folder, 'custody.jsonl'), () => new Date()).read()
  return { id: found.id, folder: found.folder, events }
}

/** When a step of the runbook was done, milliseconds since 1970. */
export function doneAt(events: readonly JournalEvent[], step: string): number {
  const found = events.find(one => one.step === step && one.event === 'step-done')
  if (found === undefined) throw new Error(`${step} was not done`)
  return Date.parse(found.at)
}

/**
 * What a runbook ends with where a check fails and everything was seen. On a busy machine the networks are cut before they could be
 * recorded, which is unseen.
 */
export function endsWith(events: readonly JournalEvent[]): number {
  return events.some(({ step, facts }) => step === 'networks.record' && facts?.unseen !== undefined) ? 3 : 1
}

/** Takes the building of the image out of the runbook, as a person may: it takes minutes, and is tested by itself. */
export function withoutRebuild(folder: string): void {
  const path = resolve(folder, 'runbooks/container-compromised.yaml')
  const text = readFileSync(path, 'utf8')
  const without = text.replace(/ {2}- id: image\.rebuild\n(?: {4}.*\n| *\n)+?(?= {2}[-#])/, '')
  if (without === text) throw new Error('the runbook has no step that builds the image')
  writeFileSync(path, without)
}

/** A copy of encrypted evidence that can be read, beside the deployment's folder. Returns its folder. */
export async function opened(evidence: string, into: string, identity: string): Promise<string> {
  const opener = new Decrypter()
  opener.addIdentity(identity)
  const files = readdirSync(evidence, { recursive: true, withFileTypes: true }).filter(one => one.isFile())
  for (const { parentPath, name } of files) {
    const path = resolve(parentPath, name)
    const place = resolve(into, relative(evidence, path).replace(/\.age$/, ''))
    mkdirSync(dirname(place), { recursive: true })
    writeFileSync(place, await opener.decrypt(readFileSync(path)))
  }
  return into
}

/** In which files of the evidence each planted thing is. */
export function whereFound(planted: readonly Planted[], evidence: string): Promise<string[][]> {
  return Promise.all(planted.map(async ({ mark }) => (await searchFolder(evidence, [mark])).found.sort()))
}

/** What of a planted compromise is in no file of the evidence. */
export async function lost(planted: readonly Planted[], evidence: string): Promise<string[]> {
  const found = await whereFound(planted, evidence)
  return planted.filter((_, index) => found[index]?.length === 0).map(({ what }) => what)
}

/** What is left of each planted thing, by what was done. */
export interface Survival {
  what: string
  /** In what the seed's four commands leave. */
  seed: string[]
  /** In what they leave when the commit comes first. */
  commit: string[]
  /** In the evidence of each runbook. */
  ours: string[][]
}

/**
 * Looks for marks after the seed's commands: in its deployment's folder, and in the image of a commit that came before them;
 * and for those of each runbook in its evidence.
 */
export async function survivors(
  theirs: readonly Planted[],
  seedFolder: string,
  commit: string,
  runbooks: readonly { planted: readonly Planted[]; evidence: string }[],
): Promise<Survival[]> {
  const { stdout: names } = await sh('docker', [
    ...['run', '--rm', '--pull', 'never', '--network', 'none', '--no-healthcheck', '--user', '0'],
    ...['--entrypoint', 'find', commit, '/', '-xdev', '-newermt', '-1 hour', '-type', 'f'],
  ])
  const left = await whereFound(theirs, seedFolder)
  const kept = await Promise.all(runbooks.map(({ planted, evidence }) => whereFound(planted, evidence)))
  return theirs.map(({ what, mark }, index) => {
    const seed = [...new Set(left[index]?.map(placeOf))]
    const image = mark.isIn(names) ? ['the image'] : []
    return { what, seed, commit: [...image, ...seed], ours: kept.map(found => found[index] ?? []) }
  })
}

/** "state/workspace/drill-0123" without what is another one each time. */
function placeOf(path: string): string {
  return path.split('/').slice(0, 2).join('/')
}

/** The table as docs/incident.md has it. */
export function survivalTable(rows: readonly Survival[]): string {
  const cell = (places: readonly string[]) =>
    places.length === 0 ? 'lost' : places.map(place => `\`${place}\``).join(', ')
  return [
    '| planted | the seed’s four commands | the same, with the commit first | `incident container-compromised` | `incident credential-exposed` |',
    '|---|---|---|---|---|',
    ...rows.map(
      ({ what, seed, commit, ours }) =>
        `| ${what} | ${[seed, commit, ...ours.map(found => found.slice(0, 3))].map(cell).join(' | ')} |`,
    ),
  ].join('\n')
}

/** Removes what the cases of a deployment have preserved in the engine. */
export async function removeEvidenceImages(folder: string): Promise<void> {
  const { stdout } = await sh('docker', ['images', '--format', '{{.Tag}}', EVIDENCE])
  const ids = listCases(layoutOf(folder)).map(({ id }) => id)
  const own = stdout.split('\n').filter(tag => ids.some(id => tag.startsWith(id)))
  if (own.length > 0) await sh('docker', ['image', 'rm', '--force', ...own.map(tag => `${EVIDENCE}:${tag}`)])
}

/** Where preserved images are named. */
export const EVIDENCE = 'create-openclaw-secure/evidence'

/** Starts a run and kills it some time, at most `stretch` milliseconds, after a step of its runbook is done, or has begun. */
export async function killedAfter(
  args: readonly string[],
  folder: string,
  step: string,
  event: 'step-done' | 'step-begun' = 'step-done',
  stretch = 2500,
): Promise<boolean> {
  const child = startCli(args)
  const ended = new Promise<boolean>(done => child.once('exit', (_, signal) => done(signal === 'SIGKILL')))
  const isThere = () => {
    const path = resolve(folder, '.secure/case.json')
    return existsSync(path) && newestCase(folder).events.some(one => one.step === step && one.event === event)
  }
  while (child.exitCode === null && !isThere()) await sleep(20)
  await Promise.race([ended, sleep(Math.random() * stretch)])
  child.kill('SIGKILL')
  return ended
}

/** Another command has the deployment's lock, and lives: until it is told to end. */
export async function holdLock(folder: string, command: string): Promise<{ pid: number; end(): void }> {
  const child = spawn('sleep', ['600'], { stdio: 'ignore' })
  await once(child, 'spawn')
  const pid = child.pid ?? 0
  const since = new Date().toISOString()
  const holder = { pid, started: statOf(pid).started, host: hostname(), command, since, nonce: 'theirs' }
  writeFileSync(layoutOf(folder).lock, `${JSON.stringify(holder)}\n`, { mode: 0o600 })
  return { pid, end: () => void child.kill('SIGKILL') }
}

/** Starts a run and kills it somewhere, unless it is through before. */
export async function killed(args: readonly string[], after: number): Promise<boolean> {
  const child = startCli(args)
  const ended = new Promise<boolean>(done => child.once('exit', (_, signal) => done(signal === 'SIGKILL')))
  await Promise.race([ended, sleep(after)])
  child.kill('SIGKILL')
  return ended
}
