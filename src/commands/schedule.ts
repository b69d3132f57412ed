import { userInfo } from 'node:os'
import { resolve } from 'node:path'
import { renderedAnswers } from '../../steps/move/context.ts'
import { type ScheduleContext, scheduleSteps, unscheduleSteps } from '../../steps/rotate/schedule.ts'
import { readIfPresent } from '../deployment/files.ts'
import { Exit, type ExitCode, ToolError } from '../errors.ts'
import { runProcedure } from '../procedure/run.ts'
import { envelope } from '../report/json.ts'
import { type Every, OLDEST } from '../schedule/port.ts'
import {
  type Asking,
  chooseScheduler,
  orderOf,
  type ScheduleState,
  schedulersHere,
  scheduleState,
} from '../schedule/schedule.ts'
import { Systemd } from '../schedule/systemd.ts'
import { readDeployment } from '../wizard/saved.ts'
import { type GlobalOptions, openSession, type Program, runtimeOf, type Session } from './program.ts'
import { savedAnswers } from './verify.ts'

export interface ScheduleOptions extends Omit<GlobalOptions, 'storeCredential'> {
  schedule: Every | 'off'
}

/** Has the secrets rotated by themselves, or no more. 0: it is so; 3: it could not be done, and the same command goes on. */
export async function rotateSchedule(program: Program, options: ScheduleOptions): Promise<ExitCode> {
  const startedAt = program.now().toISOString()
  const session = await openSession(program, resolve(program.cwd, options.dir ?? '.'), options)
  const { layout } = session
  const { name } = savedAnswers(session)
  const asking: Asking = { run: session.searchingRun, uid: program.person.uid }
  const tell = (text: string) => (options.quiet ? undefined : program.stderr.write(`${text}\n`))
  const head = { version: program.version, command: 'rotate --schedule', deployment: layout.root, startedAt }
  const finish = (changed: readonly string[], body: object): ExitCode => {
    if (options.json) program.stdout.write(envelope(head, { changed, schedule: options.schedule, ...body }))
    return Exit.done
  }

  if (options.schedule === 'off') {
    const context = { name, layout, schedulers: await schedulersHere(asking, program.env) }
    // Another user's schedule is his to turn off: from here it would go on without its note.
    await scheduleState(layout, asking, program.now()).catch(onlyElsewhere)
    const runtime = runtimeOf(session, program, 'rotate --schedule off', options.dryRun === true)
    const { written } = await runProcedure('rotate-schedule', unscheduleSteps, context, runtime)
    tell(
      options.dryRun
        ? 'Nothing was changed.'
        : 'Nothing is rotated by itself. create-openclaw-secure status says when it is due.',
    )
    return finish(written, {})
  }

  const context = await contextOf(session, program, options.schedule, asking)
  if (options.dryRun) {
    const files = context.scheduler.plan(context.order).map(({ path, content }) => ({ path, content }))
    if (!options.json)
      program.stdout.write(files.map(({ path, content }) => `--- ${path}\n${content.trimEnd()}\n\n`).join(''))
    return finish([], { files })
  }
  const runtime = runtimeOf(session, program, 'rotate --schedule', false)
  const { written } = await runProcedure('rotate-schedule', scheduleSteps, context, runtime)
  const state = await scheduleState(layout, asking, program.now())
  if (state === undefined) throw new Error('the schedule was installed and has no note')
  const lingers = context.scheduler instanceof Systemd ? await context.scheduler.lingers() : true
  tell(wordsFor(state, context, lingers))
  return finish(written, { state: { ...state, lingers } })
}

async function contextOf(
  session: Session,
  program: Program,
  every: Every,
  asking: Asking,
): Promise<ScheduleContext> {
  const { layout } = session
  const rendered = readIfPresent(renderedAnswers(layout))
  if (rendered === undefined)
    throw new ToolError(
      'schedule_unfinished_setup',
      'what deployment.yaml names has not been set up as a whole',
      'Finish setting it up first: create-openclaw-secure .',
      Exit.unknown,
    )
  // As they were rendered last: there the secrets are.
  const { answers } = readDeployment(rendered, layout.root)
  const { env } = program
  const home = userInfo().homedir
  return {
    order: orderOf({ answers, layout, every, node: process.execPath, env, home }),
    scheduler: await chooseScheduler(asking, env, every),
    store: answers.store,
    asking,
    now: program.now,
  }
}

/** A schedule that is broken in any other way is one to be removed. */
function onlyElsewhere(error: unknown): undefined {
  if (!(error instanceof ToolError) || error.code === 'schedule_elsewhere') throw error
}

/** What the person has now, how to see it, and how to be rid of it. */
function wordsFor(state: ScheduleState, { order }: ScheduleContext, lingers: boolean | undefined): string {
  const { kind, scope, unit, every, nextRun } = state
  const user = scope === 'user' ? '--user ' : ''
  const service = unit.replace(/\.timer$/, '')
  return [
    '',
    `Every day the secrets are looked at, and what is older than ${OLDEST[every].slice(0, -1)} days is rotated (${every}).`,
    ...(nextRun === undefined
      ? []
      : [`The next look: ${nextRun.toISOString().slice(0, 16).replace('T', ' ')} UTC`]),
    ...(kind === 'cron'
      ? [`See it: crontab -l; what it said: ${order.layout.scheduleLog}`]
      : [
          `See it: systemctl ${user}list-timers ${unit}; what it said: journalctl ${user}--unit ${service}`,
          `Try it now: systemctl ${user}start ${service}`,
        ]),
    'Turn it off: create-openclaw-secure rotate --schedule off',
    ...(lingers === true
      ? []
      : [
          `${lingers === false ? 'It stops when you log out' : 'It may stop when you log out'}, until your services are allowed to stay: loginctl enable-linger ${userInfo().username}`,
        ]),
    '',
  ].join('\n')
}
