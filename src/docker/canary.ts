import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import * as z from 'zod'
import { INSIDE } from '../deployment/layout.ts'
import { ToolError } from '../errors.ts'
import { asScript } from '../gateway/inside.ts'
import { type CanarySong, sing } from '../gateway/inside-canary.ts'
import { parseJson } from '../json.ts'
import { type Docker, firstLine, THROWAWAY_LABEL } from './engine.ts'
import type { ProcessRunner } from './process.ts'
import { type Architecture, syscallsOf } from './syscalls.ts'

/**
 * The canary: the image that will run, under the profile that it will run under, in a container that is thrown away. It
 * sees none of the deployment's files: configuration and token are made inside, and end with it.
 */
export interface Canary {
  image: string
  /** `uid:gid` inside. */
  user: string
  /** The text of the seccomp profile. */
  profile: string
  /** MiB, CPUs and processes, as the deployment's. */
  memory: number
  cpus: number
  pids: number
  /** How long the gateway may take to answer, in milliseconds. */
  patience: number
}

const Song: z.ZodType<CanarySong> = z.object({
  healthy: z.nullable(z.number()),
  without: z.nullable(z.number()),
  with: z.nullable(z.number()),
  child: z.string(),
  log: z.string(),
})

/** `ok`, or what did not work, in words. */
export type Outcome = { ok: true; healthy: number } | { ok: false; why: string }

/**
 * Starts the canary under a profile; undefined is the engine's own. Errors: those of the process runner. A container that
 * the engine could not even start is an outcome, because that can be the profile's fault.
 */
export async function tryUnder(
  docker: Docker,
  canary: Canary,
  profile: string | undefined,
  signal: AbortSignal,
): Promise<Outcome> {
  const name = `ocs-canary-${randomBytes(6).toString('hex')}`
  const scratch = mkdtempSync(resolve(tmpdir(), 'ocs-canary-'))
  try {
    const path = resolve(scratch, 'seccomp.json')
    if (profile !== undefined) writeFileSync(path, profile, { mode: 0o600 })
    const flags = profile === undefined ? [] : ['--security-opt', `seccomp=${path}`]
    const { code, stdout, stderr } = await docker.call(
      ['run', '--rm', '--name', name, ...flags, ...likeTheGateway(canary), ...program(canary)],
      { deadline: canary.patience + 60_000, signal },
    )
    const song = Song.safeParse(parseJson(stdout))
    return song.success
      ? judge(song.data)
      : { ok: false, why: `the container ended with ${code}: ${firstLine(stderr || stdout)}` }
  } catch (error) {
    // The command-line client is gone; the container it started may not be.
    await docker.discard(name)
    throw error
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

/** What composition.ts gives the gateway, without its files and its network. */
function likeTheGateway({ user, memory, cpus, pids }: Canary): string[] {
  const [uid, gid] = user.split(':')
  const tmpfs = (path: string, size: number) =>
    `${path}:rw,noexec,nosuid,nodev,size=${size}m,mode=0700,uid=${uid},gid=${gid}`
  const environment = {
    HOME: INSIDE.home,
    OPENCLAW_STATE_DIR: INSIDE.state,
    OPENCLAW_CONFIG_PATH: `${INSIDE.state}/canary/openclaw.json`,
    XDG_CACHE_HOME: INSIDE.cache,
    OPENCLAW_DISABLE_BONJOUR: '1',
    NODE_OPTIONS: `--max-old-space-size=${Math.floor(memory / 2)} --disable-sigusr1`,
  }
  return [
    ...['--pull', 'never', '--label', THROWAWAY_LABEL, '--no-healthcheck', '--init', '--network', 'none'],
    ...['--user', user, '--read-only', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges:true'],
    ...['--memory', `${memory}m`, '--memory-swap', `${memory}m`, '--cpus', String(cpus)],
    ...['--pids-limit', String(pids), '--ulimit', 'core=0', '--ipc', 'private', '--shm-size', '64m'],
    ...['--tmpfs', '/tmp:rw,noexec,nosuid,nodev,size=512m,mode=1777'],
    ...['--tmpfs', tmpfs(INSIDE.state, 256), '--tmpfs', tmpfs(INSIDE.cache, 64)],
    ...Object.entries(environment).flatMap(([key, value]) => ['--env', `${key}=${value}`]),
  ]
}

function program({ image, patience }: Canary): string[] {
  const order = { patience, port: INSIDE.port, folder: `${INSIDE.state}/canary` }
  return ['--entrypoint', 'node', image, '-e', asScript(sing), JSON.stringify(order)]
}

function judge({ healthy, without, with: right, child, log }: CanarySong): Outcome {
  const fail = (why: string): Outcome => ({ ok: false, why })
  if (healthy === null) return fail(`the gateway did not become healthy: ${lastWords(log)}`)
  if (without !== 401 || right !== 404)
    return fail(`a call was answered with ${without} without the token and ${right} with it, not 401 and 404`)
  if (child !== '42') return fail(`a child process could not run: ${child}`)
  return { ok: true, healthy }
}

function lastWords(log: string): string {
  const lines = log.split('\n').filter(line => line.trim() !== '')
  return (
    lines.find(line => /error|assert|not permitted|not implemented/i.test(line)) ??
    lines.at(-1) ??
    'it said nothing'
  )
    .trim()
    .slice(0, 300)
}

const Rules = z.looseObject({
  defaultAction: z.string(),
  syscalls: z.array(
    z.looseObject({
      names: z.array(z.string()),
      action: z.string(),
      args: z.optional(z.nullable(z.array(z.unknown()))),
    }),
  ),
})

/** A profile that allows more: each of these calls, whatever its arguments. */
export function allowingAlso(profile: string, names: readonly string[]): string {
  const rules = Rules.parse(parseJson(profile))
  // A call that is allowed without conditions cannot have rules with conditions beside it.
  const rest = rules.syscalls
    .map(rule => ({ ...rule, names: rule.names.filter(name => !names.includes(name)) }))
    .filter(rule => rule.names.length > 0)
  const more = { names: [...names], action: 'SCMP_ACT_ALLOW' }
  return JSON.stringify({ ...rules, syscalls: names.length === 0 ? rest : [...rest, more] })
}

/** A profile that lets through what this one denies by default, and has the kernel write it down. */
export function onlyLogging(profile: string): string {
  return JSON.stringify({
    ...Rules.parse(parseJson(profile)),
    defaultErrnoRet: undefined,
    defaultAction: 'SCMP_ACT_LOG',
  })
}

/**
 * Which calls a profile does not allow, or not with all arguments, by name. First those that it denies by a rule of their
 * own: programs do without them, and may be lost with one of them alone.
 */
export function notAllowed(profile: string, architecture: Architecture): string[] {
  const { syscalls } = Rules.parse(parseJson(profile))
  const free = new Set(
    syscalls
      .filter(rule => rule.action === 'SCMP_ACT_ALLOW' && (rule.args ?? []).length === 0)
      .flatMap(rule => rule.names),
  )
  const refused = syscalls.filter(rule => rule.action === 'SCMP_ACT_ERRNO').flatMap(rule => rule.names)
  return [...new Set([...refused, ...syscallsOf(architecture).values()])].filter(name => !free.has(name))
}

/** The kernel's own numbers for the architectures (linux/audit.h). */
const AUDIT_ARCH: Record<string, Architecture> = { c000003e: 'x86_64', c00000b7: 'aarch64' }

/** The calls that the kernel's log says a filter let through and noted, since a time in milliseconds. */
export function loggedCalls(kernelLog: string, since: number): string[] {
  const entries = kernelLog.matchAll(
    /type=1326 audit\((\d+)\.(\d+):\d+\):.* arch=([0-9a-f]+) syscall=(\d+) .*code=0x7ffc0000/g,
  )
  const names = [...entries]
    .filter(([, seconds, fraction]) => Number(`${seconds}.${fraction}`) * 1000 >= since)
    .map(([, , , arch = '', number = '']) => {
      const architecture = AUDIT_ARCH[arch]
      const name = architecture === undefined ? undefined : syscallsOf(architecture).get(Number(number))
      return name ?? `call ${number} of ${arch}`
    })
  return [...new Set(names)]
}

/** Tries before we say that we do not know. */
const MOST_TRIES = 20

/**
 * Which calls the image needs and the profile denies, proven by a start that works once they are allowed; undefined when
 * that cannot be told. The kernel's log is asked first; it may be closed to this user, or be another machine's. Else the
 * denied calls are allowed in part, and the part halved.
 */
export async function missingCalls(
  run: ProcessRunner,
  docker: Docker,
  canary: Canary,
  signal: AbortSignal,
): Promise<string[] | undefined> {
  const works = async (names: readonly string[]) =>
    (await tryUnder(docker, canary, allowingAlso(canary.profile, names), signal)).ok
  const architecture = architectureOf((await docker.info()).Architecture)
  if (architecture === undefined) return undefined
  const denied = notAllowed(canary.profile, architecture)
  const logged = (await logOfKernel(run, docker, canary, signal)).filter(name => denied.includes(name))
  if (logged.length > 0 && (await works(logged)))
    return logged.length === 1 ? logged : ((await fewest(logged, works)) ?? logged)
  return fewest(denied, works)
}

/** The members of a list without which it does not work, by halving; undefined when the list does not work or it takes too long. */
export async function fewest(
  list: readonly string[],
  works: (names: readonly string[]) => Promise<boolean>,
): Promise<string[] | undefined> {
  let tries = 0
  const asked = (names: readonly string[]) => {
    tries += 1
    return works(names)
  }
  const needed: string[] = []
  let rest = list
  if (!(await asked(rest))) return undefined
  do {
    // The shortest beginning that works together with what is known: its last member is needed.
    let [low, high] = [0, rest.length]
    while (low < high) {
      if (tries >= MOST_TRIES) return undefined
      const middle = Math.floor((low + high) / 2)
      if (await asked([...needed, ...rest.slice(0, middle)])) high = middle
      else low = middle + 1
    }
    const last = rest[high - 1]
    if (last === undefined) return needed
    needed.push(last)
    rest = rest.slice(0, high - 1)
  } while (tries < MOST_TRIES && !(await asked(needed)))
  return needed
}

async function logOfKernel(
  run: ProcessRunner,
  docker: Docker,
  canary: Canary,
  signal: AbortSignal,
): Promise<string[]> {
  const began = Date.now() - 50
  await tryUnder(docker, canary, onlyLogging(canary.profile), signal)
  const { code, stdout } = await run('dmesg', [], { deadline: 10_000, cap: 16 * 1024 * 1024, signal }).catch(
    () => ({ code: 1, stdout: '' }),
  )
  return code === 0 ? loggedCalls(stdout, began) : []
}

function architectureOf(name: string): Architecture | undefined {
  if (name === 'x86_64' || name === 'amd64') return 'x86_64'
  return name === 'aarch64' || name === 'arm64' ? 'aarch64' : undefined
}

const Versions = z.object({
  Version: z.string(),
  KernelVersion: z._default(z.string(), 'unknown'),
  Components: z._default(z.array(z.object({ Name: z.string(), Version: z.string() })), []),
})

/** What a filter meets beside the image: a canary that sang holds until one of these is another. */
export interface EngineGround extends Record<string, string> {
  engine: string
  runc: string
  libseccomp: string
  kernel: string
}

/** All that the verdict depends on. */
export interface Ground extends EngineGround {
  image: string
  /** SHA-256 of the profile. */
  profile: string
  /** Those of {@link Canary}: with less of them a gateway may not start. */
  memory: string
  cpus: string
  pids: string
}

/** What the verdict on a canary depends on, as it is now. Errors: `engine_unreachable`. */
export async function groundOf(run: ProcessRunner, docker: Docker, canary: Canary): Promise<Ground> {
  const profile = createHash('sha256').update(canary.profile).digest('hex')
  const { image, memory, cpus, pids } = canary
  const limits = { memory: `${memory}`, cpus: `${cpus}`, pids: `${pids}` }
  return { ...(await engineGround(run, docker)), image, profile, ...limits }
}

/**
 * The engine as it is now. The version of libseccomp only runc itself tells, where it is on this machine; else `unknown`.
 * Errors: `engine_unreachable`.
 */
export async function engineGround(run: ProcessRunner, docker: Docker): Promise<EngineGround> {
  const [server, runc] = await Promise.all([
    docker.call(['version', '--format', '{{json .Server}}'], { deadline: 15_000 }),
    run('runc', ['--version'], { deadline: 10_000 }).catch(() => ({ stdout: '' })),
  ])
  const versions = Versions.safeParse(parseJson(server.stdout))
  if (!versions.success)
    throw new ToolError(
      'engine_unreachable',
      `the Docker engine does not say which version it is: ${firstLine(server.stderr)}`,
      'Look at `docker version`, then run the command again.',
    )
  const { Version, KernelVersion, Components } = versions.data
  return {
    engine: Version,
    runc: Components.find(component => component.Name === 'runc')?.Version ?? 'unknown',
    libseccomp: /^libseccomp: (\S+)/m.exec(runc.stdout)?.[1] ?? 'unknown',
    kernel: KernelVersion,
  }
}
