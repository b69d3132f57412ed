/** Servers for the Vault suites: certificates of a CA of our own, whatever a server may answer, and what lies between. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import * as http from 'node:http'
import * as https from 'node:https'
import * as net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Files of a certificate, and the certificate itself. */
export interface Certificate {
  certificate: string
  key: string
  pem: string
}

/** A CA of our own in a scratch folder, and what it signs. */
export function authority() {
  const folder = mkdtempSync(join(tmpdir(), 'ocs-ca-'))
  const files = (name: string) => ({
    certificate: join(folder, `${name}.pem`),
    key: join(folder, `${name}.key`),
  })
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' })
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-batch']
  const read = (paths: { certificate: string; key: string }): Certificate => ({
    ...paths,
    pem: readFileSync(paths.certificate, 'utf8'),
  })
  const root = (name: string) => {
    const { certificate, key } = files(name)
    openssl('req', '-x509', ...ec, '-keyout', key, '-out', certificate, '-days', '2', '-subj', `/CN=${name}`)
    return read({ certificate, key })
  }
  const ca = root('ca')
  return {
    folder,
    ca,
    /** Another CA, which signed nothing. */
    stranger: () => root('stranger'),
    /** A server's certificate, for these names. */
    sign(name: string, names = 'IP:127.0.0.1,DNS:localhost', days = 2): Certificate {
      const { certificate, key } = files(name)
      const request = join(folder, `${name}.csr`)
      openssl(
        ...['req', ...ec, '-keyout', key, '-out', request, '-subj', `/CN=${name}`],
        ...['-addext', `subjectAltName=${names}`],
      )
      openssl(
        ...['x509', '-req', '-in', request, '-CA', ca.certificate, '-CAkey', ca.key, '-CAcreateserial'],
        ...['-copy_extensions', 'copy', '-out', certificate, '-days', String(days)],
      )
      return read({ certificate, key })
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

/** A request as a server saw it. */
export interface Seen {
  method: string
  path: string
  headers: http.IncomingHttpHeaders
  body: string
}

/** What a server answers to it: JSON, or text as it is; `undefined` never answers. */
export type Answers = (
  seen: Seen,
) => { status?: number; headers?: Record<string, string>; body?: unknown } | undefined

/** A server that answers as it is told and remembers what it saw. With a certificate it speaks TLS. */
export async function fakeServer(answers: Answers, tls?: Certificate) {
  const seen: Seen[] = []
  const handle: http.RequestListener = (request, response) => {
    let body = ''
    request.setEncoding('utf8')
    request.on('data', (chunk: string) => {
      body += chunk
    })
    request.on('end', () => {
      const one = { method: request.method ?? '', path: request.url ?? '', headers: request.headers, body }
      seen.push(one)
      const answer = answers(one)
      if (answer === undefined) return
      response.writeHead(answer.status ?? 200, { 'Content-Type': 'application/json', ...answer.headers })
      response.end(
        answer.body === undefined || typeof answer.body === 'string'
          ? answer.body
          : JSON.stringify(answer.body),
      )
    })
  }
  const server =
    tls === undefined
      ? http.createServer(handle)
      : https.createServer({ cert: readFileSync(tls.certificate), key: readFileSync(tls.key) }, handle)
  const port = await listening(server)
  return {
    seen,
    port,
    address: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    close: () => closed(server),
  }
}

/** A server below HTTP: does as it is told with every connection, and counts the bytes it receives. */
export async function rawServer(onConnection: (socket: net.Socket) => void) {
  let received = ''
  const sockets = new Set<net.Socket>()
  const server = net.createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', chunk => {
      received += chunk.toString('latin1')
    })
    onConnection(socket)
  })
  const port = await listening(server)
  return {
    port,
    address: `http://127.0.0.1:${port}`,
    received: () => received,
    connections: () => sockets.size,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await closed(server)
    },
  }
}

/** What lies between a client and a server: lets through, refuses, or takes connections and leaves them hanging. */
export async function forwarder(target: number) {
  let hangs = false
  const sockets = new Set<net.Socket>()
  const server = net.createServer(near => {
    sockets.add(near)
    near.on('error', () => {})
    if (hangs) return
    const far = net.connect(target, '127.0.0.1')
    sockets.add(far)
    far.on('error', () => near.destroy())
    near.on('close', () => far.destroy())
    near.pipe(far).pipe(near)
  })
  const port = await listening(server)
  const close = async () => {
    for (const socket of sockets) socket.destroy()
    await closed(server)
  }
  return {
    port,
    close,
    /** Nothing listens any more. Returns what takes it back. */
    async refuse() {
      await close()
      return async () => {
        await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
      }
    },
    /** Connections are taken and nothing comes of them. */
    async hang() {
      hangs = true
      return async () => {
        hangs = false
      }
    },
  }
}

/** A port that was free a moment ago, and the one after it too: a server takes both. */
export async function freePorts(): Promise<number> {
  for (;;) {
    const [one, two] = [net.createServer(), net.createServer()]
    const port = await listening(one)
    const isFree = await new Promise<boolean>(resolve => {
      two.once('error', () => resolve(false))
      two.listen(port + 1, '127.0.0.1', () => resolve(true))
    })
    await closed(one)
    if (isFree) {
      await closed(two)
      return port
    }
  }
}

async function listening(server: net.Server): Promise<number> {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('a server without a port')
  return address.port
}

async function closed(server: net.Server): Promise<void> {
  if (server instanceof http.Server || server instanceof https.Server) server.closeAllConnections()
  await new Promise<void>(resolve => server.close(() => resolve()))
}
