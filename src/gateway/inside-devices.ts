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
    options: { readOnly: boolean },
  ) => { prepare(sql: string): { all(): Record<string, unknown>[] }; close(): void }
}

/**
 * Runs one of OpenClaw's commands on its devices, and counts rows before and after. The tokens are plain text in the
 * database; they stay in this process, which is why trying them and removing them is one program. Whatever keeps it from
 * looking ends it with a stack trace and no answer.
 */
export async function attendDevices(): Promise<void> {
  const order: DevicesOrder = JSON.parse(process.argv[1] ?? '{}')
  const { spawnSync } = process.getBuiltinModule('node:child_process')
  const { request } = process.getBuiltinModule('node:http')
  const { DatabaseSync } = process.getBuiltinModule('node:sqlite' as 'node:fs') as unknown as Sqlite
  const query = (sql: string) => {
    const database = new DatabaseSync(`${process.env.OPENCLAW_STATE_DIR}/state/openclaw.sqlite`, {
      readOnly: true,
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
  const before = rows()
  const open: string[] = []
  // One that is refused already would prove nothing: the token of a browser ends with the gateway's.
  for (const token of order.tries > 0 ? tokens().slice(0, order.tries) : [])
    if ((await ask(token)) !== 401) open.push(token)
  const node = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, args, {
      encoding: 'utf8',
      env: { ...process.env, OPENCLAW_NO_RESPAWN: '1' },
      timeout: 120_000,
      maxBuffer: 16 * 1024 * 1024,
    })
    return { code: status ?? 137, stdout, stderr: stderr.slice(-2000) }
  }
  // First, so that nobody who is removed comes back with one. No command does it; this is what plugins are given for it.
  if (order.voidCodes && before.codes > 0)
    node(
      '--input-type=module',
      '--eval',
      "import { clearDeviceBootstrapTokens as clear } from 'openclaw/plugin-sdk/device-bootstrap'; await clear(); process.exit()",
    )
  // What the database has none of, OpenClaw cannot list either: that is all it lists. Starting it takes longer than looking.
  const isNone = order.tries === 0 && before.paired === 0 && count('device_pairing_pending') === 0
  const command = isNone
    ? { code: 0, stdout: '{"pending":[],"paired":[]}', stderr: '' }
    : node('openclaw.mjs', ...order.command)
  const after = rows()
  const answers: number[] = []
  for (const token of open) answers.push(await ask(token))
  const attended: DevicesAttended = { before, command, after, answers }
  process.stdout.write(JSON.stringify(attended))
}
