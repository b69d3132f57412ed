import { hasSandbox } from '../../src/deployment/answers.ts'
import { NETWORKS } from '../../src/deployment/network.ts'
import { SANDBOX_SERVICE, SERVICE } from '../../src/docker/compose.ts'
import { firstLine } from '../../src/docker/engine.ts'
import { leave, membersOf } from '../../src/docker/isolation.ts'
import { Exit, ToolError } from '../../src/errors.ts'
import { runProcedure } from '../../src/procedure/run.ts'
import { closedSteps, setupContextOf } from './clean-setup.ts'
import type { Action } from './context.ts'
import { closedGateway } from './rotation.ts'

/**
 * The clean gateway runs, and nobody can reach it: the token that it takes is still the one that leaked. So there is no
 * published port and no way out until every secret is another one.
 */
export const startClosed: Action = {
  id: 'gateway.start-closed',
  title: 'Start the clean gateway with its port closed',
  effect: 'contains',
  async run(ctx) {
    const { compose, docker, answers, wishes } = ctx
    const setup = setupContextOf(ctx)
    await runProcedure('setup-closed', closedSteps, setup, ctx.runtimeOf())
    const services = [SERVICE, ...(hasSandbox(answers) ? [SANDBOX_SERVICE] : [])]
    const up = async (...options: string[]) => {
      const { code, stderr } = await compose.call(
        ['up', '--no-build', '--no-deps', ...options, ...services],
        {
          deadline: 180_000,
          onLine: ctx.say,
        },
      )
      if (code !== 0) throw notStarted(firstLine(stderr))
    }
    // Made first and started then: with an open way out it would be on a network that others reach.
    await up('--no-start')
    const placesOutside = async () =>
      (await membersOf(docker, answers.name)).flatMap(({ places }) =>
        places.filter(({ network }) => network === `${answers.name}_${NETWORKS.outside}`),
      )
    await leave(docker, await placesOutside())
    const still = await placesOutside()
    if (still.length > 0)
      throw notStarted(`${still.map(({ label }) => label).join(', ')} cannot be kept off the outside`)
    await up('--detach', '--no-recreate')
    await closedGateway(ctx).untilReady()
    const others = (await membersOf(docker, answers.name)).filter(
      ({ service, isRunning }) => isRunning && !services.some(name => name === service),
    )
    if (others.length > 0)
      throw notStarted(`${others.map(({ label }) => label).join(', ')} should not run yet`)
    return {
      saw: `${services.join(' and ')} run; nothing leads to the gateway, and it answers inside`,
      facts: { services: services.join(', '), deadline: wishes.startDeadline },
    }
  },
}

function notStarted(why: string): ToolError {
  return new ToolError(
    'not_started_closed',
    `the clean gateway could not be started: ${why}`,
    'Correct the cause and go on: create-openclaw-secure incident --resume',
    Exit.interrupted,
  )
}
