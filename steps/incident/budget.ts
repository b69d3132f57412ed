import * as z from 'zod'
import { nowhere } from '../../src/docker/collector.ts'
import { SANDBOX_SERVICE, SERVICE } from '../../src/docker/compose.ts'
import type { DeploymentContainer } from '../../src/docker/deployment-containers.ts'
import { parseJson } from '../../src/json.ts'
import { stepsCalling } from '../../src/procedure/runbook.ts'
import type { Action, IncidentContext } from './context.ts'
import { BUDGET, type Collecting, collecting, ENTRIES, RESERVE, room, sizeOf } from './gather.ts'
import { GATEWAY_LOGS, sizeOfLogs } from './logs.ts'
import { writtenFolders } from './state.ts'

/** Of what is text: process tables, logs and the machine's files, a container. */
const TEXTS = 48 * 1024 ** 2
/** Below this a piece of an archive is not worth having. */
const LEAST = 1024 ** 2
/** What gzip makes of a file system, in our images: a third (measured). */
const PACKED = 0.4

interface Share {
  name: string
  /** The action that collects it. */
  by: string
  /** Bytes, about. */
  wants: number
  /** Part of it is worth having: an archive leaves out its largest files. */
  canBeCut: boolean
}

/** Says before anything is collected what of it, that the runbook asks for, will not fit. What would be gone first is taken first. */
export const budgetAction: Action = {
  id: 'evidence.budget',
  title: 'See whether there is room for the evidence',
  effect: 'reads',
  async run(ctx, signal) {
    const free = room(ctx)
    const shares = (await wanted(ctx, signal)).filter(({ by }) => stepsCalling(ctx.runbook, by).length > 0)
    const plan = divide(shares, free)
    const limits = plan.filter(({ gets, wants }) => gets < wants)
    const none = limits.filter(({ gets }) => gets === 0)
    const cut = limits.filter(({ gets }) => gets > 0)
    const facts = Object.fromEntries(limits.map(({ name, gets }) => [name, gets]))
    ctx.case.note(BUDGET, { free, reserve: RESERVE, ...facts })
    const words = (list: readonly (Share & { gets: number })[]) =>
      list.map(({ name, wants }) => `${name} (about ${sizeOf(wants)})`).join(', ')
    const needed = plan.reduce((sum, { wants }) => sum + wants, 0)
    const saw = [
      `about ${sizeOf(needed)} to collect, room for ${sizeOf(free)}`,
      ...(cut.length === 0 ? [] : [`not all of: ${words(cut)}`]),
      ...(none.length === 0 ? [] : [`no room for: ${words(none)}`]),
    ].join('. ')
    if (limits.length > 0) ctx.say(`Not all evidence fits: ${saw}. First is taken what would be gone first.`)
    return { saw, facts: { free, needed, cut: cut.length, without: none.length } }
  },
}

/** Gives each in its turn what it wants, as long as there is room. */
export function divide<T extends Pick<Share, 'wants' | 'canBeCut'>>(
  shares: readonly T[],
  free: number,
): (T & { gets: number })[] {
  let rest = free
  return shares.map(share => {
    const part = share.canBeCut && rest >= LEAST ? rest : 0
    const gets = share.wants <= rest ? share.wants : part
    rest -= gets
    return { ...share, gets }
  })
}

/** What can be collected, in the order in which it will be: that of how soon it would be gone (RFC 3227, 2.1). */
async function wanted(ctx: IncidentContext, signal: AbortSignal): Promise<Share[]> {
  const collector = await collecting(ctx)
  const running = collector.containers.filter(({ isRunning }) => isRunning)
  const shares: Share[] = running.map(({ label }) => ({
    ...{ name: `${label}/processes.json`, by: 'evidence.processes', wants: 8 * 1024 ** 2, canBeCut: true },
  }))
  for (const { id, label } of running)
    shares.push({
      name: `${label}/tmpfs.tar`,
      by: 'evidence.tmpfs',
      wants: await measure(collector, { container: id }, 'tmpfs', signal),
      canBeCut: true,
    })
  const facts = await Promise.all(collector.containers.map(one => sizesOf(ctx, one)))
  if (ctx.wishes.memory)
    for (const { label, limit } of facts)
      shares.push({ name: `${label}/memory.bin`, by: 'evidence.memory', wants: limit, canBeCut: true })
  for (const { label, layer } of facts) {
    shares.push({ name: `${label}/log-stdout.txt`, by: 'evidence.logs', wants: TEXTS, canBeCut: true })
    shares.push({ name: `${label}/changed-files.tar`, by: 'evidence.changes', wants: layer, canBeCut: true })
  }
  shares.push({ name: GATEWAY_LOGS, by: 'evidence.logs', wants: await sizeOfLogs(ctx), canBeCut: true })
  for (const folder of writtenFolders(ctx)) {
    const wants = await measure(collector, { folders: [folder] }, 'trees', signal)
    shares.push({ name: `${folder.name}.tar`, by: 'evidence.state', wants, canBeCut: true })
  }
  shares.push({ name: 'databases.tar', by: 'evidence.databases', wants: 64 * 1024 ** 2, canBeCut: true })
  for (const { label, service, root } of facts)
    if (service === undefined || service === SERVICE || service === SANDBOX_SERVICE)
      // Half a file system is no file system.
      shares.push({
        ...{ name: `${label}/filesystem.tar.gz`, by: 'evidence.export' },
        ...{ wants: Math.ceil(root * PACKED), canBeCut: false },
      })
  return shares
}

/** Bytes that an archive would take, about; what cannot be measured is not expected to take any. */
async function measure(
  { read }: Collecting,
  source: Parameters<Collecting['read']>[0],
  what: 'tmpfs' | 'trees',
  signal: AbortSignal,
): Promise<number> {
  const names = 'folders' in source ? source.folders.map(({ name }) => name) : []
  const base = what === 'tmpfs' ? '/proc/1' : '/from'
  const bounds = { bytes: 0, entries: ENTRIES, onlyMeasure: true }
  const task = { program: 'archive', order: { what, base, names, ...bounds } } as const
  try {
    return (await read(source, task, nowhere(), { deadline: 60_000, signal })).bytes
  } catch {
    signal.throwIfAborted()
    return 0
  }
}

const Sizes = z.tuple([
  z.object({
    SizeRw: z._default(z.number(), 0),
    SizeRootFs: z._default(z.number(), 0),
    HostConfig: z.object({ Memory: z._default(z.number(), 0) }),
  }),
])

/** What the engine says of a container's sizes, in bytes. */
async function sizesOf({ docker }: IncidentContext, { id, label, service }: DeploymentContainer) {
  const { stdout } = await docker.call(['container', 'inspect', '--size', id], { deadline: 60_000 })
  const sizes = Sizes.safeParse(parseJson(stdout))
  const [{ SizeRw, SizeRootFs, HostConfig }] = sizes.success
    ? sizes.data
    : [{ SizeRw: 0, SizeRootFs: 0, HostConfig: { Memory: 0 } }]
  return { label, service, layer: SizeRw, root: SizeRootFs, limit: HostConfig.Memory }
}
