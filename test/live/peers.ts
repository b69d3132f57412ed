/**
 * What stands on the other side of the border in the live suites: a name server, web servers and a listener for
 * datagrams on addresses of this machine that look public (nobody outside ever gets a packet of them), and the ways to
 * try to reach them from a container. Needs root.
 */
import { createSocket, type Socket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer as createHttp, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createHttps } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import { sh } from './harness.ts'

/** What a name leads to: addresses, or what is said to the n-th question (from 0), or undefined: no such name. */
export type Zone = Record<string, readonly string[] | ((question: number) => readonly string[])>

export interface PeersOptions {
  /** A name of at most 15 characters for the interface, of this suite alone. */
  device: string
  /** The addresses to stand on; the name server is on the first. */
  addresses: readonly string[]
  zone: Zone
}

export interface Peers {
  /** The certificate of all names of the zone, which is its own authority. PEM. */
  certificate: string
  /** The names that were asked for, in order, each with the type: "a.example.org A". */
  questions: string[]
  /** What came in: "6.6.6.6:443 a.example.org" (where, and the host that was wanted), "6.6.6.6:udp text". */
  visits: string[]
  close(): Promise<void>
}

/**
 * Makes these addresses this machine's, on an interface of their own that every container with a way out reaches; returns what
 * takes them away again. Needs root, and a kernel that Docker runs on.
 */
export async function standOn(device: string, addresses: readonly string[]): Promise<() => Promise<void>> {
  const away = async () => void (await sh('ip', ['link', 'delete', device]))
  await away()
  await must('ip', ['link', 'add', device, 'type', 'bridge'])
  for (const address of addresses) {
    const own = address.includes(':') ? [`${address}/128`, 'nodad'] : [`${address}/32`]
    await must('ip', ['address', 'add', own[0] ?? '', 'dev', device, ...own.slice(1)])
  }
  await must('ip', ['link', 'set', device, 'up'])
  return away
}

/** A name that this machine resolves: a container that does not is kept from it. Undefined where it knows none of a few. */
export async function resolvable(): Promise<string | undefined> {
  for (const name of ['example.com', 'registry.npmjs.org'])
    if (await lookup(name).then(Boolean, () => false)) return name
  return undefined
}

/** Opens all of it. The servers listen on 443 and 8443 (TLS), 80 and 11434 (plain), and 9999 (datagrams, IPv4), of each address. */
export async function openPeers(options: PeersOptions): Promise<Peers> {
  const folder = mkdtempSync(resolve(tmpdir(), 'ocs-peers-'))
  const questions: string[] = []
  const visits: string[] = []
  const open: (Server | Socket)[] = []
  let away = async () => {}
  const close = async () => {
    await Promise.all(open.map(one => new Promise<void>(done => one.close(() => done()))))
    await away()
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    away = await standOn(options.device, options.addresses)
    const { key, certificate } = await ownCertificate(folder, Object.keys(options.zone))

    const web = (request: IncomingMessage, response: ServerResponse) => {
      visits.push(`${request.socket.localAddress}:${request.socket.localPort} ${request.headers.host ?? ''}`)
      answer(request, response)
    }
    for (const address of options.addresses) {
      for (const port of [443, 8443])
        open.push(await listening(createHttps({ key, cert: certificate }, web), port, address))
      for (const port of [80, 11434]) open.push(await listening(createHttp(web), port, address))
      if (!address.includes(':'))
        open.push(
          await bound(9999, address, (message, reply) => {
            visits.push(`${address}:udp ${message.toString()}`)
            reply(message)
          }),
        )
    }
    const [first = ''] = options.addresses
    open.push(
      await bound(53, first, (message, reply) => {
        const asked = readQuestion(message)
        const count = questions.filter(one => one === `${asked.name} ${asked.type}`).length
        questions.push(`${asked.name} ${asked.type}`)
        const entry = options.zone[asked.name]
        reply(answerTo(message, asked, typeof entry === 'function' ? entry(count) : entry))
      }),
    )
    return { certificate, questions, visits, close }
  } catch (error) {
    await close()
    throw error
  }
}

/**
 * A web server that is also a scripted model (OpenAI's protocol): it says {@link SAID}. What asks for /drip gets a byte
 * every half second until it goes away.
 */
function answer(request: IncomingMessage, response: ServerResponse): void {
  const path = request.url ?? ''
  if (path === '/drip') {
    const drip = setInterval(() => response.write('.'), 500)
    response.write('.')
    response.on('close', () => clearInterval(drip))
  } else if (path.endsWith('/chat/completions')) {
    const part = (delta: object, finish: string | null) =>
      `data: ${JSON.stringify({
        id: 'said',
        object: 'chat.completion.chunk',
        model: 'm',
        choices: [{ index: 0, delta, finish_reason: finish }],
      })}\n\n`
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.end(`${part({ role: 'assistant', content: SAID }, null)}${part({}, 'stop')}data: [DONE]\n\n`)
  } else if (path.endsWith('/models')) response.end(JSON.stringify({ data: [{ id: 'm' }] }))
  else response.end(request.socket.localAddress)
}

/** What the scripted model says. */
export const SAID = 'The model of the peers answers.'

/** One way out to try: see `test/fixtures/egress/attempt.mjs`. */
export type Attempt =
  | { kind: 'tcp'; host: string; port: number }
  | { kind: 'unix'; path: string }
  | { kind: 'tunnel'; target: string; speak?: string }
  | { kind: 'hold'; target: string; speak: string; seconds: number }
  | { kind: 'request'; url: string; method?: string }
  | { kind: 'udp'; host: string; port: number; text?: string }
  | { kind: 'dns'; server: string; name: string }
  | { kind: 'lookup'; name: string }

/**
 * What becomes of each attempt inside a container that has Node: `connected`, `answered`, a status of the proxy
 * (`200`, and what the host inside said: `200 200`), an address, `kept` or `cut` and when; or `silence` after 4 s, or the
 * error's code.
 */
export async function attempt(container: string, attempts: readonly Attempt[]): Promise<string[]> {
  const program = readFileSync(resolve(import.meta.dirname, '../fixtures/egress/attempt.mjs'), 'utf8')
  // Nobody answers a question for an outside name there: one second is enough to see it.
  const ran = await sh(
    'docker',
    [
      ...['exec', '--interactive', '--env', 'RES_OPTIONS=timeout:1 attempts:1', container],
      'node',
      '--input-type=module',
      '-',
      JSON.stringify(attempts),
    ],
    { input: program, timeout: 60_000 },
  )
  if (ran.code !== 0) throw new Error(`the attempts could not be made in ${container}: ${ran.stderr}`)
  return JSON.parse(ran.stdout) as string[]
}

/** A certificate of its own for all these names. */
async function ownCertificate(folder: string, names: readonly string[]) {
  const at = (file: string) => resolve(folder, file)
  const alternatives = `subjectAltName=${names.map(name => `DNS:${name}`).join(',')}`
  await must('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...['-subj', '/CN=peers of a test', '-addext', alternatives],
    ...['-keyout', at('key.pem'), '-out', at('certificate.pem')],
  ])
  return {
    key: readFileSync(at('key.pem'), 'utf8'),
    certificate: readFileSync(at('certificate.pem'), 'utf8'),
  }
}

interface Question {
  name: string
  type: 'A' | 'AAAA' | 'other'
  /** Where it ends in the message. */
  end: number
}

const TYPES: Record<number, Question['type']> = { 1: 'A', 28: 'AAAA' }

/** The first question of a message: RFC 1035, 4.1.2. */
function readQuestion(message: Buffer): Question {
  const labels: string[] = []
  let at = 12
  for (let length = message.readUInt8(at); length > 0; length = message.readUInt8(at)) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return {
    name: labels.join('.').toLowerCase(),
    type: TYPES[message.readUInt16BE(at + 1)] ?? 'other',
    end: at + 5,
  }
}

/** The answer, which may be kept for no time at all; what the zone does not have does not exist. */
function answerTo(
  message: Buffer,
  { type, end }: Question,
  addresses: readonly string[] | undefined,
): Buffer {
  const fitting = (addresses ?? []).filter(
    address => address.includes(':') === (type === 'AAAA') && type !== 'other',
  )
  const records = fitting.map(address => {
    const data = address.includes(':') ? v6(address) : Buffer.from(address.split('.').map(Number))
    const head = Buffer.from([0xc0, 12, 0, type === 'AAAA' ? 28 : 1, 0, 1, 0, 0, 0, 0, 0, data.length])
    return Buffer.concat([head, data])
  })
  const header = Buffer.from([...message.subarray(0, 2), 0x85, addresses === undefined ? 0x83 : 0x80])
  const counts = Buffer.from([0, 1, 0, records.length, 0, 0, 0, 0])
  return Buffer.concat([header, counts, message.subarray(12, end), ...records])
}

/** An IPv6 address of hexadecimal groups, as 16 bytes. */
function v6(address: string): Buffer {
  const [left = [], right = []] = address
    .split('::')
    .map(half => half.split(':').filter(group => group !== ''))
  const gap = Array.from({ length: 8 - left.length - right.length }, () => '0')
  return Buffer.from([...left, ...gap, ...right].map(group => group.padStart(4, '0')).join(''), 'hex')
}

async function listening<T extends Server>(server: T, port: number, host: string): Promise<T> {
  await new Promise<void>((done, fail) => {
    server.once('error', fail)
    server.listen(port, host, done)
  })
  return server
}

function bound(
  port: number,
  address: string,
  receive: (message: Buffer, reply: (answer: Buffer) => void) => void,
): Promise<Socket> {
  const socket = createSocket('udp4')
  socket.on('message', (message, from: AddressInfo) =>
    receive(message, answer => socket.send(answer, from.port, from.address)),
  )
  return new Promise((done, fail) => {
    socket.once('error', fail)
    socket.bind(port, address, () => done(socket))
  })
}

async function must(file: string, args: readonly string[]): Promise<void> {
  const ran = await sh(file, args)
  if (ran.code !== 0) throw new Error(`${file} ${args.join(' ')}: ${ran.stderr}`)
}
