import { userInfo } from 'node:os'
import { resolve } from 'node:path'
import { renderedAnswers } from '../../steps/move/context.ts'
import { type ScheduleContext, scheduleSteps, unscheduleSteps } from '../../steps/rotate/schedule.ts'
import type { Answers } from '../deployment/answers.ts'
import { lookAt, readIfPresent } from '../deployment/files.ts'
import { layoutOf } from '../deployment/layout.ts'
import { Exit, type ExitCode, type Problem, ToolError, UsageError } from '../errors.ts'
import { runProcedure } from '../procedure/run.ts'
import { envelope } from '../report/json.ts'
import { type Every, OLDEST, trustedPaths } from '../schedule/port.ts'
import { writeRun } from '../schedule/record.ts'
import { expectSafe } from '../schedule/safe.ts'
import {
  type Asking,
  allSchedulers,
  chooseScheduler,
  engineEndpoint,
  orderOf,
  type ScheduleState,
  scheduleState,
} from '../schedule/schedule.ts'
import { Systemd } from '../schedule/systemd.ts'
import { toolCopy, toolFiles } from '../schedule/tool.ts'
import { keptCredential, ownsSecretId } from '../stores/credential.ts'
import { vaultPlace } from '../stores/open.ts'
import { readDeployment } from '../wizard/saved.ts'
import { type GlobalOptions, openSession, type Program, runtimeOf, type Session } from './program.ts'
import type { RotateOptions } from './rotate-input.ts'
import { savedAnswers } from './verify.ts'

export interface ScheduleOptions extends Omit<GlobalOptions, 'storeCredential'> {
  schedule: Every | 'off'
}

/** What a rotation can be asked for, and a schedule cannot: it would do something else than it was told. */
const NOT_SCHEDULED: readonly (readonly [keyof RotateOptions, string])[] = [
  ['all', '--all'],
  ['ifOlderThan', '--if-older-than'],
  ['resume', '--resume'],
  ['revokeDevices', '--revoke-devices'],
  ['tokenFile', '--token-file'],
  ['clipboard', '--clipboard'],
  ['reveal', '--reveal'],
  ['providerKey', '--provider-key'],
  ['secretValue', '--secret-value'],
  ['storeCredential', '--store-credential'],
  ['proveUrl', '--prove-url'],
  ['proveHeader', '--prove-header'],
]

/** What is wrong with asking for this beside `--schedule`. */
export function scheduleProblems(secrets: readonly string[], options: Partial<RotateOptions>): Problem[] {
  const allowed = 'nothing beside --schedule, which rotates what is made here, when it is old enough'
  return [
    ...(secrets.length === 0 ? [] : [{ field: 'secret', given: secrets.join(', '), allowed }]),
    ...NOT_SCHEDULED.filter(([key]) => options[key] !== undefined && options[key] !== false).map(
      ([, flag]) => ({ field: flag, given: 'with --schedule', allowed }),
    ),
  ]
}

/** Has the secrets rotated by themselves, or no more. 0: it is so; 3: it could not be done, and the same command goes on. */
export async function rotateSchedule(
  program: Program,
  secrets: readonly string[],
  options: ScheduleOptions & Partial<RotateOptions>,
): Promise<ExitCode> {
  const problems = scheduleProblems(secrets, options)
  if (problems.length > 0) throw new UsageError(problems)
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
    const context = { name, layout, asking, schedulers: await allSchedulers(asking, program.env) }
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

  const { context, left } = await contextOf(session, program, options.schedule, asking)
  if (options.dryRun) {
    const files = context.scheduler.plan(context.order).map(({ path, content }) => ({ path, content }))
    if (!options.json)
      program.stdout.write(files.map(({ path, content }) => `--- ${path}\n${content.trimEnd()}\n\n`).join(''))
    return finish([], { files, left })
  }
  const runtime = runtimeOf(session, program, 'rotate --schedule', false)
  const { written } = await runProcedure('rotate-schedule', scheduleSteps, context, runtime)
  const state = await scheduleState(layout, asking, program.now())
  if (state === undefined) throw new Error('the schedule was installed and has no note')
  const lingers = context.scheduler instanceof Systemd ? await context.scheduler.lingers() : true
  tell(wordsFor(state, context, left, lingers))
  return finish(written, { state: { ...state, lingers }, left })
}

/**
 * A run that a scheduler has started, with what became of it written down: when it began, when it ended, and how. One that
 * leaves no end was killed.
 */
export async function recordRun(
  program: Program,
  dir: string,
  run: () => Promise<ExitCode>,
): Promise<ExitCode> {
  const layout = layoutOf(resolve(program.cwd, dir))
  const start = program.now()
  // Where there is no deployment, the run says so, and nothing is written.
  const record = (exit?: ExitCode) => {
    if (lookAt(layout.own) === undefined) return
    writeRun(layout, start, exit === undefined ? undefined : { end: program.now(), exit })
  }
  record()
  let code: ExitCode = Exit.unknown
  try {
    code = await run()
    return code
  } catch (error) {
    if (error instanceof ToolError) code = error.exit
    throw error
  } finally {
    record(code)
  }
}

/** How it is to be scheduled, and what is left out of it, in words. */
async function contextOf(
  session: Session,
  program: Program,
  every: Every,
  asking: Asking,
): Promise<{ context: ScheduleContext; left: string[] }> {
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
  const { env, cwd, person } = program
  const files = toolFiles(answers.store === '1password')
  const left = await withoutCredential(session, answers)
  const order = orderOf({
    ...{ answers, layout, every, env, cwd, node: process.execPath, home: userInfo().homedir },
    tool: toolCopy(files),
    endpoint: await engineEndpoint(session.run, env),
    withCredential: ownsSecretId(answers) && left === undefined,
  })
  // Before anything is written; and once more when the copy is there.
  expectSafe(trustedPaths(order), person)
  const scheduler = await chooseScheduler(asking, env, every)
  const context = { order, scheduler, store: answers.store, files, asking, trusted: person, now: program.now }
  return { context, left: left === undefined ? [] : [left] }
}

/** Why the secret id is not rotated by itself, where it could be; undefined when it can. */
async function withoutCredential(
  { layout, redactor }: Session,
  answers: Answers,
): Promise<string | undefined> {
  const kept = ownsSecretId(answers) ? keptCredential(layout, answers) : undefined
  if (kept === undefined) return undefined
  const { VaultSecretIds } = await import('../stores/vault-secret-id.ts')
  const ids = new VaultSecretIds({ place: vaultPlace(answers), credential: () => kept, redactor })
  try {
    await ids.expectRights()
    const count = (await ids.accessors()).length
    // A rotation destroys all others: somebody else may be using one.
    return count > 1
      ? `The role has ${count} secret ids, and rotating destroys all but the new one: that is left to you (create-openclaw-secure rotate store_credential, then schedule again).`
      : undefined
  } catch (error) {
    if (!(error instanceof ToolError && error.code === 'store_denied')) throw error
    return `The secret id is not rotated by itself: ${error.message}.`
  } finally {
    await ids.close()
  }
}

/** A schedule that is broken in any other way is one to be removed. */
function onlyElsewhere(error: unknown): undefined {
  if (!(error instanceof ToolError) || error.code === 'schedule_elsewhere') throw error
}

/** What the person has now, how to see it, and how to be rid of it. */
function wordsFor(
  state: ScheduleState,
  { order }: ScheduleContext,
  left: readonly string[],
  lingers: boolean | undefined,
): string {
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
    ...left,
    ...(state.notes ?? []).map(note => `It runs ${note}.`),
    'Turn it off: create-openclaw-secure rotate --schedule off',
    ...(lingers === true
      ? []
      : [
          `${lingers === false ? 'It stops when you log out' : 'It may stop when you log out'}, until your services are allowed to stay: loginctl enable-linger ${userInfo().username}`,
        ]),
    '',
  ].join('\n')
}
