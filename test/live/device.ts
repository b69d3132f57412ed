/**
 * A device as OpenClaw's own clients are one: an Ed25519 key, a WebSocket, and after the owner's approval a token of its
 * own. It comes through the published port, as somebody with a leaked gateway token would.
 */
import { spawn } from 'node:child_process'
import { createHash, generateKeyPairSync } from 'node:crypto'
import { createInterface } from 'node:readline'
import { asScript } from '../../src/gateway/inside.ts'
import { sh } from './harness.ts'

/** With what a device comes: the gateway's shared token, its own, or the one in a setup code. */
export type Credential = { token: string } | { deviceToken: string } | { bootstrapToken: string }

/** What a device says it is. */
export interface Kind {
  id: string
  mode: string
  platform: string
  deviceFamily?: string
  role: string
  scopes: string[]
}

/** Someone's command line. */
export const LAPTOP: Kind = {
  ...{ id: 'cli', mode: 'cli', platform: 'linux' },
  ...{ role: 'operator', scopes: ['operator.read', 'operator.write'] },
}

/** The phone that a setup code is for. */
export const PHONE: Kind = {
  ...{ id: 'openclaw-ios', mode: 'node', platform: 'ios', deviceFamily: 'iphone' },
  ...{ role: 'node', scopes: [] },
}

/** What the gateway says to a device that connects. */
export interface Greeting {
  ok: boolean
  /** "NOT_PAIRED" and the like, where it was refused. */
  code?: string
  /** The request that waits for the owner, where there is one. */
  requestId?: string
  /** The device's own token, where it was given one. */
  deviceToken?: string
}

/** How a connection ended: 1008 refused, 4001 the device was removed. */
export interface Ending {
  code: number
  reason: string
}

/** One connection of a device. */
export interface Connection {
  greeting: Greeting
  ended: Promise<Ending>
  end(): void
}

interface ConnectOrder {
  port: number
  device: { id: string; publicKey: string; privateKey: string }
  name: string
  kind: Kind
  credential: Credential
}

/** Speaks OpenClaw's protocol 4 and prints a line for the greeting and one for the end; ends when stdin does. */
function speak(): void {
  const { sign } = process.getBuiltinModule('node:crypto')
  const { createInterface } = process.getBuiltinModule('node:readline')
  const say = (line: unknown) => process.stdout.write(`${JSON.stringify(line)}\n`)
  const converse = ({ port, device, name, kind, credential }: ConnectOrder) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}`)
    const greet = (nonce: string) => {
      const { role, scopes, ...program } = kind
      const client = { ...program, displayName: name, version: '2026.9.6' }
      const signedAt = Date.now()
      const [secret] = Object.values(credential)
      // buildDeviceAuthPayload in OpenClaw.
      const signed = ['v2', device.id, client.id, client.mode, role, scopes.join(), signedAt, secret, nonce]
      const signature = sign(null, Buffer.from(signed.join('|')), device.privateKey).toString('base64url')
      const params = {
        ...{ minProtocol: 4, maxProtocol: 4, client, caps: [], auth: credential, role, scopes },
        device: { id: device.id, publicKey: device.publicKey, signature, signedAt, nonce },
      }
      socket.send(JSON.stringify({ type: 'req', id: 'connect', method: 'connect', params }))
    }
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(String(data))
      if (frame.event === 'connect.challenge') greet(frame.payload.nonce)
      if (frame.id !== 'connect') return
      const { code, details } = frame.error ?? {}
      const deviceToken = frame.payload?.auth?.deviceToken
      say({ greeting: { ok: frame.ok, code, requestId: details?.requestId, deviceToken } })
    }
    socket.onclose = ({ code, reason }) => {
      say({ ended: { code, reason } })
      process.exit()
    }
  }
  createInterface({ input: process.stdin })
    .on('line', line => converse(JSON.parse(line)))
    .on('close', () => process.exit())
}

/** A device of somebody's, with a key of its own, that nobody knows yet. */
export class LiveDevice {
  readonly id: string
  readonly #order: Omit<ConnectOrder, 'credential'>

  constructor(port: number, name: string, kind = LAPTOP) {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
    this.id = createHash('sha256').update(raw).digest('hex')
    const device = {
      id: this.id,
      publicKey: raw.toString('base64url'),
      privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    }
    this.#order = { port, device, name, kind }
  }

  /** Connects once. Rejects when the gateway says nothing at all. */
  async connect(credential: Credential): Promise<Connection> {
    // Node 20 has a WebSocket, behind a flag that later ones accept.
    const child = spawn(process.execPath, ['--experimental-websocket', '-e', asScript(speak)], {
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    child.stdin.on('error', () => {})
    child.stdin.write(`${JSON.stringify({ ...this.#order, credential })}\n`)
    const lines = createInterface({ input: child.stdout })
    let hear: (ending: Ending) => void = () => {}
    const ended = new Promise<Ending>(done => {
      hear = done
    })
    const greeting = await new Promise<Greeting>((done, fail) => {
      lines.on('line', line => {
        const said: { greeting?: Greeting; ended?: Ending } = JSON.parse(line)
        if (said.greeting !== undefined) done(said.greeting)
        if (said.ended !== undefined) hear(said.ended)
      })
      lines.on('close', () => fail(new Error('the gateway said nothing')))
    })
    return { greeting, ended, end: () => child.stdin.end() }
  }
}

/** Pairs a device with the gateway's token: it asks, the owner approves, it is given its own token, which this returns. */
export async function pair(device: LiveDevice, container: string, token: string): Promise<string> {
  const asked = await device.connect({ token })
  asked.end()
  const { code, requestId } = asked.greeting
  if (requestId === undefined) throw new Error(`no pairing request: ${code}`)
  const approved = await sh('docker', [
    'exec',
    container,
    'node',
    'openclaw.mjs',
    'devices',
    'approve',
    requestId,
  ])
  if (approved.code !== 0) throw new Error(`not approved: ${approved.stderr}`)
  const again = await device.connect({ token })
  again.end()
  if (again.greeting.deviceToken === undefined) throw new Error(`no device token: ${again.greeting.code}`)
  return again.greeting.deviceToken
}
