import { accessSync, constants, readdirSync, statfsSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { availableParallelism, freemem } from 'node:os'
import { dirname, resolve } from 'node:path'
import { coerce, gte } from 'semver'
import type { Answers } from '../../src/deployment/answers.ts'
import { lookAt, repositoryAbove } from '../../src/deployment/files.ts'
import type { Layout } from '../../src/deployment/layout.ts'
import { bridgeNetwork } from '../../src/deployment/network.ts'
import type { Docker, EngineInfo } from '../../src/docker/engine.ts'
import { NeighbourRule, publishesToNeighbours } from '../../src/docker/firewall.ts'
import type { ProcessRunner } from '../../src/docker/process.ts'
import { Exit, type ExitCode, ToolError } from '../../src/errors.ts'

/** What preflight has to say about one thing. `stop` ends setup before anything is written. */
export interface Notice {
  id: string
  verdict: 'pass' | 'warn' | 'stop'
  saw: string
  fix?: string
  exit?: ExitCode
}

export interface Preflight {
  notices: Notice[]
  engine?: EngineInfo
}

interface Machine {
  docker: Docker
  run: ProcessRunner
  layout: Layout
  launch: boolean
  isRoot: boolean
  env: Readonly<Record<string, string | undefined>>
  now: Date
}

const GIB = 1024 ** 3
/** No honest clock is before the release this version of the tool was made for. */
const NOT_BEFORE = new Date('2026-09-01T00:00:00Z')

/** Looks at the machine and the folder: everything that does not depend on the answers, and all of it at once. */
export async function inspectMachine(machine: Machine): Promise<Preflight> {
  const notices = [...lookAtFolder(machine.layout), ...(await lookAtGit(machine))]
  if (machine.now < NOT_BEFORE)
    notices.push(
      stop(
        'clock',
        `the clock says ${machine.now.toISOString().slice(0, 10)}`,
        'Set it (sudo timedatectl set-ntp true): tokens, certificates and evidence depend on it.',
      ),
    )
  if (!machine.launch) return { notices }
  try {
    const engine = await machine.docker.info()
    return { notices: [...notices, ...(await lookAtEngine(machine, engine))], engine }
  } catch (error) {
    if (!(error instanceof ToolError)) throw error
    return {
      notices: [
        ...notices,
        { id: 'engine', verdict: 'stop', saw: error.message, fix: error.hint, exit: error.exit },
      ],
    }
  }
}

/** Looks at what the answers ask of the machine: the port, the name, the limits. */
export async function inspectAnswers(
  machine: Machine,
  answers: Answers,
  engine: EngineInfo | undefined,
): Promise<Notice[]> {
  if (engine === undefined) return []
  const { docker, run, layout } = machine
  const notices: Notice[] = []
  const owner = await projectOwner(docker, answers.name)
  const ours = owner !== undefined && resolve(owner.folder) === layout.root
  if (owner !== undefined && !ours)
    notices.push(
      usage(
        'name',
        `a Compose project "${answers.name}" lives in ${owner.folder}`,
        'Choose another --name: two projects of one name would replace each other’s containers.',
      ),
    )
  const other = await projectIn(docker, layout.root)
  if (other !== undefined && other !== answers.name)
    notices.push(
      usage(
        'name',
        `the gateway of this folder runs as "${other}"`,
        `Keep that name (--name ${other}), or end it first: docker compose --project-name ${other} down. Two gateways on one state folder destroy it.`,
      ),
    )
  // Our own gateway may hold the port already; then it is not taken but in use as planned.
  if (!(ours && owner.ports.includes(answers.port))) {
    const taken = await portProblem(answers.port)
    if (taken !== undefined)
      notices.push(
        usage(
          'port',
          `port ${answers.port} on 127.0.0.1: ${taken}`,
          'Choose another --port, or stop what uses it (ss -ltnp shows it).',
        ),
      )
  }
  if (answers.cpus > engine.NCPU)
    notices.push(
      usage(
        'cpus',
        `${answers.cpus} CPUs asked for, the engine has ${engine.NCPU}`,
        `Set --cpus to ${engine.NCPU} or less.`,
      ),
    )
  if (answers.memory * 1024 ** 2 > engine.MemTotal)
    notices.push(
      usage(
        'memory',
        `a limit of ${answers.memory} MiB, the engine has ${Math.floor(engine.MemTotal / 1024 ** 2)} MiB`,
        'Lower --memory (1536 at least).',
      ),
    )
  if (publishesToNeighbours(engine)) notices.push(await neighbourNotice(run, answers, machine.isRoot))
  return notices
}

/** The exit code of everything that stops: wrong input counts before a machine that is not ready. */
export function exitOf(notices: readonly Notice[]): ExitCode | undefined {
  const stops = notices.filter(notice => notice.verdict === 'stop')
  if (stops.length === 0) return undefined
  return stops.some(notice => notice.exit === Exit.usage) ? Exit.usage : Exit.unknown
}

function lookAtFolder({ root, own, answers }: Layout): Notice[] {
  const found = lookAt(root)
  const parent = nearestExisting(root)
  const notices: Notice[] = []
  if (found?.isSymbolicLink())
    return [usage('folder', `${root} is a symbolic link`, 'Name the folder it leads to, or another one.')]
  const there = found === undefined ? parent : root
  if (statSync(there, { throwIfNoEntry: false })?.isDirectory() !== true)
    return [usage('folder', `${there} is not a folder`, 'Name another one.')]
  try {
    accessSync(found === undefined ? parent : root, constants.W_OK | constants.X_OK)
  } catch {
    notices.push(
      usage(
        'folder',
        `${found === undefined ? parent : root} is not writable by this user`,
        'Name a folder you own, or correct its permissions.',
      ),
    )
  }
  const names = found === undefined ? [] : readdirSafely(root)
  const ours = lookAt(own)?.isDirectory() === true || lookAt(answers)?.isFile() === true
  // A .git folder alone is somebody who keeps the deployment's files under version control: welcome.
  if (!ours && names.some(name => name !== '.git'))
    notices.push(
      usage(
        'folder',
        `${root} is not empty and was not made by this tool (it holds ${names.slice(0, 3).join(', ')}${names.length > 3 ? ', …' : ''})`,
        'Name an empty or new folder.',
      ),
    )
  const { bavail, bsize } = statfsSync(parent)
  if (Number(bavail) * Number(bsize) < 0.5 * GIB) {
    const free = Math.floor((Number(bavail) * Number(bsize)) / 1024 ** 2)
    const verdict = free < 2 ? 'stop' : 'warn'
    notices.push({
      id: 'disk',
      verdict,
      exit: Exit.unknown,
      saw: `${free} MiB free where the deployment goes`,
      fix: 'Free some space: sessions, logs and evidence need it (1 GiB is comfortable).',
    })
  }
  return notices.length > 0
    ? notices
    : [
        pass(
          'folder',
          found === undefined ? `${root} will be made` : ours ? `${root} is one of ours` : `${root} is empty`,
        ),
      ]
}

/** What holds secrets; `templates/gitignore.hbs` names the same. */
const NEVER_TRACKED = ['secrets', 'state', '.secure', 'cases', 'proxy/htpasswd']

/** Secrets must be ignored by git and never have been added: an ignored file that is tracked is still committed. */
async function lookAtGit({ run, layout }: Machine): Promise<Notice[]> {
  const folder = repositoryAbove(layout.root)
  if (folder === undefined) return []
  if (lookAt(layout.root) === undefined)
    return [
      pass('git', `inside the repository ${folder}; the deployment's own .gitignore keeps its secrets out`),
    ]
  const { code, stdout } = await run('git', ['-C', layout.root, 'ls-files', '--', ...NEVER_TRACKED], {
    deadline: 15_000,
  }).catch(() => ({ code: -1, stdout: '' }))
  if (code !== 0)
    return [
      {
        id: 'git',
        verdict: 'warn',
        saw: `inside the repository ${folder}, which git cannot read`,
        fix: 'Check with git ls-files that nothing below secrets/ is tracked.',
      },
    ]
  const tracked = stdout.split('\n').filter(line => line !== '')
  return tracked.length === 0
    ? [pass('git', `inside the repository ${folder}; nothing secret is tracked`)]
    : [
        usage(
          'git',
          `git tracks ${tracked.slice(0, 3).join(', ')}`,
          'git rm --cached them, rewrite the history that holds them, and replace every secret in it.',
        ),
      ]
}

async function lookAtEngine({ docker, now, env }: Machine, engine: EngineInfo): Promise<Notice[]> {
  const notices: Notice[] = []
  const options = engine.SecurityOptions ?? []
  const rootless = options.some(option => option.startsWith('name=rootless'))
  if (engine.OSType !== 'linux')
    notices.push(
      stop('engine', `the engine runs ${engine.OSType} containers`, 'Switch it to Linux containers.'),
    )
  if (engine.DockerRootDir.startsWith('/var/snap/docker'))
    notices.push(
      stop(
        'engine',
        'Docker from snap cannot run anything under no-new-privileges: every exec fails with "operation not permitted"',
        'Remove the snap and install Docker from your distribution or from docs.docker.com.',
      ),
    )
  const endpoint = env.DOCKER_HOST || (await docker.endpoint())
  if (/^(ssh|tcp|https?):/.test(endpoint))
    notices.push(
      stop(
        'engine',
        `the engine is on another machine (${endpoint})`,
        'Run this on that machine: secrets are files beside the engine and never travel.',
      ),
    )
  const compose = await docker.composeVersion()
  if (compose === undefined)
    notices.push(
      stop(
        'compose',
        'the Compose plug-in is missing',
        'Install docker-compose-plugin (or Debian 13’s docker-compose), 2.20 or later.',
      ),
    )
  else if (!gte(coerce(compose) ?? '0.0.0', '2.20.0'))
    notices.push(stop('compose', `Compose is ${compose}`, 'Upgrade it to 2.20 or later.'))

  const limits = {
    memory: engine.MemoryLimit,
    swap: engine.SwapLimit,
    processes: engine.PidsLimit,
    CPU: engine.CpuCfsQuota,
  }
  const without = Object.entries(limits)
    .filter(([, applies]) => !applies)
    .map(([name]) => name)
  if (without.length > 0)
    notices.push({
      id: 'limits',
      verdict: 'warn',
      saw: `on this engine (cgroup v${engine.CgroupVersion}${rootless ? ', rootless' : ''}) limits of ${without.join(', ')} do not apply`,
      fix: rootless
        ? 'Use cgroup v2 with delegation (docs.docker.com/engine/security/rootless).'
        : 'Boot with cgroup v2, or swapaccount=1 on v1.',
    })
  const skew = Math.abs(new Date(engine.SystemTime).getTime() - now.getTime())
  if (skew > 30_000)
    notices.push({
      id: 'clock',
      verdict: 'warn',
      saw: `the engine's clock differs from this one by ${Math.round(skew / 1000)} s`,
      fix: 'Set both by NTP (a virtual machine that slept falls behind).',
    })
  if (engine.MemTotal < 1.5 * GIB)
    notices.push(
      stop(
        'memory',
        `the engine has ${(engine.MemTotal / GIB).toFixed(1)} GiB of memory`,
        'OpenClaw needs 1 GiB for itself: use a machine with 2 GiB or more.',
      ),
    )
  else if (freemem() < 1 * GIB && engine.NCPU === availableParallelism())
    notices.push({
      id: 'memory',
      verdict: 'warn',
      saw: `${(freemem() / GIB).toFixed(1)} GiB of memory free`,
      fix: 'Stop something: the gateway takes 0.7 GiB idle and 1.2 GiB at work.',
    })
  const disk = freeSpace(engine.DockerRootDir)
  if (disk !== undefined && disk < 3 * GIB)
    notices.push({
      id: 'disk',
      verdict: disk < 1.5 * GIB ? 'stop' : 'warn',
      saw: `${(disk / GIB).toFixed(1)} GiB free for images`,
      fix: 'Free some space (docker system df): the image takes 1.2 GiB.',
    })
  if (notices.length > 0) return notices
  return [
    pass(
      'engine',
      `Docker ${engine.ServerVersion}${rootless ? ' (rootless)' : ''}, Compose ${compose}, cgroup v${engine.CgroupVersion}; memory, swap, process and CPU limits apply`,
    ),
  ]
}

async function neighbourNotice(run: ProcessRunner, answers: Answers, isRoot: boolean): Promise<Notice> {
  const rule = new NeighbourRule(run, bridgeNetwork(answers.name).bridge)
  if (answers.firewall && !isRoot)
    return usage(
      'firewall',
      'only root can install the firewall rule',
      `Leave --firewall out and run this as root instead: ${rule.toString()}`,
    )
  const saw =
    'Docker before 28 lets neighbours on the network reach ports published on 127.0.0.1 (moby#41872)'
  if (answers.firewall && (await rule.isInstalled().catch(error => error)) instanceof Error)
    return usage(
      'firewall',
      'iptables is not installed, or does not answer',
      'Install iptables, or leave --firewall out and upgrade Docker to 28 or later.',
    )
  if (answers.firewall) return pass('neighbours', `${saw}; the rule that closes it will be installed`)
  return {
    id: 'neighbours',
    verdict: 'warn',
    saw,
    fix: `--firewall installs the rule that closes it (${rule.toString()}), or upgrade Docker.`,
  }
}

async function projectOwner(
  docker: Docker,
  name: string,
): Promise<{ folder: string; ports: number[] } | undefined> {
  const format = '{{.Label "com.docker.compose.project.working_dir"}}\t{{.Ports}}'
  const { stdout } = await docker.call(
    ['ps', '--all', '--filter', `label=com.docker.compose.project=${name}`, '--format', format],
    { deadline: 15_000 },
  )
  const [folder, ports] = (stdout.split('\n')[0] ?? '').split('\t')
  if (folder === undefined || folder === '') return undefined
  return {
    folder,
    ports: [...(ports ?? '').matchAll(/127\.0\.0\.1:(\d+)->/g)].map(match => Number(match[1])),
  }
}

/** The Compose project whose containers come from this folder. */
async function projectIn(docker: Docker, folder: string): Promise<string | undefined> {
  const { stdout } = await docker.call(
    [
      ...['ps', '--all', '--filter', `label=com.docker.compose.project.working_dir=${folder}`],
      ...['--format', '{{.Label "com.docker.compose.project"}}'],
    ],
    { deadline: 15_000 },
  )
  return stdout.split('\n')[0]?.trim() || undefined
}

/** Tries the port itself. Undefined when it is free. */
function portProblem(port: number): Promise<string | undefined> {
  return new Promise(done => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) =>
      done(error.code === 'EADDRINUSE' ? 'something is listening on it' : (error.code ?? 'unusable')),
    )
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => done(undefined)))
  })
}

function nearestExisting(path: string): string {
  let folder = path
  while (lookAt(folder) === undefined) folder = dirname(folder)
  return folder
}

function readdirSafely(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return ['what this user may not see']
  }
}

/** Free bytes at a path, or undefined when the engine's folder is not on this machine or hidden from us. */
function freeSpace(path: string): number | undefined {
  try {
    const { bavail, bsize } = statfsSync(path)
    return Number(bavail) * Number(bsize)
  } catch {
    return undefined
  }
}

function pass(id: string, saw: string): Notice {
  return { id, verdict: 'pass', saw }
}

function stop(id: string, saw: string, fix: string): Notice {
  return { id, verdict: 'stop', saw, fix, exit: Exit.unknown }
}

function usage(id: string, saw: string, fix: string): Notice {
  return { id, verdict: 'stop', saw, fix, exit: Exit.usage }
}
