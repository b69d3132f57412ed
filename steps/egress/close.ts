import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { lookAt, syncDirectory } from '../../src/deployment/files.ts'
import { EGRESS } from '../../src/docker/compose.ts'
import { ToolError } from '../../src/errors.ts'
import type { Step } from '../../src/procedure/step.ts'
import { type EgressContext, openingOf } from './context.ts'

type Needs = Pick<EgressContext, 'layout' | 'compose' | 'docker'>

/** How long until what was opened meanwhile is cut: `is-open` looks every two seconds, and Squid is started anew. */
const PATIENCE = 20_000

/** Ends an opening before its time, and every connection that was made in it. */
export const closeAtOnce: Step<Needs> = {
  id: 'egress.close',
  title: 'Close the way out',
  effect: 'writes',
  skip: ({ layout }) => (lookAt(openingOf(layout)) === undefined ? 'it is closed' : undefined),
  async run({ layout, compose, docker }) {
    takeBack(layout)
    const began = Date.now()
    for (;;) {
      const proxy = await compose.container(EGRESS)
      // One that does not run has no connections, and reads the rules when it starts.
      if (proxy === undefined || proxy.State.Status === 'exited')
        return { saw: 'closed; the proxy does not run' }
      // What `is-open` remembers of an opening goes when Squid has ended, and with Squid every connection. Its word counts,
      // not its exit code: Docker's own, for a container that is being started anew, is 1 as well.
      const mark = await docker.exec(proxy.Id, ['sh', '-c', 'test -e /run/opened || echo gone'], {
        deadline: 10_000,
      })
      if (mark.stdout.trim() === 'gone') return { saw: 'closed; what was opened meanwhile is cut' }
      if (Date.now() - began > PATIENCE)
        throw new ToolError(
          'egress_not_closed',
          'the proxy opens nothing any more, but has not cut what was opened before',
          'End it yourself, Docker Compose starts it anew: docker compose restart egress in the deployment folder.',
        )
      await sleep(300)
    }
  },
}

/** Removes what opens the way out. Within two seconds the proxy ends itself, with what was connected meanwhile. */
export function takeBack(layout: EgressContext['layout']): void {
  rmSync(openingOf(layout), { force: true })
  syncDirectory(layout.border)
}
