/** What runs inside a container to see what the proxy lets through. Sent as its own source text, like all of inside.ts. */

export interface ProxyOrder {
  host: string
  port: number
  /** Host and port, each asked for as a tunnel. */
  tunnels: string[]
  /** Asked for without one. */
  plain: string[]
}

/** The status the proxy answered with, by what was asked for; 0 where it did not answer in time. */
export type ProxyAnswers = Record<string, number>

/** Asks the proxy for each, and goes no further: nothing is sent through. Prints {@link ProxyAnswers}. */
export function askProxy(): void {
  const net = process.getBuiltinModule('node:net')
  const order: ProxyOrder = JSON.parse(process.argv[1] ?? '{}')
  const ask = (name: string, head: string) =>
    new Promise<[string, number]>(done => {
      const socket = net.connect({ host: order.host, port: order.port, timeout: 4000 })
      const end = (status: number) => {
        socket.destroy()
        done([name, status])
      }
      socket.once('connect', () => socket.write(head))
      socket.once('data', data => end(Number(/^HTTP\/1\.\d (\d{3})/.exec(String(data))?.[1] ?? 0)))
      socket.once('timeout', () => end(0))
      socket.once('error', () => end(0))
      socket.once('end', () => end(0))
    })
  Promise.all([
    ...order.tunnels.map(target => ask(target, `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`)),
    ...order.plain.map(url => ask(url, `GET ${url} HTTP/1.1\r\nHost: ${new URL(url).host}\r\n\r\n`)),
  ]).then(answers => process.stdout.write(JSON.stringify(Object.fromEntries(answers))))
}
