import { rmSync } from 'node:fs'
import { resolve } from 'node:path'
import { lookAt, syncDirectory, writeAtomic } from '../../src/deployment/files.ts'
import type { Layout } from '../../src/deployment/layout.ts'
import { Exit, ToolError } from '../../src/errors.ts'
import type { Step } from '../../src/procedure/step.ts'
import {
  knownAs,
  noteOf,
  type Order,
  type ScheduleNote,
  type Scheduler,
  scheduleNote,
  trustedPaths,
} from '../../src/schedule/port.ts'
import { recordPath } from '../../src/schedule/record.ts'
import { expectSafe, type Trusted } from '../../src/schedule/safe.ts'
import { type Asking, schedulerOf, scheduleState } from '../../src/schedule/schedule.ts'
import { copyTool, isToolWhole, removeOtherTools, toolEntries } from '../../src/schedule/tool.ts'

/** A rotation that is to happen by itself: what is to be done, and by what. */
export interface ScheduleContext {
  order: Order
  scheduler: Scheduler
  /** The kind of store the order is made for. */
  store: string
  /** The program that is copied: see `toolFiles`. */
  files: ReadonlyMap<string, string>
  asking: Asking
  /** Who may change what is run. */
  trusted: Trusted
  now(): Date
}

/** A rotation that is to happen no more by itself. */
export interface UnscheduleContext {
  /** The deployment's name. */
  name: string
  layout: Layout
  asking: Asking
  /** Everything on this machine that could have it, where no note says what has it. */
  schedulers: readonly Scheduler[]
}

const copy: Step<ScheduleContext> = {
  id: 'schedule.tool',
  title: 'Keep a copy of this program in the deployment, for the runs to come',
  effect: 'writes',
  skip: ({ order }) => (isToolWhole(order.layout, order.tool) ? 'it is there' : undefined),
  async run({ order, files }) {
    copyTool(order.layout, files)
    return { saw: `${files.size} files of version ${order.tool.version} in ${order.layout.tool}` }
  },
}

const install: Step<ScheduleContext> = {
  id: 'schedule.install',
  title: 'Have the secrets looked at every day, and rotated when they are old enough',
  effect: 'writes',
  async skip(ctx) {
    const { layout } = ctx.order
    const note = scheduleNote(layout)
    if (note === undefined || note.uid !== ctx.asking.uid) return undefined
    const planned = ctx.scheduler.plan(ctx.order)
    const more = { uid: ctx.asking.uid, store: ctx.store, since: note.since }
    const wanted = [planned, planned.filter(file => file.optional !== true)].map(files =>
      JSON.stringify(noteOf(ctx.scheduler, ctx.order, files, more)),
    )
    if (!wanted.includes(JSON.stringify(note))) return undefined
    const state = await scheduleState(layout, ctx.asking, ctx.now())
    return state?.isInstalled && state.isEnabled && state.isActive ? 'it is as it should be' : undefined
  },
  async run(ctx) {
    const { order, scheduler, store, asking, trusted, now } = ctx
    const { layout } = order
    expectSafe([...trustedPaths(order), ...(toolEntries(layout, order.tool)?.values() ?? [])], trusted)
    const before = scheduleNote(layout)
    // Another user's cannot be turned off from here, and two would get into each other's way.
    const last = before && (await schedulerOf(before, asking))
    const files = await scheduler.prove(order)
    const since = now().toISOString()
    const note = noteOf(scheduler, order, files, { uid: asking.uid, store, since })
    if (before !== undefined && last !== undefined && isAnother(before, note)) {
      const root = knownAs(before, layout)
      if (root !== undefined) await last.remove(before.unit, root)
    }
    // First, so that a run that is cut short leaves a schedule that is seen to be broken, and not one nobody knows of.
    writeAtomic(layout.schedule, `${JSON.stringify(note)}\n`, 0o600)
    await scheduler.install(order, files)
    removeOtherTools(layout, order.tool)
    await expectWorking(ctx)
    const { kind, scope, unit, every } = note
    return {
      saw: `${unit} of ${kind}: ${files.map(file => file.path).join(', ')}`,
      facts: { every, kind, scope, unit },
    }
  },
}

function isAnother(before: ScheduleNote, after: ScheduleNote): boolean {
  return before.unit !== after.unit || before.kind !== after.kind || before.root !== after.root
}

/** What was installed is asked for as `verify` does. Errors: `schedule_failed`. */
async function expectWorking({ order, asking, now }: ScheduleContext): Promise<void> {
  const state = await scheduleState(order.layout, asking, now())
  if (state?.isInstalled && state.isEnabled !== false && state.isActive !== false) return
  const wrong = [
    ...(state?.missing ?? []).map(path => `${path} is not there as it was written`),
    ...(state?.isEnabled === false ? ['it is not enabled'] : []),
    ...(state?.isActive === false ? ['it is not active'] : []),
    ...(state?.wrong ?? []),
  ]
  throw new ToolError(
    'schedule_failed',
    `it was installed, and will not run: ${wrong.join('; ')}`,
    'Correct that and run the command again; rotate --schedule off removes what was installed.',
    Exit.unknown,
  )
}

const remove: Step<UnscheduleContext> = {
  id: 'schedule.remove',
  title: 'Turn the rotation by itself off, and remove what it needed',
  effect: 'destroys',
  async skip({ name, layout, schedulers }) {
    if (leftIn(layout).some(path => lookAt(path) !== undefined)) return undefined
    for (const scheduler of schedulers)
      if (await scheduler.has(scheduler.unit(name), layout.root)) return undefined
    return 'it is off'
  },
  async run({ name, layout, asking, schedulers }) {
    const removed: string[] = []
    const note = readableNote(layout)
    const root = note && knownAs(note, layout)
    // What the note names, and nobody else is asked: not every user may have a crontab.
    if (note !== undefined && root !== undefined)
      if (await (await schedulerOf(note, asking)).remove(note.unit, root)) removed.push(note.unit)
    for (const scheduler of note === undefined ? schedulers : []) {
      const unit = scheduler.unit(name)
      if (!(await scheduler.has(unit, layout.root))) continue
      await scheduler.remove(unit, layout.root)
      removed.push(unit)
    }
    // The note last: until then a run that is cut short has something to go on from.
    for (const path of leftIn(layout)) rmSync(path, { recursive: true, force: true })
    syncDirectory(layout.own)
    return { saw: removed.join(', ') || 'only traces of it were left' }
  },
}

function leftIn(layout: Layout): string[] {
  const script = resolve(layout.own, 'schedule.sh')
  return [layout.tool, script, layout.scheduleLog, recordPath(layout), layout.schedule]
}

/** What is no note names nothing. */
function readableNote(layout: Layout): ScheduleNote | undefined {
  try {
    return scheduleNote(layout)
  } catch (error) {
    if (error instanceof ToolError && error.code === 'schedule_corrupt') return undefined
    throw error
  }
}

/** Installs the daily run; repeated, they change nothing, and repair what is not there any more. */
export const scheduleSteps: readonly Step<ScheduleContext>[] = [copy, install]

/** Removes all that {@link scheduleSteps} have installed; may be repeated. */
export const unscheduleSteps: readonly Step<UnscheduleContext>[] = [remove]
