import { setTimeout as sleep } from 'node:timers/promises'
import * as z from 'zod'
import type { Answers } from '../deployment/answers.ts'
import { INSIDE, type Layout } from '../deployment/layout.ts'
import type { Compose } from '../docker/compose.ts'
import { type Docker, firstLine } from '../docker/engine.ts'
import { Exit, ToolError } from '../errors.ts'
import { parseJson } from '../json.ts'
import { listed, type Secret } from '../secret.ts'
import { asScript } from './inside.ts'
import { askOpenClaw, LOADER, readsSecret, type WatchOrder, watchTokens } from './inside-token.ts'
import { validateConfig } from './judges.ts'
import { AUTH_PATH, askFromHost, reasonInLog, type Status } from './probe.ts'

/** A change from one token to another: `accept` is to be right, `refuse` wrong. */
export interface Change {
  accept: Secret
  refuse: Secret
}

/** What the gateway answered to each. `accept` is not asked while the other one is still right. */
export interface Seen {
  accept: Status
  refuse: Status
}

/** Whether a change has happened: the one is taken and the other is not. Nothing less counts, whatever OpenClaw reports. */
export function isProven({ accept, refuse }: Seen): boolean {
  return accept === 404 && refuse === 401
}

/**
 * The running gateway, as a change of its secrets sees it. What cannot be looked at throws (`gateway_unseen`,
 * `engine_unreachable`): it is never an answer.
 */
export interface Gateway {
  /** Errors: `gateway_paused`. */
  state(): Promise<'running' | 'stopped'>
  /** Its container's id, while it runs. */
  container(): Promise<string>
  /** What it answers to both, asked once each at most. */
  ask(change: Change): Promise<Seen>
  /** Does something, and watches meanwhile until the change has happened, for `patience` milliseconds at most. */
  watch(change: Change, patience: number, act: () => Promise<void> | void): Promise<Seen>
  /** Whether it can read this value in this file of its secrets folder; if not, why. */
  reads(file: string, value: Secret): Promise<'same' | string>
  /** Whether it works by the configuration that is on the disk now. Needs a token that it accepts. */
  isUpToDate(token: Secret): Promise<boolean>
  /** OpenClaw's own `secrets reload`. Its "ok" says that it has read something, not that it has read what is new. */
  reload(token: Secret): Promise<void>
  /** Has the gateway start anew inside its container: for some seconds nobody is served. */
  restart(token: Secret): Promise<void>
  /** Why its image would not start with the configuration that is on the disk, or undefined. */
  objection(): Promise<string | undefined>
  /** Makes the container anew, and waits until it serves. */
  recreate(): Promise<void>
  /** Waits until it takes requests. Errors: `gateway_not_ready`. */
  untilReady(): Promise<void>
}

/** OpenClaw's tools start in about a second; a busy machine takes longer. Milliseconds. */
const CLI_DEADLINE = 60_000
/** What `docker exec` itself may take. Milliseconds. */
const EXEC_DEADLINE = 40_000

const Watched = z.object({ accept: z.nullable(z.number()), refuse: z.nullable(z.number()) })
const Revisions = z.object({ configRevisionHash: z.string(), appliedConfigHash: z.string() })

/** The gateway of a deployment, through its container: from loopback inside, where a wrong token locks nobody out. */
export class RunningGateway implements Gateway {
  readonly #docker: Docker
  readonly #compose: Compose
  readonly #answers: Answers
  readonly #layout: Layout
  readonly #startDeadline: number
  readonly #isCutOff: boolean
  #container: string | undefined

  constructor(sources: {
    docker: Docker
    compose: Compose
    answers: Answers
    layout: Layout
    /** How long it may take to start, in milliseconds. */
    startDeadline: number
    /** Its port leads nowhere, on purpose: it is asked from inside, and never made anew, which would connect it. */
    isCutOff?: boolean
  }) {
    this.#docker = sources.docker
    this.#compose = sources.compose
    this.#answers = sources.answers
    this.#layout = sources.layout
    this.#startDeadline = sources.startDeadline
    this.#isCutOff = sources.isCutOff ?? false
  }

  async container(): Promise<string> {
    if (this.#container === undefined && (await this.state()) === 'stopped') throw unseen('it does not run')
    if (this.#container === undefined) throw unseen('it has no container')
    return this.#container
  }

  async state(): Promise<'running' | 'stopped'> {
    this.#container = undefined
    const container = await this.#compose.container()
    if (container?.State.Paused === true)
      throw new ToolError(
        'gateway_paused',
        'the gateway is frozen (docker pause)',
        'If an incident is being looked into, leave it so. If not: docker unpause it, then run the command again.',
        Exit.unknown,
      )
    if (container?.State.Running !== true) return 'stopped'
    this.#container = container.Id
    return 'running'
  }

  ask(change: Change): Promise<Seen> {
    return this.watch(change, 0, () => {})
  }

  async watch({ accept, refuse }: Change, patience: number, act: () => Promise<void> | void): Promise<Seen> {
    const order: WatchOrder = { port: INSIDE.port, path: AUTH_PATH, patience }
    const container = await this.container()
    const stop = new AbortController()
    const looking = this.#docker.exec(
      container,
      ['node', '-e', asScript(watchTokens), JSON.stringify(order)],
      {
        input: listed([accept, refuse]),
        deadline: patience + EXEC_DEADLINE,
        signal: stop.signal,
      },
    )
    // Its end is awaited below; until then it must not be an error that nobody takes.
    looking.catch(() => {})
    try {
      await act()
    } catch (error) {
      stop.abort()
      throw error
    }
    const { code, stdout, stderr } = await looking
    const seen = Watched.safeParse(parseJson(stdout))
    if (code !== 0 || !seen.success) throw unseen(firstLine(stderr))
    return { accept: seen.data.accept ?? undefined, refuse: seen.data.refuse ?? undefined }
  }

  async reads(file: string, value: Secret): Promise<string> {
    const { code, stdout, stderr } = await this.#docker.exec(
      await this.container(),
      ['node', '-e', asScript(readsSecret), `${INSIDE.secrets}/${file}`],
      { input: value, deadline: EXEC_DEADLINE },
    )
    if (code !== 0) throw unseen(firstLine(stderr))
    return stdout
  }

  async isUpToDate(token: Secret): Promise<boolean> {
    const { stdout } = await this.#openclaw(['gateway', 'call', 'config.get', '--json'], token)
    const seen = Revisions.safeParse(parseJson(stdout))
    if (!seen.success) throw unseen('config.get does not say which configuration is in force')
    return seen.data.appliedConfigHash === seen.data.configRevisionHash
  }

  async reload(token: Secret): Promise<void> {
    await this.#openclaw(['secrets', 'reload', '--json'], token)
  }

  async restart(token: Secret): Promise<void> {
    const params = JSON.stringify({ reason: 'a secret has been rotated', delayMs: 0 })
    await this.#openclaw(['gateway', 'call', 'gateway.restart.request', '--json', '--params', params], token)
  }

  async objection(): Promise<string | undefined> {
    const present = await this.#compose.container()
    // Without a container there is nobody to ask, and nobody to lose.
    if (present === undefined) return undefined
    const { Image: image, Config: config } = present
    try {
      await validateConfig(
        this.#docker,
        image,
        config.User,
        this.#layout.config,
        new AbortController().signal,
      )
      return undefined
    } catch (error) {
      if (error instanceof ToolError && error.code === 'config_rejected') return error.message
      throw error
    }
  }

  async recreate(): Promise<void> {
    if (this.#isCutOff)
      throw new ToolError(
        'gateway_cut_off',
        'a new container would be connected again',
        'Connect the gateway first.',
        Exit.unknown,
      )
    await this.#compose.recreate()
    await this.untilReady()
  }

  async untilReady(): Promise<void> {
    const end = performance.now() + this.#startDeadline
    while ((await this.state()) === 'stopped' || !(await this.#isReady())) {
      if (performance.now() > end)
        throw new ToolError(
          'gateway_not_ready',
          `the gateway did not become ready within ${this.#startDeadline / 1000} s: ${reasonInLog(await this.#compose.logs(200))}`,
          'Look at docker compose logs in the deployment folder.',
          Exit.unknown,
        )
      await sleep(300)
    }
  }

  async #isReady(): Promise<boolean> {
    if (!this.#isCutOff) return (await askFromHost(this.#answers, '/startupz', undefined, 2000)) === 200
    const question = `fetch('http://127.0.0.1:${INSIDE.port}/startupz').then(r=>process.exit(r.ok?0:1),()=>process.exit(1))`
    const { code } = await this.#docker.exec(await this.container(), ['node', '-e', question], {
      deadline: EXEC_DEADLINE,
    })
    return code === 0
  }

  /** One command of OpenClaw inside the container, logged in with this token. A refusal is an answer like any other. */
  async #openclaw(command: readonly string[], token: Secret) {
    const all = [...command, '--url', `ws://127.0.0.1:${INSIDE.port}`]
    return this.#docker.exec(
      await this.container(),
      ['node', '-e', LOADER + asScript(askOpenClaw), JSON.stringify(all)],
      { input: token, deadline: CLI_DEADLINE },
    )
  }
}

function unseen(why: string): ToolError {
  return new ToolError(
    'gateway_unseen',
    `the gateway could not be asked: ${why}`,
    'See what the engine and the gateway do (docker compose logs), then run the command again with --resume.',
    Exit.interrupted,
  )
}
