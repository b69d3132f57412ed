/**
 * A deployment whose gateway runs, and everything that happens to it while a secret is rotated. The folder, the store's
 * server and the gateway outlive a killed process, and can be put back to any moment at which one was killed.
 */
import { existsSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Answers } from '../../src/deployment/answers.ts'
import { ensureDirectory, sweep, writeAtomic } from '../../src/deployment/files.ts'
import { layoutOf } from '../../src/deployment/layout.ts'
import { render } from '../../src/deployment/render.ts'
import { Docker } from '../../src/docker/engine.ts'
import type { ProcessRunner } from '../../src/docker/process.ts'
import { GATEWAY_TOKEN, gatewayPolicy, secretFileName, secretNamesOf } from '../../src/gateway/policy.ts'
import { Journal } from '../../src/procedure/journal.ts'
import type { Runtime } from '../../src/procedure/run.ts'
import { generateToken, Redactor, Secret } from '../../src/secret.ts'
import { openStore } from '../../src/stores/open.ts'
import type { SecretStore } from '../../src/stores/store.ts'
import { type RotateContext, unfinishedRotations } from '../../steps/rotate/context.ts'
import { rotateSecret } from '../../steps/rotate/index.ts'
import { ANSWERS } from '../unit/support.ts'
import { changes, type Files, filesNow, putBack, real, tell, watchFolder } from './rotate-disk.ts'
import {
  type GatewayState,
  HEALTHY,
  isSame,
  readFrom,
  SimulatedGateway,
  type Temper,
} from './rotate-gateway.ts'
import {
  SimulatedOnePassword,
  type SimulatedServer,
  SimulatedVault,
  type Slots,
  slotsFrom,
} from './rotate-servers.ts'
import { takeClock, wait } from './rotate-time.ts'

export const PROVIDER_KEY = 'openai_api_key'
const NAMES = [GATEWAY_TOKEN, PROVIDER_KEY]
export const STORES = ['docker', 'vault', '1password'] as const

/** A moment at which the process may be killed, and what it would leave behind. */
export interface Moment {
  what: string
  files: Files
  server: unknown
  gateway: GatewayState
}

/** What one run of the command came to. */
export interface Outcome {
  code: string
  exit: number
  error?: Error
  found?: RotateContext['found']
}

export type Rotate = typeof rotateSecret

export interface WorldOptions {
  store?: Answers['store']
  /** Which secret is rotated. */
  name?: string
  temper?: Partial<Temper>
  /** What rotates: the product, or something that is broken on purpose. */
  rotate?: Rotate
  /** Another server for 1Password, with what opens it. */
  onePassword?: (moment: (what: string) => void) => SimulatedServer & { run: ProcessRunner; token: Secret }
}

export class World {
  readonly layout = layoutOf(mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'ocs-rotate-')))
  readonly answers: Answers
  readonly name: string
  readonly gateway: SimulatedGateway
  readonly server: SimulatedServer | undefined
  /** The new key that a person brings. */
  brought: Secret
  /** Told of every moment. What it throws happens to whoever is at work. */
  onMoment: (what: string) => void = () => {}
  /** What somebody else does while the next run waits for the lock. */
  beforeLock: (() => Promise<void>) | undefined
  /** The person who presses Ctrl-C. */
  stop = new AbortController()
  readonly #rotate: Rotate
  readonly #run: ProcessRunner
  readonly #redactor = new Redactor()
  #processes = 0

  constructor(options: WorldOptions) {
    const { store = 'docker', name = GATEWAY_TOKEN, temper = {}, rotate = rotateSecret } = options
    this.name = name
    this.#rotate = rotate
    this.brought = new Secret(`sk-proj-${generateToken().expose()}`)
    this.answers = {
      ...{ ...ANSWERS, store, providers: [{ id: 'openai' }], onepasswordVault: 'vaultidvaultidvaultidvault' },
      ...{
        vaultAddress: 'http://127.0.0.1:8200',
        vaultMount: 'secret',
        vaultPath: 'openclaw',
        vaultAuth: 'token',
      },
    }
    const moment = (what: string) => this.onMoment(what)
    const onePassword = store === '1password' ? options.onePassword?.(moment) : undefined
    const simulated = store === '1password' ? new SimulatedOnePassword(moment) : undefined
    this.server = onePassword ?? simulated ?? (store === 'vault' ? new SimulatedVault(moment) : undefined)
    this.#run = onePassword?.run ?? simulated?.run ?? NO_DEVICES
    this.gateway = new SimulatedGateway({
      state: { runs: false, container: 1, inForce: { text: '', values: {} }, missed: 0 },
      temper: { ...HEALTHY, ...temper },
      files: filesNow,
      moment,
      wait,
    })
    takeClock(milliseconds => this.gateway.pass(milliseconds))
    watchFolder(this.layout.root)
    tell({ moment, replaced: path => this.gateway.hear(path) })
    onTestFinished(() => {
      tell(undefined)
      real.rmSync(this.layout.root, { recursive: true, force: true })
    })
    this.#opener = onePassword?.token
  }
  readonly #opener: Secret | undefined

  /** A deployment as setup leaves it: two secrets, delivered, and a gateway that works by them. */
  static async begin(options: WorldOptions): Promise<World> {
    const world = new World(options)
    const { layout, answers } = world
    const folders = [layout.config, layout.secrets, layout.own, layout.base, layout.store, layout.credentials]
    for (const folder of [...folders, join(layout.base, 'config')]) ensureDirectory(folder, 0o700)
    if (answers.store !== 'docker')
      writeAtomic(join(layout.credentials, answers.store), world.#opener ?? OPENER[answers.store], 0o400)
    const store = await world.#open()
    const secrets = NAMES.map(name => ({
      name,
      rotationId: `20261001t000000-${name.length}0000000`.slice(0, 24),
    }))
    for (const { name, rotationId } of secrets) {
      const value = generateToken()
      await store.commit(name, rotationId, await store.stage(name, { rotationId, value }, 0))
      if (answers.store !== 'docker')
        writeAtomic(join(layout.secrets, secretFileName({ name, rotationId })), value, 0o400)
    }
    const policy = gatewayPolicy(answers, secrets)
    const text = render('openclaw.json.hbs', { ...policy, proxied: false, closed: true }, 'json', policy)
    writeAtomic(join(layout.base, 'config/openclaw.json'), text, 0o600)
    writeAtomic(layout.configFile, text, 0o400)
    world.gateway.startAnew()
    return world
  }

  now(what = 'now'): Moment {
    return { what, files: filesNow(), server: this.server?.state, gateway: this.gateway.now }
  }

  /** Everything that outlives a process, as it was then. `processes`: how many there have been by then. */
  restore({ files, server, gateway }: Moment, processes = 0): void {
    putBack(files)
    if (this.server !== undefined) this.server.state = server
    this.gateway.now = gateway
    this.#processes = processes
  }

  /** The same moment as the next process may find it: what the gateway does by itself until then. */
  after(moment: Moment): Moment[] {
    const found: Moment[] = []
    for (const [what, happens] of [
      ['goes on', () => {}],
      ['has had a minute', (gateway: SimulatedGateway) => gateway.pass(60_000)],
      ['has started anew', (gateway: SimulatedGateway) => gateway.startAnew()],
      ['was stopped', (gateway: SimulatedGateway) => gateway.stop()],
    ] as const) {
      const [nobody, { temper }] = [() => {}, this.gateway]
      const twin = new SimulatedGateway({
        ...{ state: moment.gateway, temper, files: () => moment.files, moment: nobody, wait: nobody },
      })
      happens(twin)
      if (!found.some(known => isSame(known.gateway, twin.now)))
        found.push({ ...moment, what, gateway: twin.now })
    }
    return found
  }

  /** `rotate NAME`, in a process of its own. */
  rotate(): Promise<Outcome> {
    return this.#process(store => this.#attempt(store, this.name, false))
  }

  /** `rotate --resume`, in a process of its own: everything that is half-way, and nothing else. */
  resume(): Promise<Outcome> {
    return this.#process(async store => {
      let last: Outcome = { code: 'nothing', exit: 0 }
      for (const name of await this.#unfinished(store)) last = await this.#attempt(store, name, true)
      return last
    })
  }

  unfinished(): Promise<string[]> {
    return this.#process(store => this.#unfinished(store))
  }

  /** What happens at every moment of a run; moments between which nothing has changed are one. */
  async momentsOf(run: () => Promise<Outcome>): Promise<{ moments: Moment[]; outcome: Outcome }> {
    const moments: Moment[] = []
    let seen = ''
    let last: Moment | undefined
    this.onMoment = what => {
      const mark = String(changes())
      if (mark === seen && last?.server === this.server?.state && last?.gateway === this.gateway.now) return
      seen = mark
      last = this.now(what)
      moments.push(last)
    }
    const outcome = await run()
    this.onMoment('at the end')
    this.onMoment = () => {}
    return { moments, outcome }
  }

  /** What a store holds that was left like this, by itself. */
  slotsIn(moment: Pick<Moment, 'files' | 'server'>, name = this.name): Slots {
    if (this.server !== undefined) {
      this.server.state = moment.server
      return this.server.slotsOf(name)
    }
    const document = JSON.parse(moment.files.get(`.secure/store/${name}.json`)?.text ?? '{}')
    return slotsFrom(slot => [document[slot], moment.files.get(`secrets/${name}.${document[slot]}`)?.text])
  }

  /** What a gateway would take that starts from this. */
  startingFrom(files: Files): string | undefined {
    return readFrom(files, { cannotRead: () => false })?.values[this.name]
  }

  journal(): Journal {
    return new Journal(this.layout.journal, () => NOW)
  }

  #open(): Promise<SecretStore> {
    return openStore({
      ...{ answers: this.answers, layout: this.layout, redactor: this.#redactor, run: this.#run },
      ...{ owner: () => undefined, env: {}, version: '0.0.0' },
    })
  }

  async #process<T>(work: (store: SecretStore) => Promise<T>): Promise<T> {
    this.#processes += 1
    const store = await this.#open()
    try {
      return await work(store)
    } finally {
      await store.close()
    }
  }

  async #unfinished(store: SecretStore): Promise<string[]> {
    const begun = unfinishedRotations(this.journal()).map(({ name }) => name)
    for (const name of secretNamesOf(this.answers)) {
      const stored = await store.load(name)
      if ((stored?.pending ?? stored?.previous) !== undefined && !begun.includes(name)) begun.push(name)
    }
    return begun
  }

  async #attempt(store: SecretStore, name: string, resume: boolean): Promise<Outcome> {
    const ctx: RotateContext = {
      ...{ layout: this.layout, answers: this.answers, name, store, gateway: this.gateway, resume },
      // A redactor would hide from the journal what a step hands over by mistake; the journal here has none.
      ...{
        journal: this.journal(),
        redactor: this.#redactor,
        docker: new Docker(NO_DEVICES),
        call: undefined,
      },
      mayStart: true,
      brought: name === PROVIDER_KEY && !resume ? this.brought : undefined,
      owner: () => undefined,
      now: () => NOW,
      found: {},
    }
    let runs = 0
    try {
      await this.#rotate(ctx, () => this.#runtime(`${this.#processes}-${++runs}`))
      return { code: 'done', exit: 0, found: ctx.found }
    } catch (error) {
      if (!(error instanceof Error)) throw error
      const { code, exit } = { code: error.name, exit: 99, ...pick(error) }
      return { code, exit, error, found: ctx.found }
    }
  }

  #runtime(runId: string): Runtime {
    const { own, base, store, config, secrets } = this.layout
    return {
      ...{ journal: this.journal(), runId, dryRun: false, signal: this.stop.signal },
      progress: { begin() {}, done() {}, skipped() {}, failed() {} },
      lock: async () => {
        const [others, none] = [this.beforeLock, undefined]
        this.beforeLock = none
        await others?.()
        sweep([own, base, store, config, secrets])
        return () => {}
      },
    }
  }
}

function pick(error: Error): { code?: string; exit?: number } {
  return 'exit' in error && 'code' in error ? { code: String(error.code), exit: Number(error.exit) } : {}
}

const NOW = new Date('2026-11-23T01:40:00Z')

/** What opens the simulated servers. */
const OPENER = {
  vault: 'hvs.opens-the-simulated-vault',
  '1password': `ops_${Buffer.from(JSON.stringify({ signInAddress: 'https://my.1password.com', email: 'gateway@1passwordserviceaccounts.com' })).toString('base64url')}`,
}

/** The engine's answer to the question which devices are paired: none. */
const NO_DEVICES: ProcessRunner = async () => {
  const rows = { paired: 0, codes: 0 }
  const command = { code: 0, stdout: '{"pending":[],"paired":[]}', stderr: '' }
  return { code: 0, stdout: JSON.stringify({ before: rows, after: rows, command, answers: [] }), stderr: '' }
}
