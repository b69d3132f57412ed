import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { exitOf, type Notice } from '../../steps/setup/notice.ts'
import type { Answers } from '../deployment/answers.ts'
import { errorCode, type FileOwner } from '../deployment/files.ts'
import { describeProblem, Exit, type ExitCode, type Problem, ToolError, UsageError } from '../errors.ts'
import { secretNamesOf } from '../gateway/policy.ts'
import type { Secret } from '../secret.ts'
import type { SecretStore } from '../stores/store.ts'
import { crossCheck, fillIn, type Gathered, missing, type Sources } from '../wizard/gather.ts'
import type { AnswerId, Place } from '../wizard/question.ts'
import {
  type BroughtSecrets,
  type Openers,
  readSecrets,
  secretFlagsOf,
  unusableKey,
} from '../wizard/secrets.ts'
import type { Talk } from '../wizard/voice.ts'
import { type GlobalOptions, type Program, type Session, storeOf } from './program.ts'
import {
  canPeek,
  has,
  missingSecrets,
  namedByPerson,
  needsCredential,
  openerProblems,
  secretConflicts,
  storeProblems,
  withoutSpent,
} from './secret-answers.ts'

export interface SetupOptions extends Omit<GlobalOptions, 'storeCredential'> {
  answers?: string
  build?: boolean
  launch?: boolean
  verify?: boolean
  token?: string[]
  providerKey?: string[]
  secretValue?: string[]
  storeCredential?: string[]
  vaultAdmin?: string[]
  startTimeout?: number
  /** The questions' own flags, by question id. */
  given: Partial<Record<AnswerId, readonly string[]>>
}

/** Everything setup has to know before it begins. The store is open as far as it can be, and has to be closed. */
export interface Answered {
  answers: Answers
  brought: BroughtSecrets
  openers: Openers
  store: SecretStore
}

/** What both ways of answering work with. */
export interface Interview {
  program: Program
  session: Session
  options: SetupOptions
  gathered: Gathered
  place: Place
  notices: readonly Notice[]
  /** Who must own what the gateway reads. */
  owner(): FileOwner | undefined
  /** What is wrong with these answers on this machine. */
  look(answers: Answers): Promise<Problem[]>
  /** The secrets are there already, in another store: none is asked for, and only these answers can be changed. */
  moving?: (id: AnswerId) => boolean
  /** What would be done, for the person to read. */
  preview(answers: Answers, openers: Openers): Promise<string>
  tell(text: string): void
}

/** Asks what is open, and for every secret that nobody brought and the store does not have. */
export async function askEverything(interview: Interview): Promise<Answered> {
  const { program, session, options, gathered, place, look, preview, moving } = interview
  const { askSecret, converse } = await import('../wizard/converse.ts')
  const talk = { input: program.stdin, output: program.stderr, accessible: session.accessible }
  const heard: Talk = { ...talk, signal: program.signal }
  if (gathered.problems.length > 0) throw new UsageError(gathered.problems)
  const flags = secretFlagsOf(options)
  // What opens a store is needed while it is being talked about; the other secrets, once it is clear which there are.
  const only = { token: [], providerKeys: [], secretValues: [] }
  const first = await readSecrets(
    { ...flags, ...only },
    NO_SECRETS,
    program.stdin,
    session.redactor,
    program.cwd,
  )
  if (first.problems.length > 0) throw new UsageError(first.problems)
  const { openers } = first
  const learn = (secret: Secret) => session.redactor.learn(secret)

  const { openersTalk } = await import('./openers-talk.ts')
  const opening = openersTalk({ heard, session, program, place, openers })
  const answers = await converse(
    heard,
    gathered,
    place,
    async complete => [...opening.wrong(complete), ...(await look(complete))],
    complete => preview(complete, openers),
    opening.assist,
    moving,
  )
  withoutSpent(session, answers, openers)
  if (needsCredential(session, program, answers, openers)) await opening.askCredential(answers)
  const rest = { ...flags, storeCredential: [], vaultAdmin: [] }
  const { brought, problems } = await readSecrets(rest, answers, program.stdin, session.redactor, program.cwd)
  problems.push(...(await openerProblems(session, program, answers, openers)))
  if (problems.length > 0) throw new UsageError(problems)
  const store = await openFor(interview, answers, openers)
  return closingOnFailure(store, async () => {
    const peeks = canPeek(answers, openers)
    if (peeks) await checkStore(interview, answers, store)
    if (moving !== undefined) return { answers, brought, openers, store }
    const conflicts = peeks ? await secretConflicts(store, secretNamesOf(answers), brought) : []
    if (conflicts.length > 0) throw new UsageError(conflicts)
    for (const { name, what } of namedByPerson(answers))
      if (!brought.has(name) && !(peeks && (await has(store, name))))
        brought.set(name, learn(await askSecret(heard, what, unusableKey)))
    return { answers, brought, openers, store }
  })
}

/** Takes what was given, and lists everything that is missing, malformed or contradictory in one error. */
export async function takeEverything(interview: Interview): Promise<Answered> {
  const { program, session, options, gathered, place, look, notices, moving } = interview
  const given = new Set([...gathered.origins].filter(([, origin]) => origin !== 'saved').map(([id]) => id))
  const { answers, open } = fillIn(gathered.answers, gathered.origins, place, options.yes === true)
  const invalid = new Set(gathered.problems.map(problem => problem.field))
  const problems = [
    ...noticesAsProblems(notices.filter(notice => notice.exit === Exit.usage)),
    ...gathered.problems,
    ...open.filter(question => !invalid.has(question.id)).map(question => missing(question, answers, place)),
    ...crossCheck(answers, given),
  ]
  const { providers = [], extraSecrets = [] } = answers
  const flags = secretFlagsOf(options)
  const read = await readSecrets(
    flags,
    { providers, extraSecrets },
    program.stdin,
    session.redactor,
    program.cwd,
  )
  const { brought, openers } = read
  problems.push(...read.problems)
  const wrong = new Set(read.problems.map(problem => problem.field))
  if (open.length === 0) withoutSpent(session, answers as Answers, openers)
  const complete = open.length === 0 && problems.length === 0
  if (open.length === 0)
    problems.push(...(await openerProblems(session, program, answers as Answers, openers)))
  const local = (answers.store ?? 'docker') === 'docker'
  // A store here can be looked into whatever else is wrong; one elsewhere is asked when everything else is right.
  const store =
    local || (complete && problems.length === 0)
      ? await openFor(interview, { store: 'docker', seal: 'none', ...answers } as Answers, openers)
      : undefined
  return closingOnFailure(store, async () => {
    const names = { providers, extraSecrets, posture: answers.posture ?? ('chat' as const) }
    const peeks = store !== undefined && canPeek(answers as Answers, openers)
    if (local && peeks && moving === undefined)
      problems.push(...(await storeProblems(store, names, brought, wrong)))
    // A store that cannot be asked yet has nothing for a deployment that is not there yet.
    if (store !== undefined && !peeks && moving === undefined && session.saved === undefined)
      problems.push(...missingSecrets(names, brought, wrong))
    // What is asked of the machine can be looked at as soon as it is known, whatever else is wrong.
    const asked = ['name', 'port', 'cpus', 'memory', 'firewall'] as const
    const seen = asked.every(id => answers[id] !== undefined) ? await look(answers as Answers) : []
    if (problems.length + seen.length > 0)
      throw new UsageError([
        ...problems,
        ...seen,
        ...noticesAsProblems(notices.filter(notice => notice.exit !== Exit.usage)),
      ])
    const stopped = exitOf(notices)
    if (stopped !== undefined) throw preflightError(notices, stopped)
    if (store === undefined) throw new Error('complete answers without a store')
    if (!local && peeks) {
      await checkStore(interview, answers as Answers, store)
      const found = moving !== undefined ? [] : await storeProblems(store, names, brought, wrong)
      if (found.length > 0) throw new UsageError(found)
    }
    return { answers: answers as Answers, brought, openers, store }
  })
}

const NO_SECRETS = { providers: [], extraSecrets: [] }

function openFor({ session, program, owner }: Interview, answers: Answers, openers: Openers) {
  return storeOf(session, program, answers, { owner, credential: () => openers.credential })
}

async function closingOnFailure<T>(store: SecretStore | undefined, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    await store?.close()
    throw error
  }
}

async function checkStore({ tell }: Interview, answers: Answers, store: SecretStore): Promise<void> {
  const saw = await store.check()
  if (answers.store !== 'docker') tell(`ok      store: ${saw}\n`)
}

/** Why the values cannot be encrypted here, when that is asked for. */
export async function sealProblems(
  { searchingRun }: Session,
  { person }: Program,
  answers: Answers,
): Promise<Problem[]> {
  if (answers.store !== 'docker' || answers.seal !== 'host') return []
  const { sealProblem } = await import('../stores/seal.ts')
  const why = await sealProblem(searchingRun, person.uid === 0)
  if (why === undefined) return []
  return [{ field: 'seal', saw: why, allowed: 'Leave --seal out (and encrypt the disk), or mend that.' }]
}

/** The sources of answers on this disk: the saved ones, and the file that was named. */
export function sourcesOf(session: Session, options: SetupOptions, program: Program): Partial<Sources> {
  const saved = session.saved === undefined ? {} : { saved: { name: 'deployment.yaml', text: session.saved } }
  if (options.answers === undefined) return saved
  try {
    return {
      ...saved,
      file: { name: options.answers, text: readFileSync(resolve(program.cwd, options.answers), 'utf8') },
    }
  } catch (error) {
    const unreadable = {
      field: 'answers file',
      given: options.answers,
      allowed: `a file that can be read (${errorCode(error) ?? 'unreadable'})`,
      flag: '--answers',
    }
    return { ...saved, problems: [unreadable] }
  }
}

export function noticesAsProblems(notices: readonly Notice[]): Problem[] {
  return notices
    .filter(notice => notice.verdict === 'stop')
    .map(({ id, saw, fix }) => ({ field: id, saw, allowed: fix ?? '' }))
}

/** The machine is not ready, or the input is not possible on it. */
export function preflightError(notices: readonly Notice[], exit: ExitCode): ToolError {
  const problems = noticesAsProblems(notices)
  if (exit === Exit.usage) return new UsageError(problems)
  return new ToolError(
    'preflight',
    problems.map(describeProblem).join('\n'),
    'Nothing was written. Correct this and run the same command again.',
    exit,
  )
}
