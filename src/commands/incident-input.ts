import { existsSync, readdirSync } from 'node:fs'
import { basename, resolve, sep } from 'node:path'
import * as z from 'zod'
import type { Wishes } from '../../steps/incident/context.ts'
import { CLOSING, EFFECTS } from '../../steps/incident/index.ts'
import { leakIn } from '../../steps/incident/leak.ts'
import { answersInForce } from '../../steps/move/context.ts'
import type { Answers } from '../deployment/answers.ts'
import { readIfPresent } from '../deployment/files.ts'
import { Exit, type Problem, ToolError, UsageError } from '../errors.ts'
import { type Case, resumeCase } from '../evidence/case.ts'
import { openCase } from '../evidence/open.ts'
import { allSecretNamesOf } from '../gateway/policy.ts'
import { parseJson } from '../json.ts'
import { type Runbook, readRunbook, stepsCalling } from '../procedure/runbook.ts'
import type { Secret } from '../secret.ts'
import { readSecrets, secretFlagsOf } from '../wizard/secrets.ts'
import { type GlobalOptions, openSession, type Program, type Session } from './program.ts'
import { savedDeployment } from './verify.ts'

export interface IncidentOptions extends Omit<GlobalOptions, 'storeCredential'> {
  resume?: boolean
  drill?: boolean
  allow?: string[]
  leaked?: string[]
  since?: string
  cutFirst?: boolean
  memory?: boolean
  encryptTo?: string[]
  keepState?: boolean
  applyPolicy?: boolean
  providerKey?: string[]
  secretValue?: string[]
  storeCredential?: string[]
  /** Seconds. */
  startTimeout?: number
  /** The deployment is a drill's copy: nobody elsewhere is asked anything, and no image is built. */
  rehearsal?: boolean
}

const RUNBOOK_FILE = /\.ya?ml$/

/** What one run of a runbook is done with. */
export interface Work {
  program: Program
  session: Session
  options: IncidentOptions
  answers: Answers
  runbook: Runbook
  wishes: Wishes
  startedAt: string
  credential: Secret | undefined
  /** The case that is open already. */
  present: Case | undefined
}

/** Everything that can be wrong with what was asked for, before anything is done. No server and no engine is asked here. */
export async function prepare(
  program: Program,
  named: string | undefined,
  options: IncidentOptions,
): Promise<Work> {
  const startedAt = program.now().toISOString()
  const session = await openSession(program, resolve(program.cwd, options.dir ?? '.'), options)
  const { layout, redactor } = session
  const saved = savedDeployment(session)
  const answers = answersInForce(layout) ?? saved.answers
  const open = openCase(layout)
  refuseWhileOpen(open, named, options)
  const present = open === undefined ? undefined : resumeCase(layout, program.now, redactor)
  const runbook = toItsEnd(
    present === undefined ? runbookOf(session, program, named) : readRunbookOf(present),
  )

  const read = await readSecrets(secretFlagsOf(options), answers, program.stdin, redactor, program.cwd)
  const since = options.since === undefined ? undefined : new Date(options.since)
  const known = allSecretNamesOf(answers)
  const problems: Problem[] = [
    ...read.problems,
    ...(await recipientProblemsOf(options.encryptTo ?? [])),
    ...(present === undefined ? [] : settledProblems(present, options)),
    ...(options.leaked ?? [])
      .filter(name => !known.includes(name))
      .map(given => ({ field: 'leaked secret', given, allowed: known.join(', '), flag: '--leaked' })),
    ...(options.allow ?? [])
      .filter(id => !runbook.steps.some(step => step.id === id))
      .map(given => ({
        field: 'step',
        given,
        allowed: runbook.steps
          .filter(({ effect }) => effect === 'destroys')
          .map(({ id }) => id)
          .join(', '),
        flag: '--allow',
      })),
    ...sinceProblems(options.since, since, program.now()),
    ...(options.memory === true && (options.encryptTo ?? []).length === 0 && present === undefined
      ? [
          {
            field: 'recipient',
            allowed: 'whoever may read the secrets in the memory',
            flag: '--encrypt-to age1...',
          },
        ]
      : []),
  ]
  if (problems.length > 0)
    throw new UsageError(problems, 'Nothing was done. Correct the input and run the command again.')
  // What was asked for when the case was opened holds for the rest of it.
  const before = present === undefined ? undefined : wishesIn(present)
  const wishes: Wishes = {
    cutFirst: options.cutFirst === true || before?.cutFirst === true,
    memory: options.memory === true || before?.memory === true,
    recipients: present?.recipients ?? options.encryptTo ?? [],
    keepState: options.keepState === true || before?.keepState === true,
    allow: [...(options.allow ?? []), ...(before?.allow ?? [])],
    leaked: options.leaked ?? before?.leaked ?? [],
    since: since ?? (before?.since === undefined ? undefined : new Date(before.since)),
    brought: read.brought,
    applyPolicy: options.applyPolicy === true || before?.applyPolicy === true,
    rehearsal: options.rehearsal === true || before?.rehearsal === true,
    startDeadline: (options.startTimeout ?? 180) * 1000,
  }
  const { credential } = read.openers
  return { ...{ program, session, options, answers, runbook, wishes, startedAt, present }, credential }
}

/**
 * What is asked of a case that is open, and would be taken and ignored: who may read it, and what it is about, is settled. Exported
 * for its tests.
 */
export function settledProblems(
  present: Pick<Case, 'journal' | 'recipients'>,
  { encryptTo = [], memory, leaked, since }: IncidentOptions,
): Problem[] {
  const leak = leakIn(present)
  const isOther =
    leaked !== undefined && leak !== undefined && [...leaked].sort().join() !== [...leak.names].sort().join()
  const isOtherTime = leak !== undefined && since !== undefined && Date.parse(since) !== leak.since.getTime()
  return [
    ...encryptTo
      .filter(recipient => !present.recipients.includes(recipient))
      .map(given => ({
        field: 'recipient',
        given,
        allowed: 'only those with whom the case was opened: what is kept in it already would not be theirs',
        flag: '--encrypt-to',
      })),
    ...(memory === true && present.recipients.length === 0
      ? [
          {
            field: 'memory',
            given: '--memory',
            allowed: 'only in a case that was opened with --encrypt-to: this one has no recipient',
          },
        ]
      : []),
    ...(isOther
      ? [
          {
            field: 'leaked secret',
            given: leaked.join(', '),
            allowed: `only what the case has as leaked: ${leak.names.join(', ')}`,
            flag: '--leaked',
          },
        ]
      : []),
    ...(isOtherTime
      ? [
          {
            field: 'since',
            given: since,
            allowed: `only what the case has: ${leak.since.toISOString()}`,
            flag: '--since',
          },
        ]
      : []),
  ]
}

/** age's library takes its time to load: whoever encrypts to nobody does not wait for it before the networks are cut. */
async function recipientProblemsOf(recipients: readonly string[]): Promise<Problem[]> {
  if (recipients.length === 0) return []
  return (await import('../evidence/recipients.ts')).recipientProblems(recipients)
}

/** What can be remembered of the wishes: no secret is among it. */
const Remembered = z.object({
  cutFirst: z.boolean(),
  memory: z.boolean(),
  keepState: z.boolean(),
  applyPolicy: z.boolean(),
  rehearsal: z.boolean(),
  allow: z.array(z.string()),
  leaked: z.array(z.string()),
  since: z.optional(z.string()),
})

/** What a case was opened with, so that going on with it asks for nothing anew. */
export function remembered({ since, ...wishes }: Wishes): string {
  const all = { ...wishes, ...(since === undefined ? {} : { since: since.toISOString() }) }
  return JSON.stringify(z.parse(Remembered, all))
}

function wishesIn(open: Case): z.infer<typeof Remembered> | undefined {
  const read = Remembered.safeParse(parseJson(open.wishes ?? ''))
  return read.success ? read.data : undefined
}

function sinceProblems(text: string | undefined, since: Date | undefined, now: Date): Problem[] {
  if (text === undefined || since === undefined) return []
  if (!Number.isNaN(since.getTime()) && since < now) return []
  return [
    { field: 'since', given: text, allowed: 'a time in the past, UTC: 2026-11-20T08:00Z', flag: '--since' },
  ]
}

/** One case at a time: two runbooks would destroy each other's evidence. */
function refuseWhileOpen(
  open: ReturnType<typeof openCase>,
  named: string | undefined,
  { resume }: IncidentOptions,
): void {
  if (resume === true && open === undefined)
    throw new ToolError(
      'no_case',
      'no case is open',
      'Begin one: create-openclaw-secure incident RUNBOOK.',
      Exit.usage,
    )
  if (open === undefined || (resume === true && (named === undefined || named === open.runbook))) return
  throw new ToolError(
    'case_open',
    `a case is open already: ${open.id}`,
    'Go on with it (create-openclaw-secure incident --resume), or end it where it stands (create-openclaw-secure incident close).',
    Exit.usage,
  )
}

/** A runbook of the deployment by its name, or any by its path. Errors: a usage error. */
export function runbookOf({ layout }: Session, program: Program, named: string | undefined): Runbook {
  const own = existsSync(layout.runbooks)
    ? readdirSync(layout.runbooks)
        .filter(file => RUNBOOK_FILE.test(file))
        .map(file => file.replace(RUNBOOK_FILE, ''))
    : []
  const isPath = named !== undefined && (RUNBOOK_FILE.test(named) || named.includes(sep))
  const path = isPath ? resolve(program.cwd, named) : resolve(layout.runbooks, `${named}.yaml`)
  const text = named === undefined || (!isPath && !own.includes(named)) ? undefined : readIfPresent(path)
  if (text !== undefined)
    return readRunbook(text, isPath ? basename(path) : `runbooks/${named}.yaml`, EFFECTS)
  throw new UsageError(
    [
      {
        field: 'runbook',
        ...(named === undefined ? {} : { given: named }),
        allowed: `${own.join(', ')}, or a file`,
      },
    ],
    own.length === 0
      ? 'This deployment has no runbooks yet: create-openclaw-secure . writes them.'
      : undefined,
  )
}

/** A runbook that says nothing of the end has one all the same: what it kept is signed, and the case is closed with a report. */
function toItsEnd(runbook: Runbook): Runbook {
  const own = CLOSING.map(closing => stepsCalling(runbook, closing.id)[0] ?? closing)
  const [seal, report] = own
  const before = runbook.steps.filter(step => step !== report)
  const isSealed = before.some(step => step === seal)
  return { ...runbook, steps: [...before, ...own.filter(step => step === report || !isSealed)] }
}

/** The runbook as it was when the case was opened: what somebody has changed since is for the next one. */
function readRunbookOf(present: Case): Runbook {
  const path = resolve(present.folder, 'runbook.yaml')
  return readRunbook(readIfPresent(path) ?? '', path, EFFECTS)
}

/** Freezing comes first, because it keeps what cutting loses; where data is leaving right now, cutting does. */
export function inOrder(runbook: Runbook, { cutFirst }: Wishes): Runbook {
  if (!cutFirst) return runbook
  const cuts = stepsCalling(runbook, 'networks.cut')
  return { ...runbook, steps: [...cuts, ...runbook.steps.filter(step => !cuts.includes(step))] }
}
