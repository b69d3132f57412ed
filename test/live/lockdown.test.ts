/**
 * The panic button. Threats: credential leakage (somebody has the token, and a device of his own by it) and network
 * exfiltration (something is leaving, and must not for one more second). And what it takes is given back exactly.
 */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { INSIDE } from '../../src/deployment/layout.ts'
import { LiveDevice, pair } from './device.ts'
import {
  authStatus,
  cli,
  containerOf,
  freePort,
  freshFolder,
  isThorough,
  patience,
  quick,
  remove,
  sh,
  startCli,
  tokenOf,
} from './harness.ts'
import { holdLock } from './incidents.ts'

const folder = freshFolder('lockdown')
const record = resolve(folder, '.secure/lockdown.json')
let port = 0
let token = ''
let eve: LiveDevice
let own = ''

beforeAll(async () => {
  port = await freePort()
  const ran = await cli([...(await quick(folder, port)), '--quiet'])
  expect(ran.code, ran.stderr).toBe(0)
  const note = `mkdir -p ${INSIDE.workspace} && echo mine > ${INSIDE.workspace}/note.md`
  const written = await sh('docker', ['exec', await containerOf(folder), 'sh', '-c', note])
  expect(written.code, written.stderr).toBe(0)
  token = tokenOf(folder)
  eve = new LiveDevice(port, 'Eve’s laptop')
  own = await pair(eve, await containerOf(folder), token)
})

afterAll(() => remove(folder))

/** Of a container, all that a lockdown could change and not give back: networks, names, addresses, ports, and who it is. */
async function connections(): Promise<unknown> {
  const ids = await Promise.all(
    ['openclaw-gateway', 'ingress', 'egress'].map(one => containerOf(folder, one)),
  )
  const { stdout } = await sh('docker', ['inspect', ...ids])
  interface Endpoint {
    Aliases: string[]
    IPAddress: string
    IPAMConfig: { IPv4Address?: string } | null
    MacAddress: string
  }
  interface Inspected {
    Id: string
    State: { Pid: number; StartedAt: string }
    NetworkSettings: { Ports: unknown; Networks: Record<string, Endpoint> }
  }
  return (JSON.parse(stdout) as Inspected[]).map(({ Id, State, NetworkSettings }) => ({
    ...{ Id, pid: State.Pid, started: State.StartedAt, ports: NetworkSettings.Ports },
    networks: Object.entries(NetworkSettings.Networks)
      .map(([network, { Aliases, IPAddress, IPAMConfig, MacAddress }]) => ({
        ...{ network, IPAddress, MacAddress, given: IPAMConfig?.IPv4Address },
        aliases: [...Aliases].sort(),
      }))
      .sort((a, b) => a.network.localeCompare(b.network)),
  }))
}

/** What an agent has put into its workspace, and the key that the gateway made for itself. */
function kept(): string[] {
  return ['workspace/note.md', 'config-journal-fingerprint.key'].map(name =>
    readFileSync(resolve(folder, 'state', name), 'hex'),
  )
}

async function isClosed(): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/healthz`, { signal: AbortSignal.timeout(2000) }).then(
    () => false,
    () => true,
  )
}

/** What is in a container's network namespace besides loopback. */
async function interfaces(): Promise<string> {
  const list = "console.log(Object.keys(require('os').networkInterfaces()).filter(n => n !== 'lo').join())"
  const { stdout } = await sh('docker', ['exec', await containerOf(folder), 'node', '-e', list])
  return stdout.trim()
}

describe('lockdown', () => {
  let before: unknown
  let state: string[]

  it('is refused where nobody can be asked and no flag agrees to it', async () => {
    const ran = await cli(['lockdown', '--dir', folder])
    expect(ran.code).toBe(2)
    expect(ran.stderr).toContain('--yes')
    expect(await isClosed()).toBe(false)
  })

  it('cuts the network within two seconds of the command, then replaces the token and removes the devices', async () => {
    before = await connections()
    state = kept()
    const began = performance.now()
    const running = startCli(['lockdown', '--dir', folder, '--yes', '--json'])
    const ended = new Promise<number | null>(done => running.on('exit', done))
    while (!(await isClosed()) && performance.now() - began < 20_000) await sleep(20)
    expect(performance.now() - began).toBeLessThan(patience(2000))
    expect(await ended).toBe(0)
    expect(await interfaces()).toBe('')
  })

  it('leaves the gateway running, with its state, and answers nobody from outside', async () => {
    expect(await isClosed()).toBe(true)
    expect(kept()).toEqual(state)
    const { stdout } = await sh('docker', [
      'inspect',
      '--format',
      '{{.State.Status}}',
      await containerOf(folder),
    ])
    expect(stdout.trim()).toBe('running')
    expect(tokenOf(folder)).not.toBe(token)
  })

  it('is done once: a second one says since when, and changes nothing', async () => {
    const at = readFileSync(record, 'utf8')
    const again = await cli(['lockdown', '--dir', folder, '--yes', '--json'])
    expect(again.code, again.stderr).toBe(0)
    expect(JSON.parse(again.stdout)).toMatchObject({ changed: [], since: JSON.parse(at).since })
    expect(readFileSync(record, 'utf8')).toBe(at)
  })

  it.each([
    ['setup', () => [folder, '--yes', '--no-verify']],
    ['rotate', () => ['rotate', '--dir', folder]],
    ['egress allow', () => ['egress', 'allow', 'api.example.org', '--dir', folder]],
  ])('%s is refused, and says how to undo the lockdown', async (_what, args) => {
    const ran = await cli(args())
    expect(ran.code).not.toBe(0)
    expect(ran.stderr).toContain('create-openclaw-secure unlock')
    expect(await isClosed()).toBe(true)
  })

  it('holds when a container is started anew', async () => {
    await sh('docker', ['restart', '--time', '2', await containerOf(folder, 'ingress')])
    expect(await isClosed()).toBe(true)
  })

  it('is undone exactly: the same networks, names, addresses and port, and nobody had to start anew', async () => {
    const ran = await cli(['unlock', '--dir', folder, '--json'])
    expect(ran.code, ran.stderr).toBe(0)
    const [gateway, , egress] = before as unknown[]
    expect(await connections()).toMatchObject([
      gateway,
      { ports: portsOf(before), networks: networksOf(before) },
      egress,
    ])
    expect(kept()).toEqual(state)
  })

  it('gives back nothing to whoever had the old token or a device, and everything to whoever has the new one', async () => {
    expect(await authStatus(port, token)).toBe(401)
    expect(await authStatus(port, own)).toBe(401)
    expect((await eve.connect({ deviceToken: own })).greeting.ok).toBe(false)
    expect(await authStatus(port, tokenOf(folder))).toBe(404)
  })

  it('unlock without a lockdown says so', async () => {
    const ran = await cli(['unlock', '--dir', folder])
    expect([ran.code, ran.stderr]).toEqual([0, expect.stringContaining('not locked down')])
  })

  it('killed in the middle of either, the same command goes on to the same end', async () => {
    before = await connections()
    const first = tokenOf(folder)
    for (const command of ['lockdown', 'unlock'])
      for (const after of [400, 1300]) {
        const running = startCli([command, '--dir', folder, '--yes', '--quiet'])
        const ended = new Promise(done => running.on('exit', done))
        await sleep(after)
        running.kill('SIGKILL')
        await ended
        if (command === 'lockdown' && after === 1300) {
          const ran = await cli(['lockdown', '--dir', folder, '--yes'])
          expect(ran.code, ran.stderr).toBe(0)
          expect(await isClosed()).toBe(true)
        }
      }
    const ran = await cli(['unlock', '--dir', folder])
    expect(ran.code, ran.stderr).toBe(0)
    expect(await connections()).toEqual(before)
    expect(await authStatus(port, first)).toBe(401)
    expect(await authStatus(port, tokenOf(folder))).toBe(404)
  })

  it('cuts the network although a setup holds the lock, and leaves the rest to the same command afterwards', async () => {
    const setup = await holdLock(folder, 'setup')
    onTestFinished(setup.end)
    const ran = await cli(['lockdown', '--dir', folder, '--yes'])
    expect([ran.code, ran.stderr]).toEqual([4, expect.stringContaining('connections cut')])
    expect(ran.stderr).toContain(`process ${setup.pid}`)
    expect([await isClosed(), await interfaces()]).toEqual([true, ''])
    if (!isThorough) return
    const stale = tokenOf(folder)
    setup.end()
    expect(await cli(['lockdown', '--dir', folder, '--yes'])).toMatchObject({ code: 0 })
    expect([await isClosed(), tokenOf(folder) === stale]).toEqual([true, false])
  })
})

const ingressOf = (all: unknown) => (all as { ports: unknown; networks: unknown }[])[1]
const portsOf = (all: unknown) => ingressOf(all)?.ports
const networksOf = (all: unknown) => ingressOf(all)?.networks
