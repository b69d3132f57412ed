import { statfsSync } from 'node:fs'
import type { Writable } from 'node:stream'
import { collect, pour, type Source, type Task } from '../../src/docker/collector.ts'
import { SERVICE } from '../../src/docker/compose.ts'
import { type DeploymentContainer, deploymentContainers } from '../../src/docker/deployment-containers.ts'
import { firstLine } from '../../src/docker/engine.ts'
import { ToolError, visible } from '../../src/errors.ts'
import type { Order } from '../../src/evidence/case.ts'
import type { Summary } from '../../src/gateway/inside-collect.ts'
import type { Outcome } from '../../src/procedure/step.ts'
import type { IncidentContext } from './context.ts'

/** What is never filled with evidence: the chain of custody, the seal and the gateway that comes back need it. Bytes. */
export const RESERVE = 256 * 1024 ** 2
/** Most entries of one archive's listing. */
export const ENTRIES = 200_000
/** The step of the case's chain that says what there is no room for, in bytes by artefact. */
export const BUDGET = 'budget'

/** How it went with one artefact. */
export interface Gathered {
  name: string
  bytes: number
  /** Why it is not all there was. */
  cut: string | undefined
  /** Why it could not be had at all. */
  missing: string | undefined
  /** Where it is missing, there was none of it to be had, or it is a program that a machine may not have: nothing is unseen. */
  isNatural?: true
}

/** Bytes that may be filled now: the case's own file system, without what is kept free. */
export function room(ctx: Pick<IncidentContext, 'case'>): number {
  const { bavail, bsize } = statfsSync(ctx.case.folder)
  return Math.max(0, bavail * bsize - RESERVE)
}

/** Bytes that an artefact may take: what the budget has left it, and never more than there is now. */
export function allowanceFor(ctx: Pick<IncidentContext, 'case'>, name: string): number {
  const budget = ctx.case.journal.read().findLast(({ step }) => step === BUDGET)
  const planned = budget?.facts?.[name]
  return Math.min(room(ctx), typeof planned === 'number' ? planned : Number.POSITIVE_INFINITY)
}

/**
 * Keeps one artefact, or enters why it could not be had: then the next one is collected all the same. Of what broke off in the
 * middle nothing is left. `most`: the bytes it may take. Errors: the reason of `signal` alone.
 */
export async function gather(
  ctx: IncidentContext,
  signal: AbortSignal,
  order: Order,
  produce: (into: Writable, most: number, signal: AbortSignal) => Promise<{ cut?: string } | undefined>,
): Promise<Gathered> {
  try {
    const { bytes, cut } = await ctx.case.keep(order, async (into, failed) => {
      const most = allowanceFor(ctx, order.name)
      if (most === 0) throw new ToolError('no_room', 'there is no room for it', '')
      return produce(into, most, AbortSignal.any([signal, failed]))
    })
    return { name: order.name, bytes, cut, missing: undefined }
  } catch (error) {
    signal.throwIfAborted()
    const why = error instanceof ToolError ? error.message : 'it could not be read'
    ctx.case.missing(order, visible(why).slice(0, 300))
    return { name: order.name, bytes: 0, cut: undefined, missing: why }
  }
}

/** One line for the person, and what the chain says of a step. */
export function outcome(gathered: readonly Gathered[]): Outcome {
  const kept = gathered.filter(({ missing }) => missing === undefined)
  const cut = kept.filter(one => one.cut !== undefined)
  const missing = gathered.filter(one => one.missing !== undefined)
  const unseen = missing.filter(({ isNatural }) => isNatural !== true)
  const bytes = kept.reduce((sum, one) => sum + one.bytes, 0)
  const named = (list: readonly Gathered[], why: (one: Gathered) => string | undefined) =>
    list.map(one => `${one.name} (${visible(why(one) ?? '').slice(0, 120)})`).join('; ')
  return {
    saw: [
      `${kept.length === 1 ? '1 artefact' : `${kept.length} artefacts`} kept, ${sizeOf(bytes)}`,
      ...(cut.length === 0 ? [] : [`not all of ${named(cut, one => one.cut)}`]),
      ...(missing.length === 0 ? [] : [`missing: ${named(missing, one => one.missing)}`]),
    ].join('. '),
    facts: {
      ...{ kept: kept.length, cut: cut.length, missing: missing.length, bytes },
      ...(unseen.length === 0 ? {} : { unseen: unseen.map(({ name }) => name).join(', ') }),
    },
  }
}

/** "1.5 MB", for a person. */
export function sizeOf(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`
  return bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.ceil(bytes / 1000)} kB`
}

/** Words of a summary, as an artefact's entry has them. */
export function cutOf({ cut }: Pick<Summary, 'cut'>): { cut?: string } {
  return cut.length === 0 ? {} : { cut: cut.join('; ') }
}

/** The collector of this deployment. */
export interface Collecting {
  containers: DeploymentContainer[]
  /** The gateway's image, by its content. */
  image: string
  read(
    source: Source,
    task: Task,
    into: Writable,
    options: { deadline: number; signal: AbortSignal },
  ): Promise<Summary>
}

/** Whom to read and with which image. Errors: `engine_unreachable`; without an image only `read` fails, `image_missing`. */
export async function collecting(ctx: IncidentContext): Promise<Collecting> {
  const containers = await deploymentContainers(ctx.docker, ctx.answers.name)
  const image = (await ctx.compose.container())?.Image ?? (await imageInFile(ctx)) ?? ''
  return {
    containers,
    image,
    read(source, task, into, options) {
      if (image !== '') return collect(ctx.searching, image, source, task, into, options)
      throw new ToolError('image_missing', 'the gateway’s container and image are gone', 'Read it by hand.')
    },
  }
}

/** Of a gateway whose container is gone. */
async function imageInFile({ compose, docker }: IncidentContext): Promise<string | undefined> {
  const { code, stdout } = await compose.call(['config', '--images', SERVICE], { deadline: 20_000 })
  return code === 0 ? (await docker.image(firstLine(stdout)))?.Id : undefined
}

/** Keeps what a docker command prints, bounded. A code other than 0 means that it is no evidence. */
export function gatherCall(
  ctx: IncidentContext,
  signal: AbortSignal,
  order: Omit<Order, 'command'>,
  args: readonly string[],
  {
    deadline = 60_000,
    most = 64 * 1024 ** 2,
    stream = 'stdout',
  }: { deadline?: number; most?: number; stream?: 'stdout' | 'stderr' } = {},
): Promise<Gathered> {
  return gather(
    ctx,
    signal,
    { ...order, command: `docker ${args.join(' ')}${stream === 'stdout' ? '' : ' (stderr)'}` },
    async (into, allowed, stop) => {
      const bound = Math.min(most, allowed)
      const { code, stderr, isCut } = await pour(ctx.searching, args, into, {
        ...{ deadline, stream, most: bound, signal: stop },
      })
      if (code !== 0) throw new ToolError('docker_refused', `docker says: ${firstLine(stderr)}`, '')
      return isCut ? { cut: `only the first ${sizeOf(bound)}` } : undefined
    },
  )
}

/** Enters that a container has none of it, since it does not run. */
export function notRunning(
  ctx: IncidentContext,
  order: Pick<Order, 'name' | 'command'>,
  what: string,
): Gathered {
  const missing = `it does not run: it has no ${what}`
  ctx.case.missing(order, missing)
  return { name: order.name, bytes: 0, cut: undefined, missing, isNatural: true }
}

/** Waits for each in its turn: the machine is small, and the next one's room depends on what this one took. */
export async function inTurn<T>(
  list: readonly T[],
  one: (item: T) => Promise<Gathered | readonly Gathered[]>,
): Promise<Gathered[]> {
  const all: Gathered[] = []
  for (const item of list) all.push(...[await one(item)].flat())
  return all
}
