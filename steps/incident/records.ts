import type { Writable } from 'node:stream'
import { pour } from '../../src/docker/collector.ts'
import { EGRESS, INGRESS } from '../../src/docker/compose.ts'
import { ToolError } from '../../src/errors.ts'
import type { Order } from '../../src/evidence/case.ts'
import type { RecordsOrder } from '../../src/gateway/inside-records.ts'
import { recordsInto } from '../../src/gateway/records.ts'
import type { Action, IncidentContext } from './context.ts'
import { type Gathered, gather, inTurn, outcome } from './gather.ts'
import { mustLeak } from './leak.ts'

/** Of each kind. A record is kept from its beginning, the log to its end. */
const MOST = 128 * 1024 * 1024

interface Kind {
  what: RecordsOrder['what']
  name: string
  from: string
}

const LEDGER: Kind = {
  ...{ what: 'ledger', name: 'gateway/ledger.jsonl', from: 'audit_events of state/state/openclaw.sqlite' },
}
const KINDS: readonly Kind[] = [
  { what: 'log', name: 'gateway/log.jsonl', from: 'state/logs/*.log' },
  LEDGER,
  {
    what: 'grants',
    name: 'gateway/grants.jsonl',
    from: 'approvals, pairings and jobs of state/state/openclaw.sqlite',
  },
  {
    what: 'sessions',
    name: 'gateway/sessions.jsonl',
    from: 'transcript_events of state/agents/*/agent/*.sqlite',
  },
]

/** What tells of the time since all was well: logs are overwritten, and sessions can be deleted. */
export const keepRecords: Action = {
  id: 'evidence.records',
  title: 'Keep the logs, the ledger, the sessions and what is allowed for good',
  effect: 'reads',
  async run(ctx, signal) {
    const since = mustLeak(ctx.case).since
    const records = await inTurn(KINDS, kind => keepKind(ctx, signal, kind, since))
    // With an open way out there is no proxy.
    const services = ctx.answers.egress === 'open' ? [INGRESS] : [EGRESS, INGRESS]
    const logs = await inTurn(services, service => {
      const order: Order = { name: `${service}/log.txt`, command: `docker logs ${service}`, share: true }
      return gather(ctx, signal, order, async (into, room, stop) =>
        cutIn(await logInto(ctx, { service, since, most: Math.min(MOST, room) }, into, stop)),
      )
    })
    return outcome([...records, ...logs])
  },
}

function keepKind(
  ctx: IncidentContext,
  signal: AbortSignal,
  { what, name, from }: Kind,
  since: Date,
): Promise<Gathered> {
  const order: Order = { name, command: `${from}, since ${since.toISOString()}`, share: true }
  return gather(ctx, signal, order, async (into, room, stop) => {
    const most = Math.min(MOST, room)
    return cutIn(await recordsFrom(ctx, { what, since: since.getTime(), most }, into, stop))
  })
}

/** The whole audit ledger as text, which can be shared: the timeline is made of that. Errors: the reason of `signal` alone. */
export function keepLedger(ctx: IncidentContext, signal: AbortSignal): Promise<Gathered> {
  return keepKind(ctx, signal, LEDGER, new Date(0))
}

function cutIn({ cut }: { cut: string | undefined }): { cut?: string } {
  return cut === undefined ? {} : { cut }
}

/** One kind of the gateway's records, from its state folder. Errors: `gateway_gone`; those of {@link recordsInto}. */
export async function recordsFrom(
  { docker, compose, layout }: Pick<IncidentContext, 'docker' | 'compose' | 'layout'>,
  order: RecordsOrder,
  into: Writable,
  signal?: AbortSignal,
): Promise<{ rows: number; cut: string | undefined }> {
  const container = await compose.container()
  if (container !== undefined) return recordsInto(docker, container, layout.state, order, into, signal)
  throw new ToolError(
    'gateway_gone',
    'the gateway has no container, so nobody knows by which image its records are read',
    'Run create-openclaw-secure . first, then the runbook with --resume.',
  )
}

/**
 * What a service's container has written since then, as the engine kept it: its first `most` bytes. Errors: `container_gone`,
 * `log_unread`; the process runner's.
 */
export async function logInto(
  { searching, compose }: Pick<IncidentContext, 'searching' | 'compose'>,
  { service, since, most = MOST }: { service: string; since: Date; most?: number },
  into: Writable,
  signal?: AbortSignal,
): Promise<{ cut: string | undefined }> {
  const id = await compose.containerId(service)
  if (id === undefined) throw new ToolError('container_gone', `${service} has no container`, '')
  const args = ['logs', '--timestamps', '--since', since.toISOString(), id]
  const options = { deadline: 60_000, most, ...(signal === undefined ? {} : { signal }) }
  const { code, isCut } = await pour(searching, args, into, options)
  if (code !== 0) throw new ToolError('log_unread', `docker logs of ${service} ended with ${code}`, '')
  return { cut: isCut ? `more than ${most} bytes` : undefined }
}
