import { setTimeout as sleep } from 'node:timers/promises'
import type { Decision } from '../../src/deployment/egress.ts'
import { Exit, ToolError } from '../../src/errors.ts'
import type { Step } from '../../src/procedure/step.ts'
import { askTheProxy } from './ask.ts'
import { type EgressContext, type Expectation, NOT_PUBLIC } from './context.ts'

type Needs = Pick<EgressContext, 'docker' | 'compose' | 'expected'>

/** How long the proxy may take to answer in the new way: reading its rules takes it half a second. */
const PATIENCE = 10_000

/** The one thing that counts: what the running proxy answers when the gateway asks it. */
export const proveAnswers: Step<Needs> = {
  id: 'egress.prove',
  title: 'Ask the running proxy, from the gateway',
  effect: 'reads',
  async run(ctx, signal) {
    const began = Date.now()
    for (;;) {
      const targets = ctx.expected.map(({ target }) => target)
      const answers = await askTheProxy(ctx, targets).catch((cause: unknown) => {
        // Docker starts an ended one anew after a moment.
        if (cause instanceof ToolError && cause.code === 'egress_not_running' && isEarly(began)) return NONE
        throw cause
      })
      const wrong = ctx.expected.filter(one => !isAsExpected(one, answers))
      if (wrong.length === 0) {
        refuseOwnNetwork(ctx.expected, answers)
        return { saw: inWords(ctx.expected, answers) }
      }
      if (!isEarly(began))
        throw new ToolError(
          'egress_unproven',
          `the proxy does not answer as it should: ${inWords(wrong, answers)}`,
          'Look at `docker compose logs egress` in the deployment folder, then run the same command again.',
        )
      await sleep(300, undefined, { signal })
    }
  },
}

const NONE: ReadonlyMap<string, Decision> = new Map()

function isEarly(began: number): boolean {
  return Date.now() - began <= PATIENCE
}

/** A name on the list that will never be let through: whoever put it there is told so. */
function refuseOwnNetwork(expected: readonly Expectation[], answers: ReadonlyMap<string, Decision>): void {
  const hidden = expected
    .filter(({ target, reasons }) => reasons.includes('listed') && answers.get(target)?.reason === NOT_PUBLIC)
    .map(({ target }) => target)
  if (hidden.length === 0) return
  throw new ToolError(
    'egress_not_public',
    `on the list now, and refused all the same: ${hidden.join(', ')} leads to an address that is not public`,
    'What is in your own network is named by its address, as a provider (--provider NAME=URL). Take the name off the list with egress deny.',
    Exit.failed,
  )
}

function isAsExpected({ target, reasons }: Expectation, answers: ReadonlyMap<string, Decision>): boolean {
  return reasons.includes(answers.get(target)?.reason ?? '')
}

function inWords(asked: readonly Expectation[], answers: ReadonlyMap<string, Decision>): string {
  return asked
    .map(({ target }) => {
      const answer = answers.get(target)
      if (answer === undefined) return `${target} no answer`
      return `${target} ${answer.allowed ? 'allowed' : 'refused'} (${answer.reason})`
    })
    .join(', ')
}
