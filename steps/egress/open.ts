import { openUntil } from '../../src/deployment/egress.ts'
import { writeAtomic } from '../../src/deployment/files.ts'
import type { Step } from '../../src/procedure/step.ts'
import { whoIsAsked } from './ask.ts'
import { takeBack } from './close.ts'
import { type EgressContext, openingOf } from './context.ts'
import { proveAnswers } from './prove.ts'

type Needs = Pick<EgressContext, 'layout' | 'docker' | 'compose' | 'seconds' | 'owner' | 'now' | 'expected'>

/**
 * Nobody has to come back to close it: the proxy itself reads the end, anew for every request. What is not proven to be open
 * does not stay open behind the back of a person who was told that it failed.
 */
export const openForAWhile: Step<Needs> = {
  id: 'egress.open',
  title: 'Open the way out for a while, and ask the running proxy',
  effect: 'writes',
  interruptible: true,
  async run(ctx, signal) {
    const { layout, seconds, owner, now } = ctx
    await whoIsAsked(ctx)
    const from = now()
    // At once: whoever presses Ctrl-C a second time ends this program wherever it is.
    const stop = () => takeBack(layout)
    signal.addEventListener('abort', stop)
    try {
      writeAtomic(openingOf(layout), openUntil(from, seconds), 0o400, owner())
      const { saw } = await proveAnswers.run(ctx, signal)
      signal.throwIfAborted()
      const until = new Date((Math.floor(from.getTime() / 1000) + seconds) * 1000).toISOString()
      return { saw: `until ${until}: ${saw}`, facts: { until } }
    } catch (error) {
      takeBack(layout)
      throw error
    } finally {
      signal.removeEventListener('abort', stop)
    }
  },
}
