import { WORK } from '../../src/docker/collector.ts'
import type { Action } from './context.ts'
import { collecting, cutOf, ENTRIES, gather, outcome } from './gather.ts'
import { keepLedger } from './records.ts'
import { writtenFolders } from './state.ts'

/** SQLite files that were being written to, each as one file that can be opened; and what one of them tells, as text. */
export const databasesAction: Action = {
  id: 'evidence.databases',
  title: 'Copy the databases so that they can be opened, and the audit ledger',
  effect: 'reads',
  async run(ctx, signal) {
    const { read } = await collecting(ctx)
    const folders = writtenFolders(ctx)
    const order = {
      name: 'databases.tar',
      command: `collector: SQLite’s backup of every database in ${folders.map(({ source }) => source).join(' and ')}`,
    }
    let found: { check: string; copy?: string | undefined }[] = []
    const gathered = await gather(ctx, signal, order, async (into, most, stop) => {
      const bytes = Math.min(most, WORK - 16 * 1024 ** 2)
      const names = folders.map(({ name }) => name)
      const task = { program: 'databases', order: { base: '/from', names, bytes, entries: ENTRIES } } as const
      const summary = await read({ folders }, task, into, { deadline: 300_000, signal: stop })
      found = Array.isArray(summary.notes) ? summary.notes : []
      return cutOf(summary)
    })
    const { saw, facts } = outcome([gathered, await keepLedger(ctx, signal)])
    const sound = found.filter(({ check }) => check === 'ok').length
    return {
      saw: `${saw}. ${found.length} databases, ${sound} of them sound by SQLite’s own check`,
      facts: { ...facts, databases: found.length, sound },
    }
  },
}
