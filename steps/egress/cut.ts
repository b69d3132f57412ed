import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { lookAt } from '../../src/deployment/files.ts'
import { INSIDE } from '../../src/deployment/layout.ts'
import { EGRESS } from '../../src/docker/compose.ts'
import { ToolError } from '../../src/errors.ts'
import type { Step } from '../../src/procedure/step.ts'
import type { EgressContext } from './context.ts'

type Needs = Pick<EgressContext, 'layout' | 'compose' | 'docker' | 'change'>

/** Docker has an ended proxy back after a second; a busy machine takes longer. Milliseconds. */
const PATIENCE = 30_000

/** Rules are asked when a connection is made. One to a host that is denied from now on would go on for as long as it likes. */
export const cutConnections: Step<Needs> = {
  id: 'egress.cut',
  title: 'Cut the connections that were made by the rules before',
  effect: 'writes',
  async skip({ change, compose, layout }) {
    if (change.deny.length === 0) return 'nobody is denied'
    const proxy = await compose.container(EGRESS).catch(() => undefined)
    if (proxy?.State.Running !== true) return 'the proxy does not run, and has none'
    const written = lookAt(resolve(layout.border, 'squid.conf'))?.mtimeMs ?? 0
    return Date.parse(proxy.State.StartedAt) > written ? 'none is older than the rules' : undefined
  },
  async run({ compose, docker }) {
    const before = await compose.container(EGRESS)
    if (before?.State.Running !== true) return { saw: 'the proxy does not run, and has none' }
    // It ends by itself and is started anew: a signal from outside would keep some engines from that.
    await docker.exec(before.Id, ['squid', '-k', 'shutdown', '-f', `${INSIDE.border}/squid.conf`], {
      deadline: 20_000,
    })
    for (const began = Date.now(); Date.now() - began < PATIENCE; await sleep(200)) {
      const now = await compose.container(EGRESS)
      if (now?.State.Running === true && now.State.StartedAt !== before.State.StartedAt)
        return { saw: 'all of them; the proxy is started anew, and those that are allowed come back' }
    }
    throw new ToolError(
      'egress_not_cut',
      'new connections are refused, but those that were made before may go on',
      'End the proxy yourself, in the deployment folder: docker compose restart egress.',
    )
  },
}
