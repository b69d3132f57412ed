import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import { AUTH_PATH, askFromHost, reasonInLog } from '../../src/gateway/probe.ts'
import { generateToken } from '../../src/secret.ts'

/** A gateway that answers as it is told, and what it was asked. */
async function gateway(answer: (request: IncomingMessage) => number | undefined) {
  const asked: IncomingMessage[] = []
  const server = createServer((request, response) => {
    asked.push(request)
    const status = answer(request)
    if (status !== undefined) response.writeHead(status).end('a body nobody reads')
  })
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { asked, door: { port: (server.address() as AddressInfo).port, access: 'loopback' } as const }
}

describe('asking the gateway', () => {
  it('comes back with the status, with and without the token', async () => {
    const token = generateToken()
    const { door } = await gateway(request =>
      request.headers.authorization === `Bearer ${token.expose()}` ? 404 : 401,
    )
    expect(await askFromHost(door, AUTH_PATH)).toBe(401)
    expect(await askFromHost(door, AUTH_PATH, token)).toBe(404)
    expect(await askFromHost(door, AUTH_PATH, generateToken())).toBe(401)
  })

  it('sends no credential when it is given none, and says for whom it asks only behind a proxy', async () => {
    const { asked, door } = await gateway(() => 200)
    await askFromHost(door, '/readyz')
    await askFromHost({ ...door, access: 'proxy' }, '/readyz')
    expect(asked.map(request => request.url)).toEqual(['/readyz', '/readyz'])
    expect(asked.map(request => request.headers.authorization)).toEqual([undefined, undefined])
    expect(asked.map(request => request.headers['x-forwarded-for'])).toEqual([undefined, '192.0.2.1'])
  })

  it('follows no redirect: the token goes to the gateway alone', async () => {
    const { asked, door } = await gateway(() => 302)
    expect(await askFromHost(door, AUTH_PATH, generateToken())).toBe(302)
    expect(asked).toHaveLength(1)
  })

  it('is undefined when nothing listens, and when nothing answers in time', async () => {
    const { door } = await gateway(() => undefined)
    expect(await askFromHost(door, '/readyz', undefined, 100)).toBeUndefined()
    expect(await askFromHost({ port: 1, access: 'loopback' }, '/readyz')).toBeUndefined()
  })
})

describe('why a gateway did not start, from its log', () => {
  const line = (level: string, message: string) => JSON.stringify({ level, message })

  it('is its own last verdict, before any error and anything else', () => {
    expect(
      reasonInLog(
        [
          line('info', 'starting'),
          line('error', 'Gateway failed to start: Invalid config'),
          line('error', 'cleanup failed'),
          line('info', 'bye'),
        ].join('\n'),
      ),
    ).toBe('Gateway failed to start: Invalid config')
  })

  it('is else its last error, then its last complaint, then its last line', () => {
    expect(
      reasonInLog([line('error', 'first'), line('error', 'second'), line('info', 'cannot')].join('\n')),
    ).toBe('second')
    expect(reasonInLog(['hello', 'EACCES: permission denied', 'bye', ''].join('\n'))).toBe(
      'EACCES: permission denied',
    )
    expect(reasonInLog('hello\nbye\n\n')).toBe('bye')
  })

  it('is that there is none when the log is empty', () => {
    for (const log of ['', '\n', '  \n \n']) expect(reasonInLog(log)).toBe('its log is empty')
  })

  it('is short, however long the line', () => {
    expect(reasonInLog(line('error', 'x'.repeat(10_000)))).toHaveLength(600)
  })

  it('brings no terminal escape along, plain or inside JSON', () => {
    expect(reasonInLog('\u001b[31merror: it broke\u001b[0m')).toBe('error: it broke')
    expect(reasonInLog(line('error', '\u001b[2K\u001b[1Ait broke'))).toBe('it broke')
  })
})
