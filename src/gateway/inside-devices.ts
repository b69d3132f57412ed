/** What deals with paired devices inside the gateway's container; inside.ts says how a program gets there. */

/** What {@link attendDevices} is told, as JSON in its first argument. */
export interface DevicesOrder {
  /** OpenClaw's command, and its arguments. */
  command: string[]
  /** Whether codes with which a device could pair without being approved are to be made void first. */
  voidCodes: boolean
  /** How many of the devices' tokens to try, before the command and after it. */
  tries: number
  /** Where to try them: the gateway's port in the container and a path that asks for a token. */
  port: number
  path: string
}

/** What OpenClaw's database has: paired devices, and setup codes that have not expired. */
export interface DeviceRows {
  paired: number
  codes: number
}

/** What {@link attendDevices} prints. No token is in it. */
export interface DevicesAttended {
  before: DeviceRows
  command: { code: number; stdout: string; stderr: string }
  after: DeviceRows
  /** HTTP status after the command, of each token that was not refused before it; 0 where nothing answered. */
  answers: number[]
}

/** What we use of node:sqlite, which the Node of the image has and the types of our own do not know. */
interface Sqlite {
  DatabaseSync: new (
    path: string,
    options: { readOnly: boolean; timeout: number },
  ) => { prepare(sql: string): { all(): Record<string, unknown>[] }; close(): void }
}

/** One answer of the gateway over its WebSocket. */
interface Answer {
  ok: boolean
  payload: { paired: { deviceId: string }[]; pending: { requestId: string }[] }
}

/**
 * Runs one of OpenClaw's commands on its devices, and counts rows before and after. The tokens are plain text in the
 * database; they stay in this process, which is why trying them and removing them is one program. Whatever keeps it from
 * looking ends it with a stack trace and no answer.
 */
export async function attendDevices(): Promise<void> {
  const order: DevicesOrder = JSON.parse(process.argv[1] ?? '{}')
  const { execFile } = process.getBuiltinModule('node:child_process')
  const { readFileSync } = process.getBuiltinModule('node:fs')
  const { request } = process.getBuiltinModule('node:http')
  const { DatabaseSync } = process.getBuiltinModule('node:sqlite' as 'node:fs') as unknown as Sqlite
  const query = (sql: string, readOnly = true) => {
    const database = new DatabaseSync(`${process.env.OPENCLAW_STATE_DIR}/state/openclaw.sqlite`, {
      ...{ readOnly, timeout: 2000 },
    })
    try {
      return database.prepare(sql).all()
    } finally {
      database.close()
    }
  }
  const count = (from: string) => Number(query(`SELECT count(*) AS n FROM ${from}`)[0]?.n)
  const rows = (): DeviceRows => ({
    paired: count('device_pairing_paired'),
    // OpenClaw takes them for ten minutes. The shorter join codes only stand for one of these.
    codes: count(`device_bootstrap_tokens WHERE issued_at_ms > ${Date.now() - 600_000}`),
  })
  // Only an operator's token is taken over HTTP; a node's opens nothing but its WebSocket, with its key.
  const tokens = () =>
    query('SELECT tokens_json FROM device_pairing_paired ORDER BY last_seen_at_ms DESC')
      .map(row => JSON.parse(String(row.tokens_json ?? '{}'))?.operator)
      .filter(operator => typeof operator?.token === 'string' && !operator.revokedAtMs)
      .map((operator): string => operator.token)
  const ask = (token: string) =>
    new Promise<number>(done => {
      const { port, path } = order
      const headers = { authorization: `Bearer ${token}` }
      // From an address of its own each time: there, wrong tokens are answered late, the later the more there were.
      const localAddress = `127.${[0, 0, 0].map(() => 1 + Math.floor(Math.random() * 253)).join('.')}`
      // A connection of its own, too: one that was kept would have been closed while this process waited.
      const call = request(
        { host: '127.0.0.1', port, path, headers, localAddress, timeout: 20_000, agent: false },
        answer => {
          answer.resume()
          done(answer.statusCode ?? 0)
        },
      )
      call.on('timeout', () => call.destroy())
      call.on('error', () => done(0))
      call.end()
    })
  const node = (...args: string[]) =>
    new Promise<DevicesAttended['command']>(done => {
      const env = { ...process.env, OPENCLAW_NO_RESPAWN: '1' }
      const options = { encoding: 'utf8', env, timeout: 120_000, maxBuffer: 16 * 1024 * 1024 } as const
      execFile(process.execPath, args, options, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 137
        done({ code, stdout, stderr: stderr.slice(-2000) })
      })
    })
  // What `devices list` and `devices clear` ask the gateway for, on one connection: OpenClaw's own program takes 1 to 2 s to
  // start. Undefined where that is not understood (a release with another protocol), and for every other command.
  const converse = async (): Promise<DevicesAttended['command'] | undefined> => {
    const [subject, verb] = order.command
    if (subject !== 'devices' || (verb !== 'list' && verb !== 'clear')) return undefined
    const config = readFileSync(process.env.OPENCLAW_CONFIG_PATH ?? '', 'utf8')
    const [, file] = /"(\/run\/secrets\/gateway_token\.[\w-]+)"/.exec(config) ?? []
    if (file === undefined) return undefined
    const waiting = new Map<string, (answer: Answer) => void>()
    const socket = new WebSocket(`ws://127.0.0.1:${order.port}`)
    const challenged = new Promise<Answer>(done => waiting.set('challenge', done))
    const lost = new Promise<never>((_, fail) => {
      const end = () => fail(new Error('the connection is lost'))
      socket.onclose = end
      socket.onerror = end
      setTimeout(end, 10_000).unref()
    })
    lost.catch(() => {})
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(String(data))
      waiting.get(frame.event === 'connect.challenge' ? 'challenge' : frame.id)?.(frame)
    }
    const call = async (method: string, params: object) => {
      const id = String(waiting.size)
      const answered = new Promise<Answer>(done => waiting.set(id, done))
      socket.send(JSON.stringify({ type: 'req', id, method, params }))
      const { ok, payload } = await Promise.race([answered, lost])
      if (!ok) throw new Error(`${method} was refused`)
      return payload
    }
    try {
      await Promise.race([challenged, lost])
      // What OpenClaw calls its own programs on the same machine: they need the token, and are not paired.
      await call('connect', {
        ...{ minProtocol: 4, maxProtocol: 4, caps: [], auth: { token: readFileSync(file, 'utf8') } },
        ...{ role: 'operator', scopes: ['operator.admin', 'operator.pairing'] },
        client: { id: 'gateway-client', mode: 'backend', platform: 'linux', version: '0' },
      })
      const list = await call('device.pair.list', {})
      for (const { deviceId } of verb === 'clear' ? list.paired : [])
        await call('device.pair.remove', { deviceId })
      for (const { requestId } of verb === 'clear' ? list.pending : [])
        await call('device.pair.reject', { requestId })
      return { code: 0, stdout: JSON.stringify(list), stderr: '' }
    } catch {
      return undefined
    } finally {
      socket.close()
    }
  }
  const before = rows()
  // No command does it. OpenClaw has a function for plugins that does the same, and takes 1 to 2 s to be loaded.
  const clearCodes = async () => {
    try {
      query('DELETE FROM device_bootstrap_tokens', false)
    } catch {
      await node(
        '--input-type=module',
        '--eval',
        "import { clearDeviceBootstrapTokens as clear } from 'openclaw/plugin-sdk/device-bootstrap'; await clear(); process.exit()",
      )
    }
  }
  // First, so that nobody who is removed comes back with one.
  if (order.voidCodes && before.codes > 0) await clearCodes()
  const tried = order.tries > 0 ? tokens().slice(0, order.tries) : []
  // One that is refused already would prove nothing: the token of a browser ends with the gateway's.
  const first = await Promise.all(tried.map(ask))
  const open = tried.filter((_token, index) => first[index] !== 401)
  const left = () => count('device_pairing_paired') + count('device_pairing_pending')
  // What the database has none of, OpenClaw cannot list either: that is all it lists. Asking takes longer than looking.
  const isNone = order.tries === 0 && left() === 0
  let command = isNone
    ? { code: 0, stdout: '{"pending":[],"paired":[]}', stderr: '' }
    : ((await converse()) ?? (await node('openclaw.mjs', ...order.command)))
  // Whoever came in meanwhile goes as well.
  if (order.command[1] === 'clear' && command.code === 0 && left() > 0)
    command = await node('openclaw.mjs', ...order.command)
  const after = rows()
  // All at once, since each wrong one is answered late, but the addresses do not wait for each other.
  const answers = await Promise.all(open.map(ask))
  const attended: DevicesAttended = { before, command, after, answers }
  process.stdout.write(JSON.stringify(attended))
}
