import { constants } from 'node:fs'
import { open, readdir } from 'node:fs/promises'
import { basename, dirname, relative, resolve } from 'node:path'
import type { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { lookAt } from '../../src/deployment/files.ts'
import { INSIDE } from '../../src/deployment/layout.ts'
import { ToolError } from '../../src/errors.ts'
import type { Action, IncidentContext } from './context.ts'
import { collecting, type Gathered, gather, gatherCall, inTurn, outcome, sizeOf } from './gather.ts'

/** Of one log. Compose keeps five files of 10 MB a container. */
const MOST = 64 * 1024 ** 2

/** What the containers said, how they were made, and what the gateway wrote into its own log. */
export const logsAction: Action = {
  id: 'evidence.logs',
  title: 'Copy the logs',
  effect: 'reads',
  async run(ctx, signal) {
    const { containers } = await collecting(ctx)
    const ofContainers = await inTurn(containers, async ({ id, label, isRunning }) => [
      await gatherCall(ctx, signal, { name: `${label}/inspect.json`, share: true }, [
        'container',
        'inspect',
        id,
      ]),
      await gatherCall(ctx, signal, { name: `${label}/log-stdout.txt`, share: true }, [
        ...['logs', '--timestamps', id],
      ]),
      await gatherCall(
        ...([
          ctx,
          signal,
          { name: `${label}/log-stderr.txt`, share: true },
          ['logs', '--timestamps', id],
        ] as const),
        { stream: 'stderr' },
      ),
      ...(isRunning
        ? [
            await gatherCall(ctx, signal, { name: `${label}/top.txt`, share: true }, [
              ...['top', id, '-eo', 'pid,ppid,uid,lstart,stat,rss,args'],
            ]),
          ]
        : []),
    ])
    return outcome([...ofContainers, ...(await gatewayLogs(ctx, signal))])
  },
}

/** OpenClaw's log and the older ones beside it. They lie in the state folder, where an agent can put a link. */
async function gatewayLogs(ctx: IncidentContext, signal: AbortSignal): Promise<Gathered[]> {
  const log = resolve(ctx.layout.state, relative(INSIDE.state, INSIDE.log))
  const stem = basename(log).replace(/\.log$/, '')
  const isReal = lookAt(dirname(log))?.isDirectory() === true
  const names = isReal ? await readdir(dirname(log)).catch(() => []) : []
  const logs = names.filter(name => /^[A-Za-z0-9._-]{1,100}$/.test(name) && name.startsWith(stem)).sort()
  const order = (name: string) =>
    ({ name: `gateway-log/${name}`, command: `read ${resolve(dirname(log), name)}`, share: true }) as const
  if (logs.length === 0) {
    const why = 'the state folder has none'
    ctx.case.missing(order(basename(log)), why)
    return [{ name: basename(log), bytes: 0, cut: undefined, missing: why }]
  }
  return inTurn(logs.slice(-50), name =>
    gather(ctx, signal, order(name), (into, most, stop) =>
      copyFile(resolve(dirname(log), name), into, Math.min(MOST, most), stop),
    ),
  )
}

/** Pours a regular file, and nothing else: no link is followed, and nothing opened that waits for a writer. */
export async function copyFile(
  path: string,
  into: Writable,
  most: number,
  signal: AbortSignal,
): Promise<{ cut?: string } | undefined> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const file = await open(path, flags).catch(() => undefined)
  if (file === undefined)
    throw new ToolError('not_readable', 'it is not there, a link, or not for this user', '')
  try {
    const facts = await file.stat()
    const { size } = facts
    if (!facts.isFile()) throw new ToolError('not_a_file', 'it is no regular file', '')
    const end = Math.min(size, most) - 1
    if (end >= 0)
      await pipeline(file.createReadStream({ end, autoClose: false }), into, { end: false, signal })
    return size > most ? { cut: `only the first ${sizeOf(most)}` } : undefined
  } finally {
    await file.close()
  }
}
