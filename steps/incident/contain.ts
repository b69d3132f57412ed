import { randomBytes } from 'node:crypto'
import { Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { EGRESS, SANDBOX_SERVICE, SERVICE } from '../../src/docker/compose.ts'
import { type DeploymentContainer, deploymentContainers } from '../../src/docker/deployment-containers.ts'
import { THROWAWAY_LABEL } from '../../src/docker/engine.ts'
import { type Member, membersOf, placesOf } from '../../src/docker/isolation.ts'
import { Exit, ToolError, visible } from '../../src/errors.ts'
import type { Outcome } from '../../src/procedure/step.ts'
import { cut } from '../lockdown/cut.ts'
import type { Action, IncidentContext } from './context.ts'

/**
 * An intruder notices nothing of it, and every process, socket and tmpfs stays as it is. It looks by itself, and has no `skip`
 * that would look first: every tenth of a second counts.
 */
export const pauseContainers: Action = {
  id: 'containers.pause',
  title: 'Freeze every container of the deployment',
  effect: 'contains',
  standing: true,
  hasty: true,
  run: freeze,
}

/** Freezes every container, and says which. It needs no case, and no lock. Errors: `engine_unreachable`. */
export async function freeze(ctx: Pick<IncidentContext, 'docker' | 'answers'>): Promise<Outcome> {
  const { docker, answers } = ctx
  const before = await deploymentContainers(docker, answers.name)
  const moving = before.filter(({ isRunning, isPaused }) => isRunning && !isPaused)
  const ids = moving.map(({ id }) => id)
  const { code, stderr } =
    ids.length === 0 ? { code: 0, stderr: '' } : await docker.call(['pause', ...ids], { deadline: 30_000 })
  const after = code === 0 ? before.map(one => ({ ...one, isPaused: one.isRunning })) : await endLoops(ctx)
  const left = after.filter(({ isRunning, isPaused }) => isRunning && !isPaused)
  const stopped = after.filter(({ isRunning }) => !isRunning)
  const frozen = after.length - left.length - stopped.length
  return {
    // An engine that cannot freeze does not keep the networks from being cut: that is what counts.
    saw: [
      `${named(after.filter(({ isPaused }) => isPaused)) || 'nothing'} frozen`,
      ...(stopped.length > 0 ? [`not running: ${named(stopped)}`] : []),
      ...(left.length > 0 ? [`NOT frozen: ${named(left)} (${visible(stderr.trim()).slice(0, 200)})`] : []),
    ].join('; '),
    facts: {
      ...{ frozen, stopped: stopped.length, left: left.length },
      ...(left.length === 0 ? {} : { unseen: `not frozen: ${named(left)}` }),
    },
  }
}

/**
 * One that ends and is started anew all the time cannot be frozen: it is not started any more, and the others are frozen without
 * it. Returns how they all are then.
 */
async function endLoops({
  docker,
  answers,
}: Pick<IncidentContext, 'docker' | 'answers'>): Promise<DeploymentContainer[]> {
  const moving = async () =>
    (await deploymentContainers(docker, answers.name)).filter(
      ({ isRunning, isPaused }) => isRunning && !isPaused,
    )
  const awake = (await moving()).map(({ id }) => id)
  if (awake.length > 0) {
    await docker.call(['update', '--restart', 'no', ...awake], { deadline: 15_000 })
    for (const { id } of await moving()) await docker.call(['pause', id], { deadline: 15_000 })
  }
  return deploymentContainers(docker, answers.name)
}

/** What the kernel tells of a network namespace: sockets, counters, routes, neighbours. */
const TABLES =
  'tcp tcp6 udp udp6 raw raw6 unix dev route ipv6_route arp if_inet6 sockstat sockstat6 snmp netstat'
    .split(' ')
    .map(table => `/proc/1/net/${table}`)
/** Cutting waits no longer than this for what it is about to destroy. Milliseconds, altogether. */
const PATIENCE = 800
/** Of each table: a million connections do not fill the disk. */
const MOST = '--bytes=1M'

/** Routes, addresses and connections are gone once a network is cut: they are what is looked at before. */
export const recordNetworks: Action = {
  id: 'networks.record',
  title: 'Record who is connected to whom, while it can still be seen',
  effect: 'reads',
  hasty: true,
  async run(ctx) {
    const { docker, answers } = ctx
    const members = await membersOf(docker, answers.name)
    const seen = [SERVICE, SANDBOX_SERVICE, EGRESS].flatMap(service =>
      members.filter(member => member.service === service && member.isRunning),
    )
    const image = members.find(({ service }) => service === SERVICE)?.image
    if (image === undefined || seen.length === 0) {
      ctx.case.missing(orderOf(SERVICE, true), 'nothing runs')
      return { saw: 'nothing runs, and so nothing is connected', facts: { recorded: 0 } }
    }
    const late = new AbortController()
    const reads = seen.map(member =>
      tablesOf(ctx, member, image, late.signal).catch((error: unknown) =>
        error instanceof ToolError ? error.message : 'it could not be read',
      ),
    )
    const timer = sleep(PATIENCE, `not read within ${PATIENCE} ms: the networks had to be cut`)
    const results = await Promise.all(reads.map(read => Promise.race([read, timer])))
    late.abort()
    const recorded: string[] = []
    const missed: string[] = []
    for (const [index, { label, places }] of seen.entries()) {
      const result = results[index]
      const order = orderOf(label, places.length > 0)
      if (result === undefined || typeof result === 'string') {
        ctx.case.missing(order, result ?? 'it could not be read')
        missed.push(label)
      } else {
        await ctx.case.keep(order, async into => {
          into.write(result)
          return undefined
        })
        recorded.push(label)
      }
    }
    const names = missed.join(', ')
    return {
      saw: `${recorded.join(', ') || 'nothing'} recorded${names === '' ? '' : `; could not be had in time: ${names}`}`,
      facts: {
        ...{ recorded: recorded.length, missed: missed.length },
        ...(names === '' ? {} : { unseen: `not recorded: ${names}` }),
      },
    }
  },
}

/** Where exfiltration was live, the cut came first: then it is called so. */
function orderOf(label: string, isConnected: boolean) {
  return {
    name: `${label}/network-${isConnected ? 'before' : 'after'}-cut.txt`,
    command: `docker run --pid container:${label} … head --verbose ${MOST} ${TABLES.join(' ')}`,
    share: true as const,
  }
}

/** The tables as they are, from a clean container that sees the other's /proc and has nothing else of it. */
async function tablesOf(
  { searching, docker }: IncidentContext,
  { id }: Member,
  image: string,
  signal: AbortSignal,
): Promise<Buffer> {
  const chunks: Buffer[] = []
  const into = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk)
      done()
    },
  })
  const name = `ocs-throwaway-${randomBytes(6).toString('hex')}`
  const flags = [
    ...['run', '--rm', '--pull', 'never', '--no-healthcheck', '--name', name, '--label', THROWAWAY_LABEL],
    ...['--pid', `container:${id}`, '--network', 'none', '--read-only', '--user', '0:0'],
    ...['--cap-drop', 'ALL', '--cap-add', 'SYS_PTRACE', '--cap-add', 'DAC_READ_SEARCH'],
    ...['--security-opt', 'no-new-privileges:true', '--pids-limit', '16', '--memory', '64m'],
    ...['--entrypoint', 'head', image, '--verbose', MOST, ...TABLES],
  ]
  try {
    // A table that this kernel does not have is no reason not to have the others.
    const { stderr } = await searching.call(flags, { deadline: 10_000, signal, into })
    if (chunks.length === 0) throw new ToolError('not_seen', visible(stderr.trim()).slice(0, 200), '')
    return Buffer.concat(chunks)
  } catch (error) {
    // The command-line client is gone; the container it started may not be.
    if (signal.aborted) await docker.discard(name)
    throw error
  }
}

/** From here on nothing leaves, and nobody comes in; a process that thaws finds no interface but its own. */
export const cutNetworks: Action = {
  id: 'networks.cut',
  title: 'Cut every network of every container',
  effect: 'contains',
  standing: true,
  hasty: true,
  async run(ctx) {
    const { docker, answers } = ctx
    const places = placesOf(await membersOf(docker, answers.name))
    // Before, because afterwards nobody knows; in one line of the chain, because every line is flushed to the disk.
    if (places.length > 0) ctx.case.note('networks', { before: JSON.stringify(places) })
    return cut(docker, answers, places, () => membersOf(docker, answers.name), {
      hint: 'Pull the machine off its network if anything may be leaving it, then run incident --resume.',
      exit: Exit.interrupted,
    })
  },
}

function named(members: readonly DeploymentContainer[]): string {
  return members.map(({ label }) => label).join(', ')
}
