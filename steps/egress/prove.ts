import { setTimeout as sleep } from 'node:timers/promises'
import type { Decision } from '../../src/deployment/egress.ts'
import { ToolError } from '../../src/errors.ts'
import type { Step } from '../../src/procedure/step.ts'
import { askTheProxy } from './ask.ts'
import type { EgressContext, Expectation } from './context.ts'

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
      const answers = await askTheProxy(ctx, targets)
      const wrong = ctx.expected.filter(one => !isAsExpected(one, answers))
      if (wrong.length === 0) return { saw: inWords(ctx.expected, answers) }
      if (Date.now() - began > PATIENCE)
        throw new ToolError(
          'egress_unproven',
          `the proxy does not answer as it should: ${inWords(wrong, answers)}`,
          'Look at `docker compose logs egress` in the deployment folder, then run the same command again.',
        )
      await sleep(300, undefined, { signal })
    }
  },
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
