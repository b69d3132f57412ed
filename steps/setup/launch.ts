import { setTimeout as sleep } from 'node:timers/promises'
import { INGRESS } from '../../src/docker/compose.ts'
import { publishes } from '../../src/docker/engine.ts'
import { ToolError } from '../../src/errors.ts'
import { GATEWAY_TOKEN } from '../../src/gateway/policy.ts'
import { AUTH_PATH, askFromHost, reasonInLog } from '../../src/gateway/probe.ts'
import type { Step } from '../../src/procedure/step.ts'
import { checkedFacts } from './check.ts'
import type { SetupContext } from './context.ts'

type Needs = Pick<
  SetupContext,
  'answers' | 'compose' | 'docker' | 'launch' | 'startDeadline' | 'store' | 'say' | 'found'
>

/** Starts the gateway, or replaces it when its definition changed, and waits until it takes requests. */
export const launchGateway: Step<Needs> = {
  id: 'gateway.launch',
  title: 'Start the gateway and wait until it answers',
  effect: 'writes',
  // Compose itself runs to its end; waiting can stop at any time, and the gateway goes on starting.
  interruptible: true,
  async skip(ctx) {
    if (!ctx.launch) return 'not asked for (--no-launch)'
    return (await isRunningAsPlanned(ctx)) ? 'it runs, and nothing about it has changed' : undefined
  },
  async run(ctx, signal) {
    const { compose, answers, docker, startDeadline, say, found } = ctx
    const began = Date.now()
    const before = await compose.containerId()
    const restarts = before === undefined ? 0 : ((await docker.container(before))?.RestartCount ?? 0)
    await compose.up(say)
    const id = await compose.containerId()
    if (id === undefined)
      throw new ToolError(
        'compose_up_failed',
        'Docker Compose made no container',
        'Look at `docker compose ps --all` in the deployment folder.',
      )
    found.container = id
    await untilReady(ctx, id, {
      deadline: began + startDeadline,
      restarts: id === before ? restarts : 0,
      signal,
    })
    return {
      saw: `container ${id.slice(0, 12)} answers on 127.0.0.1:${answers.port} after ${seconds(Date.now() - began)}`,
      facts: { container: id, ...checkedFacts(found) },
    }
  },
  async undo({ compose, found }) {
    // What we did not start we do not stop.
    if (found.container === undefined) return
    // A gateway that does not start leaves a diagnosis in the state folder at every try: stop it from trying on.
    await compose.stop()
  },
}

/** The one thing that counts: the token in the store is the token the gateway takes, and no token is not enough. */
export const proveToken: Step<Needs> = {
  id: 'gateway.prove',
  title: 'Prove that the stored token is the one it accepts',
  effect: 'reads',
  skip: ({ launch }) => (launch ? undefined : 'nothing is launched'),
  async run({ answers, compose, store }) {
    const token = (await store.load(GATEWAY_TOKEN))?.current?.value
    if (token === undefined) throw new Error('the store lost the gateway token')
    // Only what we started is handed the token.
    const [gateway, ingress] = await Promise.all([compose.container(), compose.container(INGRESS)])
    if (gateway?.State.Running !== true || ingress === undefined || !publishes(ingress, answers.port))
      throw new ToolError(
        'gateway_died',
        'the gateway ended right after it had started',
        'Look at `docker compose logs` in the deployment folder, then run the same command again.',
      )
    const without = await askFromHost(answers, AUTH_PATH)
    let right = await askFromHost(answers, AUTH_PATH, token)
    // A running gateway takes up a new token by itself, in about a second. Few tries: wrong ones are counted.
    for (let tries = 0; right === 401 && tries < 5; tries++) {
      await sleep(1000)
      right = await askFromHost(answers, AUTH_PATH, token)
    }
    const saw = `GET ${AUTH_PATH}: ${without ?? 'no answer'} without a token, ${right ?? 'no answer'} with it`
    if (without === 401 && right === 404) return { saw }
    throw new ToolError(
      'token_not_proven',
      `the gateway does not treat its token as it should: ${saw}`,
      right === 429
        ? 'Too many wrong tokens came from this machine: wait five minutes and run the command again.'
        : 'Is something else on that port? Look at `docker compose logs` in the deployment folder.',
    )
  },
}

async function isRunningAsPlanned({ answers, compose, docker, found }: Needs): Promise<boolean> {
  const id = await compose.containerId()
  if (id === undefined) return false
  const container = await docker.container(id)
  if (container?.State.Paused === true)
    throw new ToolError(
      'gateway_paused',
      'the gateway is frozen (docker pause)',
      'If an incident is being looked into, leave it so: setup would thaw and replace it. If not: docker unpause it, then run the command again.',
    )
  if (container?.State.Running !== true) return false
  if (!(await areAsPlanned(compose))) return false
  if ((await askFromHost(answers, '/startupz')) !== 200) return false
  found.container = id
  return true
}

/** Whether every container of the file runs, made from what the file says now: the two at the border too. */
async function areAsPlanned(compose: Needs['compose']): Promise<boolean> {
  const hashes = [...(await compose.configHashes())]
  const containers = await Promise.all(hashes.map(([service]) => compose.container(service)))
  return (
    hashes.length > 0 &&
    hashes.every(([, hash], index) => {
      const container = containers[index]
      const made = container?.Config.Labels?.['com.docker.compose.config-hash']
      return container?.State.Running === true && made === hash
    })
  )
}

/** Waits for the published port to take requests. Errors: `gateway_died`, `gateway_not_ready`, each with its log's reason. */
async function untilReady(
  { answers, compose, docker }: Needs,
  id: string,
  until: { deadline: number; restarts: number; signal: AbortSignal },
): Promise<void> {
  for (;;) {
    const container = await docker.container(id)
    const status = container?.State.Status ?? 'gone'
    if (
      container === undefined ||
      container.RestartCount > until.restarts ||
      ['exited', 'dead'].includes(status)
    ) {
      const reason = reasonInLog(await compose.logs(200))
      // Docker may be running it again by now, and then shows 0.
      const code =
        container === undefined || container.State.Running ? '' : ` (exit code ${container.State.ExitCode})`
      throw new ToolError(
        'gateway_died',
        `the gateway ended instead of starting${code}: ${reason}`,
        container?.State.OOMKilled
          ? 'It ran out of memory: raise --memory.'
          : 'Correct the cause and run the same command again; all files and secrets are kept.',
      )
    }
    const answer = await askFromHost(answers, '/startupz', undefined, 2000)
    if (answer === 200) return
    if (Date.now() > until.deadline) {
      const reason = reasonInLog(await compose.logs(200))
      throw new ToolError(
        'gateway_not_ready',
        `the gateway did not become ready in time (GET /startupz: ${answer ?? 'no answer'}): ${reason}`,
        'Is the machine very busy? Raise --start-timeout. All files and secrets are kept: run the same command again.',
      )
    }
    await sleep(300, undefined, { signal: until.signal })
  }
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`
}
