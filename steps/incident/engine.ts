import { Writable } from 'node:stream'
import { pour } from '../../src/docker/collector.ts'
import { deploymentContainers } from '../../src/docker/deployment-containers.ts'
import { type Docker, firstLine } from '../../src/docker/engine.ts'
import { ToolError } from '../../src/errors.ts'
import type { Order } from '../../src/evidence/case.ts'
import type { Action, IncidentContext } from './context.ts'
import { type Gathered, gather, gatherCall, outcome, sizeOf } from './gather.ts'

const DAY = 86_400_000
/** How far back, where nobody has said when all was still well. */
const BACK = 7 * DAY
const MOST = 32 * 1024 ** 2

/**
 * What the engine did and noticed. It keeps its last 256 events (20.10, measured), those of everybody's containers and of our
 * collectors: the sooner they are read, the more of them there are.
 */
export const engineAction: Action = {
  id: 'evidence.engine',
  title: 'Copy the engine’s events and journal',
  effect: 'reads',
  async run(ctx, signal) {
    const until = ctx.now().toISOString()
    const since = (ctx.wishes.since ?? new Date(Date.parse(ctx.case.openedAt) - BACK)).toISOString()
    const range = ['events', '--since', since, '--until', until, '--format', '{{json .}}']
    const project = `label=com.docker.compose.project=${ctx.answers.name}`
    const events = (name: string, filters: readonly string[]) => {
      const args = [...range, ...filters.flatMap(filter => ['--filter', filter])]
      return gatherCall(ctx, signal, { name: `engine/${name}.jsonl`, share: true }, args, { most: MOST })
    }
    const agents = (await deploymentContainers(ctx.docker, ctx.answers.name)).filter(
      one => one.service === undefined,
    )
    const networks = await networkNames(ctx)
    const journal = {
      name: 'engine/journal.txt',
      command: `journalctl --unit docker --since ${since} --utc --output short-iso-precise`,
    }
    const gathered: Gathered[] = [
      await events('container-events', ['type=container', project]),
      await events('network-events', ['type=network', ...networks.map(name => `network=${name}`)]),
    ]
    if (agents.length > 0)
      gathered.push(
        await events('agent-events', ['type=container', ...agents.map(({ id }) => `container=${id}`)]),
      )
    // Everybody's containers are in it: it stays in what is sealed.
    gathered.push(
      await gatherProgram(
        ctx,
        signal,
        journal,
        'journalctl',
        [
          ...[
            '--unit',
            'docker',
            '--since',
            `@${Math.floor(Date.parse(since) / 1000)}`,
            '--utc',
            '--no-pager',
          ],
          ...['--quiet', '--output', 'short-iso-precise'],
        ],
        'the journal of this machine has nothing of the engine',
      ),
    )
    return outcome(gathered)
  },
}

/** The deployment's networks by name, those too that nobody is on any more. */
export async function networkNames({ docker, answers }: IncidentContext): Promise<string[]> {
  const { stdout } = await docker.call(
    [
      ...['network', 'ls', '--format', '{{.Name}}'],
      ...['--filter', `label=com.docker.compose.project=${answers.name}`],
    ],
    { deadline: 15_000 },
  )
  const names = stdout.split('\n').filter(name => name !== '')
  // Without a filter it would be everybody's.
  return names.length > 0 ? names : [`${answers.name}_inside`]
}

/**
 * Keeps what a program of this machine prints. One that is not there, or that refuses, is missing, with the reason: a machine may
 * not have it, and so nothing is unseen. One that does not come to its end could have been seen.
 */
export async function gatherProgram(
  ctx: IncidentContext,
  signal: AbortSignal,
  order: Order,
  file: string,
  args: readonly string[],
  /** Why, where no output is no answer. */
  empty?: string,
): Promise<Gathered> {
  let why: unknown
  const gathered = await gather(ctx, signal, order, async (into, allowed, stop) => {
    const most = Math.min(MOST, allowed)
    let isEmpty = true
    const noticed = new Writable({
      write(chunk: Buffer, _encoding, done) {
        isEmpty = false
        into.write(chunk, done)
      },
    })
    const call: Docker['call'] = (words, rest) => ctx.searchingRun(file, words, rest)
    try {
      const options = { deadline: 30_000, most, signal: stop }
      const { code, stderr, isCut } = await pour({ call }, args, noticed, options)
      if (isEmpty && empty !== undefined) throw new ToolError('nothing', empty, '')
      if (code !== 0)
        throw new ToolError('program_refused', `${file} ended with ${code}: ${firstLine(stderr)}`, '')
      return isCut ? { cut: `only the first ${sizeOf(most)}` } : undefined
    } catch (error) {
      why = error instanceof ToolError ? error.code : undefined
      throw error
    }
  })
  const isNatural = why === 'program_missing' || why === 'program_refused' || why === 'nothing'
  return isNatural ? { ...gathered, isNatural } : gathered
}
