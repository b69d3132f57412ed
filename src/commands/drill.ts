import { randomBytes } from 'node:crypto'
import { readdirSync, rmSync } from 'node:fs'
import { resolve } from 'node:path'
import { Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Planted, plant } from '../../steps/incident/plant.ts'
import { actionsIn, isMet } from '../../steps/incident/report.ts'
import { unseenIn } from '../../steps/incident/run.ts'
import { soughtBy } from '../../steps/incident/sought.ts'
import { type Answers, keySecretOf } from '../deployment/answers.ts'
import { ensureDirectory, readIfPresent, temporaryFolder, writeAtomic } from '../deployment/files.ts'
import { type Layout, layoutOf } from '../deployment/layout.ts'
import { takeLock } from '../deployment/lock.ts'
import { addressesOf, freePort } from '../deployment/network.ts'
import { searchFolder } from '../deployment/search.ts'
import { Compose } from '../docker/compose.ts'
import { Exit, type ExitCode, ToolError, UsageError } from '../errors.ts'
import { type Case, listCases } from '../evidence/case.ts'
import { recordDrill } from '../evidence/drills.ts'
import { GATEWAY_TOKEN } from '../gateway/policy.ts'
import { AUTH_PATH, askFromHost } from '../gateway/probe.ts'
import { Journal } from '../procedure/journal.ts'
import { deedsOf, type Runbook, stepsCalling } from '../procedure/runbook.ts'
import { envelope } from '../report/json.ts'
import { Secret } from '../secret.ts'
import { DeliveredSecrets } from '../stores/delivered.ts'
import { writeAnswers } from '../wizard/answers-file.ts'
import { incident } from './incident.ts'
import { type IncidentOptions, runbookOf } from './incident-input.ts'
import { openSession, type Program, refuseInIncident, type Session } from './program.ts'
import { setup } from './setup.ts'
import { savedAnswers } from './verify.ts'

const COMMAND = 'incident --drill'

/** How long what was planted is left alone before the runbook begins: long enough to be noticed. Milliseconds. */
const INCUBATION = 4000

/** A step of the runbook as it went. */
interface Timed {
  id: string
  seconds: number
  target: number
  met: boolean
}

/**
 * Rehearses a runbook: sets up a disposable copy of the deployment with secrets of its own, plants a harmless compromise in it,
 * runs the whole runbook on it, and looks for what was planted in the evidence. Its copy is removed again; its report stays in
 * `cases/`. 0: it came to its end and the evidence has everything; 1: not everything; others as the runbook itself ended.
 */
export async function drill(
  program: Program,
  named: string | undefined,
  options: IncidentOptions,
): Promise<ExitCode> {
  const startedAt = program.now().toISOString()
  const session = await openSession(program, resolve(program.cwd, options.dir ?? '.'), options)
  const { layout } = session
  const answers = savedAnswers(session)
  const runbook = runbookOf(session, program, named)
  if (options.resume === true)
    throw new UsageError([
      { field: '--resume', given: 'with --drill', allowed: 'a drill begins anew', flag: '--drill' },
    ])
  const tell = (text: string) => (options.quiet === true ? undefined : program.stderr.write(text))
  if (options.dryRun === true) {
    tell(`A copy of ${answers.name} would be set up, run through ${runbook.id}, and removed.\n`)
    return Exit.done
  }
  refuseInIncident(layout, COMMAND)
  ensureDirectory(layout.own, 0o700)
  // One drill at a time. The deployment's own lock is left to whoever needs it: a drill must not keep anybody from an incident.
  const release = takeLock(resolve(layout.own, 'drill.lock'), COMMAND, program.now())
  const copy = await Rehearsal.make(session, program, answers)
  const began = performance.now()
  try {
    tell(`Setting up a copy with secrets of its own: ${copy.answers.name}\n`)
    await copy.setUp()
    ensureDirectory(copy.layout.runbooks, 0o755)
    writeAtomic(resolve(copy.layout.runbooks, `${runbook.id}.yaml`), runbook.text, 0o644)
    const planted = await plant(session.docker, copy.compose, { hasProxy: copy.answers.egress === 'closed' })
    tell(`Planted in it: ${planted.map(({ what }) => what).join('; ')}\n`)
    await sleep(INCUBATION)
    const old = await copy.token()
    let code: ExitCode
    try {
      code = await incident(copy.program, resolve(copy.layout.runbooks, `${runbook.id}.yaml`), {
        ...{ dir: copy.layout.root, yes: true, leaked: [GATEWAY_TOKEN], rehearsal: true },
        allow: runbook.steps.filter(({ effect }) => effect === 'destroys').map(({ id }) => id),
        ...(options.quiet === true ? { quiet: true } : {}),
      })
    } catch (error) {
      // The last success is not a success of this runbook on this machine any more.
      const why = error instanceof ToolError ? error.code : 'a defect'
      recordDrill(layout, runbook.id, {
        ...{ at: startedAt, deeds: deedsOf(runbook), ok: false, seconds: secondsSince(began) },
        missed: [`it did not come to its end: ${why}`],
      })
      throw error
    }
    const done = copy.case()
    const times = timesOf(done.journal, runbook)
    const { sought, unsought, missed: untried } = soughtBy(runbook, planted)
    const caught = await lookFor(sought, done.folder)
    const refused = old === undefined ? undefined : await askFromHost(copy.answers, AUTH_PATH, old)
    const missed = [
      ...caught.filter(({ where }) => where.length === 0).map(({ what }) => what),
      ...untried,
      ...blindIn(done, runbook).map(id => `what ${id} looks at: it could not look`),
      ...(refused === 401 ? [] : [`the leaked token is not refused (${refused ?? 'no answer'})`]),
    ]
    // A copy has no alerting and no backup of its own: what its checks say says nothing about the runbook.
    const through = code === Exit.done || code === Exit.failed || code === Exit.unknown
    const ok = through && missed.length === 0
    const seconds = secondsSince(began)
    ensureDirectory(layout.cases, 0o700)
    const report = resolve(layout.cases, `drill-${done.id}.md`)
    writeAtomic(report, readIfPresent(resolve(done.folder, 'report.md')) ?? '', 0o400)
    recordDrill(layout, runbook.id, {
      ...{ at: startedAt, deeds: deedsOf(runbook), ok, seconds, missed, unsought },
    })
    tell(inWords({ times, caught, missed, unsought, seconds, report, through }))
    if (options.json === true)
      program.stdout.write(
        envelope(
          { version: program.version, command: 'incident', deployment: layout.root, startedAt },
          { drill: runbook.id, ok, seconds, times, missed, unsought, caught, report },
        ),
      )
    return ok ? Exit.done : through ? Exit.failed : code
  } finally {
    await copy.destroy()
    release()
  }
}

/** The steps that could not look. The networks are recorded in no time at all: a machine that is busy misses that, as it is late. */
function blindIn(of: Pick<Case, 'journal'>, runbook: Runbook): string[] {
  const hurried = stepsCalling(runbook, 'networks.record')
  return unseenIn(of).filter(id => !hurried.some(step => step.id === id))
}

function secondsSince(began: number): number {
  return Math.round((performance.now() - began) / 1000)
}

/** The disposable copy: a deployment like any other, made by setup itself. */
class Rehearsal {
  readonly answers: Answers
  readonly layout: Layout
  readonly compose: Compose
  readonly program: Program
  readonly #session: Session
  readonly #place: string

  private constructor(session: Session, program: Program, answers: Answers, place: string) {
    this.answers = answers
    this.#session = session
    this.#place = place
    this.layout = layoutOf(resolve(place, 'copy'))
    this.compose = new Compose(session.docker, this.layout.root, answers.name)
    // What the copy says on stdout is nobody's answer.
    this.program = { ...fixed(program), stdout: new Writable({ write: (_, __, done) => done() }) }
  }

  static async make(session: Session, program: Program, own: Answers): Promise<Rehearsal> {
    const { layout } = session
    // Not a name that is swept away by whoever takes the deployment's lock: a drill that was killed is cleared up by the next.
    for (const left of readdirSync(layout.own).filter(one => /^drill-\w{6}$/.test(one)))
      rmSync(resolve(layout.own, left), { recursive: true, force: true })
    const name = `drill-${addressesOf(layout.root).bridge.slice(4)}`
    const answers: Answers = {
      ...own,
      name,
      port: await freePort(),
      // Its secrets end with it, and no store elsewhere hears of them.
      ...{ store: 'docker', seal: 'none', access: 'loopback', apparmor: false, firewall: false },
    }
    const copy = new Rehearsal(session, program, answers, temporaryFolder(resolve(layout.own, 'drill-')))
    // One that was killed may have left its containers.
    await copy.#clear()
    return copy
  }

  async setUp(): Promise<void> {
    const at = (name: string) => resolve(this.#place, name)
    const made = (name: string): string => {
      const value = this.#session.redactor.learn(new Secret(`drill-${randomBytes(24).toString('hex')}`))
      writeAtomic(at(name), value, 0o400)
      return `@${at(name)}`
    }
    writeAtomic(at('answers.yaml'), writeAnswers(this.answers), 0o600)
    const code = await setup(this.program, this.layout.root, {
      ...{ answers: at('answers.yaml'), yes: true, verify: false, quiet: true, given: {} },
      providerKey: this.answers.providers
        .filter(provider => keySecretOf(provider) !== '')
        .map(provider => `${provider.id}=${made(`key-${provider.id}`)}`),
      secretValue: this.answers.extraSecrets.map(name => `${name}=${made(`secret-${name}`)}`),
    })
    if (code !== Exit.done)
      throw new ToolError(
        'drill_setup',
        `the copy could not be set up (code ${code})`,
        'Run the drill again.',
      )
  }

  /** The token as it is delivered. */
  async token(): Promise<Secret | undefined> {
    const delivered = new DeliveredSecrets(this.layout.secrets, this.#session.redactor)
    return (await delivered.load(GATEWAY_TOKEN))?.current?.value
  }

  case(): { id: string; folder: string; journal: Journal } {
    const [found] = listCases(this.layout)
    if (found === undefined) throw new ToolError('drill_case', 'the drill has opened no case', '')
    const journal = new Journal(resolve(found.folder, 'custody.jsonl'), this.program.now)
    return { id: found.id, folder: found.folder, journal }
  }

  async destroy(): Promise<void> {
    await this.#clear()
    rmSync(this.#place, { recursive: true, force: true })
  }

  /** Its containers, networks and preserved images. */
  async #clear(): Promise<void> {
    const { docker } = this.#session
    const mine = `label=com.docker.compose.project=${this.answers.name}`
    const listed = async (args: readonly string[]) =>
      (await docker.call(args, { deadline: 30_000 })).stdout.split('\n').filter(line => line !== '')
    const containers = await listed(['ps', '--all', '--quiet', '--filter', mine])
    if (containers.length > 0)
      await docker.call(['rm', '--force', '--volumes', ...containers], { deadline: 60_000 })
    const networks = await listed(['network', 'ls', '--quiet', '--filter', mine])
    if (networks.length > 0) await docker.call(['network', 'rm', ...networks], { deadline: 60_000 })
    const images = await listed([
      'images',
      '--quiet',
      '--filter',
      `label=create-openclaw-secure.case-of=${this.answers.name}`,
    ])
    if (images.length > 0) await docker.call(['image', 'rm', '--force', ...images], { deadline: 60_000 })
  }
}

/** A program whose streams can be replaced: the entry file's are made when they are first named. */
function fixed(program: Program): Program {
  const { stdin, stdout, stderr, version, cwd, env, redactor, person, signal, abandon, now } = program
  return { stdin, stdout, stderr, version, cwd, env, redactor, person, signal, abandon, now }
}

/** How long each step took, from the chain of custody, beside its target. */
function timesOf(journal: Journal, runbook: Runbook): Timed[] {
  return actionsIn(journal.read(), runbook).flatMap(({ id, took, within }) => {
    const met = isMet(took, within)
    if (took === undefined || within === undefined || met === undefined) return []
    return [{ id, seconds: took / 1000, target: within / 1000, met }]
  })
}

/** In which pieces of evidence each planted thing is found, by its mark. */
async function lookFor(
  planted: readonly Planted[],
  folder: string,
): Promise<{ what: string; where: string[] }[]> {
  const evidence = resolve(folder, 'evidence')
  return Promise.all(
    planted.map(async ({ what, mark }) => ({
      what,
      where: (await searchFolder(evidence, [mark])).found,
    })),
  )
}

function inWords(drilled: {
  times: readonly Timed[]
  caught: readonly { what: string; where: readonly string[] }[]
  missed: readonly string[]
  unsought: readonly string[]
  seconds: number
  report: string
  through: boolean
}): string {
  const { times, caught, missed, unsought, seconds, report, through } = drilled
  const width = Math.max(...times.map(({ id }) => id.length), 4)
  return [
    '',
    `${'step'.padEnd(width)}  seconds  target`,
    ...times.map(
      ({ id, seconds: took, target, met }) =>
        `${id.padEnd(width)}  ${took.toFixed(1).padStart(7)}  ${String(target).padStart(6)}${met ? '' : '  LATE'}`,
    ),
    '',
    ...caught.map(({ what, where }) =>
      where.length === 0 ? `MISSED  ${what}` : `caught  ${what}: ${where.slice(0, 3).join(', ')}`,
    ),
    ...missed.filter(one => !caught.some(({ what }) => what === one)).map(one => `MISSED  ${one}`),
    ...unsought.map(one => `not looked for by this runbook: ${one}`),
    '',
    `${through && missed.length === 0 ? 'The drill succeeded' : 'The drill did not succeed'} (${seconds} s). Its report: ${report}`,
    '',
  ].join('\n')
}
