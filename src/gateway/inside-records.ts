/** What reads the gateway's records in a container of its own; inside.ts says how a program gets there. */

/** What {@link readRecords} is told, as JSON in its first argument. */
export interface RecordsOrder {
  /** The log's files, the audit ledger, who is allowed what for good, or what was said and done in sessions. */
  what: 'log' | 'ledger' | 'grants' | 'sessions'
  /** Not what is older. Milliseconds since 1970. The log's files are told apart by their last change. */
  since: number
  /** Bytes to print at the most. */
  most: number
}

/** What {@link readRecords} prints last, to stderr. */
export interface RecordsRead {
  rows: number
  /** What is not in the output, and why. */
  cut: string[]
}

/** What we use of node:sqlite, which the Node of the image has and the types of our own do not know. */
interface Sqlite {
  DatabaseSync: new (
    path: string,
    options: { readOnly: boolean },
  ) => { prepare(sql: string): { iterate(...values: number[]): Iterable<Row> }; close(): void }
}
type Row = Record<string, unknown>

/** What we use of node:zlib, likewise. */
interface Zstd {
  zstdDecompressSync(data: Uint8Array, options: { maxOutputLength: number }): Buffer
}

/**
 * Prints one kind of record from the state folder, which is at /state and cannot be written. Nothing is followed or believed:
 * what is no ordinary file is not opened, and what cannot be read is named.
 */
export async function readRecords(): Promise<void> {
  const { what, since, most }: RecordsOrder = JSON.parse(process.argv[1] ?? '{}')
  const fs = process.getBuiltinModule('node:fs')
  const { zstdDecompressSync } = process.getBuiltinModule('node:zlib') as unknown as Zstd
  const { DatabaseSync } = process.getBuiltinModule('node:sqlite' as 'node:fs') as unknown as Sqlite
  const read: RecordsRead = { rows: 0, cut: [] }
  let room = most
  const codeOf = (error: unknown) => String(Reflect.get(Object(error), 'code') ?? error).slice(0, 100)

  /** False when there is no more room: half a line is none. */
  const say = async (data: string | Uint8Array): Promise<boolean> => {
    const bytes = Buffer.from(data as string)
    if (bytes.length > room) return false
    room -= bytes.length
    if (!process.stdout.write(bytes)) await new Promise(done => process.stdout.once('drain', done))
    return true
  }
  const full = (name: string) => {
    read.cut.push(`${name}: more than ${most} bytes`)
  }

  /** The files of a folder that end like this and were changed since, as the kernel says, whom nobody can tell so; oldest first. */
  const filesIn = (folder: string, ending: string) => {
    try {
      return fs
        .readdirSync(folder, { withFileTypes: true })
        .filter(entry => entry.isFile() && entry.name.endsWith(ending))
        .flatMap(({ name }) => {
          const path = `${folder}/${name}`
          const at = fs.lstatSync(path, { throwIfNoEntry: false })?.ctimeMs
          // One that goes meanwhile takes no other with it.
          if (at === undefined) read.cut.push(`${path}: gone meanwhile`)
          return at === undefined ? [] : [{ path, at }]
        })
        .filter(({ at }) => at >= since)
        .sort((one, other) => one.at - other.at)
        .map(({ path }) => path)
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') read.cut.push(`${folder}: ${codeOf(error)}`)
      return []
    }
  }

  /** A file as it was when it was opened, its end where all of it is too much. */
  const pour = async (path: string, most: number) => {
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants
    const file = fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    try {
      const { size } = fs.fstatSync(file)
      if (!fs.fstatSync(file).isFile()) throw new Error('not a file')
      const piece = Buffer.alloc(1024 * 1024)
      const bytes = Math.max(0, Math.min(size, most))
      if (bytes < size) read.cut.push(`${path}: its last ${bytes} of ${size} bytes`)
      for (let at = size - bytes; at < size; ) {
        const got = fs.readSync(file, piece, 0, Math.min(piece.length, size - at), at)
        if (got === 0 || !(await say(piece.subarray(0, got)))) break
        at += got
      }
      read.rows += 1
    } finally {
      fs.closeSync(file)
    }
  }

  /** Rows of a database. One whose write-ahead log was put away can only be read as a copy, where something may be written. */
  const rows = async (path: string, sql: string, values: number[], each: (row: Row) => Promise<boolean>) => {
    const readAt = async (place: string) => {
      const database = new DatabaseSync(place, { readOnly: true })
      try {
        for (const row of database.prepare(sql).iterate(...values)) {
          if (!(await each(row))) return full(path)
          read.rows += 1
        }
      } finally {
        database.close()
      }
    }
    // Whatever else it may be would have whoever opens it wait.
    if (!fs.lstatSync(path).isFile()) throw new Error('not a file')
    const before = read.rows
    try {
      await readAt(path)
    } catch (error) {
      if (read.rows > before) throw error
      const copy = `/tmp/${read.cut.length}-${path.replaceAll('/', '_')}`
      for (const ending of ['', '-wal'])
        if (fs.statSync(path + ending, { throwIfNoEntry: false })?.isFile() === true)
          fs.copyFileSync(path + ending, copy + ending)
      await readAt(copy)
    }
  }
  const tryTo = async (name: string, work: () => Promise<unknown>) => {
    try {
      await work()
    } catch (error) {
      read.cut.push(`${name}: ${codeOf(error)}`)
    }
  }

  const database = '/state/state/openclaw.sqlite'
  const log = async () => {
    const files = filesIn('/state/logs', '.log')
    // The gateway's own is the last: it has room before any other, whatever somebody has put beside it.
    files.sort((one, other) => Number(one.endsWith('/gateway.log')) - Number(other.endsWith('/gateway.log')))
    // Newest first, so that it is the oldest that there is no room for.
    const parts: { path: string; most: number }[] = []
    let rest = most
    for (const path of files.toReversed()) {
      parts.unshift({ path, most: rest })
      rest -= Math.min(rest, fs.lstatSync(path, { throwIfNoEntry: false })?.size ?? 0)
    }
    for (const { path, most } of parts) await tryTo(path, () => pour(path, most))
  }
  const ledger = () =>
    tryTo('audit_events', () =>
      rows(database, 'SELECT * FROM audit_events WHERE occurred_at >= ? ORDER BY sequence', [since], row =>
        say(`${JSON.stringify(row)}\n`),
      ),
    )
  const grants = async () => {
    const secret = /token|secret|password|credential|private|_key$|^auth$/i
    const veil = (key: string, value: unknown) => (secret.test(key) ? '[secret]' : value)
    const opened = (cell: unknown) => {
      if (typeof cell !== 'string' || !/^\s*[[{]/.test(cell)) return cell
      try {
        return JSON.parse(cell)
      } catch {
        return '[no JSON]'
      }
    }
    const tables =
      'exec_approvals_config operator_approvals plugin_binding_approvals cron_jobs channel_pairing_allow_entries channel_pairing_requests user_profiles user_profile_identities device_pair_setup_completions'
    for (const table of tables.split(' '))
      await tryTo(table, () =>
        rows(database, `SELECT * FROM ${table} LIMIT 1000`, [], row => {
          const open = Object.fromEntries(Object.entries(row).map(([name, cell]) => [name, opened(cell)]))
          return say(`${JSON.stringify({ table, row: open }, veil)}\n`)
        }),
      )
  }
  const broken = new Set<string>()
  /** What is long, OpenClaw keeps compressed. One that cannot be unpacked does not hide the next. */
  const eventOf = ({ event_zstd: packed, event_json: text }: Row, path: string): string => {
    if (!(packed instanceof Uint8Array)) return String(text)
    try {
      return zstdDecompressSync(packed, { maxOutputLength: 4 * 1024 * 1024 }).toString('utf8')
    } catch (error) {
      if (!broken.has(path)) read.cut.push(`${path}: records that cannot be unpacked (${codeOf(error)})`)
      broken.add(path)
      return ''
    }
  }
  const sessions = async () => {
    const agents = (() => {
      try {
        // The agent that every gateway has comes first, whatever somebody has put beside it.
        const all = fs.readdirSync('/state/agents').sort()
        all.sort((one, other) => Number(other === 'main') - Number(one === 'main'))
        if (all.length > 1000) read.cut.push(`/state/agents: the first 1000 of ${all.length}`)
        return all.slice(0, 1000)
      } catch (error) {
        // No agent has ever done anything.
        if (codeOf(error) !== 'ENOENT') read.cut.push(`/state/agents: ${codeOf(error)}`)
        return []
      }
    })()
    const sql =
      'SELECT t.session_id, w.session_key, t.created_at, t.event_json, t.event_zstd FROM transcript_events t LEFT JOIN session_windows w ON w.session_id = t.session_id WHERE t.created_at >= ? ORDER BY t.created_at, t.seq'
    for (const agent of agents) {
      const folder = `/state/agents/${agent}`
      const path = `${folder}/agent/openclaw-agent.sqlite`
      if (fs.existsSync(path)) {
        await tryTo(path, () =>
          rows(path, sql, [since], row => {
            const head = { agent, session: row.session_id, key: row.session_key, at: row.created_at }
            return say(`${JSON.stringify({ ...head, event: eventOf(row, path) })}\n`)
          }),
        )
        // What has rested for long lies in archives of OpenClaw's own, which are not opened here.
        let archived = 0
        const away = 'SELECT count(*) AS n FROM session_transcript_cold_archives'
        await tryTo(path, () =>
          rows(path, away, [], async row => {
            archived = Number(row.n)
            read.rows -= 1
            return true
          }),
        )
        if (archived > 0) read.cut.push(`${path}: ${archived} sessions in cold storage`)
      }
      // As earlier releases kept them.
      for (const file of filesIn(`${folder}/sessions`, '.jsonl')) await tryTo(file, () => pour(file, room))
    }
  }
  await { log, ledger, grants, sessions }[what]()
  const more = read.cut.length - 100
  if (more > 0) read.cut.splice(100, more, `and ${more} more`)
  process.stderr.write(`\n${JSON.stringify(read)}\n`)
}
