import { openUntil } from '../../src/deployment/egress.ts'
import { writeAtomic } from '../../src/deployment/files.ts'
import type { Step } from '../../src/procedure/step.ts'
import { runningProxy } from './ask.ts'
import { type EgressContext, openingOf } from './context.ts'

type Needs = Pick<EgressContext, 'layout' | 'compose' | 'seconds' | 'owner' | 'now'>

/** Nobody has to come back to close it: the proxy itself reads the end, anew for every request. */
export const openForAWhile: Step<Needs> = {
  id: 'egress.open',
  title: 'Open the way out for a while',
  effect: 'writes',
  async run({ layout, compose, seconds, owner, now }) {
    await runningProxy({ compose })
    const from = now()
    writeAtomic(openingOf(layout), openUntil(from, seconds), 0o400, owner())
    const until = new Date((Math.floor(from.getTime() / 1000) + seconds) * 1000).toISOString()
    return { saw: `until ${until}`, facts: { until } }
  },
}
