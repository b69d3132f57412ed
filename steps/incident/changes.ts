import { PassThrough } from 'node:stream'
import { pour } from '../../src/docker/collector.ts'
import { ToolError } from '../../src/errors.ts'
import type { Action, IncidentContext } from './context.ts'
import { collecting, cutOf, ENTRIES, gather, inTurn, notRunning, outcome } from './gather.ts'

/** Of the list of names. */
const MOST = 64 * 1024 ** 2

/** What differs from the image: names, and the files themselves. */
export const changesAction: Action = {
  id: 'evidence.changes',
  title: 'Copy what was changed in the containers’ own layer',
  effect: 'reads',
  async run(ctx, signal) {
    const { containers, read } = await collecting(ctx)
    return outcome(
      await inTurn(containers, async ({ id, label, isRunning }) => {
        let names: string[] | undefined
        const changes = { name: `${label}/changes.txt`, command: `docker diff ${id}`, share: true } as const
        const listed = await gather(ctx, signal, changes, async (into, _most, stop) => {
          const said = await diff(ctx, id, stop)
          names = namesIn(said)
          into.write(said)
          return undefined
        })
        const order = {
          name: `${label}/changed-files.tar`,
          command: `collector in ${label}: tar of what docker diff names, below /proc/1/root`,
        }
        if (!isRunning) return [listed, notRunning(ctx, order, 'files that can be read; its image has them')]
        const copied = await gather(ctx, signal, order, async (into, bytes, stop) => {
          // The engine takes seconds to compare: a run that was killed between the two asks it again.
          names ??= namesIn(await diff(ctx, id, stop))
          const what = { what: 'paths', base: '/proc/1', names, onlyMeasure: false } as const
          const task = { program: 'archive', order: { ...what, bytes, entries: ENTRIES } } as const
          return cutOf(await read({ container: id }, task, into, { deadline: 180_000, signal: stop }))
        })
        return [listed, copied]
      }),
    )
  },
}

/** What `docker diff` says, as it says it. */
async function diff({ searching }: IncidentContext, id: string, signal: AbortSignal): Promise<Buffer> {
  const into = new PassThrough()
  const chunks: Buffer[] = []
  into.on('data', (chunk: Buffer) => chunks.push(chunk))
  const { code, isCut } = await pour(searching, ['diff', id], into, { deadline: 60_000, most: MOST, signal })
  if (code !== 0 || isCut)
    throw new ToolError('docker_refused', 'docker diff did not answer, or without end', '')
  return Buffer.concat(chunks)
}

/**
 * Added and changed paths as bytes in Latin-1. A name with a newline reads as several: those the collector does not find, and the
 * preserved image has it.
 */
function namesIn(said: Buffer): string[] {
  return said
    .toString('latin1')
    .split('\n')
    .filter(line => /^[AC] \//.test(line))
    .map(line => line.slice(2))
}
