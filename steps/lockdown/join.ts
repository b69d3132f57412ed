import { INGRESS } from '../../src/docker/compose.ts'
import { firstLine } from '../../src/docker/engine.ts'
import {
  forgetLockdown,
  inWords,
  isSamePlace,
  join,
  leave,
  type Place,
  placesOf,
  readLockdown,
} from '../../src/docker/isolation.ts'
import { Exit, ToolError } from '../../src/errors.ts'
import type { Step } from '../../src/procedure/step.ts'
import { proveToken } from '../setup/launch.ts'
import { cutOffMembers, type LockdownContext } from './context.ts'

type Needs = Pick<LockdownContext, 'layout' | 'answers' | 'docker'>

/** The same networks, by the same names, at the addresses that were asked for. */
export const rejoin: Step<Needs> = {
  id: 'unlock.join',
  title: 'Connect the gateway as it was',
  effect: 'writes',
  async skip(ctx) {
    const { away } = await compare(ctx)
    return away.length === 0 ? 'it is connected' : undefined
  },
  async run(ctx) {
    const before = await compare(ctx)
    // Somebody has connected it otherwise in the meantime.
    await leave(ctx.docker, before.odd)
    await join(ctx.docker, before.away)
    const { away, moved, gone } = await compare(ctx)
    if (away.length > 0)
      throw new ToolError(
        'not_as_before',
        `not as it was: ${away.map(inWords).join(', ')}`,
        'Run create-openclaw-secure unlock again.',
        Exit.unknown,
      )
    // It is bound to the address it had when it started; and while it was cut off it could not have started.
    const ingress = (await cutOffMembers(ctx)).find(({ service }) => service === INGRESS)
    const isStale =
      ingress !== undefined && (!ingress.isRunning || moved.some(({ label }) => label === INGRESS))
    if (isStale) await restart(ctx, ingress.id)
    const rest = gone.length > 0 ? `; not there any more: ${gone.map(inWords).join(', ')}` : ''
    const other = moved.length > 0 ? `; ${moved.map(inWords).join(', ')}: at another address` : ''
    return {
      saw: `${before.away.map(inWords).join(', ')}${other}${isStale ? '; ingress started anew' : ''}${rest}`,
      facts: { joined: before.away.length, moved: moved.length, gone: gone.length },
    }
  },
}

/** `away`: to be put back; `odd`: in the way of that; `moved`: back, at another address; `gone`: their containers are. */
async function compare(ctx: Needs) {
  const record = readLockdown(ctx.layout)
  if (record === undefined) throw new Error('no lockdown is recorded')
  const members = await cutOffMembers(ctx)
  const present = placesOf(members)
  const gone = record.places.filter(({ container }) => !members.some(({ id }) => id === container))
  const wanted = record.places.filter(place => !gone.includes(place))
  const twin = (place: Place) => present.find(other => isSamePlace(place, other))
  const away = wanted.filter(place => twin(place) === undefined)
  const odd = present.filter(place =>
    away.some(({ container, network }) => container === place.container && network === place.network),
  )
  const moved = wanted.filter(place => !['', place.address].includes(twin(place)?.address ?? ''))
  return { away, odd, moved, gone }
}

async function restart({ docker }: Needs, id: string): Promise<void> {
  const { code, stderr } = await docker.call(['restart', '--time', '5', id], { deadline: 60_000 })
  if (code === 0) return
  throw new ToolError(
    'ingress_not_started',
    `the ingress could not be started anew: ${firstLine(stderr)}`,
    'Correct the cause and run create-openclaw-secure unlock again.',
    Exit.unknown,
  )
}

/** Only then is it undone. */
export const proveOpen: Step<LockdownContext> = {
  id: 'unlock.prove',
  title: 'Prove that the port answers, and that the new token is the one it accepts',
  effect: 'reads',
  async run(ctx, signal) {
    const { gone } = await compare(ctx)
    if (gone.length > 0) {
      // Setup is what mends that, and it is refused as long as there is a lockdown.
      forgetLockdown(ctx.layout)
      throw new ToolError(
        'container_gone',
        `${[...new Set(gone.map(({ label }) => label))].join(' and ')} is another container now: what it was connected to is not there to be put back`,
        'The lockdown is over. Bring everything in line: create-openclaw-secure .',
        Exit.unknown,
      )
    }
    await ctx.back.untilReady()
    const { answers, compose, docker } = ctx
    const rest = { launch: true, startDeadline: 0, say: () => {}, found: {} }
    return proveToken.run({ answers, compose, docker, store: await ctx.store(), ...rest }, signal)
  },
}

export const endLockdown: Step<Pick<LockdownContext, 'layout'>> = {
  id: 'unlock.end',
  title: 'End the lockdown',
  effect: 'writes',
  async run(ctx) {
    const since = readLockdown(ctx.layout)?.since ?? 'unknown'
    forgetLockdown(ctx.layout)
    return { saw: `it was locked down since ${since}`, facts: { since } }
  },
}
