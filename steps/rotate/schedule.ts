import { existsSync, rmSync } from 'node:fs'
import { syncDirectory, writeAtomic } from '../../src/deployment/files.ts'
import type { Layout } from '../../src/deployment/layout.ts'
import type { Step } from '../../src/procedure/step.ts'
import { noteOf, type Order, type Scheduler, scheduleNote } from '../../src/schedule/port.ts'
import { type Asking, schedulerOf, scheduleState } from '../../src/schedule/schedule.ts'
import { copyTool, isToolCurrent, toolFiles } from '../../src/schedule/tool.ts'

/** A rotation that is to happen by itself: what is to be done, and by what. */
export interface ScheduleContext {
  order: Order
  scheduler: Scheduler
  /** The kind of store the order is made for. */
  store: string
  asking: Asking
  now(): Date
}

/** A rotation that is to happen no more by itself. */
export interface UnscheduleContext {
  /** The deployment's name. */
  name: string
  layout: Layout
  /** Everything on this machine that could have it. */
  schedulers: readonly Scheduler[]
}

const copy: Step<ScheduleContext> = {
  id: 'schedule.tool',
  title: 'Keep a copy of this program in the deployment, for the runs to come',
  effect: 'writes',
  skip: ({ order, store }) =>
    isToolCurrent(order.layout, toolFiles(store === '1password')) ? 'it is there' : undefined,
  async run({ order, store }) {
    const files = toolFiles(store === '1password')
    copyTool(order.layout, files)
    return { saw: `${files.size} files in ${order.layout.tool}` }
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
  async run({ order, scheduler, store, asking, now }) {
    const { layout } = order
    const before = scheduleNote(layout)
    // Another user's cannot be turned off from here, and two would get into each other's way.
    const last = before && (await schedulerOf(before, asking))
    const files = await scheduler.prove(order)
    if (last !== undefined && last.kind !== scheduler.kind) await last.remove(order.name, layout.root)
    const since = before?.since ?? now().toISOString()
    const note = noteOf(scheduler, order, files, { uid: asking.uid, store, since })
    // First, so that a run that is cut short leaves a schedule that is seen to be broken, and not one nobody knows of.
    writeAtomic(layout.schedule, `${JSON.stringify(note)}\n`, 0o600)
    await scheduler.install(order, files)
    const { kind, scope, unit, every } = note
    return {
      saw: `${unit} of ${kind}: ${files.map(file => file.path).join(', ')}`,
      facts: { every, kind, scope, unit },
    }
  },
}

const remove: Step<UnscheduleContext> = {
  id: 'schedule.remove',
  title: 'Turn the rotation by itself off, and remove what it needed',
  effect: 'destroys',
  async skip({ name, layout, schedulers }) {
    for (const scheduler of schedulers) if (await scheduler.has(name, layout.root)) return undefined
    return [layout.schedule, layout.tool, layout.scheduleLog].some(path => existsSync(path))
      ? undefined
      : 'it is off'
  },
  async run({ name, layout, schedulers }) {
    const removed: string[] = []
    for (const scheduler of schedulers)
      if (await scheduler.remove(name, layout.root)) removed.push(scheduler.unit(name))
    // The note last: until then a run that is cut short has something to go on from.
    for (const path of [layout.tool, layout.scheduleLog, layout.schedule])
      rmSync(path, { recursive: true, force: true })
    syncDirectory(layout.own)
    return { saw: removed.join(', ') || 'only traces of it were left' }
  },
}

/** Installs the daily run; repeated, they change nothing, and repair what is not there any more. */
export const scheduleSteps: readonly Step<ScheduleContext>[] = [copy, install]

/** Removes all that {@link scheduleSteps} have installed; may be repeated. */
export const unscheduleSteps: readonly Step<UnscheduleContext>[] = [remove]
