import { realpathSync } from 'node:fs'
import { createServer } from 'node:net'
import { homedir } from 'node:os'
import { dirname, relative, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answers, hasSocket } from '../../src/deployment/answers.ts'
import { lookAt } from '../../src/deployment/files.ts'
import { deniedPlace } from '../../src/deployment/mounts.ts'
import { addressesOf } from '../../src/deployment/network.ts'
import { confinementOf } from '../../src/docker/confinement.ts'
import type { Docker, EngineInfo } from '../../src/docker/engine.ts'
import { NeighbourRule, publishesToNeighbours } from '../../src/docker/firewall.ts'
import type { ProcessRunner } from '../../src/docker/process.ts'
import { ENGINE_SOCKET, socketProblem } from '../../src/gateway/sandbox.ts'
import { type Notice, pass, usage } from './notice.ts'
import type { Machine } from './preflight.ts'

/** Looks at what the answers ask of the machine: the port, the name, the limits. */
export async function inspectAnswers(
  machine: Machine,
  answers: Answers,
  engine: EngineInfo | undefined,
): Promise<Notice[]> {
  const where = folderNotices(machine)
  if (engine === undefined) return where
  const { docker, run, layout } = machine
  const notices: Notice[] = [...where]
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
    // Of a run that was killed, Compose may be about to start what holds it.
    if (taken !== undefined && !(ours && (await isSoonOurs(docker, answers))))
      notices.push(
        usage(
          'port',
          `port ${answers.port} on 127.0.0.1: ${taken}`,
          'Choose another --port, or stop what uses it (ss -ltnp shows it).',
        ),
      )
  }
  if (
    answers.posture === 'coding' &&
    engine.SecurityOptions?.some(option => option.startsWith('name=rootless'))
  )
    notices.push(
      usage(
        'posture',
        'a rootless engine: the sandbox needs a user that is not 0 inside',
        'Choose --agent chat or workspace, or an engine that root runs.',
      ),
    )
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
  if (hasSocket(answers)) notices.push(socketNotice(engine, answers))
  if (answers.apparmor) notices.push(apparmorNotice(engine, machine.isRoot))
  if (publishesToNeighbours(engine)) notices.push(await neighbourNotice(run, answers, machine.isRoot))
  return notices
}

/** A deployment in a forbidden place would have it mounted, if only in part. Links on the way are followed. */
function folderNotices({ layout: { root, own } }: Machine): Notice[] {
  let above = root
  while (lookAt(above) === undefined) above = dirname(above)
  const denied = deniedPlace(resolve(realpathSync(above), relative(above, root)), [homedir()])
  if (denied === undefined) return []
  const saw = `${root} ${denied.how} ${denied.how === 'is' ? 'a place' : denied.place}, which the gateway must not see`
  const fix = 'Name a folder of its own, such as /srv/NAME or ~/NAME.'
  // Root's home is where root works, and a deployment that is there already has to be kept up.
  const isTolerable = denied.how === 'is in' && (denied.place === '/root' || lookAt(own) !== undefined)
  return isTolerable ? [{ id: 'folder', verdict: 'warn', saw, fix }] : [usage('folder', saw, fix)]
}

/** The danger is named where it is asked for, and again by every verify. */
function socketNotice(engine: EngineInfo, answers: Answers): Notice {
  const without =
    'Take --sandbox ssh: its commands run in a container of this deployment, without the socket.'
  const problem = socketProblem(engine, answers.apparmor)
  if (problem !== undefined) return usage('sandbox', problem, without)
  const saw = `the gateway gets ${ENGINE_SOCKET}: whoever takes it over is root on this machine, whatever else confines it`
  return { id: 'sandbox', verdict: 'warn', saw, fix: `${without} Setup and verify fail because of it.` }
}

function apparmorNotice(engine: EngineInfo, isRoot: boolean): Notice {
  const without = 'Leave --apparmor out: seccomp and the other limits apply without it.'
  if (confinementOf(engine) !== 'apparmor')
    return usage('apparmor', 'this engine applies no AppArmor profile (docker info)', without)
  return isRoot
    ? pass('apparmor', 'the engine applies AppArmor; a profile of the deployment’s own will be loaded')
    : usage('apparmor', 'only root can load an AppArmor profile', without)
}

async function neighbourNotice(run: ProcessRunner, answers: Answers, isRoot: boolean): Promise<Notice> {
  const rule = new NeighbourRule(run, addressesOf(answers.name).bridge)
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

/** Whether the port turns out to be held by a container of the project. Takes three seconds at the most. */
async function isSoonOurs(docker: Docker, { name, port }: Pick<Answers, 'name' | 'port'>): Promise<boolean> {
  for (let tries = 0; tries < 10; tries++) {
    if ((await projectOwner(docker, name))?.ports.includes(port) === true) return true
    await sleep(300)
  }
  return false
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
  // Any of its containers may be the newest, and so the first; one alone publishes the port.
  const folder = stdout.split('\t')[0]
  if (folder === undefined || folder === '') return undefined
  return {
    folder,
    ports: [...stdout.matchAll(/127\.0\.0\.1:(\d+)->/g)].map(match => Number(match[1])),
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
