import type { Answers } from '../../src/deployment/answers.ts'
import { writeAtomic } from '../../src/deployment/files.ts'
import { SERVICE } from '../../src/docker/compose.ts'
import type { Docker } from '../../src/docker/engine.ts'
import {
  inWords,
  type Lockdown,
  leave,
  lockdownFile,
  type Member,
  type Place,
  placesOf,
  readLockdown,
} from '../../src/docker/isolation.ts'
import { Exit, type ExitCode, ToolError } from '../../src/errors.ts'
import { askFromHost } from '../../src/gateway/probe.ts'
import type { Outcome, Step } from '../../src/procedure/step.ts'
import { cutOffMembers, type LockdownContext } from './context.ts'

type Needs = Pick<LockdownContext, 'layout' | 'answers' | 'docker' | 'now'>

/** Before anything is cut: afterwards nobody knows where everybody was. From here on everything else is refused. */
export const recordPlaces: Step<Needs> = {
  id: 'lockdown.record',
  title: 'Write down how the gateway is connected',
  effect: 'writes',
  async skip(ctx) {
    const record = readLockdown(ctx.layout)
    if (record === undefined) return undefined
    // Who is connected again, or still, has not had his token replaced since.
    return placesOf(await cutOffMembers(ctx)).length === 0 ? `locked down since ${record.since}` : undefined
  },
  async run(ctx) {
    const { layout, now } = ctx
    const members = await cutOffMembers(ctx)
    if (!members.some(({ service }) => service === SERVICE))
      throw new ToolError(
        'gateway_missing',
        'there is no gateway to lock down',
        'Nobody can reach what does not exist. See docker compose ps --all in the deployment folder.',
        Exit.usage,
      )
    const record = readLockdown(layout)
    const present = placesOf(members)
    // Somebody may have made a container anew, or connected one, since it was locked down.
    const known = (record?.places ?? []).filter(
      ({ container, network }) =>
        members.some(({ id }) => id === container) &&
        !present.some(place => place.container === container && place.network === network),
    )
    const next: Lockdown = {
      version: 1,
      since: present.length === 0 && record !== undefined ? record.since : now().toISOString(),
      places: [...known, ...present],
    }
    writeAtomic(lockdownFile(layout), `${JSON.stringify(next)}\n`, 0o600)
    return {
      saw: next.places.map(inWords).join(', ') || 'on no network',
    }
  },
}

/** Nothing leaves, and nobody comes in, whatever the gateway is doing. */
export const cutOff: Step<Needs> = {
  id: 'lockdown.cut',
  title: 'Take the gateway off every network, and close its port',
  effect: 'writes',
  async skip(ctx) {
    return placesOf(await cutOffMembers(ctx)).length === 0 ? 'it is on none' : undefined
  },
  async run(ctx) {
    const places = placesOf(await cutOffMembers(ctx))
    return cut(ctx.docker, ctx.answers, places, () => cutOffMembers(ctx), {
      hint: 'Stop it: docker compose stop in the deployment folder; or pull the machine off its network.',
      exit: Exit.unknown,
    })
  },
}

/** Both, without a journal: that belongs to whoever has the lock. Returns what was seen. Errors: as those of the two. */
export async function cutAtOnce(ctx: Needs): Promise<string> {
  const seen: string[] = []
  for (const step of [recordPlaces, cutOff])
    if ((await step.skip?.(ctx)) === undefined)
      seen.push((await step.run(ctx, new AbortController().signal)).saw)
  return seen.at(-1) ?? 'it is on no network already'
}

/**
 * Takes containers off these places, and proves it: those that `look` finds are on no network, and nobody answers at the port.
 * Errors: `not_cut`, with what to do instead.
 */
export async function cut(
  docker: Docker,
  answers: Answers,
  places: readonly Place[],
  look: () => Promise<readonly Member[]>,
  otherwise: { hint: string; exit: ExitCode },
): Promise<Outcome> {
  await leave(docker, places)
  const [after, answer] = await Promise.all([look(), askFromHost(answers, '/healthz', undefined, 500)])
  const left = placesOf(after)
  if (left.length > 0 || answer !== undefined)
    throw new ToolError(
      'not_cut',
      left.length > 0
        ? `still connected: ${left.map(inWords).join(', ')}`
        : `somebody still answers on 127.0.0.1:${answers.port}`,
      otherwise.hint,
      otherwise.exit,
    )
  return {
    saw: `${places.length} connections cut; nobody answers on 127.0.0.1:${answers.port}`,
    facts: { cut: places.length },
  }
}
