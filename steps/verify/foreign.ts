import { existsSync, readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { parse } from 'yaml'
import { readIfPresent } from '../../src/deployment/files.ts'
import { type Layout, layoutOf } from '../../src/deployment/layout.ts'
import type { ContainerFacts, Docker } from '../../src/docker/engine.ts'
import type { ProcessRunner } from '../../src/docker/process.ts'
import { ToolError } from '../../src/errors.ts'
import { GATEWAY_TOKEN } from '../../src/gateway/policy.ts'
import { parseJson } from '../../src/json.ts'
import { type Redactor, Secret } from '../../src/secret.ts'
import { isCredentialName } from './credentials.ts'
import { anyFiles, profileOf } from './files.ts'
import { gatewayService } from './service.ts'
import { at, record } from './tree.ts'
import { type FileWorld, NotApplicable, once } from './world.ts'

/** A deployment that somebody made by hand: a Compose file, an openclaw.json, a running container, or some of these. */
export interface ForeignSources {
  directory: string
  /** Name or id of the container, where it cannot be found by the folder. */
  container: string | undefined
  docker: Docker
  searching: Docker
  run: ProcessRunner
  redactor: Redactor
  now: Date
}

const COMPOSE_FILES = ['compose.yaml', 'compose.yml', 'docker-compose.yaml', 'docker-compose.yml']
const POLICY_FILES = [
  'config/openclaw.json',
  'openclaw.json',
  '.openclaw/openclaw.json',
  'state/openclaw.json',
]

/** Whether there is anything in a folder that could be judged without being told a container. */
export function looksLikeDeployment(directory: string): boolean {
  return [...COMPOSE_FILES, ...POLICY_FILES].some(name => existsSync(resolve(directory, name)))
}

/** The container that belongs to a folder: by Compose's own label, else by a mount from the folder, else by name. */
export function findForeign({ directory, container, docker }: ForeignSources) {
  return once(async (): Promise<ContainerFacts | undefined> => {
    if (container !== undefined) {
      const found = await docker.container(container)
      if (found !== undefined) return found
      throw new ToolError(
        'no_container',
        `there is no container ${container}`,
        'docker ps --all shows the names.',
      )
    }
    const { code, stdout, stderr } = await docker.call(['ps', '--all', '--quiet', '--no-trunc'], {
      deadline: 10_000,
    })
    if (code !== 0)
      throw new ToolError(
        'engine_unreachable',
        `the Docker engine does not answer: ${stderr.trim()}`,
        'Start it.',
      )
    const all = await Promise.all(
      stdout
        .split('\n')
        .filter(id => id !== '')
        .map(id => docker.container(id)),
    )
    const containers = all.filter(one => one !== undefined)
    const label = (one: ContainerFacts, name: string) => one.Config.Labels?.[`com.docker.compose.${name}`]
    const ofProject = containers.filter(one => label(one, 'project.working_dir') === directory)
    return (
      ofProject.find(one => label(one, 'service') === 'openclaw-gateway') ??
      ofProject.find(one => /openclaw/.test(one.Config.Image)) ??
      ofProject[0] ??
      containers.find(one => one.Mounts.some(mount => `${mount.Source}/`.startsWith(`${directory}/`)))
    )
  })
}

/** The files of a foreign deployment, and what its container tells where a file does not. */
export function foreignFiles(
  sources: ForeignSources,
  find: () => Promise<ContainerFacts | undefined>,
): FileWorld {
  const { directory, run, redactor, now } = sources
  const layout: Layout = layoutOf(directory)
  const service = once(async () => {
    const name = COMPOSE_FILES.find(file => existsSync(resolve(directory, file)))
    if (name === undefined)
      throw new NotApplicable('there is no Compose file: the container itself is judged')
    const found = gatewayService(await readComposition(run, directory, name))
    if (found === undefined) throw new Error(`${name} has no service that could be the gateway`)
    return found
  })
  const policy = once(() => findPolicy(sources, find))
  const secrets = once(async () => {
    const found = new Map<string, Secret>()
    const keep = (name: string, value: string) => {
      if (value !== '' && !found.has(name)) found.set(name, redactor.learn(new Secret(value)))
    }
    const container = await find().catch(() => undefined)
    const fromFile = await service().catch(() => undefined)
    const variables = [
      ...Object.entries(dotenv((container?.Config.Env ?? []).join('\n'))),
      ...Object.entries(fromFile?.environment ?? {}),
      ...Object.entries(dotenv(readIfPresent(resolve(directory, '.env')) ?? '')),
    ]
    const literal = at(await policy().catch(() => ({})), 'gateway', 'auth', 'token')
    // A literal wins over the environment (OpenClaw, "Authentication").
    if (typeof literal === 'string') keep(GATEWAY_TOKEN, literal)
    for (const [name, value] of variables)
      if (isCredentialName(name) && !value.startsWith('/') && !value.startsWith('$'))
        keep(name === 'OPENCLAW_GATEWAY_TOKEN' ? GATEWAY_TOKEN : name, value)
    return found
  })
  return {
    ...anyFiles(layout, run, secrets),
    own: undefined,
    now,
    suppressions: [],
    async token() {
      const value = (await secrets()).get(GATEWAY_TOKEN)
      if (value !== undefined) return value
      throw new ToolError('no_token', 'no gateway token was found in its files or its environment', '')
    },
    secrets,
    stored: async () => undefined,
    policy,
    service,
    companions: async () => [],
    profile: once(async () => profileOf((await service()).securityOpt, layout)),
    schedule: async () => undefined,
    journal: () => [],
    chain: () => ({ intact: true, events: 0 }),
  }
}

/** The Compose file as Compose itself understands it (variables, overrides, `.env`), or as it is written where Compose objects. */
async function readComposition(
  run: ProcessRunner,
  directory: string,
  name: string,
): Promise<Record<string, unknown>> {
  const written = record(
    parse(readFileSync(resolve(directory, name), 'utf8'), { maxAliasCount: 100, prettyErrors: false }),
  )
  // An included file may lie on another machine, and nobody asked for a download.
  if (written.include !== undefined) return written
  const { code, stdout } = await run(
    'docker',
    ['compose', '--project-directory', directory, 'config', '--format', 'json', '--no-path-resolution'],
    { deadline: 15_000, cwd: directory },
  ).catch(() => ({ code: 1, stdout: '' }))
  const read = code === 0 ? parseJson(stdout) : undefined
  return read === undefined ? written : record(read)
}

/** openclaw.json: in the folder, in a folder that the container mounts, or in the container. Errors: `no_policy`. */
async function findPolicy(
  { directory, docker }: ForeignSources,
  find: () => Promise<ContainerFacts | undefined>,
): Promise<Record<string, unknown>> {
  const { default: json5 } = await import('json5')
  const inFolder = POLICY_FILES.map(name => resolve(directory, name))
  const container = await find().catch(() => undefined)
  const mounted = (container?.Mounts ?? []).map(mount => resolve(mount.Source, 'openclaw.json'))
  for (const path of [...inFolder, ...mounted])
    if (existsSync(path) && statSync(path).isFile()) return record(json5.parse(readFileSync(path, 'utf8')))
  if (container?.State.Running === true) {
    const script =
      "const p=process.env,d=p.OPENCLAW_STATE_DIR??(p.HOME+'/.openclaw'),f=p.OPENCLAW_CONFIG_PATH??(d+'/openclaw.json');try{process.stdout.write(require('fs').readFileSync(f))}catch(e){process.stdout.write(e.code==='ENOENT'?'{}':'');process.exitCode=e.code==='ENOENT'?0:1}"
    const { code, stdout } = await docker.exec(container.Id, ['node', '-e', script], { deadline: 15_000 })
    if (code === 0) return record(json5.parse(stdout))
  }
  throw new ToolError(
    'no_policy',
    'no openclaw.json was found, neither in this folder nor in a container of it',
    'Name the container with --container.',
  )
}

/** NAME=VALUE lines. */
function dotenv(text: string): Record<string, string> {
  return Object.fromEntries(
    text
      .split(/\r?\n/)
      .map(line => /^\s*(?:export\s+)?(\w+)=(.*)$/.exec(line))
      .filter(match => match !== null)
      .map(([, name = '', value = '']) => [name, value.trim().replace(/^(["'])(.*)\1$/, '$2')]),
  )
}
