import { resolve } from 'node:path'
import { freeze } from '../../steps/incident/contain.ts'
import type { Asking, IncidentContext } from '../../steps/incident/context.ts'
import { ACTIONS, CLOSING } from '../../steps/incident/index.ts'
import type { Left } from '../../steps/incident/left.ts'
import { type Responded, respond, STAYS_OPEN } from '../../steps/incident/run.ts'
import { noteTools } from '../../steps/incident/tools.ts'
import { readIfPresent } from '../deployment/files.ts'
import { ownerOfSecrets } from '../deployment/owner.ts'
import { settleLeftovers } from '../docker/leftovers.ts'
import { Cancelled, Exit, type ExitCode, ToolError, visible, visibleLines } from '../errors.ts'
import { beginCase } from '../evidence/case.ts'
import { openCase } from '../evidence/open.ts'
import { replacedOf } from '../evidence/replaced.ts'
import { underLock } from '../procedure/run.ts'
import type { Runbook } from '../procedure/runbook.ts'
import { envelope } from '../report/json.ts'
import { Secret } from '../secret.ts'
import { learnDelivered } from '../stores/delivered.ts'
import type { SecretStore } from '../stores/store.ts'
import { voiceOn } from '../wizard/voice.ts'
import { type IncidentOptions, inOrder, prepare, remembered, type Work } from './incident-input.ts'
import {
  composeOf,
  containing,
  forbidCoreDumps,
  type Program,
  runtimeOf,
  type Session,
  storeOf,
} from './program.ts'
import { savedDeployment, verifyDeployment } from './verify.ts'

/**
 * Leads through a runbook. 0: through, and every check passes; 1: through, and a check fails, or what leaked is still in force;
 * 3: something could not be looked at; 4: half-way, at a step that nobody has agreed to or that failed: `--resume` goes on.
 */
export async function incident(
  program: Program,
  named: string | undefined,
  options: IncidentOptions,
): Promise<ExitCode> {
  const work = await prepare(program, named, options)
  if (options.dryRun === true) return showPlan(work)
  return lead({ ...work, runbook: inOrder(work.runbook, work.wishes) })
}

/** Ends the open case where it stands: what was kept is signed, and a report says what was not done. */
export async function closeCase(program: Program, options: IncidentOptions): Promise<ExitCode> {
  const work = await prepare(program, undefined, { ...options, resume: true })
  return lead({ ...work, runbook: { ...work.runbook, steps: CLOSING } })
}

/** What would be done, step by step. */
function showPlan({ program, session, options, runbook, startedAt, present }: Work): ExitCode {
  const done = new Set(
    present?.journal.read().flatMap(({ event, step }) => (event === 'step-done' && step ? [step] : [])),
  )
  const plan = runbook.steps.map(
    step => `${done.has(step.id) ? 'done' : step.effect.padEnd(8)} ${step.id}: ${step.title}`,
  )
  program.stdout.write(
    options.json
      ? envelope(headOf(session, program, startedAt), { changed: [], plan })
      : `${plan.join('\n')}\n`,
  )
  return Exit.done
}

function headOf({ layout }: Session, { version }: Program, startedAt: string) {
  return { version, command: 'incident', deployment: layout.root, startedAt }
}

async function lead(work: Work): Promise<ExitCode> {
  const { program, session, options, answers, runbook, wishes, startedAt } = work
  const { layout, redactor, journal } = session
  const tell = (text: string) => (options.quiet ? undefined : program.stderr.write(text))
  // A store that does not answer must not keep anybody from pulling the plug: it is needed later.
  const store = await storeOf(session, program, answers, {
    owner: () => ownerOfSecrets(layout, program.person),
    credential: () => work.credential,
  }).catch(unopened)
  const begin = () => {
    const { recipients } = wishes
    const fresh = beginCase(
      layout,
      { runbook: runbook.id, text: runbook.text, recipients, wishes: remembered(wishes) },
      program.now,
      redactor,
    )
    journal.append({
      ...{ run: fresh.id, procedure: 'incident', event: 'begun', note: fresh.id },
    })
    return fresh
  }
  try {
    return await underLock(
      () => {
        const runtime = runtimeOf(session, program, 'incident', false)
        if (work.present !== undefined || !beginsWithContaining(runbook)) return runtime
        return containing(runtime, async () => (await freeze({ docker: session.docker, answers })).saw)
      },
      async held => {
        // What was looked at before the lock may be over, or have begun, meanwhile.
        if (openCase(layout)?.id !== work.present?.id)
          throw new ToolError(
            'case_changed',
            'another run has opened or ended a case meanwhile',
            'Look at create-openclaw-secure status, then run the command again.',
            Exit.usage,
          )
        work.present?.takeUp()
        const open = work.present ?? begin()
        tell(`${work.present === undefined ? 'Case opened' : 'Going on with the case'}: ${open.id}\n`)
        if (work.present === undefined)
          for (const contact of runbook.contacts) tell(`Call first: ${contact}\n`)
        // Beside the first steps, which must not wait for it.
        const leftovers = settleLeftovers(session.docker, layout.root, program.signal)
        leftovers.catch(() => {})
        let settled: Promise<void> | undefined
        const context: IncidentContext = {
          settled() {
            settled ??= leftovers.then(() => noteTools(context, program.signal))
            return settled
          },
          ...{ case: open, runbook, layout, answers, store, journal, redactor, wishes },
          ...{ docker: session.docker, searching: session.searching },
          ...{ run: session.run, searchingRun: session.searchingRun },
          compose: composeOf(session, answers.name),
          person: program.person,
          owner: () => ownerOfSecrets(layout, program.person),
          now: program.now,
          version: program.version,
          runtimeOf: () => ({ ...held(), progress: session.progress.within() }),
          async verify() {
            const deployment = savedDeployment({ saved: readIfPresent(layout.answers), layout })
            return verifyDeployment(session, deployment, store, program.now(), program.signal)
          },
          lead(step) {
            tell(
              `\n${runbook.steps.indexOf(step) + 1}/${runbook.steps.length} ${step.title}\n    ${step.why}\n`,
            )
          },
          say: line => session.progress.say(line),
          ask: session.interactive ? askingOn(session, program) : undefined,
        }
        await forbidCoreDumps(session)
        learnValues(context)
        const responded = await respond(context, ACTIONS, held)
        const { unseen, took, checks, left } = responded
        journal.append({ run: open.id, procedure: 'incident', event: 'done', note: open.id })
        const { failed, unknown, why } = checks
        if (unseen.length > 0) tell(`\nCould not be looked at: ${unseen.join(', ')}. The report says why.\n`)
        if (failed.length > 0) tell(`\nChecks that fail: ${failed.join(', ')}\n`)
        if (unknown.length > 0) tell(`\nChecks that could not look: ${unknown.join(', ')}\n${why ?? ''}\n`)
        // A drill's copy goes, and its report is kept elsewhere.
        if (!wishes.rehearsal) {
          // No progress, and so not for --quiet to keep back.
          for (const { words } of left) program.stderr.write(`LEFT TO DO: ${visible(words)}\n`)
          tell(`\nThe case is closed: ${open.folder}\nIts report: ${resolve(open.folder, 'report.md')}\n`)
        }
        if (options.json)
          program.stdout.write(
            envelope(headOf(session, program, startedAt), {
              ...{ case: open.id, folder: open.folder, runbook: runbook.id, took, unseen },
              artefacts: open.artefacts().length,
              ...{ failed, unknown, left },
            }),
          )
        return endOf(responded)
      },
    )
  } finally {
    await store.close()
  }
}

/** Whether the first thing that is done is to freeze or to cut, without anybody being asked. */
function beginsWithContaining({ steps: [first] }: Pick<Runbook, 'steps'>): boolean {
  if (first === undefined || first.confirm !== 'nobody' || !('action' in first.does)) return false
  return first.effect === 'contains' && ACTIONS.get(first.does.action)?.hasty === true
}

/**
 * What a run that is through ends with: 3 where something could not be looked at, 1 where a check fails or something that leaked
 * is still in force. Exported for its tests.
 */
export function endOf({ unseen, checks, left }: Pick<Responded, 'unseen' | 'checks' | 'left'>): ExitCode {
  const isLeft = (state: Left['state']) => left.some(one => one.state === state)
  if (unseen.length + checks.unknown.length > 0) return Exit.unknown
  if (checks.failed.length > 0 || isLeft('in force')) return Exit.failed
  return isLeft('unknown') ? Exit.unknown : Exit.done
}

/**
 * What the gateway was handed is known from here on, and what an earlier run of the case has replaced, without asking the store: it
 * is taken out of whatever is shared. A value that cannot be read is found by its shape at best, which the case then says.
 * Exported for its tests.
 */
export function learnValues({
  layout,
  redactor,
  case: open,
}: Pick<IncidentContext, 'layout' | 'redactor' | 'case'>): void {
  const unread = learnDelivered([layout.secrets, layout.store, replacedOf(layout)], redactor)
  if (unread.length > 0) open.note('values-not-known', { files: unread.join(', ') })
}

/** A store that could not be opened: whoever needs it is told why, and nobody before. */
function unopened(error: unknown): SecretStore {
  return new Proxy({} as SecretStore, {
    get: (_, name) => {
      if (name === 'then') return undefined
      return name === 'close' ? async () => {} : () => Promise.reject(error)
    },
  })
}

/** Asks where the person sits. Whoever leaves has not undone what was done. */
function askingOn(session: Session, program: Program): Asking {
  const { accessible, progress } = session
  const voice = voiceOn({ input: program.stdin, output: program.stderr, accessible, signal: program.signal })
  const put = async <T>(question: () => Promise<T>): Promise<T> => {
    progress.settle()
    try {
      return await question()
    } catch (error) {
      if (!(error instanceof Cancelled)) throw error
      throw new Cancelled(STAYS_OPEN)
    }
  }
  return {
    show(text) {
      progress.settle()
      program.stderr.write(`${visibleLines(text)}\n`)
    },
    confirm: question => put(async () => (await voice.choose(question, YES_OR_NO, 'no')) === 'yes'),
    text: question => put(() => voice.text(question, '', () => undefined)),
    async secret(question) {
      const typed = await put(() => voice.secret(question, () => undefined))
      return typed === '' ? undefined : session.redactor.learn(new Secret(typed))
    },
    choose: (question, options) => put(() => voice.choose(question, options, options[0]?.value ?? '')),
  }
}

const YES_OR_NO = [
  { value: 'yes', label: 'Yes' },
  { value: 'no', label: 'No' },
]
