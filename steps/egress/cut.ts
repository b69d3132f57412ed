import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { takenOut } from '../../src/deployment/egress.ts'
import { lookAt, readIfPresent } from '../../src/deployment/files.ts'
import { INSIDE } from '../../src/deployment/layout.ts'
import { LISTENS } from '../../src/deployment/network.ts'
import { EGRESS } from '../../src/docker/compose.ts'
import { ToolError } from '../../src/errors.ts'
import type { JournalEvent } from '../../src/procedure/journal.ts'
import type { Step } from '../../src/procedure/step.ts'
import type { SetupContext } from '../setup/context.ts'
import { rulesOf } from './context.ts'

type Needs = Pick<SetupContext, 'layout' | 'compose' | 'docker' | 'journal' | 'launch'>

/** Docker has an ended proxy back after a second; a busy machine takes longer. Milliseconds. */
const PATIENCE = 30_000

/**
 * Notes in the journal, before any rule is written, who is not to be reached any more: a run that is killed after that leaves
 * it for the next one to cut. `next`: the rules to come; undefined: they stay.
 */
export function noteTakenOut<C extends Pick<Needs, 'layout'>>(next: (ctx: C) => string | undefined): Step<C> {
  const gone = (ctx: C) => {
    const rules = next(ctx)
    if (rules === undefined) return []
    const present = readIfPresent(rulesOf(ctx.layout))
    if (present !== undefined) return takenOut(present, rules)
    // Somebody has removed the file, and the running proxy may still go by what was in it.
    return readIfPresent(resolve(ctx.layout.base, 'border/squid.conf')) === undefined ? [] : ['unknown']
  }
  return {
    id: 'egress.note',
    title: 'Note who is not to be reached any more',
    effect: 'writes',
    skip: ctx => (gone(ctx).length === 0 ? 'nobody is taken out' : undefined),
    async run(ctx) {
      const hosts = gone(ctx).join(' ')
      return { saw: hosts, facts: { hosts } }
    },
  }
}

/** Rules are asked when a connection is made. One to a host that is denied from now on would go on for as long as it likes. */
export const cutConnections: Step<Needs> = {
  id: 'egress.cut',
  title: 'Cut the connections that were made by the rules before',
  effect: 'writes',
  skip({ journal, launch }) {
    if (!launch) return 'nothing is launched'
    return isDue(journal.read()) ? undefined : 'nobody was taken out since they were cut last'
  },
  async run({ compose, docker, layout }) {
    const before = await compose.container(EGRESS)
    if (before?.State.Running !== true) return { saw: 'the proxy does not run, and has none' }
    const written = lookAt(rulesOf(layout))?.mtimeMs ?? Number.POSITIVE_INFINITY
    if (Date.parse(before.State.StartedAt) > written) return { saw: 'none is older than the rules' }
    // It ends by itself and is started anew: a signal from outside would keep some engines from that.
    await docker.exec(before.Id, ['squid', '-k', 'shutdown', '-f', `${INSIDE.border}/squid.conf`], {
      deadline: 20_000,
    })
    for (const began = Date.now(); Date.now() - began < PATIENCE; await sleep(200)) {
      const now = await compose.container(EGRESS)
      if (now?.State.Running !== true || now.State.StartedAt === before.State.StartedAt) continue
      // Whoever asks it next, as the checks do, finds it there.
      const knock = ['bash', '-c', `</dev/tcp/${LISTENS.egress}/${INSIDE.proxyPort}`]
      if ((await docker.exec(now.Id, knock, { deadline: 10_000 })).code === 0)
        return { saw: 'all of them; the proxy is started anew, and those that are allowed come back' }
    }
    throw new ToolError(
      'egress_not_cut',
      'new connections are refused, but those that were made before may go on',
      'End the proxy yourself, in the deployment folder: docker compose restart egress.',
    )
  },
}

/** Whether somebody was taken out, and what was connected is not known to be cut since. */
function isDue(events: readonly JournalEvent[]): boolean {
  const last = events.findLast(
    ({ event, step }) => event === 'step-done' && (step === 'egress.note' || step === 'egress.cut'),
  )
  return last?.step === 'egress.note'
}
