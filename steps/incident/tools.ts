import { createHash } from 'node:crypto'
import { createReadStream, readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { hostname, release, uptime } from 'node:os'
import { dirname, resolve } from 'node:path'
import { lookAt } from '../../src/deployment/files.ts'
import { packageFile } from '../../src/deployment/package.ts'
import type { ProcessRunner } from '../../src/docker/process.ts'
import type { IncidentContext } from './context.ts'
import { gather } from './gather.ts'

/** The line of the chain that says with what the case is made, and by which clock. */
const TOOLS = 'case.tools'

/**
 * Notes once in a case how far the engine's clock is from ours (in milliseconds), and the SHA-256 of the runbook, of Node, of Docker's
 * client and of this program: what everything after it rests on. What hashes two hundred megabytes waits for nobody to be contained.
 * Errors: the reason of `signal`; the disk's.
 */
export async function noteTools(ctx: IncidentContext, signal: AbortSignal): Promise<void> {
  if (ctx.case.journal.read().some(({ step }) => step === TOOLS)) return
  const clock = await clockOf(ctx)
  const tools = await programs(ctx)
  const text = (name: string, command: string, said: unknown) =>
    gather(ctx, signal, { name: `host/${name}`, command, share: true }, async into => {
      into.write(`${JSON.stringify(said, undefined, 2)}\n`)
      return undefined
    })
  await text('clock.json', 'clocks of this machine and of the engine', clock)
  await text('programs.json', 'SHA-256 of node, docker and this program', tools)
  ctx.case.note(TOOLS, {
    clockOffset: clock.offset ?? 'the engine did not say its time',
    runbook: createHash('sha256').update(ctx.runbook.text).digest('hex'),
    ...Object.fromEntries(tools.map(({ what, sha256 }) => [what, sha256])),
  })
}

/** Two clocks, and whether somebody sets this one. `offset`: the engine's minus ours, in milliseconds, to within half a call. */
async function clockOf({ docker, run, now }: IncidentContext) {
  const asked = now()
  const engine = await quiet(run, 'docker', ['info', '--format', '{{.SystemTime}}'])
  const answered = now()
  const middle = (asked.getTime() + answered.getTime()) / 2
  const at = engine === undefined ? Number.NaN : Date.parse(engine)
  return {
    host: asked.toISOString(),
    engine,
    offset: Number.isNaN(at) ? undefined : Math.round(at - middle),
    within: Math.ceil((answered.getTime() - asked.getTime()) / 2),
    synchronised: await quiet(run, 'timedatectl', ['show', '--property=NTPSynchronized', '--value']),
    machine: hostname(),
    kernel: release(),
    uptime: Math.round(uptime()),
    boot: await readFile('/proc/sys/kernel/random/boot_id', 'utf8').then(
      id => id.trim(),
      () => undefined,
    ),
    engineOf: await docker.endpoint().catch(() => undefined),
  }
}

/** Whether what collects can be trusted: a reader compares these with what he knows. */
async function programs({ run }: IncidentContext) {
  const docker = await quiet(run, 'which', ['docker'])
  const bundle = dirname(packageFile('dist/cli/cli.js'))
  const parts = lookAt(bundle)?.isDirectory() === true ? readdirSync(bundle).sort() : []
  const groups = [
    { what: 'node', path: process.execPath, files: [process.execPath] },
    ...(docker === undefined ? [] : [{ what: 'docker', path: docker, files: [docker] }]),
    {
      what: 'program',
      path: `${bundle}/*, one after the other`,
      files: parts.map(name => resolve(bundle, name)),
    },
  ]
  return Promise.all(
    groups.map(async ({ files, ...group }) => {
      const hash = createHash('sha256')
      try {
        for (const file of files) for await (const chunk of createReadStream(file)) hash.update(chunk)
        return { ...group, sha256: hash.digest('hex') }
      } catch {
        return { ...group, sha256: 'not readable' }
      }
    }),
  )
}

/** What a program of this machine says in one breath; undefined where it cannot be asked. */
async function quiet(run: ProcessRunner, file: string, args: readonly string[]): Promise<string | undefined> {
  try {
    const { code, stdout } = await run(file, args, { deadline: 5000, cap: 2000 })
    return code === 0 ? stdout.trim() : undefined
  } catch {
    return undefined
  }
}
