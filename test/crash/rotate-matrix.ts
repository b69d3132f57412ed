/** The crash matrix: every moment at which a rotation can be killed, and every moment at which what follows it can be. */
import * as z from 'zod'
import { ToolError } from '../../src/errors.ts'
import { unfinishedRotations } from '../../steps/rotate/context.ts'
import { some } from '../unit/support.ts'
import { filesNow, filesOnDisk } from './rotate-disk.ts'
import { pointersIn } from './rotate-gateway.ts'
import { type Moment, type Outcome, World, type WorldOptions } from './rotate-world.ts'

export interface Matrix extends WorldOptions {
  /** How the rotation ends when nobody kills it, and however often somebody does. */
  ends: 'rotated' | 'taken back'
  /** How often it is killed: twice is every moment of every run that goes on after a kill. */
  kills: 1 | 2
}

export interface Explored {
  /** Moments at which a process was killed. */
  kills: number
  /** Runs of the product. */
  runs: number
  /** What must never be, and where it was. */
  broken: string[]
}

/** Kills a rotation at each of its moments, and goes on from what is left. */
export async function explore({ ends, kills, ...options }: Matrix): Promise<Explored> {
  const world = await World.begin(options)
  const before = some(world.slotsIn(world.now()).current).value
  const { moments, outcome } = await world.momentsOf(() => world.rotate())
  const result: Explored = { kills: 0, runs: 1, broken: [] }
  const note = (where: string, what: readonly string[]) =>
    result.broken.push(...what.map(one => `${where}: ${one}`))
  note('nobody kills it', await lastly(world, outcome, ends, before))

  let level = moments.map(moment => ({ moment, way: moment.what }))
  // Where a second kill leaves what a first one has left already, what comes then has been seen.
  const seen = new Set<string>()
  for (let kill = 1; kill <= kills; kill++) {
    const next: typeof level = []
    for (const { moment, way } of level)
      for (const found of world.after(moment)) {
        result.kills += 1
        // After the first kill every moment is gone on from that differs in a byte; after the second, in what counts.
        const keys = [keyOf(found, text => text), keyOf(found, whatCountsIn)]
        if (seen.has(some(keys[kill - 1]))) continue
        for (const key of keys) seen.add(key)
        const where = `${way} (the gateway ${found.what})`
        note(where, always(world, found))
        world.restore(found, kill)
        result.runs += 1
        const resumed = kill < kills ? await world.momentsOf(() => world.resume()) : undefined
        const end = resumed?.outcome ?? (await world.resume())
        note(where, await lastly(world, end, ends, before))
        for (const later of resumed?.moments ?? [])
          next.push({ moment: later, way: `${where}, then ${later.what}` })
      }
    level = next
  }
  // What was put back so often has been seen as it is.
  if (JSON.stringify([...filesNow()].sort()) !== JSON.stringify([...filesOnDisk()].sort()))
    result.broken.push('something has changed without being seen')
  return result
}

/** What is the same for whoever goes on from it; `journal` says what of the journal that is. */
function keyOf(
  { files, server, gateway: { container: _, ...gateway } }: Moment,
  journal: (text: string) => string,
): string {
  const lying = [...files.keys()].sort().map(path => {
    const { text, mode } = some(files.get(path))
    return `${path.replace(/[0-9a-f]{8}(?=\.ocs-tmp$)/, '')} ${mode} ${numberOf(path === JOURNAL ? journal(text) : text)}`
  })
  const { inForce, reading, ...rest } = gateway
  const read = [inForce, reading !== undefined && 'read' in reading ? reading.read : undefined]
  return JSON.stringify([lying, server, rest, reading?.in, read.map(numberOf)])
}

/** The same number for the same text, and for the same object. */
function numberOf(thing: unknown): number {
  const number = NUMBERS.get(thing) ?? NUMBERS.size
  NUMBERS.set(thing, number)
  return number
}
const NUMBERS = new Map<unknown, number>()

const JOURNAL = '.secure/journal.jsonl'
const Line = z.object({ run: z.string(), event: z.string(), step: z.optional(z.string()) })

/**
 * What a rotation asks the journal: whether its last run has ended, and whether that was on its way back. Half a line is
 * nothing to it, which the first kills have shown; what earlier runs have written is there to be verified.
 */
function whatCountsIn(journal: string): string {
  const events = journal
    .split('\n')
    .slice(0, -1)
    .map(line => Line.parse(JSON.parse(line)))
  const own = events.filter(({ run }) => run === events.at(-1)?.run)
  const isBack = own.some(({ step }) => step?.startsWith('rotate.back.'))
  return `${own.at(-1)?.event === 'done' ? 'ended' : own.length > 0 ? 'begun' : 'none'} ${isBack}`
}

/** What holds at every moment, whoever is killed: nobody is locked out, and nothing leaks. */
export function always(world: World, moment: Moment): string[] {
  const slots = world.slotsIn(moment)
  const known = Object.values(slots).map(stored => stored.value)
  const wrong: string[] = []
  const inForce = moment.gateway.inForce.values[world.name]
  if (moment.gateway.runs && !known.includes(inForce ?? ''))
    wrong.push('the store does not have what the gateway takes')
  const next = world.startingFrom(moment.files)
  if (next === undefined) wrong.push('a gateway that starts now finds nothing to take')
  else if (!known.includes(next)) wrong.push('the store does not have what a gateway takes that starts now')
  for (const [path, { text }] of moment.files)
    if (
      path.startsWith('.secure/') &&
      !path.startsWith('.secure/store/') &&
      known.some(value => text.includes(value))
    )
      wrong.push(`${path} holds a value`)
  return wrong
}

/** What holds when the last run has ended. */
async function lastly(
  world: World,
  outcome: Outcome,
  ends: Matrix['ends'],
  before: string,
): Promise<string[]> {
  const { name, gateway } = world
  const wrong: string[] = []
  const expect = (is: boolean, what: string) => {
    if (!is) wrong.push(what)
  }
  const isEnd = ['done', 'nothing', ...(ends === 'taken back' ? ['rotation_rolled_back'] : [])]
  expect(
    isEnd.includes(outcome.code),
    `it ended with ${outcome.code} (${outcome.exit}): ${outcome.error?.message}`,
  )
  gateway.pass(60_000)
  // Who stopped it starts it again.
  if (!gateway.now.runs) gateway.startAnew()
  const end = world.now()
  const slots = world.slotsIn(end)
  const takes = gateway.now.inForce.values[name]
  expect(Object.keys(slots).join() === 'current', `the store has ${Object.keys(slots).join(', ')}`)
  expect(gateway.now.runs && takes === slots.current?.value, 'the gateway does not take what is current')
  if (ends === 'taken back' || outcome.code === 'rotation_rolled_back')
    expect(takes === before, 'what is in force is not the old value')
  const delivered = [...end.files.keys()].filter(
    path => path.startsWith('secrets/') && path.includes(`${name}.`),
  )
  const file = `${name}.${slots.current?.rotationId}`
  expect(delivered.join() === `secrets/${file}`, `delivered are ${delivered.join(', ')}`)
  for (const path of ['config/openclaw.json', '.secure/base/config/openclaw.json'])
    expect(
      new Map(pointersIn(some(end.files.get(path)).text)).get(name) === file,
      `${path} does not name the file of what is current`,
    )
  expect(world.journal().verifyChain().intact, 'the journal’s chain is broken')
  expect(unfinishedRotations(world.journal()).length === 0, 'something is still half-way')
  return [...wrong, ...always(world, end)]
}

/** What happens to a process that is not killed: the disk, the store or the engine fails it once, or a person stops it. */
export async function stumble(options: Matrix, over: 'an error' | 'Ctrl-C'): Promise<Explored> {
  const world = await World.begin(options)
  const before = some(world.slotsIn(world.now()).current).value
  const start = world.now()
  const result: Explored = { kills: 0, runs: 0, broken: [] }
  for (let at = 0; ; at++) {
    world.restore(start)
    world.stop = new AbortController()
    let where = ''
    let left = at
    world.onMoment = what => {
      const error = errorAt(what)
      if ((over === 'an error' && error === undefined) || left-- !== 0) return
      where = what
      if (over === 'Ctrl-C') world.stop.abort()
      else throw error
    }
    const { code, exit, error } = await world.rotate()
    world.onMoment = () => {}
    world.stop = new AbortController()
    if (where === '') return result
    const slots = world.slotsIn(world.now())
    const isHalfWay = (slots.pending ?? slots.previous) !== undefined
    const wrong = always(world, world.now())
    const isKnown = exit === 0 || error instanceof ToolError
    if (!isKnown) wrong.push(`it ended with ${error?.stack}`)
    if (isHalfWay && exit !== (code === 'cancelled' ? 130 : 4))
      wrong.push(`half-way, it ended with ${code} (${exit})`)
    if (isHalfWay && !`${error?.message} ${(error as ToolError).hint}`.includes('--resume'))
      wrong.push('nobody is told how to go on')
    const end = await world.resume()
    wrong.push(...(await lastly(world, end, options.ends, before)))
    result.broken.push(...wrong.map(one => `${over}, ${where}: ${one}`))
    result.kills += 1
    result.runs += 2
  }
}

/** How the world may answer at a moment: a full disk, a store or an engine that does not answer. */
function errorAt(what: string): Error | undefined {
  if (/ is replaced$|a line in /.test(what))
    return Object.assign(new Error('ENOSPC: full'), { code: 'ENOSPC' })
  if (/Vault|1Password/.test(what))
    return new ToolError('store_unreachable', 'the store does not answer', 'Wait.')
  if (/^(before|after) \w+$/.test(what))
    return new ToolError('engine_unreachable', 'the Docker engine does not answer', 'Start it.')
  return undefined
}
