import type { ArchiveOrder, Entry, Summary, walk } from './inside-collect.ts'

/** What {@link databases} says of each database that it has copied. */
export interface DatabaseNote {
  /** Where it lies; printable. */
  path: string
  /** Its name in the archive; undefined when it could not be copied. */
  copy: string | undefined
  /** "ok", or what SQLite's own check says. */
  check: string
}

/** What is used of `node:sqlite` (Node 24). */
interface Sqlite {
  DatabaseSync: new (
    path: string,
    options: { readOnly?: boolean; allowExtension?: boolean },
  ) => {
    exec(sql: string): void
    prepare(sql: string): { all(): Record<string, unknown>[] }
    close(): void
  }
  backup(source: object, path: string): Promise<number>
}

/**
 * Makes of one database, by SQLite's backup, one file that is consistent, and prints SQLite's own check of it. Runs in a process
 * of its own, which reads both paths from stdin, since what a hostile schema computes takes as long as it likes.
 */
export async function copyDatabase(): Promise<void> {
  // The collector's Node has it; the oldest that this tool itself runs on has not, nor have its types.
  const { DatabaseSync, backup } = process.getBuiltinModule('node:sqlite') as unknown as Sqlite
  const fs = process.getBuiltinModule('node:fs')
  const [from, to]: [string, string] = JSON.parse(fs.readFileSync(0, 'utf8'))
  const say = (key: 'check' | 'why', text: string) =>
    fs.writeSync(1, JSON.stringify({ [key]: text.replace(/[^ -~]/g, '?').slice(0, 300) }))
  try {
    const source = new DatabaseSync(from, { allowExtension: false })
    source.exec('PRAGMA trusted_schema = OFF')
    await backup(source, to)
    source.close()
    const result = new DatabaseSync(to, { readOnly: true, allowExtension: false })
    result.exec('PRAGMA trusted_schema = OFF; PRAGMA ignore_check_constraints = ON')
    const rows = result.prepare('PRAGMA integrity_check(5)').all()
    result.close()
    say('check', rows.map(row => String(Object.values(row)[0])).join('; '))
  } catch (error) {
    say('why', String(Reflect.get(Object(error), 'message')))
  }
}

/**
 * Finds SQLite databases by their first bytes, copies each with its journal, and has {@link copyDatabase} make one file of
 * that. The original is only read.
 */
export function databases(walkAll: typeof walk, copyOne: typeof copyDatabase): void {
  const fs = process.getBuiltinModule('node:fs')
  const { spawnSync } = process.getBuiltinModule('node:child_process')
  const order: Pick<ArchiveOrder, 'base' | 'names' | 'bytes' | 'entries'> = JSON.parse(
    fs.readFileSync(0, 'utf8'),
  )
  const roots = order.names.map(name => Buffer.from(name))
  const { entries, cut } = walkAll(fs, order.base, roots, order.entries)
  const at = (path: Buffer) => Buffer.concat([Buffer.from(`${order.base}/`), path])
  const isDatabase = ({ path, stat }: Entry) => {
    if (stat?.isFile() !== true || stat.size < 512) return false
    const head = Buffer.alloc(16)
    try {
      const flags = fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK
      const file = fs.openSync(at(path), flags)
      fs.readSync(file, head, 0, 16, 0)
      fs.closeSync(file)
    } catch {}
    return head.equals(Buffer.from('SQLite format 3\0'))
  }
  const size = new Map(
    entries.map(({ path, stat }) => [path.toString('latin1'), stat?.isFile() ? stat.size : -1]),
  )
  // OpenClaw's own first, whatever else somebody has put into the folders.
  const OWN = [
    /^state\/state\/openclaw\.sqlite$/,
    /^state\/agents\/[^/]+\/agent\/openclaw-agent\.sqlite$/,
    /^state\/(state|agents)\//,
  ]
  const rank = ({ path }: Entry) => {
    const at = OWN.findIndex(own => own.test(path.toString('latin1')))
    return at < 0 ? OWN.length : at
  }
  const found = entries.filter(isDatabase).sort((one, other) => rank(one) - rank(other))
  const most = 200
  if (found.length > most) cut.push(`more than ${most} databases`)
  const notes: DatabaseNote[] = []
  let total = 0
  fs.mkdirSync('/work/databases')
  for (const { path } of found.slice(0, most)) {
    const shown = path
      .toString('latin1')
      .replace(/[^ -~]/g, '?')
      .slice(-200)
    const beside = ['', '-wal', '-journal'].filter(
      end => (size.get(path.toString('latin1') + end) ?? -1) >= 0,
    )
    const bytes = beside.reduce((sum, end) => sum + (size.get(path.toString('latin1') + end) ?? 0), 0)
    // The copy, and what is made of it, lie in this container's memory.
    if (total + bytes * 2 > order.bytes) {
      notes.push({
        path: shown,
        copy: undefined,
        check: 'too large to be copied: it lies in the archive as it is',
      })
      cut.push('no room for all of them')
      continue
    }
    // The collector has a deadline of its own, after which there would be nothing.
    if (performance.now() > 200_000) {
      notes.push({ path: shown, copy: undefined, check: 'no time for it: it lies in the archive as it is' })
      cut.push('no time for all of them')
      continue
    }
    const copy = `databases/${String(notes.length + 1).padStart(4, '0')}.sqlite`
    try {
      for (const end of beside)
        fs.copyFileSync(Buffer.concat([at(path), Buffer.from(end)]), `/work/working.sqlite${end}`)
      const { stdout } = spawnSync(process.execPath, ['-e', `(${copyOne.toString()})()`], {
        ...{ input: JSON.stringify(['/work/working.sqlite', `/work/${copy}`]), encoding: 'utf8' },
        ...{ timeout: 20_000, killSignal: 'SIGKILL' },
      })
      const { check, why }: { check?: string; why?: string } = JSON.parse(stdout || '{}')
      if (check === undefined) throw new Error(why ?? 'it took too long, or too much memory')
      total += fs.statSync(`/work/${copy}`).size
      notes.push({ path: shown, copy, check })
    } catch (error) {
      for (const end of ['', '-wal', '-journal', '-shm']) fs.rmSync(`/work/${copy}${end}`, { force: true })
      const why = String(Reflect.get(Object(error), 'message')).replace(/[^ -~]/g, '?')
      notes.push({ path: shown, copy: undefined, check: why.slice(0, 300) })
      cut.push('some could not be copied')
    }
    for (const end of ['', '-wal', '-journal', '-shm'])
      fs.rmSync(`/work/working.sqlite${end}`, { force: true })
  }
  fs.writeFileSync('/work/listing.json', JSON.stringify(notes, undefined, 2))
  const { status } = spawnSync('tar', ['--create', '-C', '/work', 'listing.json', 'databases'], {
    stdio: ['ignore', 'inherit', 'ignore'],
  })
  // Without a summary nothing has been collected.
  if (status !== 0) return
  const summary: Summary = { bytes: total, entries: notes.length, cut: [...new Set(cut)], notes }
  fs.writeSync(2, `\n${JSON.stringify(summary)}\n`)
}
