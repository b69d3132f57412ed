/**
 * A simulated deployment with a sandbox, in which a key of it is rotated, and which can be put back to any moment at which a
 * rotation was killed. A suite has to mock `node:fs` and `node:timers/promises` as rotate-disk.ts and rotate-time.ts say.
 */
import { existsSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { ensureDirectory, sweep, writeAtomic } from '../../src/deployment/files.ts'
import { layoutOf } from '../../src/deployment/layout.ts'
import { render } from '../../src/deployment/render.ts'
import { Docker } from '../../src/docker/engine.ts'
import type { ProcessRunner } from '../../src/docker/process.ts'
import { generateSecret } from '../../src/gateway/generated.ts'
import { gatewayPolicy } from '../../src/gateway/policy.ts'
import { SANDBOX_CLIENT_KEY, SANDBOX_HOST_KEY } from '../../src/gateway/sandbox.ts'
import { publicSshKey } from '../../src/gateway/ssh-key.ts'
import { Journal } from '../../src/procedure/journal.ts'
import { Redactor, Secret } from '../../src/secret.ts'
import { secretFiles } from '../../src/stores/open.ts'
import { type RotateContext, unfinishedRotations } from '../../steps/rotate/context.ts'
import { rotateSecret } from '../../steps/rotate/index.ts'
import { admitting, recognising, showing, writeHostKey, writeKeyFiles } from '../../steps/setup/sandbox.ts'
import { companion } from '../unit/container.ts'
import { ANSWERS, some } from '../unit/support.ts'
import { type Files, filesNow, putBack, real, tell, watchFolder } from './rotate-disk.ts'
import { type GatewayState, HEALTHY, readFrom, SimulatedGateway } from './rotate-gateway.ts'
import { takeClock, wait } from './rotate-time.ts'

export const KEYS = [SANDBOX_CLIENT_KEY, SANDBOX_HOST_KEY]
const NAMES = ['gateway_token', ...KEYS]
const NOW = new Date('2026-11-26T08:40:00Z')
const FAILED = { code: 1, stdout: '', stderr: 'no such thing' }
const answers = { ...ANSWERS, posture: 'coding' as const, providers: [] }

interface Moment {
  what: string
  files: Files
  gateway: GatewayState
  /** Which host key sshd has read; undefined while it does not run. */
  shows: string | undefined
}

/** How the sandbox takes to what is new. */
interface Temper {
  /** sshd would not start with another host key than its first. */
  objects?: true
  /** sshd goes on with its old host key, whatever it is told. */
  deaf?: true
  /** It lets in by the keys that it knew at first. */
  stubborn?: true
}

export type Rotate = typeof rotateSecret

export class World {
  readonly layout = layoutOf(mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'ocs-rotsb-')))
  readonly gateway: SimulatedGateway
  readonly #redactor = new Redactor()
  readonly #temper: Temper
  readonly #rotate: Rotate
  shows: string | undefined
  /** The keys that it knew at first. */
  #known = ''
  onMoment: (what: string) => void = () => {}
  #runs = 0

  constructor(temper: Temper, rotate: Rotate) {
    this.#temper = temper
    this.#rotate = rotate
    this.gateway = new SimulatedGateway({
      state: { runs: false, container: 1, inForce: { text: '', values: {} }, missed: 0 },
      temper: HEALTHY,
      files: filesNow,
      moment: what => this.onMoment(what),
      wait,
    })
    takeClock(milliseconds => this.gateway.pass(milliseconds))
    watchFolder(this.layout.root)
    tell({ moment: what => this.onMoment(what), replaced: path => this.gateway.hear(path) })
    onTestFinished(() => {
      tell(undefined)
      real.rmSync(this.layout.root, { recursive: true, force: true })
    })
  }

  /** As setup leaves it. */
  static async begin(temper: Temper = {}, rotate: Rotate = rotateSecret): Promise<World> {
    const world = new World(temper, rotate)
    const { layout } = world
    const { config, secrets, own, base, store, sandbox } = layout
    for (const folder of [config, secrets, own, base, store, sandbox, join(base, 'config')])
      ensureDirectory(folder, 0o700)
    const stored = world.#store()
    const values = new Map<string, { rotationId: string; value: Secret }>()
    for (const name of NAMES) {
      const value = { rotationId: '20261001t000000-00000000', value: generateSecret(name) }
      await stored.commit(name, value.rotationId, await stored.stage(name, value, 0))
      values.set(name, value)
    }
    const [client, host] = KEYS.map(name => some(values.get(name)))
    writeHostKey(layout, some(host), undefined)
    writeKeyFiles(
      layout,
      [showing(some(host)), admitting([some(client)]), recognising([some(host)])],
      undefined,
    )
    const policy = gatewayPolicy(
      answers,
      ['gateway_token', SANDBOX_CLIENT_KEY].map(name => ({ name, ...some(values.get(name)) })),
    )
    const text = render('openclaw.json.hbs', { ...policy, proxied: false, closed: true }, 'json', policy)
    writeAtomic(join(base, 'config/openclaw.json'), text, 0o600)
    writeAtomic(layout.configFile, text, 0o400)
    world.gateway.startAnew()
    world.shows = hostKeyIn(filesNow())
    world.#known = some(filesNow().get('sandbox/authorized_keys')).text
    return world
  }

  now(what = 'now'): Moment {
    return { what, files: filesNow(), gateway: this.gateway.now, shows: this.shows }
  }

  restore({ files, gateway, shows }: Moment): void {
    putBack(files)
    this.gateway.now = gateway
    this.shows = shows
  }

  /** `rotate NAME`, or `rotate --resume`, in a process of its own. */
  async run(name: string, resume: boolean): Promise<{ code: string; exit: number; said: string }> {
    const ctx: RotateContext = {
      ...{ layout: this.layout, answers, name, store: this.#store(), gateway: this.gateway, resume },
      ...{ docker: new Docker(this.#docker), journal: this.#journal(), redactor: this.#redactor },
      ...{ call: undefined, mayStart: true, brought: undefined, owner: () => undefined, now: () => NOW },
      found: {},
    }
    const { own, base, store, config, secrets, sandbox } = this.layout
    try {
      await this.#rotate(ctx, () => ({
        ...{ journal: this.#journal(), runId: `run-${++this.#runs}`, dryRun: false },
        signal: new AbortController().signal,
        progress: { begin() {}, done() {}, skipped() {}, failed() {} },
        lock: async () => {
          sweep([own, base, store, config, secrets, sandbox])
          return () => {}
        },
      }))
      return { code: 'done', exit: 0, said: '' }
    } catch (error) {
      const { code, exit, message } = {
        exit: 99,
        ...(error as { code: string; exit?: number; message: string }),
      }
      return { code, exit, said: message }
    }
  }

  /** The moments of a run; those between which nothing has changed are one. */
  async momentsOf(run: () => Promise<unknown>): Promise<Moment[]> {
    const moments: Moment[] = []
    this.onMoment = what => {
      const moment = this.now(what)
      if (keyOf(moment) !== (moments.length === 0 ? '' : keyOf(some(moments.at(-1))))) moments.push(moment)
    }
    await run()
    this.onMoment('at the end')
    this.onMoment = () => {}
    return moments
  }

  unfinished(): string[] {
    return unfinishedRotations(this.#journal()).map(({ name }) => name)
  }

  #journal(): Journal {
    return new Journal(this.layout.journal, () => NOW)
  }

  #store() {
    return secretFiles(this.layout, () => undefined, this.#redactor)
  }

  /** The engine, as far as a rotation asks it. */
  readonly #docker: ProcessRunner = async (_file, args) => {
    const [what, , container = '', program = ''] = args
    this.onMoment(`before docker ${what} ${program}`)
    const answer = (stdout: string) => ({ code: 0, stdout, stderr: '' })
    if (what === 'ps') return answer('sandbox\n')
    const isUp = this.shows !== undefined
    if (what === 'container') {
      const { State, ...facts } = companion('sandbox')
      return answer(JSON.stringify([{ ...facts, State: { ...State, Running: isUp } }]))
    }
    if (what === 'compose') {
      this.shows = hostKeyIn(filesNow())
      return answer('')
    }
    if (program === 'ssh' && container.startsWith('container-')) return this.#login(args)
    if (container !== 'sandbox' || !isUp) return FAILED
    if (program === 'sh') {
      const isFirst = args.at(-1)?.includes('.20261001t') === true
      return answer(this.#temper.objects && !isFirst ? '\nsshd: no hostkeys available\n1\n' : '\n0\n')
    }
    if (program === 'python3' && this.#temper.deaf !== true) this.shows = hostKeyIn(filesNow())
    this.onMoment('after sshd was told')
    return answer('')
  }

  /** What ssh says in the gateway's container. */
  #login(args: readonly string[]) {
    const files = filesNow()
    const refused = (stderr: string) => ({ code: 255, stdout: '', stderr })
    if (this.shows === undefined) return refused('ssh: connect to host sandbox port 2222: Connection refused')
    const only = args.find(arg => arg.startsWith('KnownHostsCommand='))
    const known = only ?? some(files.get('config/sandbox_known_hosts')).text
    if (!known.includes(this.shows)) return refused('Host key verification failed.')
    const key = files.get(`secrets/${args[args.indexOf('-i') + 1]?.split('/').at(-1)}`)?.text
    const admitted = this.#temper.stubborn ? this.#known : some(files.get('sandbox/authorized_keys')).text
    const isIn = key !== undefined && admitted.includes(publicSshKey(new Secret(key)))
    return isIn
      ? { code: 0, stdout: '1000\n', stderr: '' }
      : refused('sandbox@sandbox: Permission denied (publickey).')
  }
}

/** The public half of the host key that a sandbox shows which starts from this; undefined: its sshd would not start. */
export function hostKeyIn(files: Files): string | undefined {
  const name = /^HostKey .*\/(\S+)$/m.exec(files.get('sandbox/sshd_config')?.text ?? '')?.[1]
  const key = files.get(`sandbox/${name}`)
  return key?.mode === 0o400 ? publicSshKey(new Secret(key.text)) : undefined
}

/** What the store has of a secret, without the product's help. */
export function slotsIn(files: Files, name: string): Record<string, string> {
  const document = JSON.parse(files.get(`.secure/store/${name}.json`)?.text ?? '{}')
  const folder = name === SANDBOX_HOST_KEY ? '.secure/store' : 'secrets'
  return Object.fromEntries(
    ['current', 'pending', 'previous'].flatMap(slot => {
      const text = files.get(`${folder}/${name}.${document[slot]}`)?.text
      return text === undefined ? [] : [[slot, publicSshKey(new Secret(text))]]
    }),
  )
}

/** What holds at every moment, whoever is killed. */
export function always({ files, gateway, shows }: Moment): string[] {
  const wrong: string[] = []
  const admitted = files.get('sandbox/authorized_keys')?.text ?? ''
  const known = files.get('config/sandbox_known_hosts')?.text ?? ''
  const stored = KEYS.map(name => Object.values(slotsIn(files, name)))
  for (const [who, value] of [
    ['the gateway', gateway.inForce.values[SANDBOX_CLIENT_KEY]],
    ['a gateway that starts now', readFrom(files, { cannotRead: () => false })?.values[SANDBOX_CLIENT_KEY]],
  ] as const) {
    const key = value === undefined ? 'no key' : publicSshKey(new Secret(value))
    if (!admitted.includes(key)) wrong.push(`${who} would not be let in`)
    if (stored[0]?.includes(key) !== true) wrong.push(`the store does not have the key of ${who}`)
  }
  for (const [who, key] of [
    ...(shows === undefined ? [] : [['the sandbox', shows] as const]),
    ['a sandbox that starts now', hostKeyIn(files) ?? 'no key'] as const,
  ]) {
    if (!known.includes(key)) wrong.push(`${who} would not be recognised`)
    if (stored[1]?.includes(key) !== true) wrong.push(`the store does not have the key of ${who}`)
  }
  if ([...files].some(([path, { text }]) => path.includes('journal') && text.includes('PRIVATE KEY')))
    wrong.push('the journal holds a key')
  return wrong
}

/** What holds when the last run has ended. */
export function settled(world: World): string[] {
  world.gateway.pass(60_000)
  const end = world.now()
  const { files, gateway, shows } = end
  const [client, host] = KEYS.map(name => slotsIn(files, name))
  const inForce = gateway.inForce.values[SANDBOX_CLIENT_KEY] ?? ''
  const seen = {
    slots: [client, host].map(slots => Object.keys(slots ?? {}).join()),
    uses: gateway.runs && publicSshKey(new Secret(inForce)) === client?.current,
    admits: files.get('sandbox/authorized_keys')?.text === `restrict ${client?.current} gateway\n`,
    shows: shows === host?.current,
    knows: files.get('config/sandbox_known_hosts')?.text === `[sandbox]:2222 ${host?.current}\n`,
    hostKeys: [...files.keys()].filter(path => path.startsWith('sandbox/host_key.')).length,
    clientKeys: [...files.keys()].filter(path => path.startsWith(`secrets/${SANDBOX_CLIENT_KEY}.`)).length,
    halfWay: world.unfinished(),
  }
  const wanted = {
    ...{ slots: ['current', 'current'], uses: true, admits: true, shows: true, knows: true },
    ...{ hostKeys: 1, clientKeys: 1, halfWay: [] },
  }
  const wrong = JSON.stringify(seen) === JSON.stringify(wanted) ? [] : [JSON.stringify(seen)]
  return [...wrong, ...always(end)]
}

/** What is the same for whoever goes on from it. */
export function keyOf({ files, gateway, shows }: Moment): string {
  const lying = [...files].map(
    ([path, { text }]) => `${path.replace(/[0-9a-f]{8}(?=\.ocs-tmp$)/, '')} ${text}`,
  )
  return JSON.stringify([lying.sort(), gateway, shows])
}

/** The same moment as the next process may find it. */
function afterwards(world: World, moment: Moment): Moment[] {
  world.restore(moment)
  world.gateway.startAnew()
  const anew = { ...world.now('gateway and sandbox have started anew'), shows: hostKeyIn(moment.files) }
  world.gateway.stop()
  return [{ ...moment, what: 'goes on' }, anew, { ...world.now('both were stopped'), shows: undefined }]
}

/** Kills a rotation at every moment, and the run that goes on at every moment of that. Returns what was broken. */
export async function explore(name: string, temper: Temper = {}, rotate: Rotate = rotateSecret) {
  const world = await World.begin(temper, rotate)
  const broken = new Set<string>()
  let kills = 0
  const done = new Set<string>()
  let level = (await world.momentsOf(() => world.run(name, false))).map(moment => ({
    moment,
    way: moment.what,
  }))
  for (const { moment, way } of level) for (const one of always(moment)) broken.add(`${way}: ${one}`)
  for (let kill = 1; kill <= 2; kill++) {
    const next: typeof level = []
    for (const { moment, way } of level)
      for (const found of afterwards(world, moment)) {
        const key = keyOf({ ...found, files: withoutJournal(world, found) })
        if (done.has(key)) continue
        done.add(key)
        kills += 1
        world.restore(found)
        const where = `${way}, ${found.what}`
        const moments = await world.momentsOf(async () => {
          for (const half of world.unfinished()) await world.run(half, true)
        })
        for (const later of moments) {
          for (const one of always(later)) broken.add(`${where}, then ${later.what}: ${one}`)
          next.push({ moment: later, way: `${where}, then ${later.what}` })
        }
        if (!world.gateway.now.runs) world.gateway.startAnew()
        world.shows ??= hostKeyIn(filesNow())
        for (const one of settled(world)) broken.add(`${where}: ${one}`)
      }
    level = next
  }
  return { kills, broken: [...broken] }
}

/** Of the journal only what a rotation asks it counts: whether one is open, and whether it was on its way back. */
function withoutJournal(world: World, { files }: Moment): Files {
  const copy = new Map(files)
  const path = '.secure/journal.jsonl'
  const text = files.get(path)?.text ?? ''
  const last = text.trimEnd().split('\n').at(-1) ?? ''
  const run = /"run":"([^"]+)"/.exec(last)?.[1] ?? ''
  const isBack = text.split('\n').some(line => line.includes(`"${run}"`) && line.includes('rotate.back.'))
  copy.set(path, { mode: 0, text: `${last.includes('"done"')} ${isBack} ${world.layout.root}` })
  return copy
}
