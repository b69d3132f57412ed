/** What pretends to be an intruder inside the gateway's container, in a drill; inside.ts says how a program gets there. */

/** What {@link pretend} is told, as JSON on its stdin: an argument would be seen among the processes, and every mark with it. */
export interface PretendOrder {
  /** The name of a file in /tmp. */
  file: string
  /** The path of a file in the agent's workspace. */
  dropped: string
  /** The name of a process. */
  process: string
  /** A host, without its last label. */
  beacon: string
  /** The proxy to ask for it; none: it is asked for straight away. */
  proxy: { host: string; port: number } | undefined
  /** The gateway's port, how many wrong tokens to try there, and as which client's version. */
  port: number
  guesses: number
  guesser: string
}

/**
 * Drops two files and starts a process with a strange name; then a child of its own, which tries to reach a host every second
 * and guesses the token. All of it ends after ten minutes.
 */
export function pretend(): void {
  const { readFileSync, writeFileSync, mkdirSync } = process.getBuiltinModule('node:fs')
  const { spawn } = process.getBuiltinModule('node:child_process')
  const { connect } = process.getBuiltinModule('node:net')
  const { dirname } = process.getBuiltinModule('node:path')
  const text = readFileSync(0, 'utf8')
  const order: PretendOrder = JSON.parse(text)
  if (process.argv[1] !== 'child') {
    writeFileSync(`/tmp/.${order.file}`, `dropped in a drill: ${order.file}\n`)
    mkdirSync(dirname(order.dropped), { recursive: true })
    writeFileSync(order.dropped, `dropped in a drill: ${order.dropped}\n`)
    spawn('sleep', ['600'], { argv0: order.process, detached: true, stdio: 'ignore' }).unref()
    const again = ['-e', process.execArgv[1] ?? '', 'child']
    const child = spawn(process.execPath, again, { detached: true, stdio: ['pipe', 'ignore', 'ignore'] })
    child.stdin.end(JSON.stringify({ ...order, file: '', dropped: '', process: '' }))
    child.unref()
    return
  }
  const beacon = () => {
    const { host, port } = order.proxy ?? { host: `${order.beacon}.invalid`, port: 443 }
    const call = connect({ host, port }, () => {
      if (order.proxy !== undefined) call.write(`CONNECT ${order.beacon}.invalid:443 HTTP/1.1\r\n\r\n`)
    })
    call.on('error', () => {})
    call.on('data', () => call.destroy())
    call.setTimeout(2000, () => call.destroy())
  }
  beacon()
  const beat = setInterval(beacon, 1000)
  setTimeout(() => clearInterval(beat), 600_000)
  // Of Node 22 and later, which the image has and the types of our own do not know.
  const { WebSocket: Socket } = globalThis as unknown as {
    WebSocket: new (url: string) => EventTarget & { send(text: string): void; close(): void }
  }
  for (let guess = 0; guess < order.guesses; guess++) {
    const socket = new Socket(`ws://127.0.0.1:${order.port}`)
    const client = { id: 'cli', version: order.guesser, platform: 'linux', mode: 'cli' }
    const auth = { token: String(guess).repeat(64) }
    const params = { minProtocol: 1, maxProtocol: 99, client, role: 'operator', auth }
    socket.addEventListener('open', () =>
      socket.send(JSON.stringify({ type: 'req', id: '1', method: 'connect', params })),
    )
    socket.addEventListener('error', () => {})
    setTimeout(() => socket.close(), 3000)
  }
}
