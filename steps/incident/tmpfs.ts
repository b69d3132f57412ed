import type { Action } from './context.ts'
import { collecting, cutOf, ENTRIES, gather, inTurn, notRunning, outcome } from './gather.ts'

/** Temporary folders exist in memory alone, and neither `docker cp` nor `commit` nor `export` sees them (measured). */
export const tmpfsAction: Action = {
  id: 'evidence.tmpfs',
  title: 'Copy every temporary folder',
  effect: 'reads',
  async run(ctx, signal) {
    const { containers, read } = await collecting(ctx)
    return outcome(
      await inTurn(containers, async ({ id, label, isRunning }) => {
        const order = {
          name: `${label}/tmpfs.tar`,
          command: `collector in ${label}: tar of every tmpfs below /proc/1/root`,
        }
        if (!isRunning) return notRunning(ctx, order, 'temporary folders any more')
        return gather(ctx, signal, order, async (into, bytes, stop) => {
          const what = { what: 'tmpfs', base: '/proc/1', names: [], onlyMeasure: false } as const
          const task = { program: 'archive', order: { ...what, bytes, entries: ENTRIES } } as const
          return cutOf(await read({ container: id }, task, into, { deadline: 180_000, signal: stop }))
        })
      }),
    )
  },
}
