/**
 * Programs for the gateway's own container that a change of its token needs. As those of `inside.ts`, each is sent there as
 * its own source text. Secrets come through stdin.
 */

/** What {@link watchTokens} is told, as JSON in its first argument. */
export interface WatchOrder {
  port: number
  path: string
  /** For how long to look, in milliseconds. 0: look once. */
  patience: number
}

/** What {@link watchTokens} prints: the last status of each, null where nothing answered or it was not asked. */
export interface Watched {
  accept: number | null
  refuse: number | null
}

/**
 * Waits until the gateway has changed from one token to the other. The one that is to be refused is asked all the time,
 * because it costs nothing while it is right; the moment it is wrong, the other one is asked. So a change takes one wrong
 * guess: OpenClaw answers each wrong one from a loopback address later than the one before (250 ms to 5 s within a minute),
 * and lets others from there wait behind it. Each run therefore asks from addresses of its own: all of 127.0.0.0/8 is here.
 */
export function watchTokens(): void {
  const http = process.getBuiltinModule('node:http')
  const order: WatchOrder = JSON.parse(process.argv[1] ?? '{}')
  const address = () => `127.${[0, 0, 0].map(() => 1 + Math.floor(Math.random() * 253)).join('.')}`
  const [here, there] = [address(), address()]
  const ask = (token: string, localAddress: string) =>
    new Promise<number | null>(done => {
      const headers = { authorization: `Bearer ${token}` }
      const { port, path } = order
      const call = http.get(
        { host: '127.0.0.1', port, path, headers, localAddress, agent: false, timeout: 25_000 },
        response => {
          response.resume()
          done(response.statusCode ?? null)
        },
      )
      call.on('timeout', () => call.destroy())
      call.on('error', () => done(null))
    })
  const watch = async ([accept = '', refuse = '']: string[]): Promise<Watched> => {
    const end = performance.now() + order.patience
    for (;;) {
      const old = await ask(refuse, here)
      // While it starts anew nothing answers, or 503 does.
      if (old === 401) {
        const next = await ask(accept, there)
        if (next === 401 || next === 404) return { accept: next, refuse: old }
      }
      if (performance.now() >= end) return { accept: null, refuse: old }
      await new Promise(done => setTimeout(done, 20))
    }
  }
  let input = ''
  process.stdin
    .on('data', chunk => {
      input += chunk
    })
    .on('end', async () => process.stdout.write(JSON.stringify(await watch(JSON.parse(input)))))
}

/** What {@link readsSecret} prints: "same", or why the gateway would not take this file. */
export function readsSecret(): void {
  const fs = process.getBuiltinModule('node:fs')
  const path = process.argv[1] ?? ''
  const judge = (value: string): string => {
    try {
      const { mode, uid, nlink } = fs.lstatSync(path)
      if (fs.readFileSync(path, 'utf8') !== value) return 'other bytes'
      if (uid !== process.getuid?.() || (mode & 0o7777) !== 0o400 || nlink !== 1)
        return `user ${uid}, 0${(mode & 0o7777).toString(8)}, ${nlink} links`
      return 'same'
    } catch (error) {
      return String(Reflect.get(Object(error), 'code'))
    }
  }
  let input = ''
  process.stdin
    .on('data', chunk => {
      input += chunk
    })
    .on('end', () => process.stdout.write(judge(input)))
}

/**
 * Runs one command of OpenClaw against the running gateway with a token that no command line shows: it is put where
 * OpenClaw looks for its arguments inside this process. The command comes as JSON in the first argument.
 */
export function askOpenClaw(): void {
  const command: string[] = JSON.parse(process.argv[1] ?? '[]')
  let token = ''
  process.stdin
    .on('data', chunk => {
      token += chunk
    })
    .on('end', () => {
      // It would start itself anew otherwise, with the token among the arguments.
      process.env.OPENCLAW_NO_RESPAWN = '1'
      process.argv = [process.argv[0] ?? '', `${process.cwd()}/openclaw.mjs`, ...command, '--token', token]
      Reflect.get(globalThis, 'load')(`${process.cwd()}/openclaw.mjs`)
    })
}

/** Goes before {@link askOpenClaw}, which has nothing of this kind in it: compilers rewrite what loads a module. */
export const LOADER = 'globalThis.load = path => import(path);'
