import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { openingOf } from '../../steps/egress/context.ts'
import { unfinishedMove } from '../../steps/move/context.ts'
import { unfinishedRotations } from '../../steps/rotate/context.ts'
import { changedGround } from '../../steps/setup/canary.ts'
import { TOKEN_DAYS } from '../../steps/verify/token-age.ts'
import { placeOf } from '../deployment/answers.ts'
import { closesAt } from '../deployment/egress.ts'
import { readIfPresent } from '../deployment/files.ts'
import { addressOf } from '../deployment/plan.ts'
import { readLockdown } from '../docker/isolation.ts'
import { Exit, type ExitCode, ToolError } from '../errors.ts'
import { openCase } from '../evidence/open.ts'
import { judgeDisk, lookAtDisk } from '../gateway/disk.ts'
import { GATEWAY_TOKEN } from '../gateway/policy.ts'
import { askFromHost } from '../gateway/probe.ts'
import { envelope } from '../report/json.ts'
import { leftoverCredentials } from '../stores/credential.ts'
import { bornAt, type StoredValue } from '../stores/store.ts'
import { wayOutInWords } from './egress-words.ts'
import {
  composeOf,
  credentialOf,
  forbidCoreDumps,
  type GlobalOptions,
  openSession,
  type Program,
  storeOf,
} from './program.ts'
import { rotationStatus } from './status-schedule.ts'
import { savedAnswers } from './verify.ts'

const DAY = 86_400_000
/** The seed's "Regular Maintenance": images weekly. */
const IMAGE_DAYS = 7

/** What runs, since when, and what is due. 0: running and nothing due; 1: something is due; 3: not running or not to be seen. */
export async function status(program: Program, options: GlobalOptions): Promise<ExitCode> {
  const startedAt = program.now().toISOString()
  const session = await openSession(program, resolve(program.cwd, options.dir ?? '.'), options)
  const answers = savedAnswers(session)
  const { docker, journal } = session
  const now = program.now()

  await forbidCoreDumps(session)
  const credential = await credentialOf(options.storeCredential, program)
  const store = await storeOf(session, program, answers, { credential: () => credential })
  let current: StoredValue | undefined
  let unseen: string | undefined
  try {
    current = (await store.load(GATEWAY_TOKEN))?.current
  } catch (error) {
    if (!(error instanceof ToolError)) throw error
    unseen = `cannot be looked at: ${error.message}`
  } finally {
    await store.close()
  }
  const born = current === undefined ? undefined : bornAt(current.rotationId)
  const tokenDays = born === undefined ? undefined : Math.floor((now.getTime() - born.getTime()) / DAY)

  let gateway: string
  let image = 'unknown'
  let imageDays: number | undefined
  let running = false
  let ground: string[] = []
  try {
    const id = await composeOf(session, answers.name).containerId()
    const container = id === undefined ? undefined : await docker.container(id)
    const ready = container?.State.Running === true ? await askFromHost(answers, '/readyz') : undefined
    running = ready === 200
    gateway =
      container === undefined
        ? 'there is no container'
        : `${container.State.Status}${container.State.Running ? ` since ${container.State.StartedAt.slice(0, 19)}Z, ${ready === 200 ? 'ready' : `not ready (${ready ?? 'no answer'})`}` : ` (exit code ${container.State.ExitCode})`}`
    if (container !== undefined) {
      image = container.Config.Image
      const facts = await docker.image(container.Image)
      if (facts !== undefined)
        imageDays = Math.floor((now.getTime() - new Date(facts.Created).getTime()) / DAY)
    }
    if (answers.seccomp === 'fitted') ground = await changedGround(session.run, docker, journal.read())
  } catch (error) {
    if (!(error instanceof ToolError)) throw error
    gateway = `cannot be looked at: ${error.message}`
  }

  const rotation = await rotationStatus(session, program.person.uid, { born, store: answers.store, now })
  const until = closesAt(readIfPresent(openingOf(session.layout)) ?? '', now)
  const disk = existsSync(session.layout.state)
    ? judgeDisk(lookAtDisk(session.layout.state), answers.stateLimit)
    : undefined
  const work = existsSync(session.layout.sandboxWork)
    ? judgeDisk(lookAtDisk(session.layout.sandboxWork), answers.stateLimit)
    : undefined
  const unfinished = journal.unfinished('setup')
  const chain = journal.verifyChain()
  const move = unfinishedMove(session.layout)
  const leftover = leftoverCredentials(session.layout, answers.store, move !== undefined)
  const open = openCase(session.layout)
  const lockdown = readLockdown(session.layout)
  const due = [
    ...(open === undefined
      ? []
      : [`the end of the case ${open.id}: create-openclaw-secure incident --resume, or incident close`]),
    ...(lockdown === undefined
      ? []
      : [`the end of the lockdown since ${lockdown.since}: create-openclaw-secure unlock`]),
    ...leftover.map(path => `removing ${path}: it opens a store that is not in use here`),
    ...(current === undefined && unseen === undefined
      ? ['a gateway token: the store has none (create-openclaw-secure .)']
      : []),
    ...(tokenDays !== undefined && tokenDays >= TOKEN_DAYS
      ? [`a new gateway token (this one is ${tokenDays} days old)`]
      : []),
    ...rotation.due,
    ...[...(disk?.problems ?? []), ...(work?.problems ?? []).map(what => `sandbox-work: ${what}`)].map(
      what => `room on the disk: ${what}`,
    ),
    ...(imageDays !== undefined && imageDays >= IMAGE_DAYS
      ? [`a look for a newer image (this one is ${imageDays} days old)`]
      : []),
    ...(ground.length === 0
      ? []
      : [`a trial of the seccomp profile here (${ground.join(', ')}): create-openclaw-secure .`]),
    ...(unfinished === undefined
      ? []
      : [
          `the setup begun at ${unfinished.since}: run create-openclaw-secure ${options.dir ?? '.'} to finish it`,
        ]),
    ...(move === undefined
      ? []
      : [`the move to another store begun at ${move.since}: create-openclaw-secure store move --resume`]),
    ...unfinishedRotations(journal).map(
      ({ name, since }) =>
        `the rotation of ${name} begun at ${since}: create-openclaw-secure rotate --resume`,
    ),
    ...(chain.intact ? [] : [`a look at .secure/journal.jsonl: line ${chain.broken} is ${chain.why}`]),
  ]
  const fingerprint = current?.value.fingerprint(GATEWAY_TOKEN)
  const rows: [string, string][] = [
    ['deployment', `${answers.name} in ${session.layout.root}`],
    ['gateway', gateway],
    ...(open === undefined ? [] : [['case', `${open.id}, open since ${open.openedAt}`] as [string, string]]),
    ...(lockdown === undefined ? [] : [['lockdown', `since ${lockdown.since}`] as [string, string]]),
    ['address', addressOf(answers)],
    ['egress', wayOutInWords(answers, until, now)],
    ['secrets', placeOf(answers)],
    ['image', image],
    [
      'token',
      current === undefined
        ? (unseen ?? 'none stored')
        : `fingerprint ${fingerprint}, ${tokenDays === undefined ? 'of unknown age' : `${tokenDays} days old`}`,
    ],
    ...rotation.rows,
    ['state', disk?.saw ?? 'there is no state folder'],
    ['journal', chain.intact ? `${chain.events} events, chain intact` : `broken at line ${chain.broken}`],
    ['due', due.join('; ') || 'nothing'],
  ]
  if (options.json)
    program.stdout.write(
      envelope(
        { version: program.version, command: 'status', deployment: session.layout.root, startedAt },
        {
          name: answers.name,
          running,
          gateway,
          port: answers.port,
          case: open ?? null,
          lockdownSince: lockdown?.since ?? null,
          egress: { mode: answers.egress, openUntil: until?.toISOString() ?? null },
          image,
          imageDays,
          store: answers.store,
          token: { fingerprint, days: tokenDays },
          rotation: rotation.body,
          state: disk ?? null,
          journal: chain,
          due,
        },
      ),
    )
  else program.stdout.write(`${rows.map(([name, value]) => `${name.padEnd(11)} ${value}`).join('\n')}\n`)
  if (!running || unseen !== undefined || rotation.isUnknown) return Exit.unknown
  return due.length > 0 ? Exit.failed : Exit.done
}
