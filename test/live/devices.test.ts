/**
 * Devices that were paired with a leaked token (credential leakage): a change of the token does not reach them, and
 * removing them does. Real devices, a real gateway.
 */
import { chownSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { INSIDE } from '../../src/deployment/layout.ts'
import { Docker } from '../../src/docker/engine.ts'
import { type ProcessRunner, processRunner } from '../../src/docker/process.ts'
import { pairedDevices, revokeDevices } from '../../src/gateway/devices.ts'
import { generateToken, Redactor } from '../../src/secret.ts'
import { reviewDevices, revokeAllDevices } from '../../steps/rotate/devices.ts'
import { type Connection, LAPTOP, LiveDevice, PHONE, pair } from './device.ts'
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

const folder = freshFolder('devices')
const NODE = { ...PHONE, id: 'node-host', platform: 'linux' }
/** Everything that came out of the children this test's own Docker started. */
let printed = ''
const run: ProcessRunner = async (file, args, options) => {
  const finished = await processRunner(new Redactor(), process.env)(file, args, options)
  printed += finished.stdout + finished.stderr
  return finished
}
const docker = new Docker(run)
let port = 0
let container = ''
let token = ''

beforeAll(async () => {
  port = await freePort()
  const ran = await cli([...(await quick(folder, port)), '--quiet'])
  expect(ran.code, ran.stderr).toBe(0)
  container = await containerOf(folder)
  token = tokenOf(folder)
})

afterAll(() => remove(folder))

const ctx = () => ({ docker, gateway: { container: async () => container }, found: {} })
const inTime = new AbortController().signal
/** What the owner would show to a phone's camera: an address and a token. */
const setupCode = async () => {
  const { stdout } = await sh('docker', ['exec', container, 'node', 'openclaw.mjs', 'qr', '--json'])
  const code: string = JSON.parse(stdout).setupCode
  const { bootstrapToken } = JSON.parse(Buffer.from(code, 'base64url').toString())
  return { bootstrapToken: String(bootstrapToken) }
}

/** A new gateway token, as a rotation makes one: another file, and the pointer in openclaw.json. */
async function changeToken(): Promise<string> {
  const config = resolve(folder, 'config/openclaw.json')
  const text = readFileSync(config, 'utf8')
  const fresh = generateToken().expose()
  const file = resolve(folder, 'secrets/gateway_token.test0001')
  writeFileSync(file, fresh, { mode: 0o400 })
  chownSync(file, 1000, 1000)
  const { uid, gid, mode } = statSync(config)
  writeFileSync(`${config}.new`, text.replace(/gateway_token\.[\w-]+(?=")/, 'gateway_token.test0001'), {
    mode,
  })
  chownSync(`${config}.new`, uid, gid)
  renameSync(`${config}.new`, config)
  for (let looks = 0; looks < 50 && (await authStatus(port, fresh)) !== 404; looks++) await sleep(200)
  return fresh
}

// With everything else, test/live/incident.test.ts and lockdown.test.ts stand for these: there a device is paired and removed, too.
describe.runIf(isThorough)('a device that was paired with a leaked token', () => {
  const laptop = () => new LiveDevice(port, 'Eve’s laptop')
  let eve: LiveDevice
  let server: LiveDevice
  let own = { laptop: '', server: '' }
  let connected: Connection
  let code = { bootstrapToken: '' }

  it('waits until the owner approves it, and has a token of its own from then on', async () => {
    eve = laptop()
    server = new LiveDevice(port, 'Eve’s server', NODE)
    expect((await eve.connect({ token })).greeting).toMatchObject({ ok: false, code: 'NOT_PAIRED' })
    expect(await pairedDevices(docker, container)).toEqual({ paired: [], pending: 1, codes: 0 })
    own = { laptop: await pair(eve, container, token), server: await pair(server, container, token) }
    connected = await eve.connect({ deviceToken: own.laptop })
    expect(connected.greeting.ok).toBe(true)
    expect(await authStatus(port, own.laptop)).toBe(404)
  })

  it('outlives a change of the gateway’s token: it stays connected, and its own token opens everything as before', async () => {
    const before = token
    token = await changeToken()
    expect(await authStatus(port, token)).toBe(404)
    expect(await authStatus(port, before)).toBe(401)
    expect(await Promise.race([connected.ended, sleep(2000, 'still there')])).toBe('still there')
    expect(await authStatus(port, own.laptop)).toBe(404)
    for (const [device, deviceToken] of [
      [eve, own.laptop],
      [server, own.server],
    ] as const) {
      const again = await device.connect({ deviceToken })
      again.end()
      expect(again.greeting.ok).toBe(true)
    }
  })

  it('is named in the review, with what it may do, from where, and whether it is there', async () => {
    const context: Parameters<typeof reviewDevices.run>[0] = ctx()
    const { saw } = await reviewDevices.run(context, inTime)
    expect(saw).toMatch(/^2 devices have tokens of their own, which the rotation does not change: /)
    expect(saw).toContain('Eve’s laptop (operator)')
    const found = context.found.devices?.find(device => device.id === eve.id)
    expect(found).toMatchObject({ client: LAPTOP.id, role: 'operator', connected: true })
    // Everybody comes by the ingress: it is its address that the gateway sees.
    expect(found?.address).toMatch(/^\d+(\.\d+){3}$/)
    expect(Date.now() - Number(found?.pairedAt)).toBeLessThan(120_000)
    expect(Number(found?.seenAt)).toBeGreaterThanOrEqual(Number(found?.pairedAt))
  })

  it('could have made a setup code, which pairs a device without anybody’s approval', async () => {
    const phone = await new LiveDevice(port, 'Eve’s phone', PHONE).connect(await setupCode())
    phone.end()
    expect(phone.greeting).toMatchObject({ ok: true, deviceToken: expect.any(String) })
    code = await setupCode()
    expect((await pairedDevices(docker, container)).codes).toBeGreaterThan(0)
  })

  it('is not taken for revoked when OpenClaw’s command does nothing: the proof can fail', async () => {
    const clear = '["devices","clear","--yes","--pending","--json"]'
    let replaced = 0
    const idle = new Docker((file, args, options) => {
      const changed = args.map(arg => arg.replace(clear, '["--version"]'))
      replaced += changed.filter((arg, index) => arg !== args[index]).length
      return run(file, changed, options)
    })
    await expect(revokeDevices(idle, container, INSIDE.port)).rejects.toMatchObject({
      code: 'devices_not_revoked',
      message: '3 devices are still paired; 2 old tokens are still accepted',
    })
    expect(replaced).toBe(1)
    expect(await authStatus(port, own.laptop)).toBe(404)
    code = await setupCode()
  })

  it('is removed and disconnected, and every token it had is proven to be refused', async () => {
    expect(await revokeAllDevices.skip?.(ctx())).toBeUndefined()
    const watcher = watchProcesses()
    const { saw, facts } = await revokeAllDevices.run(ctx(), inTime)
    const watched = watcher.stop()
    expect(saw).toBe('3 devices removed; 2 of 2 tokens that the gateway took before are refused now')
    expect(facts).toEqual({ removed: 3 })
    expect(await connected.ended).toEqual({ code: 4001, reason: 'device removed' })
    for (const secret of Object.values(own)) {
      expect(watched.text).not.toContain(secret)
      expect(printed).not.toContain(secret)
    }
    expect(watched.text).toContain('attendDevices')
  })

  it('is refused afterwards over HTTP and over its WebSocket, and so is the setup code', async () => {
    expect(await authStatus(port, own.laptop)).toBe(401)
    for (const [device, credential, words] of [
      [eve, { deviceToken: own.laptop }, /device token mismatch/],
      [server, { deviceToken: own.server }, /device token mismatch/],
      [new LiveDevice(port, 'Eve’s phone', PHONE), code, /setup code invalid/],
    ] as const) {
      const { greeting, ended } = await device.connect(credential)
      expect(greeting.ok).toBe(false)
      expect(await ended).toEqual({ code: 1008, reason: expect.stringMatching(words) })
    }
    expect(await pairedDevices(docker, container)).toEqual({ paired: [], pending: 0, codes: 0 })
    expect(await revokeAllDevices.skip?.(ctx())).toBe('no device is paired, and none is about to be')
    expect((await reviewDevices.run(ctx(), inTime)).saw).toBe('no device is paired')
  })

  it('leaves the owner’s own way in as it was', async () => {
    expect(await authStatus(port, token)).toBe(404)
  })
})

describe.runIf(isThorough)('devices that cannot be looked at', () => {
  it('are never an empty list: not with the gateway stopped, and not without its database', async () => {
    const database = resolve(folder, 'state/state/openclaw.sqlite')
    renameSync(database, `${database}.away`)
    try {
      await expect(pairedDevices(docker, container)).rejects.toMatchObject({ code: 'devices_unknown' })
    } finally {
      renameSync(`${database}.away`, database)
    }
    await sh('docker', ['stop', container])
    await expect(pairedDevices(docker, container)).rejects.toMatchObject({
      code: 'devices_unknown',
      message: expect.stringContaining('is not running'),
    })
    await expect(revokeDevices(docker, container, INSIDE.port)).rejects.toMatchObject({
      code: 'devices_unknown',
    })
    const { saw } = await reviewDevices.run(ctx(), inTime)
    expect(saw).toMatch(/^could not be listed: /)
  })
})
