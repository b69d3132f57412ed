import { ToolError } from '../errors.ts'
import { type ContainerFacts, type Docker, unreachable } from './engine.ts'
import type { Finished } from './process.ts'

/** The gateway. */
export const SERVICE = 'openclaw-gateway'
/** What publishes the port and hands every byte on to the gateway. */
export const INGRESS = 'ingress'
/** Where a coding agent's commands run. */
export const SANDBOX_SERVICE = 'sandbox'
/** The proxy that lets named hosts through and nothing else. */
export const EGRESS = 'egress'

/**
 * One Compose project. The file and the project are always named: what lies beside it (an override file, a `.env`)
 * cannot change what we run.
 */
export class Compose {
  readonly #docker: Docker
  readonly #directory: string
  readonly #project: string

  constructor(docker: Docker, directory: string, project: string) {
    this.#docker = docker
    this.#directory = directory
    this.#project = project
  }

  async call(
    args: readonly string[],
    options: { deadline: number; signal?: AbortSignal; onLine?: (line: string) => void },
  ): Promise<Finished> {
    const fixed = [
      'compose',
      '--ansi',
      'never',
      '--project-name',
      this.#project,
      '--project-directory',
      this.#directory,
      '--file',
      `${this.#directory}/docker-compose.yml`,
      '--env-file',
      '/dev/null',
    ]
    return this.#docker.call([...fixed, ...args], { ...options, cwd: this.#directory })
  }

  /** Creates or updates the containers and returns without waiting for health. Errors: `compose_up_failed`. */
  async up(onLine: (line: string) => void): Promise<void> {
    const { code, stderr } = await this.call(['up', '--detach', '--no-build', '--remove-orphans'], {
      deadline: 180_000,
      onLine,
    })
    if (code !== 0) throw upFailed(stderr)
  }

  /** Makes the gateway's container anew, from the files as they are. Errors: `compose_up_failed`. */
  async recreate(): Promise<void> {
    const { code, stderr } = await this.call(['up', '--detach', '--no-build', '--force-recreate', SERVICE], {
      deadline: 180_000,
    })
    if (code !== 0) throw upFailed(stderr)
  }

  /** Stops the containers and keeps them, their logs and their layer. */
  async stop(): Promise<void> {
    await this.call(['stop'], { deadline: 90_000 })
  }

  /** Id of a service's container, running or not; undefined when there is none. */
  async containerId(service = SERVICE): Promise<string | undefined> {
    const { code, stdout, stderr } = await this.#docker.call(
      [
        'ps',
        '--all',
        '--quiet',
        '--no-trunc',
        '--filter',
        `label=com.docker.compose.project=${this.#project}`,
        '--filter',
        `label=com.docker.compose.service=${service}`,
      ],
      { deadline: 15_000 },
    )
    if (code !== 0) throw unreachable(stderr)
    return stdout.split('\n')[0]?.trim() || undefined
  }

  /** What the engine says of a service's container, running or not; undefined when there is none. */
  async container(service = SERVICE): Promise<ContainerFacts | undefined> {
    const id = await this.containerId(service)
    return id === undefined ? undefined : this.#docker.container(id)
  }

  /** Compose's own hash of each service as the file has it now, equal to its container's label; none where it cannot be read. */
  async configHashes(): Promise<ReadonlyMap<string, string>> {
    const { stdout } = await this.call(['config', '--hash', '*'], { deadline: 20_000 })
    const lines = stdout.trim().split('\n')
    return new Map(lines.map(line => line.split(/\s+/)).map(([name = '', hash = '']) => [name, hash]))
  }

  /** The last lines the gateway wrote. */
  async logs(lines: number): Promise<string> {
    const { stdout } = await this.call(
      ['logs', '--no-color', '--no-log-prefix', '--tail', String(lines), SERVICE],
      { deadline: 20_000 },
    )
    return stdout
  }
}

function upFailed(stderr: string): ToolError {
  return new ToolError(
    'compose_up_failed',
    `Docker Compose could not start the gateway: ${lastLine(stderr)}`,
    'The files are complete: correct the cause and run the same command again.',
  )
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.trim() || 'no reason given'
}
