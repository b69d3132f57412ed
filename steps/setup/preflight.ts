import { accessSync, constants, readdirSync, statfsSync, statSync } from 'node:fs'
import { availableParallelism, freemem } from 'node:os'
import { dirname } from 'node:path'
import { coerce, gte } from 'semver'
import { lookAt, repositoryAbove } from '../../src/deployment/files.ts'
import type { Layout } from '../../src/deployment/layout.ts'
import type { Docker, EngineInfo } from '../../src/docker/engine.ts'
import type { ProcessRunner } from '../../src/docker/process.ts'
import { Exit, ToolError } from '../../src/errors.ts'
import { type Notice, pass, stop, usage } from './notice.ts'

export interface Preflight {
  notices: Notice[]
  engine?: EngineInfo
}

/** Who asks, and of which machine. */
export interface Machine {
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
