/**
 * A gateway as OpenClaw 2026.9.6 was measured to be, without a container and in no time: it works by what it has read, and
 * reads openclaw.json, with the files that it names, when it hears of a change, is asked to, or starts.
 */
import { INSIDE } from '../../src/deployment/layout.ts'
import { Exit, ToolError } from '../../src/errors.ts'
import { type Change, type Gateway, isProven, type Seen } from '../../src/gateway/running.ts'
import type { Secret } from '../../src/secret.ts'
import type { Files } from './rotate-disk.ts'

/** How it takes a change up. Times are in milliseconds. */
export interface Temper {
  /** Until it reads what has changed; undefined: it never hears of a change. */
  hears: number | undefined
  /** From reading to working by it. */
  takes: number
  /** How many changes it misses before it hears of one. */
  misses: number
  /** Whether its `secrets reload` reads the pointer anew. */
  reloads: boolean
  /** What `restart` does: it starts anew, does nothing, or starts anew as if nothing had changed. */
  restarts: 'anew' | 'not' | 'as before'
  /** Why its image refuses the configuration. */
  rejects: string | undefined
  /** Files that its user cannot read, whatever their modes are. */
  cannotRead(file: string): boolean
}

export const HEALTHY: Temper = {
  ...{ hears: 300, takes: 150, misses: 0, reloads: true, restarts: 'anew', rejects: undefined },
  cannotRead: () => false,
}

/** What it works by: the text of its configuration, and the secrets as it has read them, by name. */
export interface InForce {
  text: string
  values: Readonly<Record<string, string>>
}

/** What of it outlives a run of ours. Never changed: a changed state is another one. */
export interface GatewayState {
  runs: boolean
  container: number
  inForce: InForce
  missed: number
  /** A reload that has begun: in how many milliseconds it reads, or what it has read. */
  reading?: { in: number } | { read: InForce; in: number }
}

const POINTER = 'config/openclaw.json'

/** What a gateway would work by that starts now; undefined: it would not start. */
export function readFrom(files: Files, temper: Pick<Temper, 'cannotRead'>): InForce | undefined {
  const config = files.get(POINTER)
  if (config === undefined) return undefined
  const values: Record<string, string> = {}
  for (const [name, file] of pointersIn(config.text)) {
    const secret = files.get(`secrets/${file}`)
    if (secret === undefined || secret.mode !== 0o400 || temper.cannotRead(file)) return undefined
    values[name] = secret.text
  }
  const [text, known] = [config.text, READ.get(JSON.stringify(values)) ?? []]
  const same = known.find(one => one.text === text)
  if (same !== undefined) return same
  READ.set(JSON.stringify(values), [...known, { text, values }])
  return readFrom(files, temper)
}

/** What has been read once is the same object when it is read again. */
const READ = new Map<string, InForce[]>()

/** Whether nobody could tell the one from the other, but by the container's name. */
export function isSame(one: GatewayState, other: GatewayState): boolean {
  const read = ({ reading }: GatewayState) =>
    reading !== undefined && 'read' in reading ? reading.read : undefined
  return (
    one.runs === other.runs &&
    one.missed === other.missed &&
    one.inForce === other.inForce &&
    one.reading?.in === other.reading?.in &&
    read(one) === read(other)
  )
}

/** A few texts are read thousands of times. */
const POINTERS = new Map<string, [name: string, file: string][]>()

/** Which file a configuration names for each secret, read without the product's help. */
export function pointersIn(text: string): [name: string, file: string][] {
  const known = POINTERS.get(text)
  if (known !== undefined) return known
  const found = [
    ...text.matchAll(new RegExp(`"(\\w+)":\\{"source":"file","path":"${INSIDE.secrets}/([^"]+)"`, 'g')),
  ]
  const pointers = found.map(match => [match[1] ?? '', match[2] ?? ''] satisfies [string, string])
  POINTERS.set(text, pointers)
  return pointers
}

export class SimulatedGateway implements Gateway {
  now: GatewayState
  readonly temper: Temper
  readonly asked: string[] = []
  readonly #files: () => Files
  readonly #moment: (what: string) => void
  /** Lets the time pass for everybody, this gateway included. */
  readonly #wait: (milliseconds: number) => void

  constructor(sources: {
    state: GatewayState
    temper: Temper
    files: () => Files
    moment: (what: string) => void
    wait: (milliseconds: number) => void
  }) {
    this.now = sources.state
    this.temper = sources.temper
    this.#files = sources.files
    this.#moment = sources.moment
    this.#wait = sources.wait
  }

  /** Its watcher of the configuration folder. */
  hear(path: string): void {
    const { hears, misses } = this.temper
    if (path !== POINTER || !this.now.runs || hears === undefined) return
    if (this.now.missed < misses) this.#become({ missed: this.now.missed + 1 })
    // It waits for more changes before it reads one: another one begins the wait anew.
    else this.#become({ reading: { in: hears } })
  }

  /** What happens to it while time passes. */
  pass(milliseconds: number): void {
    for (let left = milliseconds; ; ) {
      const { reading, runs } = this.now
      if (reading === undefined || !runs || reading.in > left) {
        if (reading !== undefined) this.#become({ reading: { ...reading, in: reading.in - left } })
        return
      }
      left -= reading.in
      if ('read' in reading) this.#take(reading.read)
      else this.#read()
    }
  }

  /** Starts from what is on the disk, as Docker does it by itself. */
  startAnew(): void {
    const read = readFrom(this.#files(), this.temper)
    const { reading: _, ...rest } = this.now
    this.now =
      read === undefined ? { ...rest, runs: false } : { ...rest, runs: true, inForce: read, missed: 0 }
  }

  stop(): void {
    const { reading: _, ...rest } = this.now
    this.now = { ...rest, runs: false }
  }

  async state(): Promise<'running' | 'stopped'> {
    this.#call('state')
    return this.now.runs ? 'running' : 'stopped'
  }

  async container(): Promise<string> {
    this.#expectRunning()
    return `container-${this.now.container}`
  }

  ask(change: Change): Promise<Seen> {
    return this.watch(change, 0, () => {})
  }

  async watch(change: Change, patience: number, act: () => Promise<void> | void): Promise<Seen> {
    this.#call('watch')
    this.#expectRunning()
    await act()
    for (let waited = 0; ; waited += 50) {
      const seen = this.#look(change)
      if (isProven(seen) || waited >= patience) {
        this.#moment('after watch')
        return seen
      }
      this.#wait(50)
    }
  }

  async reads(file: string, value: Secret): Promise<string> {
    this.#call('reads')
    this.#expectRunning()
    if (this.temper.cannotRead(file)) return 'EACCES'
    const found = this.#files().get(`secrets/${file}`)
    return found === undefined ? 'ENOENT' : found.text === value.expose() ? 'same' : 'another value'
  }

  async isUpToDate(token: Secret): Promise<boolean> {
    this.#call('isUpToDate')
    this.#expectRunning()
    this.#wait(1000)
    if (this.now.inForce.values.gateway_token !== token.expose()) throw unseen('unauthorized')
    return this.now.inForce.text === this.#files().get(POINTER)?.text
  }

  async reload(token: Secret): Promise<void> {
    this.#call('reload')
    this.#expectRunning()
    if (this.temper.reloads && this.now.inForce.values.gateway_token === token.expose()) this.#read()
    this.#moment('after reload')
  }

  async restart(token: Secret): Promise<void> {
    this.#call('restart')
    this.#expectRunning()
    if (this.now.inForce.values.gateway_token !== token.expose() || this.temper.restarts === 'not') return
    const { inForce } = this.now
    this.stop()
    this.#moment('in restart')
    if (this.temper.restarts === 'anew') this.startAnew()
    else this.#become({ runs: true, inForce })
    this.#moment('after restart')
  }

  async objection(): Promise<string | undefined> {
    this.#call('objection')
    return this.temper.rejects
  }

  async recreate(): Promise<void> {
    this.#call('recreate')
    this.stop()
    this.#become({ container: this.now.container + 1 })
    this.#moment('in recreate')
    this.startAnew()
    await this.untilReady()
    this.#moment('after recreate')
  }

  async untilReady(): Promise<void> {
    if (!this.now.runs)
      throw new ToolError('gateway_not_ready', 'the gateway did not become ready within 120 s', '')
  }

  #look({ accept, refuse }: Change): Seen {
    const answer = (token: Secret) => {
      if (!this.now.runs) return undefined
      return token.expose() === this.now.inForce.values.gateway_token ? 404 : 401
    }
    const old = answer(refuse)
    return { refuse: old, accept: old === 404 ? undefined : answer(accept) }
  }

  /** A reload: what cannot be read leaves it as it was. */
  #read(): void {
    const read = readFrom(this.#files(), this.temper)
    const { reading: _, ...rest } = this.now
    this.now = read === undefined ? rest : { ...rest, reading: { read, in: this.temper.takes } }
    this.#moment('it has read the files')
  }

  #take(inForce: InForce): void {
    const { reading: _, ...rest } = this.now
    this.now = { ...rest, inForce }
    this.#moment('it works by them')
  }

  #call(what: string): void {
    this.asked.push(what)
    this.#moment(`before ${what}`)
  }

  #become(change: Partial<GatewayState>): void {
    this.now = { ...this.now, ...change }
  }

  #expectRunning(): void {
    if (!this.now.runs) throw unseen('it does not run')
  }
}

function unseen(why: string): ToolError {
  return new ToolError('gateway_unseen', `the gateway could not be asked: ${why}`, '', Exit.interrupted)
}
