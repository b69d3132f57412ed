import { readIfPresent } from '../../src/deployment/files.ts'
import type { Step } from '../../src/procedure/step.ts'
import { writeAnswers } from '../../src/wizard/answers-file.ts'
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
    ctx.found.plan = { ...plan, files: plan.files.filter(({ path }) => path !== 'deployment.yaml') }
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
  const { answers, layout, person, docker, run, compose, store, journal, redactor, wishes } = ctx
  return {
    ...{ answers, layout, person, docker, run, compose, store, journal, redactor },
    written: readIfPresent(renderedAnswers(layout)) ?? writeAnswers(answers),
    brought: new Map(wishes.brought),
    openers: {},
    launch: true,
    startDeadline: wishes.startDeadline,
    now: () => ctx.now(),
    say: line => ctx.say(line),
    found: {},
  }
}
