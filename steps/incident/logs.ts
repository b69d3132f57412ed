import { constants } from 'node:fs'
import { open, readdir } from 'node:fs/promises'
import { basename, dirname, relative, resolve } from 'node:path'
import type { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { lookAt } from '../../src/deployment/files.ts'
import { INSIDE } from '../../src/deployment/layout.ts'
import { ToolError } from '../../src/errors.ts'
import type { Action, IncidentContext } from './context.ts'
import {
  allowanceFor,
  collecting,
  type Gathered,
  gather,
  gatherCall,
  inTurn,
  outcome,
  sizeOf,
} from './gather.ts'

/** The budget has one share for all of them. */
export const GATEWAY_LOGS = 'gateway-log'
/** Bytes of all logs in the state folder together. */
const MOST = 64 * 1024 ** 2
/** Files of them. */
const MOST_LOGS = 50

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

/**
 * OpenClaw's log and the older ones beside it. They lie in the state folder, where an agent can put a link, and decoys: its own
 * comes first, then the youngest, and one bound holds for all of them.
 */
async function gatewayLogs(ctx: IncidentContext, signal: AbortSignal): Promise<Gathered[]> {
  const { folder, own, all } = await logsOf(ctx)
  const order = (name: string) =>
    ({ name: `${GATEWAY_LOGS}/${name}`, command: `read ${resolve(folder, name)}`, share: true }) as const
  const missing = (name: string, why: string): Gathered => {
    ctx.case.missing(order(name), why)
    return { name: order(name).name, bytes: 0, cut: undefined, missing: why }
  }
  const lost = all.includes(own) ? [] : [missing(own, 'the state folder has none')]
  const logs = all.filter(name => /^[A-Za-z0-9._-]{1,100}$/.test(name)).slice(0, MOST_LOGS)
  let rest = Math.min(MOST, allowanceFor(ctx, GATEWAY_LOGS))
  const kept = await inTurn(logs, async name => {
    const one = await gather(ctx, signal, order(name), (into, most, stop) => {
      if (rest === 0) throw new ToolError('no_room', 'the logs before it took the room that logs have', '')
      return copyFile(resolve(folder, name), into, Math.min(rest, most), stop, 'last')
    })
    rest = Math.max(0, rest - one.bytes)
    return one
  })
  const left = all.length - logs.length
  const more = left === 0 ? [] : [missing('others', `${left} more that are called like logs are left out`)]
  return [...lost, ...kept, ...more]
}

/** Where the gateway's own log lies, what it is called, and what it and the older ones are called that are there. */
async function logsOf({ layout }: Pick<IncidentContext, 'layout'>) {
  const log = resolve(layout.state, relative(INSIDE.state, INSIDE.log))
  const [folder, own] = [dirname(log), basename(log)]
  const isReal = lookAt(folder)?.isDirectory() === true
  return { folder, own, all: logsBeside(own, isReal ? await readdir(folder).catch(() => []) : [], folder) }
}

/** What the gateway's own logs will take. Bytes. */
export async function sizeOfLogs(ctx: Pick<IncidentContext, 'layout'>): Promise<number> {
  const { folder, all } = await logsOf(ctx)
  const sizes = all.slice(0, MOST_LOGS).map(name => Number(lookAt(resolve(folder, name))?.size ?? 0))
  return Math.min(
    MOST,
    sizes.reduce((sum, size) => sum + size, 0),
  )
}

/** The gateway's own log, then what is called like an older one, the youngest first, as the kernel says; an empty one tells nothing. */
export function logsBeside(own: string, names: readonly string[], folder: string): string[] {
  const stem = own.replace(/\.log$/, '')
  const older = names
    .filter(name => name.startsWith(stem) && name !== own)
    .map(name => ({ name, facts: lookAt(resolve(folder, name)) }))
    .filter(({ facts }) => facts?.isFile() !== true || facts.size > 0)
    .sort((one, other) => Number(other.facts?.ctimeMs ?? 0) - Number(one.facts?.ctimeMs ?? 0))
    .map(({ name }) => name)
  return [...names.filter(name => name === own), ...older]
}

/** Pours a regular file, or one end of it, and nothing else: no link is followed, and nothing opened that waits for a writer. */
export async function copyFile(
  path: string,
  into: Writable,
  most: number,
  signal: AbortSignal,
  part: 'first' | 'last' = 'first',
): Promise<{ cut?: string } | undefined> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const there = lookAt(path)
  // A device is not opened only to see what it is: to some, that is a command.
  if (there?.isFile() === false && !there.isSymbolicLink())
    throw new ToolError('not_a_file', 'it is no regular file', '')
  const file = await open(path, flags).catch(() => undefined)
  if (file === undefined)
    throw new ToolError('not_readable', 'it is not there, a link, or not for this user', '')
  try {
    const facts = await file.stat()
    const { size } = facts
    if (!facts.isFile()) throw new ToolError('not_a_file', 'it is no regular file', '')
    const start = part === 'first' ? 0 : Math.max(0, size - most)
    const end = Math.min(size, start + most) - 1
    if (end >= start)
      await pipeline(file.createReadStream({ start, end, autoClose: false }), into, { end: false, signal })
    return size > most ? { cut: `only the ${part} ${sizeOf(most)}` } : undefined
  } finally {
    await file.close()
  }
}
