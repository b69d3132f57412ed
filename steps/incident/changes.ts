import { PassThrough } from 'node:stream'
import { pour } from '../../src/docker/collector.ts'
import { ToolError } from '../../src/errors.ts'
import type { Action } from './context.ts'
import { collecting, cutOf, ENTRIES, gather, gatherCall, inTurn, notRunning, outcome } from './gather.ts'

/** What differs from the image: names, and the files themselves. */
export const changesAction: Action = {
  id: 'evidence.changes',
  title: 'Copy what was changed in the containers’ own layer',
  effect: 'reads',
  async run(ctx, signal) {
    const { containers, read } = await collecting(ctx)
    return outcome(
      await inTurn(containers, async ({ id, label, isRunning }) => {
        const listed = await gatherCall(ctx, signal, { name: `${label}/changes.txt`, share: true }, [
          'diff',
          id,
        ])
        const order = {
          name: `${label}/changed-files.tar`,
          command: `collector in ${label}: tar of what docker diff names, below /proc/1/root`,
        }
        if (!isRunning) return [listed, notRunning(ctx, order, 'files that can be read; its image has them')]
        const copied = await gather(ctx, signal, order, async (into, bytes, stop) => {
          const names = await changedNames(ctx.searching, id, stop)
          const what = { what: 'paths', base: '/proc/1', names, onlyMeasure: false } as const
          const task = { program: 'archive', order: { ...what, bytes, entries: ENTRIES } } as const
          return cutOf(await read({ container: id }, task, into, { deadline: 180_000, signal: stop }))
        })
        return [listed, copied]
      }),
    )
  },
}

/**
 * Added and changed paths as bytes in Latin-1. A name with a newline reads as several: those the collector does not find, and the
 * preserved image has it.
 */
async function changedNames(
  docker: Parameters<typeof pour>[0],
  id: string,
  signal: AbortSignal,
): Promise<string[]> {
  const into = new PassThrough()
  const chunks: Buffer[] = []
  into.on('data', (chunk: Buffer) => chunks.push(chunk))
  const { code } = await pour(docker, ['diff', id], into, { deadline: 60_000, most: 64 * 1024 ** 2, signal })
  if (code !== 0) throw new ToolError('docker_refused', 'docker diff did not answer', '')
  return Buffer.concat(chunks)
    .toString('latin1')
    .split('\n')
    .filter(line => /^[AC] \//.test(line))
    .map(line => line.slice(2))
}
