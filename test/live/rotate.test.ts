/** A new token, and other secrets, for a gateway that goes on working: under traffic, and in every way there is to bring it into force. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { writeAtomic } from '../../src/deployment/files.ts'
import { layoutOf } from '../../src/deployment/layout.ts'
import { ownerOfSecrets } from '../../src/deployment/owner.ts'
import { searchFolder } from '../../src/deployment/search.ts'
import { Compose } from '../../src/docker/compose.ts'
import { Docker } from '../../src/docker/engine.ts'
import { processRunner } from '../../src/docker/process.ts'
import { type Change, RunningGateway, type Seen } from '../../src/gateway/running.ts'
import { Journal } from '../../src/procedure/journal.ts'
import type { Runtime } from '../../src/procedure/run.ts'
import { silentProgress } from '../../src/report/progress.ts'
import { Redactor, Secret } from '../../src/secret.ts'
import { secretFiles } from '../../src/stores/open.ts'
import { readDeployment } from '../../src/wizard/saved.ts'
import type { RotateContext } from '../../steps/rotate/context.ts'
import { rotateSecret } from '../../steps/rotate/index.ts'
import {
  authStatus,
  cli,
  containerOf,
  freePort,
  freshFolder,
  isThorough,
  quick,
  remove,
  sh,
  tokenOf,
} from './harness.ts'
import { watchProcesses } from './processes.ts'
import { startTraffic } from './traffic.ts'

const desk = mkdtempSync(resolve(tmpdir(), 'ocs-rotate-'))
const folder = freshFolder('rotate')
let port = 0
let provider: Provider

beforeAll(async () => {
  provider = await startProvider()
  port = await freePort()
  const key = secretFile('first.key', KEY_ONE)
  const made = await cli([
    ...(await quick(folder, port)),
    ...['--provider', `local=http://172.17.0.1:${provider.port}/v1`, '--model', 'local/m'],
    ...['--provider-key', `local=@${key}`],
  ])
  expect(made.code, made.stderr).toBe(0)
})
afterAll(async () => {
  provider.server.close()
  await remove(folder)
  rmSync(desk, { recursive: true, force: true })
})

const KEY_ONE = `sk-test-one-${'a1B2'.repeat(8)}`
const KEY_TWO = `sk-test-two-${'c3D4'.repeat(8)}`
const KEY_BAD = `sk-test-bad-${'e5F6'.repeat(8)}`

function secretFile(name: string, value: string): string {
  const path = resolve(desk, name)
  writeFileSync(path, value, { mode: 0o600 })
  return path
}

/** A provider of models as OpenClaw sees one: it notes which key it was shown, and refuses the bad one. */
interface Provider {
  server: Server
  port: number
  shown: string[]
}

async function startProvider(): Promise<Provider> {
  const shown: string[] = []
  const server = createServer((request, response) => {
    const key = (request.headers.authorization ?? '').replace('Bearer ', '')
    shown.push(key)
    request.resume()
    if (key === KEY_BAD) return void response.writeHead(401).end('{}')
    if (request.method === 'GET') return void response.writeHead(200).end('{"object":"list","data":[]}')
    const chunk = (delta: object, end: string | null) =>
      `data: ${JSON.stringify({ id: 'x', object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: end }] })}\n\n`
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.end(
      `${chunk({ role: 'assistant', content: 'hello' }, null)}${chunk({}, 'stop')}data: [DONE]\n\n`,
    )
  })
  await new Promise<void>(done => server.listen(0, '0.0.0.0', done))
  return { server, port: (server.address() as AddressInfo).port, shown }
}

const filesOf = (name: string) =>
  readdirSync(resolve(folder, 'secrets')).filter(file => file.startsWith(`${name}.`))
const journal = () => readFileSync(resolve(folder, '.secure/journal.jsonl'), 'utf8')

/** The old value is nowhere any more, the new one is in force, and what runs is what the store and the files say. */
async function expectRotated(old: string): Promise<void> {
  const present = tokenOf(folder)
  expect(present).not.toBe(old)
  expect(await authStatus(port, old)).toBe(401)
  expect(await authStatus(port, present)).toBe(404)
  expect(filesOf('gateway_token')).toHaveLength(1)
  const found = await searchFolder(folder, [new Secret(old)])
  expect(found, 'the old token in the deployment').toMatchObject({ left: 0, found: [] })
  expect(found.searched).toBeGreaterThan(10)
  expect(journal().includes(old) || journal().includes(present)).toBe(false)
  const verified = await cli([
    'verify',
    folder,
    '--static',
    '--only',
    'store.*',
    '--only',
    'files.as-rendered',
    '--only',
    'secrets.stray',
    '--only',
    'token.file',
    '--only',
    'journal.intact',
  ])
  expect(verified.code, verified.stdout).toBe(0)
}

describe('threat: credential leakage: a token that somebody has learnt', () => {
  it('is replaced under traffic: no request is lost, no health probe fails, and neither token is refused', async () => {
    const traffic = startTraffic(folder, port)
    const watch = watchProcesses()
    const tokens = [tokenOf(folder)]
    let said = ''
    for (let round = 0; round < 5; round++) {
      const { code, stdout, stderr } = await cli(['rotate', '--dir', folder, '--yes', '--json'])
      expect(code, stderr).toBe(0)
      said += stdout + stderr
      tokens.push(tokenOf(folder))
      expect(JSON.parse(stdout).rotated).toMatchObject([
        { secret: 'gateway_token', by: 'hot reload', devices: 0, oldValueIn: [] },
      ])
    }
    const processes = watch.stop()
    const seen = await traffic.stop()
    expect(seen).toMatchObject({ failedProbes: 0, gap: 0, changes: 5 })
    expect(seen.probes).toBeGreaterThan(50)
    expect(new Set(tokens).size).toBe(6)
    for (const token of tokens) {
      expect(processes.text.includes(token), 'a token in an argument or an environment').toBe(false)
      expect(said.includes(token), 'a token in what was printed').toBe(false)
    }
    expect(processes.looks).toBeGreaterThan(20)
    await expectRotated(tokens.at(-2) ?? '')
  })

  it('is not to be found afterwards: not in the deployment, not in what the engine keeps of the container', async () => {
    const old = tokenOf(folder)
    expect((await cli(['rotate', '--dir', folder, '--quiet'])).code).toBe(0)
    await expectRotated(old)
    const id = await containerOf(folder)
    const { stdout: inspected } = await sh('docker', ['inspect', id])
    const { stdout: logs } = await sh('docker', ['logs', id])
    const [{ GraphDriver: graph }] = JSON.parse(inspected)
    const root = (await sh('docker', ['info', '--format', '{{.DockerRootDir}}'])).stdout.trim()
    const upper = await searchFolder(graph.Data.UpperDir, [new Secret(old)])
    const kept = await searchFolder(resolve(root, 'containers', id), [new Secret(old)])
    expect([...upper.found, ...kept.found]).toEqual([])
    expect(kept.searched, 'files the engine keeps of a container').toBeGreaterThan(2)
    expect(inspected.includes(old) || logs.includes(old)).toBe(false)
    // A search that finds nothing has to be one that could: the new one lies where the gateway reads it.
    const present = await searchFolder(folder, [new Secret(tokenOf(folder))])
    expect(present.found).toEqual([`secrets/${filesOf('gateway_token')[0]}`])
  })

  it('goes to the person into one file of his own, and nowhere else', async () => {
    const target = resolve(desk, 'new.token')
    const { code, stdout, stderr } = await cli(['rotate', '--dir', folder, '--token-file', target])
    expect(code, stderr).toBe(0)
    expect(readFileSync(target, 'utf8')).toBe(tokenOf(folder))
    expect(statSync(target).mode & 0o777).toBe(0o400)
    expect(`${stdout}${stderr}`).not.toContain(tokenOf(folder))
    const again = await cli(['rotate', '--dir', folder, '--token-file', target])
    expect(again).toMatchObject({ code: 2, stderr: expect.stringContaining('a file that is not there yet') })
  })

  it('is left alone while it is young, so that any scheduler may ask every day', async () => {
    const before = tokenOf(folder)
    const { code, stderr } = await cli(['rotate', '--dir', folder, '--if-older-than', '30d', '--yes'])
    expect({ code, same: tokenOf(folder) === before }, stderr).toEqual({ code: 0, same: true })
    expect((await cli(['rotate', '--dir', folder, '--resume'])).code, 'nothing to go on with').toBe(0)
    expect(tokenOf(folder)).toBe(before)
  })
})

describe('threat: credential leakage: a provider’s key', () => {
  it('is refused before anything is changed, when the provider does not take the new one', async () => {
    const before = filesOf('local_api_key')
    const { code, stderr } = await cli([
      ...[
        'rotate',
        'local_api_key',
        '--dir',
        folder,
        '--provider-key',
        `local=@${secretFile('bad', KEY_BAD)}`,
      ],
      ...['--prove-url', `http://172.17.0.1:${provider.port}/v1/models`],
    ])
    expect({ code, stderr }).toMatchObject({ code: 3, stderr: expect.stringContaining('provider_refused') })
    expect(filesOf('local_api_key')).toEqual(before)
    expect(stderr).not.toContain(KEY_BAD)
  })

  it('is replaced while the gateway runs: the next model request carries the new one', async () => {
    await turn('one')
    expect(provider.shown.at(-1)).toBe(KEY_ONE)
    const { code, stdout, stderr } = await cli([
      ...[
        'rotate',
        'local_api_key',
        '--dir',
        folder,
        '--provider-key',
        `local=@${secretFile('second', KEY_TWO)}`,
      ],
      ...['--prove-url', `http://172.17.0.1:${provider.port}/v1/models`, '--json'],
    ])
    expect(code, stderr).toBe(0)
    expect(JSON.parse(stdout).rotated).toMatchObject([{ secret: 'local_api_key', by: 'hot reload' }])
    expect(provider.shown.at(-1), 'tried at the provider').toBe(KEY_TWO)
    provider.shown.length = 0
    await turn('two')
    expect(new Set(provider.shown)).toEqual(new Set([KEY_TWO]))
    expect(`${stdout}${stderr}${journal()}`).not.toContain(KEY_TWO)
    expect((await searchFolder(folder, [new Secret(KEY_ONE)])).found).toEqual([])
  })

  async function turn(session: string): Promise<void> {
    const { code, stderr } = await sh('docker', [
      ...['exec', await containerOf(folder), 'node', 'openclaw.mjs', 'agent', '--agent', 'main'],
      ...['--session-key', `agent:main:${session}`, '--message', 'hi', '--json'],
    ])
    expect(code, stderr).toBe(0)
  }
})

/** The real gateway, with some of its ways blocked. */
class Hindered extends RunningGateway {
  readonly hindered: { looks: number; patience: number; restart: boolean }

  constructor(
    sources: ConstructorParameters<typeof RunningGateway>[0],
    hindered: Partial<Hindered['hindered']>,
  ) {
    super(sources)
    this.hindered = { looks: 0, patience: 4000, restart: true, ...hindered }
  }

  override async watch(change: Change, patience: number, act: () => Promise<void> | void): Promise<Seen> {
    if (this.hindered.looks > 0 && patience > 0) {
      // It has not happened yet, for somebody who does not look.
      this.hindered.looks -= 1
      await act()
      return { accept: undefined, refuse: 404 }
    }
    const isQuick = patience <= 8000 || !this.hindered.restart
    return super.watch(change, isQuick ? Math.min(patience, this.hindered.patience) : patience, act)
  }

  override async restart(token: Secret): Promise<void> {
    if (this.hindered.restart) await super.restart(token)
  }
}

describe('a gateway that does not reload by itself', () => {
  const redactor = new Redactor()
  const run = processRunner(redactor, process.env)

  /** A rotation of the token by the product's own steps, on the real gateway, with some ways blocked. */
  async function rotateBy(hindered: Partial<Hindered['hindered']>): Promise<RotateContext> {
    const layout = layoutOf(folder)
    const { answers } = readDeployment(readFileSync(layout.answers, 'utf8'), folder)
    const docker = new Docker(run)
    const owner = () => ownerOfSecrets(layout, { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 })
    const compose = new Compose(docker, folder, basename(folder))
    const own = new Journal(layout.journal, () => new Date(), redactor)
    const ctx: RotateContext = {
      ...{ layout, answers, docker, redactor, owner, name: 'gateway_token', journal: own },
      store: secretFiles(layout, owner, redactor),
      gateway: new Hindered({ docker, compose, answers, layout, startDeadline: 120_000 }, hindered),
      ...{
        brought: undefined,
        call: undefined,
        resume: false,
        mayStart: true,
        now: () => new Date(),
        found: {},
      },
    }
    const runtime = (): Runtime => ({
      ...{ journal: own, progress: silentProgress, signal: new AbortController().signal },
      ...{ runId: `t${Math.random()}`, dryRun: false, lock: async () => () => {} },
    })
    await rotateSecret(ctx, runtime)
    return ctx
  }

  /** Sets a key of the policy as a person would by hand, in both copies, so that nothing is an edit. */
  function setReload(mode: 'off' | 'hybrid' | 'nonsense'): void {
    for (const path of ['config/openclaw.json', '.secure/base/config/openclaw.json']) {
      const file = resolve(folder, path)
      const { uid, gid, mode: bits } = statSync(file)
      const text = readFileSync(file, 'utf8').replace(/ "reload": \{[^}]*\},/, '')
      const line = mode === 'hybrid' ? '' : ` "reload": {"mode":"${mode}"},`
      writeAtomic(file, text.replace('"mode": "local",', `"mode": "local",${line}`), bits & 0o7777, {
        uid,
        gid,
      })
    }
  }

  it('is told to (secrets reload with the old token), where the reload has not shown in time', async () => {
    const old = tokenOf(folder)
    expect((await rotateBy({ looks: 2 })).found.applied?.by).toBe('secrets reload')
    await expectRotated(old)
  })

  it.runIf(isThorough)('is started anew inside its container, where reloading is switched off', async () => {
    setReload('off')
    await new Promise(done => setTimeout(done, 2000))
    const old = tokenOf(folder)
    const before = await containerOf(folder)
    expect((await rotateBy({ patience: 3000 })).found.applied?.by).toBe('restart')
    expect(await containerOf(folder)).toBe(before)
    await expectRotated(old)
  })

  it.runIf(isThorough)('gets a new container, where it does not start anew either', async () => {
    const old = tokenOf(folder)
    const before = await containerOf(folder)
    expect((await rotateBy({ patience: 2000, restart: false })).found.applied?.by).toBe('new container')
    expect(await containerOf(folder)).not.toBe(before)
    await expectRotated(old)
  })

  it.runIf(isThorough)(
    'keeps its old token, and nobody is disturbed, where its image would not start with what the file says',
    async () => {
      const old = tokenOf(folder)
      setReload('nonsense')
      const { RestartCount: restarts, State: state } = JSON.parse(
        (await sh('docker', ['inspect', await containerOf(folder)])).stdout,
      )[0]
      await expect(rotateBy({ patience: 2000 })).rejects.toMatchObject({
        code: 'rotation_rolled_back',
        exit: 3,
      })
      expect(tokenOf(folder)).toBe(old)
      expect(await authStatus(port, old)).toBe(404)
      expect(filesOf('gateway_token')).toHaveLength(1)
      const after = JSON.parse((await sh('docker', ['inspect', await containerOf(folder)])).stdout)[0]
      expect([after.RestartCount, after.State.StartedAt]).toEqual([restarts, state.StartedAt])
      setReload('hybrid')
      expect(
        (await cli(['rotate', '--dir', folder, '--resume', '--quiet'])).code,
        'nothing is half-way',
      ).toBe(0)
    },
  )

  it.runIf(isThorough)('that refuses the new value goes back, exit 3, and says why', async () => {
    // The configuration is spoilt by an edit; the gateway goes on with what it has.
    const file = resolve(folder, 'config/openclaw.json')
    const { uid, gid, mode } = statSync(file)
    const good = readFileSync(file, 'utf8')
    const old = tokenOf(folder)
    writeAtomic(file, good.replace('"mode": "local",', '"mode": "local", "nobody": 1,'), mode & 0o7777, {
      uid,
      gid,
    })
    const { code, stderr } = await cli(['rotate', '--dir', folder])
    writeAtomic(file, good, mode & 0o7777, { uid, gid })
    expect({ code, stderr }).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('rotation_rolled_back'),
    })
    expect(stderr).toMatch(/nobody/)
    expect(stderr).toMatch(/The old value is in force/)
    expect(tokenOf(folder)).toBe(old)
    expect(await authStatus(port, old)).toBe(404)
  })
})
