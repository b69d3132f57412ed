import { lookAt } from '../../src/deployment/files.ts'
import type { Action, IncidentContext } from './context.ts'
import { collecting, cutOf, ENTRIES, gather, inTurn, outcome } from './gather.ts'

/** The folders that an agent writes to and that outlive its container, those of them that are there. */
export function writtenFolders({
  layout,
}: Pick<IncidentContext, 'layout'>): { name: string; source: string }[] {
  return [
    { name: 'state', source: layout.state },
    { name: 'sandbox-work', source: layout.sandboxWork },
  ].filter(({ source }) => lookAt(source)?.isDirectory() === true)
}

/** The gateway's state with its workspace, and what agents have made in the sandbox. */
export const stateAction: Action = {
  id: 'evidence.state',
  title: 'Copy the gateway’s state and the workspaces',
  effect: 'reads',
  async run(ctx, signal) {
    const { read } = await collecting(ctx)
    return outcome(
      await inTurn(writtenFolders(ctx), folder => {
        const order = { name: `${folder.name}.tar`, command: `collector: tar of ${folder.source}` }
        return gather(ctx, signal, order, async (into, bytes, stop) => {
          const what = { what: 'trees', base: '/from', names: [folder.name], onlyMeasure: false } as const
          const task = { program: 'archive', order: { ...what, bytes, entries: ENTRIES } } as const
          return cutOf(await read({ folders: [folder] }, task, into, { deadline: 600_000, signal: stop }))
        })
      }),
    )
  },
}
