import { resolve } from 'node:path'
import { askTheProxy } from '../../steps/egress/ask.ts'
import {
  changedHosts,
  type EgressContext,
  type Expectation,
  filesToWrite,
  type HostChange,
  NOT_PUBLIC,
  openingOf,
  rulesOf,
} from '../../steps/egress/context.ts'
import { changeSteps, closeSteps, openSteps } from '../../steps/egress/index.ts'
import { answersInForce } from '../../steps/move/context.ts'
import type { Answers } from '../deployment/answers.ts'
import {
  allowedHosts,
  allowProblems,
  closesAt,
  denyProblems,
  exampleOf,
  hostsOf,
  LONGEST_OPENING,
  localProviders,
} from '../deployment/egress.ts'
import { readIfPresent } from '../deployment/files.ts'
import { ownerOfSecrets } from '../deployment/owner.ts'
import { Cancelled, Exit, type ExitCode, ToolError, UsageError } from '../errors.ts'
import { runProcedure } from '../procedure/run.ts'
import type { Step } from '../procedure/step.ts'
import { envelope } from '../report/json.ts'
import { decisionInWords, listInWords } from './egress-words.ts'
import {
  composeOf,
  type GlobalOptions,
  openSession,
  type Program,
  runtimeOf,
  type Session,
} from './program.ts'
import { savedDeployment } from './verify.ts'

/** A name that nobody can have (RFC 6761): allowed only when everything is. */
const NOBODY = 'nobody-named-this.invalid:443'

/** What the six commands take. */
export interface EgressOptions extends GlobalOptions {
  /** `open`: "30m". */
  for?: string
}

/**
 * `egress WORD HOST...`. 0: done, and proven by what the running proxy answers; `test`: it would let that through. 1: `test`:
 * it would not. 3: the proxy could not be told, or not be asked.
 */
export async function egress(
  program: Program,
  word: string,
  hosts: readonly string[],
  options: EgressOptions,
): Promise<ExitCode> {
  const names = hosts.map(host => host.toLowerCase())
  switch (word) {
    case 'allow':
      return changeList(program, { allow: names, deny: [] }, options)
    case 'deny':
      return changeList(program, { allow: [], deny: names }, options)
    case 'test':
      return testTarget(program, hosts, options)
    case 'open':
      return openUp(program, options)
    case 'close':
      return closeDown(program, options)
    default:
      return showList(program, options)
  }
}

/** Reads files alone. */
async function showList(program: Program, options: EgressOptions): Promise<ExitCode> {
  const work = await begin(program, options, 'list')
  const { session, answers, until } = work
  const wanted = savedDeployment(session).answers
  const edited =
    wanted.egress !== answers.egress || JSON.stringify(reach(wanted)) !== JSON.stringify(reach(answers))
  const body = { ...reach(answers), openUntil: until?.toISOString() ?? null, edited }
  print(work, body, listInWords(answers, until, program.now(), edited))
  return Exit.done
}

async function changeList(program: Program, change: HostChange, options: EgressOptions): Promise<ExitCode> {
  const work = await begin(program, options, change.deny.length > 0 ? 'deny' : 'allow')
  const { session, answers, until } = work
  const problems = [...allowProblems(change.allow), ...denyProblems(answers, change.deny)]
  if (savedDeployment(session).answers.egress === 'open')
    problems.push(noProxy('deployment.yaml asks for that'))
  if (problems.length > 0) throw new UsageError(problems)

  const expected = [
    ...expectations(change.allow, ['listed', NOT_PUBLIC]),
    ...expectations(change.deny, ['not-on-the-list', ...(until === undefined ? [] : [OPENED, NOT_PUBLIC])]),
  ]
  const context = contextOf(work, { change, expected })
  const after = { ...answers, egressHosts: changedHosts(answers.egressHosts, change) }
  if (options.dryRun) {
    const files = filesToWrite(context).map(({ path }) => path)
    const plan = [...files.map(path => `write ${path}`), ...(files.length > 0 ? ['reload the proxy'] : [])]
    print(
      work,
      { changed: [], plan, ...reach(after) },
      plan.join('\n') || 'Nothing would have to be changed.',
    )
    return Exit.done
  }
  const written = await carryOut(work, changeSteps, context)
  const open =
    until === undefined || change.deny.length === 0
      ? ''
      : `Until ${until.toISOString()} every public host can be reached all the same: egress close\n`
  tell(work, `${written.length === 0 ? 'Nothing had to be changed.\n' : ''}${open}`)
  print(work, { changed: written, ...reach(after) })
  return Exit.done
}

/** Asks the running proxy, and changes nothing. */
async function testTarget(
  program: Program,
  targets: readonly string[],
  options: EgressOptions,
): Promise<ExitCode> {
  const asked = targetOf(targets.join(' '))
  const work = await begin(program, options, 'test')
  const decision = (await askTheProxy(contextOf(work, {}), [asked])).get(asked)
  print(
    work,
    {
      target: asked,
      answer: decision === undefined ? 'unknown' : decision.allowed ? 'allowed' : 'refused',
      reason: decision?.reason ?? null,
      status: decision?.status ?? null,
    },
    decisionInWords(asked, decision),
  )
  if (decision === undefined) return Exit.unknown
  return decision.allowed ? Exit.done : Exit.failed
}

/** A weakening, which ends by itself. */
async function openUp(program: Program, options: EgressOptions): Promise<ExitCode> {
  const seconds = secondsIn(options.for ?? '')
  const work = await begin(program, options, 'open')
  const { session } = work
  const end = new Date(program.now().getTime() + seconds * 1000)
  const weakening = `Until ${end.toISOString().slice(0, 19)}Z, whatever the agent can read it can send to any public host, on port 443.`
  if (options.dryRun) {
    print(work, { changed: [], plan: [`write ${openingOf(session.layout)}`] }, weakening)
    return Exit.done
  }
  await consent(work, weakening)
  const expected = [{ target: NOBODY, reasons: [OPENED] }]
  const context = contextOf(work, { seconds, expected })
  const changed = await carryOut(work, openSteps, context)
  tell(work, `${weakening}\nEnd it at once: create-openclaw-secure egress close\n`)
  print(work, { changed, openUntil: untilOf(session, program)?.toISOString() ?? null })
  return Exit.done
}

/** Ends an opening before its time, and every connection that was made in it. */
async function closeDown(program: Program, options: EgressOptions): Promise<ExitCode> {
  const work = await begin(program, options, 'close')
  if (options.dryRun) {
    const plan = work.until === undefined ? [] : [`remove ${openingOf(work.session.layout)}`]
    print(work, { changed: [], plan }, plan.join('\n') || 'It is closed.')
    return Exit.done
  }
  const context = contextOf(work, { expected: [{ target: NOBODY, reasons: ['not-on-the-list'] }] })
  const changed = await carryOut(work, closeSteps, context)
  print(work, { changed, openUntil: null })
  return Exit.done
}

const OPENED = 'open-for-a-while'

/** One command on one deployment. */
interface Work {
  program: Program
  session: Session
  options: EgressOptions
  command: string
  startedAt: string
  /** As they were rendered last. */
  answers: Answers
  /** When it closes again; undefined: it is closed. */
  until: Date | undefined
}

/** Errors: `no_deployment`, `egress_unfinished_setup`; a usage error where there is no proxy. */
async function begin(program: Program, options: EgressOptions, word: string): Promise<Work> {
  const startedAt = program.now().toISOString()
  const session = await openSession(program, resolve(program.cwd, options.dir ?? '.'), options)
  const { layout } = session
  savedDeployment(session)
  const answers = answersInForce(layout)
  if (answers?.egress === 'open') throw new UsageError([noProxy('the deployment was set up so')])
  if (answers === undefined || readIfPresent(rulesOf(layout)) === undefined)
    throw new ToolError(
      'egress_unfinished_setup',
      'this deployment has not been set up as a whole',
      'Finish that first: create-openclaw-secure .',
    )
  const until = untilOf(session, program)
  return { program, session, options, command: `egress ${word}`, startedAt, answers, until }
}

function untilOf({ layout }: Session, program: Program): Date | undefined {
  return closesAt(readIfPresent(openingOf(layout)) ?? '', program.now())
}

function noProxy(why: string) {
  return {
    field: 'egress.mode',
    saw: `it is open: the gateway reaches everything, and there is no proxy to be told (${why})`,
    allowed: 'Set it to closed in deployment.yaml and run create-openclaw-secure . first.',
  }
}

function contextOf(
  { session, program, answers }: Work,
  wanted: Partial<Pick<EgressContext, 'change' | 'seconds' | 'expected'>>,
): EgressContext {
  const { layout, docker, journal } = session
  return {
    ...{ layout, answers, docker, journal, launch: true, now: program.now },
    ...{ change: { allow: [], deny: [] }, seconds: 0, expected: [] },
    ...wanted,
    compose: composeOf(session, answers.name),
    owner: () => ownerOfSecrets(layout, program.person),
  }
}

async function carryOut(
  { session, program, command }: Work,
  steps: readonly Step<EgressContext>[],
  context: EgressContext,
): Promise<string[]> {
  const runtime = runtimeOf(session, program, command, false)
  return (await runProcedure('egress', steps, context, runtime)).written
}

function expectations(words: readonly string[], reasons: readonly string[]): Expectation[] {
  return words.flatMap(hostsOf).map(host => ({ target: `${exampleOf(host)}:443`, reasons }))
}

/** Nobody opens it by a slip: a person is asked, and a script says so. */
async function consent({ session, program, options }: Work, weakening: string): Promise<void> {
  if (options.yes === true) return
  if (!session.interactive)
    throw new UsageError([{ field: 'consent', allowed: `that is a weakening. ${weakening}`, flag: '--yes' }])
  const { voiceOn } = await import('../wizard/voice.ts')
  const { accessible } = session
  const voice = voiceOn({ input: program.stdin, output: program.stderr, accessible, signal: program.signal })
  const answer = await voice.choose(
    `${weakening} Open it?`,
    [
      { value: 'leave', label: 'Leave it closed' },
      { value: 'open', label: 'Open it' },
    ],
    'leave',
  )
  if (answer !== 'open') throw new Cancelled('Nothing was changed.')
}

/** "30m" in seconds. Errors: a usage error. */
function secondsIn(text: string): number {
  const match = /^(\d{1,4})(m|h)$/.exec(text)
  const seconds = Number(match?.[1] ?? 0) * (match?.[2] === 'h' ? 3600 : 60)
  if (seconds >= 300 && seconds <= LONGEST_OPENING) return seconds
  throw new UsageError([
    { field: 'time', given: text, allowed: 'minutes or hours, from 5m to 24h: 30m, 2h', flag: '--for' },
  ])
}

/** HOST:PORT of what a person has typed; port 443 where none is named. Errors: a usage error. */
function targetOf(text: string): string {
  const match = /^([a-z0-9_.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::([1-9]\d{0,4}))?$/.exec(text.toLowerCase())
  const [host, port] = [match?.[1], Number(match?.[2] ?? 443)]
  if (host !== undefined && port <= 65_535) return `${host}:${port}`
  throw new UsageError([
    { field: 'target', given: text, allowed: 'HOST or HOST:PORT, such as api.example.org or 192.0.2.1:8080' },
  ])
}

/** What can be reached, for machines. */
function reach(answers: Answers) {
  return { hosts: allowedHosts(answers), localProviders: localProviders(answers) }
}

/** The result: one envelope, or `text`. */
function print({ program, session, options, command, startedAt }: Work, body: object, text = ''): void {
  const head = { version: program.version, command, deployment: session.layout.root, startedAt }
  if (options.json) program.stdout.write(envelope(head, { ...body }))
  else if (text !== '') program.stdout.write(`${text}\n`)
}

function tell({ program, options }: Work, text: string): void {
  if (options.quiet !== true) program.stderr.write(text)
}
