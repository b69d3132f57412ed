import type { Answers } from '../../src/deployment/answers.ts'
import { readIfPresent } from '../../src/deployment/files.ts'
import type { PlannedFile } from '../../src/deployment/plan.ts'
import type { Case } from '../../src/evidence/case.ts'
import { sha256 } from '../../src/procedure/journal.ts'
import type { Step } from '../../src/procedure/step.ts'
import { writeAnswers } from '../../src/wizard/answers-file.ts'
import { readDeployment } from '../../src/wizard/saved.ts'
import { renderedAnswers } from '../move/context.ts'
import { must, type SetupContext } from '../setup/context.ts'
import { setupSteps } from '../setup/index.ts'
import { launchGateway } from '../setup/launch.ts'
import { planFiles } from '../setup/plan.ts'
import type { IncidentContext } from './context.ts'

/** Setup as it was done last. What the person has written into `deployment.yaml` since is for the next setup, and stays as it is. */
const planAsRendered: Step<SetupContext> = {
  ...planFiles,
  async run(ctx, signal) {
    const outcome = await planFiles.run(ctx, signal)
    const plan = must(ctx.found, 'plan')
    const isTheirs = ({ path, content }: PlannedFile) =>
      path === 'deployment.yaml' && content !== readIfPresent(ctx.layout.answers)
    ctx.found.plan = { ...plan, files: plan.files.filter(file => !isTheirs(file)) }
    return outcome
  },
}

/** All of setup's steps. */
export const openSteps: readonly Step<SetupContext>[] = setupSteps.map(step =>
  step.id === planFiles.id ? planAsRendered : step,
)

/** Those that come before anything is started. */
export const closedSteps = openSteps.slice(
  0,
  openSteps.findIndex(({ id }) => id === launchGateway.id),
)

/** What setup is done with, from what an incident knows. */
export function setupContextOf(ctx: IncidentContext): SetupContext {
  const { answers, text } = answersOf(ctx)
  const { layout, person, docker, run, compose, store, journal, redactor, wishes } = ctx
  return {
    ...{ answers, layout, person, docker, run, compose, store, journal, redactor },
    written: text,
    brought: new Map(wishes.brought),
    openers: {},
    launch: true,
    startDeadline: wishes.startDeadline,
    now: () => ctx.now(),
    say: line => ctx.say(line),
    found: {},
  }
}

/** As they were rendered last; or, where the person has taken a change in this case, as `deployment.yaml` has them now. */
function answersOf({ answers, layout, case: open }: IncidentContext): {
  answers: Answers
  text: string
} {
  const there = readIfPresent(layout.answers)
  if (there !== undefined && isPolicyTaken(open, there))
    return { answers: readDeployment(there, layout.root).answers, text: there }
  return { answers, text: readIfPresent(renderedAnswers(layout)) ?? writeAnswers(answers) }
}

/**
 * Enters which `deployment.yaml` the person takes. Before it is written: a run that is killed right after it knows it again, and
 * one that is killed right before it finds another text, for which the entry does not count.
 */
export function takePolicy(open: Pick<Case, 'note'>, text: string): void {
  open.note(POLICY, { file: sha256(text) })
}

/** Whether this very text was taken in this case. */
export function isPolicyTaken({ journal }: Pick<Case, 'journal'>, text: string): boolean {
  const sum = sha256(text)
  return journal.read().some(({ step, facts }) => step === POLICY && facts?.file === sum)
}

const POLICY = 'policy'
