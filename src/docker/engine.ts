import { randomBytes } from 'node:crypto'
import * as z from 'zod'
import { THIS_RUN } from '../deployment/alive.ts'
import { ToolError } from '../errors.ts'
import { parseJson } from '../json.ts'
import type { Secret } from '../secret.ts'
import type { Finished, ProcessRunner } from './process.ts'

/** The label on everything short-lived we start. */
export const THROWAWAY = 'create-openclaw-secure.throwaway'
/** The same with the run that started it: what a killed one has left is found by that, and removed. */
export const THROWAWAY_LABEL = `${THROWAWAY}=${THIS_RUN}`

const Info = z.object({
  ID: z.string(),
  ServerVersion: z.string(),
  OSType: z.string(),
  Architecture: z.string(),
  DockerRootDir: z.string(),
  CgroupVersion: z._default(z.string(), '1'),
  MemTotal: z.number(),
  NCPU: z.number(),
  MemoryLimit: z.boolean(),
  SwapLimit: z.boolean(),
  PidsLimit: z.boolean(),
  CpuCfsQuota: z.boolean(),
  SecurityOptions: z._default(z.nullable(z.array(z.string())), []),
  SystemTime: z.string(),
  OperatingSystem: z.string(),
})
/** `docker info`, the fields we use. Sizes in bytes. */
export type EngineInfo = z.infer<typeof Info>

const ImageInspect = z.object({
  Id: z.string(),
  RepoDigests: z._default(z.nullable(z.array(z.string())), []),
  Architecture: z.string(),
  Created: z.string(),
  Config: z.object({
    User: z._default(z.string(), ''),
    Env: z._default(z.nullable(z.array(z.string())), []),
    Labels: z._default(z.nullable(z.record(z.string(), z.string())), {}),
  }),
})
export type ImageFacts = z.infer<typeof ImageInspect>

const PortBinding = z.object({ HostIp: z.string(), HostPort: z.string() })
const ContainerInspect = z.object({
  Id: z.string(),
  Name: z.string(),
  Image: z.string(),
  RestartCount: z._default(z.number(), 0),
  State: z.object({
    Status: z.string(),
    Running: z.boolean(),
    Paused: z.boolean(),
    OOMKilled: z.boolean(),
    ExitCode: z.number(),
    Pid: z.number(),
    StartedAt: z.string(),
    Health: z.optional(z.nullable(z.object({ Status: z.string() }))),
  }),
  /** Of the program that was started. */
  Args: z._default(z.array(z.string()), []),
  Config: z.object({
    Image: z.string(),
    User: z._default(z.string(), ''),
    Hostname: z._default(z.string(), ''),
    Env: z._default(z.nullable(z.array(z.string())), []),
    Labels: z._default(z.nullable(z.record(z.string(), z.string())), {}),
    WorkingDir: z._default(z.string(), ''),
  }),
  HostConfig: z.object({
    NetworkMode: z.string(),
    PidMode: z._default(z.string(), ''),
    IpcMode: z._default(z.string(), ''),
    UTSMode: z._default(z.string(), ''),
    UsernsMode: z._default(z.string(), ''),
    Privileged: z.boolean(),
    ReadonlyRootfs: z.boolean(),
    CapAdd: z._default(z.nullable(z.array(z.string())), []),
    CapDrop: z._default(z.nullable(z.array(z.string())), []),
    SecurityOpt: z._default(z.nullable(z.array(z.string())), []),
    Devices: z._default(z.nullable(z.array(z.unknown())), []),
    GroupAdd: z._default(z.nullable(z.array(z.string())), []),
    Dns: z._default(z.nullable(z.array(z.string())), []),
    Tmpfs: z._default(z.nullable(z.record(z.string(), z.string())), {}),
    Ulimits: z._default(
      z.nullable(z.array(z.object({ Name: z.string(), Soft: z.number(), Hard: z.number() }))),
      [],
    ),
    ShmSize: z._default(z.number(), 0),
    Memory: z.number(),
    MemorySwap: z.number(),
    NanoCpus: z.number(),
    PidsLimit: z._default(z.nullable(z.number()), 0),
    PortBindings: z._default(z.nullable(z.record(z.string(), z.nullable(z.array(PortBinding)))), {}),
    LogConfig: z.object({
      Type: z.string(),
      Config: z._default(z.nullable(z.record(z.string(), z.string())), {}),
    }),
  }),
  Mounts: z.array(
    z.object({
      Type: z.string(),
      Source: z._default(z.string(), ''),
      Destination: z.string(),
      RW: z.boolean(),
    }),
  ),
  NetworkSettings: z.object({
    Networks: z._default(z.nullable(z.record(z.string(), z.unknown())), {}),
    Ports: z._default(z.nullable(z.record(z.string(), z.nullable(z.array(PortBinding)))), {}),
  }),
})
/** `docker inspect` of a container, the fields we use. `raw` is all of it, for searching. */
export type ContainerFacts = z.infer<typeof ContainerInspect> & { raw: string }

const NetworkInspect = z.object({
  Name: z.string(),
  Labels: z._default(z.nullable(z.record(z.string(), z.string())), {}),
  Driver: z.string(),
  Internal: z.boolean(),
  Options: z._default(z.nullable(z.record(z.string(), z.string())), {}),
  Containers: z._default(
    z.nullable(z.record(z.string(), z.object({ Name: z._default(z.string(), '') }))),
    {},
  ),
})
/** `docker network inspect`, the fields we use. */
export type NetworkFacts = z.infer<typeof NetworkInspect>

export interface Throwaway {
  image: string
  /** What runs, given as entry point plus arguments. */
  command: readonly [string, ...string[]]
  user: string
  mounts?: readonly { source: string; target: string; readOnly: boolean }[]
  tmpfs?: readonly string[]
  environment?: Record<string, string>
  deadline: number
  signal?: AbortSignal
  workdir?: string
}

/** The Docker engine, through its own command line: contexts, rootless engines and Compose work as the person set them up. */
export class Docker {
  readonly #run: ProcessRunner

  constructor(run: ProcessRunner) {
    this.#run = run
  }

  /** `docker ARGS`, to its end. A non-zero code is returned, not thrown. */
  async call(args: readonly string[], options: Parameters<ProcessRunner>[2]): Promise<Finished> {
    return this.#run('docker', args, options)
  }

  /** Removes a container that is worth nothing, whether or not it is there, also when the program is about to end. */
  async discard(container: string): Promise<void> {
    await this.call(['rm', '--force', '--volumes', container], { deadline: 20_000, tidies: true })
  }

  /** The engine's facts. Errors: `engine_unreachable` with the engine's own reason. */
  async info(): Promise<EngineInfo> {
    const { code, stdout, stderr } = await this.call(['info', '--format', '{{json .}}'], { deadline: 15_000 })
    const parsed = Info.safeParse(parseJson(stdout))
    if (code === 0 && parsed.success) return parsed.data
    throw unreachable(serverError(stdout) ?? stderr)
  }

  /** Compose's version, such as "2.26.1", or undefined when the plug-in is missing. */
  async composeVersion(): Promise<string | undefined> {
    const { code, stdout } = await this.call(['compose', 'version', '--short'], { deadline: 15_000 })
    return code === 0 ? stdout.trim().replace(/^v/, '') : undefined
  }

  /** Where the CLI talks to: "unix:///var/run/docker.sock", "ssh://host", … */
  async endpoint(): Promise<string> {
    const { code, stdout } = await this.call(
      ['context', 'inspect', '--format', '{{.Endpoints.docker.Host}}'],
      { deadline: 10_000 },
    )
    return code === 0 ? stdout.trim() : ''
  }

  /** A local image, or undefined when the engine does not have it. */
  async image(reference: string): Promise<ImageFacts | undefined> {
    const { code, stdout } = await this.call(['image', 'inspect', '--', reference], { deadline: 20_000 })
    if (code !== 0) return undefined
    return z.array(ImageInspect).parse(parseJson(stdout))[0]
  }

  /** Everything the engine tells of an image: its configuration and how each layer was made, as text to be searched. */
  async imageText(id: string): Promise<string> {
    const [inspected, history] = await Promise.all([
      this.call(['image', 'inspect', '--', id], { deadline: 15_000 }),
      this.call(['history', '--no-trunc', '--format', '{{json .}}', id], { deadline: 15_000 }),
    ])
    if (inspected.code === 0 && history.code === 0) return `${inspected.stdout}\n${history.stdout}`
    throw unreachable(inspected.code === 0 ? history.stderr : inspected.stderr)
  }

  /** A network by name or id. Errors: `engine_unreachable`, also when it does not exist. */
  async network(name: string): Promise<NetworkFacts> {
    const { code, stdout, stderr } = await this.call(['network', 'inspect', '--', name], { deadline: 15_000 })
    if (code !== 0) throw unreachable(stderr)
    return z.tuple([NetworkInspect]).parse(parseJson(stdout))[0]
  }

  /** Downloads an image. Errors: `image_not_found`, `image_pull_failed`. */
  async pull(
    reference: string,
    options: { signal: AbortSignal; onLine: (line: string) => void },
  ): Promise<void> {
    const { code, stderr } = await this.call(['pull', '--', reference], { deadline: 30 * 60_000, ...options })
    if (code === 0) return
    const reason = firstLine(stderr)
    if (/not found|manifest unknown|does not exist|denied/i.test(reason))
      throw new ToolError(
        'image_not_found',
        `no image ${reference}: ${reason}`,
        'Check --openclaw-version or --image, and that you may read that registry.',
      )
    throw new ToolError(
      'image_pull_failed',
      `${reference} could not be downloaded: ${reason}`,
      'Check the network, or name an image the engine has with --image, or build one with --build.',
    )
  }

  /** A container by name or id, or undefined when there is none. */
  async container(id: string): Promise<ContainerFacts | undefined> {
    const { code, stdout, stderr } = await this.call(['container', 'inspect', '--', id], { deadline: 15_000 })
    if (code === 0) return { ...z.tuple([ContainerInspect]).parse(parseJson(stdout))[0], raw: stdout }
    if (/no such container/i.test(stderr)) return undefined
    throw unreachable(stderr)
  }

  /** Runs a program in a running container as its own user, without a terminal. */
  async exec(
    container: string,
    command: readonly string[],
    options: { deadline: number; input?: string | Secret; signal?: AbortSignal },
  ): Promise<Finished> {
    return this.call(['exec', '--interactive', container, ...command], options)
  }

  /**
   * Runs a program once in a container that can do next to nothing: no network, read-only root, no capabilities, no
   * new privileges. It is removed whatever happens, also when its deadline passes or the person stops us.
   */
  async throwaway(job: Throwaway): Promise<Finished> {
    const name = `ocs-throwaway-${randomBytes(6).toString('hex')}`
    const [entrypoint, ...args] = job.command
    const flags = [
      'run',
      '--rm',
      '--pull',
      'never',
      '--name',
      name,
      '--label',
      THROWAWAY_LABEL,
      '--no-healthcheck',
      '--network',
      'none',
      '--read-only',
      '--cap-drop',
      'ALL',
      '--security-opt',
      'no-new-privileges:true',
      '--pids-limit',
      '256',
      '--memory',
      '1g',
      '--user',
      job.user,
      '--entrypoint',
      entrypoint,
      ...(job.mounts ?? []).flatMap(m => ['--mount', mountFlag(m)]),
      ...(job.tmpfs ?? []).flatMap(t => ['--tmpfs', t]),
      ...Object.entries(job.environment ?? {}).flatMap(([key, value]) => ['--env', `${key}=${value}`]),
      ...(job.workdir === undefined ? [] : ['--workdir', job.workdir]),
      job.image,
      ...args,
    ]
    try {
      return await this.call(flags, {
        deadline: job.deadline,
        ...(job.signal === undefined ? {} : { signal: job.signal }),
      })
    } catch (error) {
      // The CLI is gone; the container it started may not be.
      await this.discard(name)
      throw error
    }
  }
}

/** `docker run --mount` reads CSV: a path with a comma or a quote must be quoted. */
export function mountFlag(mount: { source: string; target: string; readOnly: boolean }): string {
  const field = (text: string) => (/[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)
  return [
    'type=bind',
    field(`source=${mount.source}`),
    field(`target=${mount.target}`),
    ...(mount.readOnly ? ['readonly'] : []),
  ].join(',')
}

/** Whether a running container holds this port of 127.0.0.1: only then is it the gateway that answers there. */
export function publishes(container: ContainerFacts, port: number): boolean {
  const bindings = Object.values(container.NetworkSettings.Ports ?? {}).flatMap(ports => ports ?? [])
  return (
    container.State.Running &&
    bindings.some(
      ({ HostIp, HostPort }) => ['127.0.0.1', '0.0.0.0'].includes(HostIp) && HostPort === String(port),
    )
  )
}

/** An engine that did not answer a command, and what to do about it: `engine_unreachable`. */
export function unreachable(stderr: string): ToolError {
  const reason = firstLine(stderr)
  return new ToolError(
    'engine_unreachable',
    `the Docker engine does not answer: ${reason}`,
    engineFix(reason),
  )
}

/** What to do about an engine that does not answer, from its own words. */
function engineFix(reason: string): string {
  if (/permission denied/i.test(reason))
    return 'Add your user to the docker group (sudo usermod -aG docker "$USER", then log in again), or run the command with sudo.'
  return 'Start it: sudo systemctl start docker (or open Docker Desktop). Not installed yet? https://docs.docker.com/engine/install/'
}

/** With no engine, `docker info --format` still prints JSON: the client's half and the server's errors. */
function serverError(stdout: string): string | undefined {
  const parsed = z.object({ ServerErrors: z.array(z.string()) }).safeParse(parseJson(stdout))
  return parsed.success ? parsed.data.ServerErrors[0] : undefined
}

export function firstLine(text: string): string {
  const line = text.split('\n').find(candidate => candidate.trim() !== '')
  return line?.trim() ?? 'no reason given'
}
