import { setTimeout as sleep } from 'node:timers/promises'
import { type Decision, decisionIn } from '../../src/deployment/egress.ts'
import { INSIDE } from '../../src/deployment/layout.ts'
import { EGRESS } from '../../src/docker/compose.ts'
import type { ContainerFacts, Docker } from '../../src/docker/engine.ts'
import { ToolError } from '../../src/errors.ts'
import { asScript } from '../../src/gateway/inside.ts'
import { askProxy, type ProxyOrder } from '../../src/gateway/inside-proxy.ts'
import type { EgressContext } from './context.ts'

type Needs = Pick<EgressContext, 'docker' | 'compose'>

/** Squid writes a line when it is through with a request: a name server that is silent takes it 15 s. */
const SLOWEST = 20_000

/**
 * What the running proxy decides about each target when the gateway asks it for a tunnel there, from its own log. The
 * tunnel is closed at once and nothing is sent through, but for what is allowed the proxy looks the name up and connects.
 * A target that it has written nothing about is not among the answers. Errors: `egress_not_running`, `exec_failed`.
 */
export async function askTheProxy(
  { docker, compose }: Needs,
  targets: readonly string[],
): Promise<ReadonlyMap<string, Decision>> {
  const { gateway, proxy } = await whoIsAsked({ compose })
  // The engine's clock may differ from ours: only what was not there before is an answer.
  const since = new Date(Date.now() - 60_000).toISOString()
  const before = (await decisions(docker, proxy, since)).length
  const order: ProxyOrder = { host: EGRESS, port: INSIDE.proxyPort, tunnels: [...targets], plain: [] }
  const command = ['node', '-e', asScript(askProxy), JSON.stringify(order)]
  const { code } = await docker.exec(gateway.Id, command, { deadline: 20_000 })
  if (code !== 0)
    throw new ToolError(
      'exec_failed',
      'nothing could be run in the gateway’s container',
      'Run the command again.',
    )
  const began = Date.now()
  for (;;) {
    const fresh = (await decisions(docker, proxy, since)).slice(before)
    const found = new Map(fresh.map(decision => [decision.target, decision]))
    if (targets.every(target => found.has(target)) || Date.now() - began > SLOWEST) return found
    await sleep(250)
  }
}

/** The gateway, which asks, and the proxy, both running. Errors: `egress_not_running`. */
export async function whoIsAsked({
  compose,
}: Pick<Needs, 'compose'>): Promise<{ gateway: ContainerFacts; proxy: ContainerFacts }> {
  const gateway = running(await compose.container(), 'gateway')
  return { gateway, proxy: running(await compose.container(EGRESS), 'proxy') }
}

function running(container: ContainerFacts | undefined, what: string): ContainerFacts {
  if (container?.State.Running === true && !container.State.Paused) return container
  throw new ToolError(
    'egress_not_running',
    `the ${what} does not run`,
    'Start the deployment: create-openclaw-secure .',
  )
}

async function decisions(docker: Docker, { Id }: ContainerFacts, since: string): Promise<Decision[]> {
  const { stdout } = await docker.call(['logs', '--since', since, Id], { deadline: 15_000 })
  return stdout
    .split('\n')
    .map(decisionIn)
    .filter(decision => decision !== undefined)
}
