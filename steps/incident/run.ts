import { pour } from '../../src/docker/collector.ts'
import { Cancelled, Exit, ToolError, UsageError } from '../../src/errors.ts'
import type { Case } from '../../src/evidence/case.ts'
import { type Runtime, runProcedure } from '../../src/procedure/run.ts'
import { type RunbookStep, stepsCalling } from '../../src/procedure/runbook.ts'
import type { Outcome, Step } from '../../src/procedure/step.ts'
import type { Action, IncidentContext } from './context.ts'
import { type Left, leftIn } from './left.ts'

/** What has become of a run of a runbook. */
export interface Responded {
  /** Steps that looked at something and could not see it, by id: the run went on without. */
  unseen: readonly string[]
  /** How long each step took that was run now, in milliseconds. */
  took: Readonly<Record<string, number>>
  /** What the deployment's checks said last, by id, whichever run asked them. */
  checks: {
    failed: readonly string[]
    unknown: readonly string[]
    /** The first that could not look, and its reason. */
    why?: string
  }
  /** What is left for a person to do. */
  left: readonly Left[]
}

const RESUME = 'create-openclaw-secure incident --resume'
/** For whoever stops in the middle. */
export const STAYS_OPEN = `The case stays open, as it is. Go on with: ${RESUME}`

/**
 * Leads through a runbook, or goes on with one that was cut short: what the chain of custody has as done is not done again.
 * A step that only looks and cannot is entered as such and does not keep the next from being done; any other that fails
 * stops the run, and the same command goes on with it. Errors: `incident_waits` (exit 4) at a step that destroys and that
 * nobody has agreed to; what the steps throw.
 */
export async function respond(
  ctx: IncidentContext,
  actions: ReadonlyMap<string, Action>,
  runtimeOf: () => Runtime,
): Promise<Responded> {
  const took: Record<string, number> = {}
  for (const one of ctx.runbook.steps) {
    if (runtimeOf().signal.aborted) throw new Cancelled(STAYS_OPEN)
    const step = asStep(one, actions)
    // Looked at once: the deployment is ours for the whole run, and nobody overtakes the look.
    const why = await step.skip?.(ctx)
    if (why === undefined) {
      ctx.lead(one)
      await agree(one, ctx)
    }
    const runtime = { ...runtimeOf(), journal: ctx.case.journal, runId: ctx.case.id }
    try {
      Object.assign(
        took,
        (await runProcedure(ctx.runbook.id, [{ ...step, skip: () => why }], ctx, runtime)).took,
      )
    } catch (error) {
      throw halfWay(error)
    }
  }
  return { unseen: unseenIn(ctx.case), took, checks: checksIn(ctx), left: leftIn(ctx.case) }
}

/** Whatever fails a step leaves the case open, and any other command is refused until it is closed. */
function halfWay(error: unknown): unknown {
  // A procedure of one step would say that nothing was changed.
  if (error instanceof Cancelled) return new Cancelled(STAYS_OPEN)
  if (!(error instanceof ToolError) || error instanceof UsageError) return error
  const hint = error.hint
    .replace(/(run )the (?:same )?command again(?: with --resume)?/i, `$1${RESUME}`)
    .replace('create-openclaw-secure rotate --resume', RESUME)
  const how = hint.includes('incident --resume') ? hint : `${hint} ${STAYS_OPEN}`.trim()
  return new ToolError(error.code, error.message, how, Exit.interrupted, error)
}

/** A step that destroys is agreed to by its name, or by the person; others where the runbook asks for it and somebody is there. */
async function agree(step: RunbookStep, { ask, wishes }: IncidentContext): Promise<void> {
  if (step.confirm === 'nobody' || wishes.allow.includes(step.id)) return
  if (ask === undefined && step.effect !== 'destroys') return
  const warning = step.effect === 'destroys' ? ' It cannot be undone.' : undone(step)
  if (ask !== undefined && (await ask.confirm(`${step.title}? ${step.why}${warning}`))) return
  const hint = `Everything before it is done and stays so. Go on with: create-openclaw-secure incident --resume --allow ${step.id}`
  if (ask !== undefined) throw new Cancelled(`"${step.title}" was not agreed to. ${hint}`)
  throw new ToolError(
    'incident_waits',
    `${step.id} destroys, and nobody has agreed to it: ${step.title}`,
    hint,
    Exit.interrupted,
  )
}

function undone({ undo }: RunbookStep): string {
  return undo === undefined ? '' : ` To take it back: ${undo}`
}

/** A step of the runbook as a step of a procedure, journalled in the case whatever its effect. */
function asStep(step: RunbookStep, actions: ReadonlyMap<string, Action>): Step<IncidentContext> {
  const action = 'action' in step.does ? actions.get(step.does.action) : undefined
  if (action === undefined && 'action' in step.does)
    throw new Error(`${step.does.action} is not an action: the runbook was not checked`)
  return {
    id: step.id,
    title: step.title,
    effect: step.effect === 'destroys' ? 'destroys' : 'writes',
    // What only looks is worth nothing half-done, and harms nothing.
    interruptible: step.effect === 'reads',
    async skip(ctx) {
      if (ctx.wishes.rehearsal && 'run' in step.does && step.effect !== 'reads')
        return 'a drill runs no program that changes something'
      const done = doneAt(ctx, step.id)
      const mayBeUndone = action?.standing === true && !isSealed(ctx)
      if (done !== undefined && !mayBeUndone) return `done at ${done}`
      return action?.skip?.(ctx)
    },
    async run(ctx, signal) {
      try {
        if (action?.hasty !== true) await ctx.settled()
        return await (action?.run(ctx, signal) ?? runProgram(step, ctx))
      } catch (error) {
        const isBlind = step.effect === 'reads' && error instanceof ToolError && !(error instanceof Cancelled)
        if (!isBlind || signal.aborted) throw error
        ctx.case.missing({ name: step.id, command: step.title }, `${error.code}: ${error.message}`)
        return { saw: `could not be seen: ${error.message}`, facts: { unseen: error.code } }
      }
    },
  }
}

/** The steps of a case that could not see what they look at, in any of its runs. */
export function unseenIn({ journal }: Pick<Case, 'journal'>): string[] {
  return journal
    .read()
    .filter(({ event, facts }) => event === 'step-done' && typeof facts?.unseen === 'string')
    .map(({ step = '' }) => step)
}

function checksIn({ case: { journal } }: IncidentContext): Responded['checks'] {
  const facts = journal.read().findLast(({ facts }) => facts?.passed !== undefined)?.facts
  const listed = (name: string) =>
    String(facts?.[name] ?? '')
      .split(', ')
      .filter(id => id !== '')
  const why = facts?.unknownBecause
  return {
    ...{ failed: listed('failedChecks'), unknown: listed('unknownChecks') },
    ...(why === undefined ? {} : { why: String(why) }),
  }
}

/** When the case has a step as done. */
function doneAt({ case: { journal, runbook } }: IncidentContext, step: string): string | undefined {
  return journal
    .read()
    .findLast(event => event.procedure === runbook && event.step === step && event.event === 'step-done')?.at
}

/** Whether the evidence of this case is signed: from then on the deployment is a new one. */
export function isSealed({ case: { journal }, runbook }: Pick<IncidentContext, 'case' | 'runbook'>): boolean {
  const seals = stepsCalling(runbook, 'evidence.seal').map(({ id }) => id)
  return journal.read().some(({ event, step }) => event === 'step-done' && seals.includes(step ?? ''))
}

/** Of what a program prints. Bytes. */
const MOST = 64 * 1024 ** 2

/** A program of the runbook's own: what it prints is evidence, whatever its code. */
async function runProgram(step: RunbookStep, ctx: IncidentContext): Promise<Outcome> {
  if (!('run' in step.does)) throw new Error(`${step.id} is no program`)
  const [program, ...args] = step.does.run
  // One that failed and is run again says something else: it gets a name of its own.
  const before = ctx.case.artefacts().filter(({ file }) => file.startsWith(`evidence/programs/${step.id}-`))
  const name = `programs/${step.id}-${before.length + 1}.txt`
  const order = { name, command: step.does.run.join(' '), share: true as const }
  let code = 0
  const kept = await ctx.case.keep(order, async into => {
    const options = { deadline: step.within, cwd: ctx.layout.root, most: MOST, stream: 'both' } as const
    const poured = await pour(
      { call: (words, rest) => ctx.searchingRun(program, words, rest) },
      args,
      into,
      options,
    )
    code = poured.code
    return poured.isCut ? { cut: `only the first ${MOST} bytes` } : undefined
  })
  if (code !== 0 && step.effect !== 'reads')
    throw new ToolError(
      'program_failed',
      `${program} ended with code ${code}`,
      `What it said is in ${kept.file} of the case. Correct the cause and go on: create-openclaw-secure incident --resume`,
      Exit.interrupted,
    )
  return { saw: `${kept.bytes} bytes, exit code ${code}`, facts: { code } }
}
