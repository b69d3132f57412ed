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
 * Finds SQLite databases by their first bytes, copies each with its journal, and makes of the copy, by SQLite's backup, one file that
 * is consistent. The original is only read.
 */
export async function databases(walkAll: typeof walk): Promise<void> {
  const fs = process.getBuiltinModule('node:fs')
  const { spawnSync } = process.getBuiltinModule('node:child_process')
  // The collector's Node has it; the oldest that this tool itself runs on has not, nor have its types.
  const { DatabaseSync, backup } = process.getBuiltinModule('node:sqlite') as unknown as Sqlite
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
  const found = entries.filter(isDatabase)
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
    const copy = `databases/${String(notes.length + 1).padStart(4, '0')}.sqlite`
    try {
      for (const end of beside)
        fs.copyFileSync(Buffer.concat([at(path), Buffer.from(end)]), `/work/working.sqlite${end}`)
      const source = new DatabaseSync('/work/working.sqlite', { allowExtension: false })
      source.exec('PRAGMA trusted_schema = OFF')
      await backup(source, `/work/${copy}`)
      source.close()
      const result = new DatabaseSync(`/work/${copy}`, { readOnly: true })
      const rows = result.prepare('PRAGMA integrity_check(5)').all()
      const check = rows.map(row => String(Object.values(row)[0])).join('; ')
      result.close()
      total += fs.statSync(`/work/${copy}`).size
      notes.push({ path: shown, copy, check: check.replace(/[^ -~]/g, '?').slice(0, 300) })
    } catch (error) {
      fs.rmSync(`/work/${copy}`, { force: true })
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
