import type { Action } from './context.ts'
import { collecting, cutOf, gather, inTurn, notRunning, outcome } from './gather.ts'

/** The processes' own memory. It holds every secret they use, and so it is asked for, and encrypted. */
export const memoryAction: Action = {
  id: 'evidence.memory',
  title: 'Copy the processes’ memory',
  effect: 'reads',
  skip: ({ wishes }) =>
    wishes.memory ? undefined : 'not asked for (--memory with --encrypt-to): it holds secrets',
  async run(ctx, signal) {
    const { containers, read } = await collecting(ctx)
    return outcome(
      await inTurn(containers, async ({ id, label, isRunning }) => {
        const order = {
          name: `${label}/memory.bin`,
          command: `collector in ${label}: /proc/PID/mem, the pages of its own of every process`,
          sealed: 'always',
        } as const
        if (!isRunning) return notRunning(ctx, order, 'memory')
        return gather(ctx, signal, order, async (into, bytes, stop) => {
          const task = { program: 'memory', order: { bytes } } as const
          return cutOf(await read({ container: id }, task, into, { deadline: 300_000, signal: stop }))
        })
      }),
    )
  },
}
