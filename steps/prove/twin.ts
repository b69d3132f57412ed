import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parse } from 'yaml'
import { type Answers, hasSocket } from '../../src/deployment/answers.ts'
import { writeAtomic } from '../../src/deployment/files.ts'
import { type Layout, layoutOf } from '../../src/deployment/layout.ts'
import { addressesOf, NETWORKS } from '../../src/deployment/network.ts'
import type { Ownership } from '../../src/deployment/owner.ts'
import { Compose, SERVICE } from '../../src/docker/compose.ts'
import { confinementOf } from '../../src/docker/confinement.ts'
import type { Docker } from '../../src/docker/engine.ts'
import { NeighbourRule } from '../../src/docker/firewall.ts'
import type { ProcessRunner } from '../../src/docker/process.ts'
import { ToolError } from '../../src/errors.ts'
import { generateSecret } from '../../src/gateway/generated.ts'
import { GATEWAY_TOKEN, secretNamesOf } from '../../src/gateway/policy.ts'
import { askFromHost, reasonInLog } from '../../src/gateway/probe.ts'
import { parseCommentedJson } from '../../src/json.ts'
import { Journal } from '../../src/procedure/journal.ts'
import { runProcedure } from '../../src/procedure/run.ts'
import type { Step } from '../../src/procedure/step.ts'
import type { Redactor, Secret } from '../../src/secret.ts'
import { secretFiles } from '../../src/stores/open.ts'
import type { SecretStore } from '../../src/stores/store.ts'
import { writeAnswers } from '../../src/wizard/answers-file.ts'
import type { SetupContext } from '../setup/context.ts'
import { deliverSecrets } from '../setup/deliver.ts'
import { writeFiles, writePasswordFile } from '../setup/files.ts'
import { createFolder } from '../setup/folder.ts'
import { planFiles } from '../setup/plan.ts'
import { writeSandboxKeys } from '../setup/sandbox.ts'
import { readSecretNames, storeSecrets } from '../setup/secrets.ts'
import type { Twin } from '../verify/check.ts'
import { altered, at, record } from '../verify/tree.ts'

/** What a copy is made of: the deployment's answers and image, and nothing secret of it. */
export interface TwinSources {
  answers: Answers
  /** The pinned image, as docker-compose.yml names it. */
  image: string
  border: string
  sandbox: string | undefined
  ownership: Ownership
  docker: Docker
  run: ProcessRunner
  redactor: Redactor
  person: { uid: number; gid: number }
  now: () => Date
  signal: AbortSignal
}

/** What setup does before it starts anything: a copy is made by the same steps as the original. */
const STEPS: readonly Step<SetupContext>[] = [
  createFolder,
  storeSecrets,
  readSecretNames,
  planFiles,
  deliverSecrets,
  writeFiles,
  writePasswordFile,
  writeSandboxKeys,
]

/** A weak gateway that nobody removes ends by itself. Seconds. */
const LIFETIME = 600

/** How long a weak gateway may take to start, in milliseconds. */
const START = 150_000

/** A copy of a deployment with secrets of its own, on the disk and, when it is launched, running. */
export class WeakCopy implements Twin {
  readonly answers: Answers
  readonly root: string
  readonly layout: Layout
  readonly journal: Journal
  readonly store: SecretStore
  readonly compose: Compose
  readonly bridgeAddress: string
  readonly #sources: TwinSources
  readonly #starts: string[] = []
  readonly #instructions: string[] = []
  #token: Secret | undefined

  private constructor(sources: TwinSources, root: string, answers: Answers) {
    this.#sources = sources
    this.answers = answers
    this.root = root
    this.layout = layoutOf(root)
    this.journal = new Journal(this.layout.journal, sources.now, sources.redactor)
    this.store = secretFiles(this.layout, () => this.#owner(), sources.redactor)
    this.compose = new Compose(sources.docker, root, answers.name)
    this.bridgeAddress = addressesOf(answers.name).front.gateway
  }

  /** Makes the copy in an empty or missing folder. */
  static async make(sources: TwinSources, root: string, name: string, port: number): Promise<WeakCopy> {
    // Its secrets are its own, and end with it: no store elsewhere ever hears of them.
    const answers: Answers = {
      ...sources.answers,
      name,
      port,
      firewall: false,
      // Its name is another one, under which no profile is loaded.
      apparmor: false,
      store: 'docker',
      seal: 'none',
      // What is weak on purpose gets no engine's socket.
      ...(hasSocket(sources.answers)
        ? { posture: 'chat', agentSandbox: 'ssh', agentPrograms: [], agentPackages: [] }
        : {}),
    }
    mkdirSync(root, { recursive: true, mode: 0o700 })
    const twin = new WeakCopy(sources, root, answers)
    await twin.#setUp()
    const { subnet, gateway } = addressesOf(name).front
    twin.network(NETWORKS.front, { ipam: { config: [{ subnet, gateway }] } })
    twin.service({ restart: 'no' })
    twin.startWith(`( sleep ${LIFETIME}; kill 1 ) &`)
    for (const service of twin.#companions()) {
      const command = at(parse(twin.read('docker-compose.yml')), 'services', service, 'command')
      twin.service({ restart: 'no', command: ['timeout', String(LIFETIME), ...list(command)] }, service)
    }
    writeAtomic(resolve(twin.layout.base, 'docker-compose.yml'), twin.read('docker-compose.yml'), 0o600)
    return twin
  }

  /** The copy in a folder to which it was copied as it is. */
  static at(twin: WeakCopy, root: string): WeakCopy {
    const copy = new WeakCopy(twin.#sources, root, twin.answers)
    copy.#token = twin.#token
    return copy
  }

  async #setUp(): Promise<void> {
    const { image, border, sandbox, ownership, docker, run, redactor, person, now, signal } = this.#sources
    const context: SetupContext = {
      answers: this.answers,
      written: writeAnswers(this.answers),
      layout: this.layout,
      person,
      docker,
      run,
      compose: this.compose,
      store: this.store,
      journal: this.journal,
      redactor,
      openers: {},
      brought: new Map(secretNamesOf(this.answers).map(name => [name, redactor.learn(generateSecret(name))])),
      launch: false,
      startDeadline: START,
      now,
      say: () => {},
      found: {
        image: pinned(image),
        border: pinned(border),
        ...(sandbox === undefined ? {} : { sandbox: pinned(sandbox) }),
        ownership,
        isLabelled: confinementOf(await docker.info().catch(() => ({ SecurityOptions: [] }))) === 'selinux',
      },
    }
    await runProcedure('setup', STEPS, context, {
      journal: this.journal,
      progress: { begin() {}, done() {}, skipped() {}, failed() {} },
      signal,
      lock: async () => {
        mkdirSync(this.layout.own, { recursive: true, mode: 0o700 })
        return () => {}
      },
      runId: randomBytes(6).toString('hex'),
      dryRun: false,
    })
    this.#token = (await this.store.load(GATEWAY_TOKEN))?.current?.value
  }

  get user(): { uid: number; gid: number } {
    return this.#sources.ownership.user
  }

  get token(): Secret {
    if (this.#token === undefined) throw new Error('the copy has no token')
    return this.#token
  }

  service(keys: Record<string, unknown>, service = SERVICE): void {
    this.#edit(composition =>
      Object.entries(keys).reduce(
        (tree, [key, value]) => altered(tree, ['services', service, key], value),
        composition,
      ),
    )
  }

  network(name: string, keys: Record<string, unknown>): void {
    this.#edit(composition =>
      Object.entries(keys).reduce((tree, [key, value]) => {
        const before = at(composition, 'networks', name, key)
        const merged = Array.isArray(value) ? value : { ...record(before), ...record(value) }
        return altered(tree, ['networks', name, key], merged)
      }, composition),
    )
  }

  wayOut(): void {
    const before = list(at(parse(this.read('docker-compose.yml')), 'services', SERVICE, 'networks'))
    if (!before.includes(NETWORKS.outside)) this.service({ networks: [...before, NETWORKS.outside] })
  }

  environment(name: string, value: string): void {
    this.#edit(composition => altered(composition, ['services', SERVICE, 'environment', name], value))
  }

  mount(source: string, target: string, readOnly: boolean): void {
    const volume = { type: 'bind', source, target, read_only: readOnly }
    this.#edit(composition => {
      const volumes = at(composition, 'services', SERVICE, 'volumes')
      return altered(composition, ['services', SERVICE, 'volumes'], [...list(volumes), volume])
    })
  }

  policy(path: readonly [string, ...string[]], value: unknown): void {
    const before = this.read('config/openclaw.json')
    const after = JSON.stringify(altered(record(parseCommentedJson(before)), path, value))
    // Two checks may ask for the same; the gateway watches the file.
    if (after !== before) this.write('config/openclaw.json', after, 0o400)
  }

  startWith(script: string): void {
    // Two checks may ask for the same.
    if (!this.#starts.includes(script)) this.#starts.push(script)
  }

  image(instruction: string): void {
    if (!this.#instructions.includes(instruction)) this.#instructions.push(instruction)
  }

  write(path: string, content: string | Secret, mode = 0o644): void {
    const target = resolve(this.root, path)
    mkdirSync(dirname(target), { recursive: true, mode: 0o755 })
    writeAtomic(
      target,
      content,
      mode,
      /^(secrets|state|config|border|sandbox)\//.test(path) ? this.#owner() : undefined,
    )
  }

  read(path: string): string {
    return readFileSync(resolve(this.root, path), 'utf8')
  }

  remove(path: string): void {
    rmSync(resolve(this.root, path))
  }

  chmod(path: string, mode: number): void {
    chmodSync(resolve(this.root, path), mode)
  }

  secretFiles(): string[] {
    return readdirSync(this.layout.secrets).map(name => `secrets/${name}`)
  }

  async git(...args: string[]): Promise<void> {
    const { code, stderr } = await this.#sources.run('git', ['-C', this.root, ...args], { deadline: 15_000 })
    if (code !== 0)
      throw new ToolError('git_failed', `git ${args[0]} failed: ${stderr.trim()}`, 'Install git.')
  }

  async untilLogged(pattern: RegExp): Promise<void> {
    for (let tries = 0; tries < 40; tries++) {
      if (pattern.test(await this.compose.logs(200))) return
      await sleep(250, undefined, { signal: this.#sources.signal })
    }
    throw new ToolError('not_logged', `the weak copy's log never said ${pattern}`, 'Run the command again.')
  }

  /** Starts the copy and waits until it takes requests. Errors: `twin_failed` with the reason from its log. */
  async launch(): Promise<void> {
    const { docker, signal } = this.#sources
    if (this.#instructions.length > 0) this.service({ image: await this.#buildImage() })
    if (this.#starts.length > 0) {
      const command = at(parse(this.read('docker-compose.yml')), 'services', SERVICE, 'command')
      const script = `${this.#starts.join(' ')} exec "$@"`.replaceAll('$', '$$$$')
      this.service({ command: ['sh', '-c', script, 'sh', ...list(command)] })
    }
    // Not every user may; without it a copy is as open to neighbours as any port of this engine.
    await this.#rule()
      .install()
      .catch(() => undefined)
    await this.compose.up(() => {})
    for (const end = Date.now() + START; Date.now() < end; await sleep(300, undefined, { signal })) {
      if ((await askFromHost(this.answers, '/startupz', undefined, 2000)) === 200) return
      const id = await this.compose.containerId()
      const container = id === undefined ? undefined : await docker.container(id)
      // One that is told to die once comes back; one that keeps dying does not.
      if (container === undefined || container.RestartCount > 4) break
    }
    throw new ToolError(
      'twin_failed',
      `a weak copy did not start: ${reasonInLog(await this.compose.logs(200))}`,
      'Is there memory for two more gateways? Run the command again with --only for one check.',
    )
  }

  /** Removes its container, network and image. The folder is its maker's to remove. */
  async destroy(): Promise<void> {
    const { docker } = this.#sources
    await this.#rule()
      .remove()
      .catch(() => undefined)
    await this.compose.call(['down', '--volumes', '--timeout', '2', '--remove-orphans'], { deadline: 60_000 })
    if (this.#instructions.length > 0)
      await docker.call(['image', 'rm', '--force', this.#imageTag, `${this.#imageTag}-base`], {
        deadline: 30_000,
      })
  }

  #rule(): NeighbourRule {
    return new NeighbourRule(this.#sources.run, addressesOf(this.answers.name).bridge)
  }

  get #imageTag(): string {
    return `create-openclaw-secure/prove:${this.answers.name}`
  }

  /** An image of its own, on top of the deployment's. Nothing is downloaded. */
  async #buildImage(): Promise<string> {
    const { docker, image } = this.#sources
    // A builder takes names and digests, no ids of local images.
    const base = `${this.#imageTag}-base`
    await docker.call(['tag', image, base], { deadline: 15_000 })
    const user = (await docker.image(image))?.Config.User ?? ''
    const dockerfile = [`FROM ${base}`, 'USER root', ...this.#instructions, `USER ${user || '0'}`].join('\n')
    const { code, stderr } = await docker.call(['build', '--network', 'none', '--tag', this.#imageTag, '-'], {
      input: dockerfile,
      deadline: 120_000,
    })
    const built = code === 0 ? await docker.image(this.#imageTag) : undefined
    if (built === undefined)
      throw new ToolError(
        'twin_failed',
        `no weak image could be built: ${stderr.trim().split('\n').at(-1)}`,
        '',
      )
    return built.Id
  }

  /** The services beside the gateway. */
  #companions(): string[] {
    return Object.keys(record(at(parse(this.read('docker-compose.yml')), 'services'))).filter(
      name => name !== SERVICE,
    )
  }

  #edit(change: (composition: Record<string, unknown>) => Record<string, unknown>): void {
    // JSON is YAML. Comments go; nobody reads this copy but Compose and the checks.
    const changed = change(record(parse(this.read('docker-compose.yml'))))
    this.write('docker-compose.yml', `${JSON.stringify(changed, null, 2)}\n`)
  }

  #owner(): { uid: number; gid: number } | undefined {
    const { by, host } = this.#sources.ownership
    return by === 'chown' ? host : undefined
  }
}

function pinned(image: string) {
  return { pinned: image, label: image }
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}
