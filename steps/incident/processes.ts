import type { Writable } from 'node:stream'
import { nowhere } from '../../src/docker/collector.ts'
import type { DeploymentContainer } from '../../src/docker/deployment-containers.ts'
import type { Summary } from '../../src/gateway/inside-collect.ts'
import type { Action, IncidentContext } from './context.ts'
import {
  type Collecting,
  collecting,
  cutOf,
  ENTRIES,
  type Gathered,
  gather,
  inTurn,
  notRunning,
  outcome,
} from './gather.ts'

const MOST = 256 * 1024 ** 2
const DEADLINE = 120_000

/** Processes, sockets, open files, maps and counters: gone with the first thing that is stopped. */
export const processesAction: Action = {
  id: 'evidence.processes',
  title: 'Record every process, socket and open file',
  effect: 'reads',
  async run(ctx, signal) {
    const collector = await collecting(ctx)
    return outcome(await inTurn(collector.containers, one => processesOf(ctx, collector, one, signal)))
  },
}

async function processesOf(
  ctx: IncidentContext,
  collector: Collecting,
  { id, label, isRunning }: DeploymentContainer,
  signal: AbortSignal,
): Promise<Gathered[]> {
  const command = `collector in ${label}: /proc/PID/{status,cmdline,environ,exe,maps,fd,ns,net}`
  const full = { name: `${label}/processes.json`, command }
  const brief = { name: `${label}/processes-brief.json`, command, share: true } as const
  const deleted = {
    name: `${label}/deleted.tar`,
    command: `collector in ${label}: deleted programs and files`,
  }
  if (!isRunning) return [notRunning(ctx, full, 'processes')]
  const sameImage = (await ctx.docker.container(id))?.Image === collector.image
  const read = (into: Writable, most: number, stop: AbortSignal) =>
    collector.read(
      { container: id },
      { program: 'processes', order: { bytes: Math.min(most, MOST), sameImage } },
      into,
      { deadline: DEADLINE, signal: stop },
    )
  let summary: Summary | undefined
  return [
    await gather(ctx, signal, full, async (into, most, stop) => {
      summary = await read(into, most, stop)
      return cutOf(summary)
    }),
    // A run that was killed between the two looks once more: the processes are frozen.
    await gather(ctx, signal, brief, async (into, _most, stop) => {
      const { notes, cut } = summary ?? (await read(nowhere(), MOST, stop))
      into.write(`${JSON.stringify({ container: label, processes: notes }, undefined, 2)}\n`)
      return cutOf({ cut })
    }),
    await gather(ctx, signal, deleted, async (into, most, stop) => {
      const order = { base: '/proc', names: [], bytes: most, entries: ENTRIES, onlyMeasure: false }
      const task = { program: 'archive', order: { ...order, what: 'deleted' } } as const
      return cutOf(await collector.read({ container: id }, task, into, { deadline: DEADLINE, signal: stop }))
    }),
  ]
}
