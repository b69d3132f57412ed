import type { Writable } from 'node:stream'
import { pour } from '../../src/docker/collector.ts'
import { EGRESS, INGRESS } from '../../src/docker/compose.ts'
import { ToolError } from '../../src/errors.ts'
import type { Order } from '../../src/evidence/case.ts'
import type { RecordsOrder } from '../../src/gateway/inside-records.ts'
import { recordsInto } from '../../src/gateway/records.ts'
import type { Action, IncidentContext } from './context.ts'
import { mustLeak } from './leak.ts'

/** Of each kind. A record is kept from its beginning, the log to its end. */
const MOST = 128 * 1024 * 1024

const KINDS: readonly { what: RecordsOrder['what']; name: string; from: string }[] = [
  { what: 'log', name: 'gateway/log.jsonl', from: 'state/logs/*.log' },
  { what: 'ledger', name: 'gateway/ledger.jsonl', from: 'audit_events of state/state/openclaw.sqlite' },
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
    const saw: string[] = []
    for (const { what, name, from } of KINDS) {
      const order: Order = { name, command: `${from}, since ${since.toISOString()}`, share: true }
      const rows = await keep(ctx, order, async into => {
        const read = await recordsFrom(ctx, { what, since: since.getTime(), most: MOST }, into, signal)
        return { saw: `${read.rows} ${what === 'log' ? 'files of the log' : `of ${what}`}`, cut: read.cut }
      })
      saw.push(rows)
    }
    for (const service of [EGRESS, INGRESS]) {
      const order: Order = { name: `${service}/log.txt`, command: `docker logs ${service}`, share: true }
      saw.push(await keep(ctx, order, into => logInto(ctx, service, since, into, signal)))
    }
    const missing = ctx.case
      .missed()
      .filter(({ file }) => saw.some(words => words.startsWith(file.replace(/^evidence\//, ''))))
    return {
      saw: saw.join('; '),
      ...(missing.length === 0 ? {} : { facts: { unseen: missing.map(({ file }) => file).join(', ') } }),
    }
  },
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

/** What a service's container has written since then, as the engine kept it. Errors: `container_gone`; the process runner's. */
export async function logInto(
  { searching, compose }: Pick<IncidentContext, 'searching' | 'compose'>,
  service: string,
  since: Date,
  into: Writable,
  signal?: AbortSignal,
): Promise<{ saw: string; cut: string | undefined }> {
  const id = await compose.containerId(service)
  if (id === undefined) throw new ToolError('container_gone', `${service} has no container`, '')
  const args = ['logs', '--timestamps', '--since', since.toISOString(), id]
  const options = { deadline: 60_000, most: MOST, ...(signal === undefined ? {} : { signal }) }
  const { code, isCut } = await pour(searching, args, into, options)
  if (code !== 0) throw new ToolError('log_unread', `docker logs of ${service} ended with ${code}`, '')
  return { saw: `the log of ${service}`, cut: isCut ? `more than ${MOST} bytes` : undefined }
}

/** Keeps it, or enters why it could not be had: that is no reason not to look for the rest. */
async function keep(
  { case: open }: IncidentContext,
  order: Order,
  produce: (into: Writable) => Promise<{ saw: string; cut: string | undefined }>,
): Promise<string> {
  try {
    let saw = `${order.name}, as it was kept before`
    await open.keep(order, async into => {
      const made = await produce(into)
      saw = made.saw
      return made.cut === undefined ? undefined : { cut: made.cut }
    })
    return saw
  } catch (error) {
    if (!(error instanceof ToolError) || error.code === 'disk_full') throw error
    open.missing(order, error.message)
    return `${order.name} could not be had: ${error.message}`
  }
}
