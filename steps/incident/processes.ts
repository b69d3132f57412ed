import type { Writable } from 'node:stream'
import { nowhere } from '../../src/docker/collector.ts'
import type { DeploymentContainer } from '../../src/docker/deployment-containers.ts'
import { visible } from '../../src/errors.ts'
import { redacted } from '../../src/evidence/share.ts'
import type { Summary } from '../../src/gateway/inside-collect.ts'
import type { ProcessNote } from '../../src/gateway/inside-processes.ts'
import type { Redactor } from '../../src/secret.ts'
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
/** Bytes of the arguments from which secrets are taken out, characters of what may then end in half of one, and those shown. */
const ARGUMENTS = 16_384
const EDGE = ARGUMENTS / 4
const SHOWN = 400

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
      { program: 'processes', order: { bytes: Math.min(most, MOST), sameImage, arguments: ARGUMENTS } },
      into,
      { deadline: DEADLINE, signal: stop },
    )
  let summary: Summary | undefined
  return [
    await gather(ctx, signal, full, async (into, most, stop) => {
      summary = await read(into, most, stop)
      return cutOf(summary)
    }),
    // A run that was killed between the two looks once more: frozen processes are the same, and running ones what they are by now.
    await gather(ctx, signal, brief, async (into, _most, stop) => {
      const { notes, cut } = summary ?? (await read(nowhere(), MOST, stop))
      const found: ProcessNote[] = Array.isArray(notes) ? notes : []
      const processes = found.map(note => forSharing(note, ctx.redactor))
      into.write(`${JSON.stringify({ container: label, processes }, undefined, 2)}\n`)
      return cutOf({ cut })
    }),
    await gather(ctx, signal, deleted, async (into, most, stop) => {
      const order = { base: '/proc', names: [], bytes: most, entries: ENTRIES, onlyMeasure: false }
      const task = { program: 'archive', order: { ...order, what: 'deleted' } } as const
      return cutOf(await collector.read({ container: id }, task, into, { deadline: DEADLINE, signal: stop }))
    }),
  ]
}

/** A process as it may be shown: its texts without secrets, and only then cut to a length that can be read. */
export function forSharing(note: ProcessNote, redactor: Redactor): ProcessNote {
  const shown = (text: string) => {
    const clean = redacted(text, redactor)
    return visible(Buffer.byteLength(text) < ARGUMENTS ? clean : clean.slice(0, -EDGE)).slice(0, SHOWN)
  }
  return {
    ...note,
    ...{ program: shown(note.program), arguments: shown(note.arguments) },
    ...{ environment: note.environment.map(shown), sockets: note.sockets.map(shown) },
  }
}
