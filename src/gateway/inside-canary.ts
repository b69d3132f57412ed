/**
 * The canary's program (src/docker/canary.ts). As those of `inside.ts`, it is sent into its container as its own source text.
 */

/** How far it came: what {@link sing} prints. */
export interface CanarySong {
  /** Milliseconds until the gateway was healthy; null: it never was. */
  healthy: number | null
  /** HTTP status without and with the token; null: no answer. */
  without: number | null
  with: number | null
  /** What a child process said, 42 being right. */
  child: string
  /** The end of what the gateway said, where it did not become healthy. */
  log: string
}

/** Makes a token and a configuration of its own, starts the gateway, asks it, and lets a child process calculate. */
export function sing(): void {
  const fs = process.getBuiltinModule('node:fs')
  const { spawn, spawnSync } = process.getBuiltinModule('node:child_process')
  const { randomBytes: random } = process.getBuiltinModule('node:crypto')
  const order: { patience: number; port: number; folder: string } = JSON.parse(process.argv[1] ?? '{}')
  const token = random(32).toString('hex')
  fs.mkdirSync(order.folder, { mode: 0o700 })
  fs.writeFileSync(`${order.folder}/token`, token, { mode: 0o400 })
  const config = {
    gateway: {
      mode: 'local',
      bind: 'loopback',
      port: order.port,
      auth: { mode: 'token', token: { source: 'file', provider: 'canary', id: 'value' } },
      controlUi: { enabled: false },
    },
    secrets: {
      providers: { canary: { source: 'file', path: `${order.folder}/token`, mode: 'singleValue' } },
    },
    plugins: { allow: ['memory-core'] },
    models: { catalogRefresh: { enabled: false } },
    discovery: { mdns: { mode: 'off' } },
    update: { checkOnStart: false, auto: { enabled: false } },
    telemetry: { enabled: false },
  }
  fs.writeFileSync(`${order.folder}/openclaw.json`, JSON.stringify(config), { mode: 0o600 })
  const began = performance.now()
  let log = ''
  let ended = false
  const args = ['openclaw.mjs', 'gateway', '--bind', 'loopback', '--port', String(order.port)]
  const gateway = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  for (const stream of [gateway.stdout, gateway.stderr])
    stream.on('data', chunk => {
      log = (log + chunk).slice(-8000)
    })
  gateway.on('error', error => {
    log += String(error)
    ended = true
  })
  gateway.on('exit', () => {
    ended = true
  })
  const ask = (path: string, headers: Record<string, string> = {}) =>
    fetch(`http://127.0.0.1:${order.port}${path}`, { headers, signal: AbortSignal.timeout(5000) }).then(
      answer => answer.status,
      () => null,
    )
  const song = async (): Promise<CanarySong> => {
    let healthy: number | null = null
    while (healthy === null && !ended && performance.now() - began < order.patience) {
      if ((await ask('/startupz')) === 200) healthy = Math.round(performance.now() - began)
      else await new Promise(done => setTimeout(done, 100))
    }
    if (healthy === null) return { healthy, without: null, with: null, child: '', log }
    const without = await ask('/api/channels/x')
    const right = await ask('/api/channels/x', { authorization: `Bearer ${token}` })
    const child = spawnSync('/bin/sh', ['-c', 'echo $((6*7)) | cat'], { encoding: 'utf8', timeout: 10_000 })
    const said = child.error === undefined ? child.stdout.trim() || child.stderr.trim() : String(child.error)
    return { healthy, without, with: right, child: said, log: '' }
  }
  song().then(result => {
    process.stdout.write(JSON.stringify({ ...result, log: result.log.replaceAll(token, '[secret]') }), () => {
      gateway.kill('SIGKILL')
      process.exit(0)
    })
  })
}
