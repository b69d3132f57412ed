import { createHash } from 'node:crypto'
import { createReadStream, readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { hostname, release, uptime } from 'node:os'
import { dirname, relative, resolve } from 'node:path'
import { lookAt } from '../../src/deployment/files.ts'
import { packageFile } from '../../src/deployment/package.ts'
import { deploymentContainers } from '../../src/docker/deployment-containers.ts'
import type { ProcessRunner } from '../../src/docker/process.ts'
import type { Action, IncidentContext } from './context.ts'
import { gatherProgram, networkNames } from './engine.ts'
import { type Gathered, gather, gatherCall, inTurn, outcome } from './gather.ts'
import { copyFile } from './logs.ts'

const FILE_MOST = 16 * 1024 ** 2

/** What this machine and the deployment's folder say. What holds secrets (secrets/, .secure/credentials and /store) is left. */
export const hostAction: Action = {
  id: 'evidence.host',
  title: 'Copy the deployment’s files and the facts of this machine',
  effect: 'reads',
  async run(ctx, signal) {
    const clock = await clockOf(ctx)
    const text = (name: string, command: string, make: () => Promise<unknown>) =>
      gather(ctx, signal, { name: `host/${name}`, command, share: true }, async into => {
        into.write(`${JSON.stringify(await make(), undefined, 2)}\n`)
        return undefined
      })
    const call = (name: string, args: readonly string[]) =>
      gatherCall(ctx, signal, { name: `host/${name}`, share: true }, args)
    const images = [...new Set(await imagesOf(ctx))]
    const gathered = [
      await text('clock.json', 'clocks of this machine and of the engine', async () => clock),
      await text('programs.json', 'SHA-256 of node, docker and this program', () => programs(ctx)),
      ...(await inTurn(filesOf(ctx), path => {
        const name = `host/files/${relative(ctx.layout.root, path).replace(/^\.secure/, 'secure')}`
        return gather(ctx, signal, { name, command: `read ${path}`, share: true }, (into, most, stop) =>
          copyFile(path, into, Math.min(most, FILE_MOST), stop),
        )
      })),
      await call('docker-version.json', ['version', '--format', '{{json .}}']),
      await call('docker-info.json', ['info', '--format', '{{json .}}']),
      await call('networks.json', ['network', 'inspect', ...(await networkNames(ctx))]),
      ...(images.length === 0 ? [] : [await call('images.json', ['image', 'inspect', ...images])]),
      ...(await firewall(ctx, signal)),
    ]
    const { saw, facts } = outcome(gathered)
    const offset = clock.offset === undefined ? {} : { clockOffset: clock.offset }
    return { saw, facts: { ...facts, ...offset } }
  },
}

/** The files that make the deployment what it is, by path. `sandbox/` holds a key of the sandbox's beside what it is told. */
function filesOf({ layout }: IncidentContext): string[] {
  const inside = (folder: string, wanted: RegExp) =>
    lookAt(folder)?.isDirectory() === true
      ? readdirSync(folder)
          .filter(name => wanted.test(name))
          .map(name => resolve(folder, name))
      : []
  const some = [
    ...inside(layout.border, /^[\w.-]+$/),
    ...inside(layout.sandbox, /^(sshd_config|authorized_keys|known_hosts|passwd|group)$/),
    ...inside(layout.runbooks, /\.(yaml|json|md)$/),
    layout.schedule,
  ]
  return [
    // Every deployment has these: where one is gone, or is something else, that is to be said.
    ...[layout.answers, layout.compose, layout.configFile, resolve(layout.root, 'seccomp-profile.json')],
    ...[layout.journal, ...some.filter(path => lookAt(path)?.isFile() === true)],
  ]
}

async function imagesOf({ docker, answers }: IncidentContext): Promise<string[]> {
  const containers = await deploymentContainers(docker, answers.name)
  const facts = await Promise.all(containers.map(({ id }) => docker.container(id)))
  return facts.flatMap(one => (one === undefined ? [] : [one.Image]))
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
    engineOf: await docker.endpoint(),
  }
}

/** Whether what collects can be trusted: a reader compares these with what he knows. */
async function programs({ run }: IncidentContext) {
  const docker = await quiet(run, 'which', ['docker'])
  const bundle = dirname(packageFile('dist/cli/cli.js'))
  const parts = lookAt(bundle)?.isDirectory() === true ? readdirSync(bundle).sort() : []
  const groups = [
    { path: process.execPath, files: [process.execPath] },
    ...(docker === undefined ? [] : [{ path: docker, files: [docker] }]),
    { path: `${bundle}/*, one after the other`, files: parts.map(name => resolve(bundle, name)) },
  ]
  return Promise.all(
    groups.map(async ({ path, files }) => {
      const hash = createHash('sha256')
      try {
        for (const file of files) for await (const chunk of createReadStream(file)) hash.update(chunk)
        return { path, sha256: hash.digest('hex') }
      } catch {
        return { path, sha256: 'not readable' }
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

/** The rules of the machine's firewall are for root to read. */
function firewall(ctx: IncidentContext, signal: AbortSignal): Promise<Gathered[]> {
  const tools = [
    ['iptables-save', []],
    ['ip6tables-save', []],
    ['nft', ['list', 'ruleset']],
  ] as const
  return inTurn(tools, ([file, args]) =>
    gatherProgram(
      ctx,
      signal,
      { name: `host/${file}.txt`, command: [file, ...args].join(' '), share: true },
      file,
      args,
    ),
  )
}
