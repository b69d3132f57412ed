/**
 * What runs in the collector: a container of the clean gateway image that shares the process ids of a frozen container, or sees
 * folders of this machine read-only. As in `inside.ts`, each program is sent as its own source text. It reads its order as JSON
 * from stdin; evidence goes to stdout; the last line of stderr is a {@link Summary}. Whatever it looks at may be hostile: it
 * follows no link, opens nothing but regular files, and stops at its bounds.
 */
import type { Stats } from 'node:fs'

/** The text that `node -e` runs: a program, handed the parts that it shares with others. */
export function asProgram<P extends readonly ((...args: never[]) => unknown)[]>(
  program: (...parts: P) => unknown,
  ...parts: P
): string {
  return `(${program.toString()})(${parts.map(part => `(${part.toString()})`).join(',')})`
}

/** What became of it. */
export interface Summary {
  /** Bytes, about: what was written, or what would be. */
  bytes: number
  entries: number
  /** What is missing from it, in words that hold no foreign text. */
  cut: string[]
  /** What may be shown beside it; what it is, its program says. */
  notes?: unknown
}

/** What an archive is to hold. */
export interface ArchiveOrder {
  /**
   * `trees`: folders below `base`, with everything in them. `paths`: these alone, as bytes in Latin-1. `tmpfs`: every temporary
   * file system of process 1. `deleted`: programs and open files that have no name any more, of every process.
   */
  what: 'trees' | 'paths' | 'tmpfs' | 'deleted'
  base: string
  names: readonly string[]
  /** Most bytes of the archive. */
  bytes: number
  /** Most entries of the listing. */
  entries: number
  /** Say how large it would be, and write nothing. */
  onlyMeasure: boolean
}

export interface Entry {
  path: Buffer
  stat: Stats | undefined
  /** Why it is in the listing alone. */
  why: string | undefined
}
type FileSystem = typeof import('node:fs')
interface Walked {
  entries: Entry[]
  cut: string[]
}

/**
 * All that is below `base`/`trees`, the upper floors first, so that a flood in the cellar does not crowd out the rest. `most`:
 * entries; `mostBytes`: of their paths together, which the collector holds in its memory: one may have four thousand.
 */
export function walk(
  fs: FileSystem,
  base: string,
  trees: Buffer[],
  most: number,
  mostBytes = 67_108_864,
): Walked {
  const at = (path: Buffer) => Buffer.concat([Buffer.from(`${base}/`), path])
  const entries: Entry[] = []
  const cut = new Set<string>()
  let bytes = 0
  const look = (path: Buffer): Entry => {
    bytes += path.length
    try {
      const stat = fs.lstatSync(at(path))
      return { path, stat, why: stat.isSocket() ? 'a socket has no content' : undefined }
    } catch (error) {
      const why = String(Reflect.get(Object(error), 'code'))
      cut.add(`some could not be looked at (${why})`)
      return { path, stat: undefined, why }
    }
  }
  for (const tree of trees) {
    const root = look(tree)
    entries.push(root)
    const folders = root.stat?.isDirectory() === true ? [root] : []
    for (const folder of folders)
      try {
        const names = fs.opendirSync(at(folder.path), { encoding: 'latin1' })
        let inside = 0
        const before = bytes
        for (let name = names.readSync(); name !== null; name = names.readSync()) {
          // One folder alone never takes the place of all others.
          const isFull = entries.length >= most || bytes >= mostBytes
          if (isFull || inside >= most / 3 || bytes - before >= mostBytes / 3) {
            folder.why = 'it holds more than is listed'
            cut.add('more entries than are listed')
            break
          }
          inside += 1
          const entry = look(Buffer.concat([folder.path, Buffer.from(`/${name.name}`, 'latin1')]))
          entries.push(entry)
          if (entry.stat?.isDirectory() !== true) continue
          if (entry.stat.dev === root.stat?.dev) folders.push(entry)
          else entry.why = 'something else is mounted there: not entered'
        }
        names.closeSync()
      } catch (error) {
        folder.why = String(Reflect.get(Object(error), 'code'))
        cut.add(`some folders could not be read (${folder.why})`)
      }
  }
  return { entries, cut: [...cut] }
}

/** Lists everything, and hands to GNU tar what fits: holes of sparse files cost nothing, and nothing is opened that can hang. */
export function archive(walkAll: typeof walk): void {
  const fs = process.getBuiltinModule('node:fs')
  const { isUtf8 } = process.getBuiltinModule('node:buffer')
  const { spawn } = process.getBuiltinModule('node:child_process')
  const order: ArchiveOrder = JSON.parse(fs.readFileSync(0, 'utf8'))
  const isDeleted = order.what === 'deleted'
  const at = (path: Buffer) => Buffer.concat([Buffer.from(`${order.base}/`), path])

  /** Where a temporary file system is mounted, as the kernel says: what hides kernel files under /proc and /sys is none. */
  const temporary = () =>
    fs
      .readFileSync('/proc/1/mountinfo', 'latin1')
      .split('\n')
      .flatMap(line => {
        const [front = '', back = ''] = line.split(' - ')
        const point = front.split(' ')[4] ?? ''
        if (!/^(tmpfs|ramfs) /.test(back) || /^\/(proc|sys)(\/|$)/.test(point)) return []
        const bytes = point.replace(/\\(\d{3})/g, (_, octal) =>
          String.fromCharCode(Number.parseInt(octal, 8)),
        )
        return [Buffer.from(`root${bytes === '/' ? '' : bytes}`, 'latin1')]
      })
  /** A named path leads through real folders only: what is behind a link is not what was named. */
  const isReal = (path: Buffer) => {
    for (let end = path.indexOf('/', 5); end > 0; end = path.indexOf('/', end + 1))
      try {
        if (!fs.lstatSync(at(path.subarray(0, end))).isDirectory()) return false
      } catch {
        return false
      }
    return true
  }
  const named = (): Walked => {
    const entries = order.names.slice(0, order.entries).flatMap((name): Entry[] => {
      const path = Buffer.from(`root${name}`, 'latin1')
      if (!isReal(path)) return [{ path, stat: undefined, why: 'not at that name' }]
      const [entry] = walkAll(fs, order.base, [path], 0).entries
      return entry === undefined ? [] : [{ ...entry, why: entry.stat?.isDirectory() ? undefined : entry.why }]
    })
    const cut = order.names.length > order.entries ? ['more entries than are listed'] : []
    return { entries, cut }
  }
  const nameless = (): Walked => {
    const seen = new Set<string>()
    const own = fs.readlinkSync('/proc/self/ns/mnt')
    const pids = fs.readdirSync('/proc').filter(name => /^\d+$/.test(name))
    const entries = pids.flatMap((pid): Entry[] => {
      try {
        if (fs.readlinkSync(`/proc/${pid}/ns/mnt`) === own) return []
        const places = [`${pid}/exe`, ...fs.readdirSync(`/proc/${pid}/fd`).map(fd => `${pid}/fd/${fd}`)]
        return places.flatMap((place): Entry[] => {
          try {
            if (!fs.readlinkSync(`/proc/${place}`, 'latin1').endsWith(' (deleted)')) return []
            const stat = fs.statSync(`/proc/${place}`)
            const key = `${stat.dev}:${stat.ino}`
            if (!stat.isFile() || seen.has(key)) return []
            seen.add(key)
            return [{ path: Buffer.from(place), stat, why: undefined }]
          } catch {
            return []
          }
        })
      } catch {
        return []
      }
    })
    return { entries: entries.slice(0, order.entries), cut: [] }
  }
  const found = () => {
    if (order.what === 'paths') return named()
    if (isDeleted) return nameless()
    const trees = order.what === 'tmpfs' ? temporary() : order.names.map(name => Buffer.from(name, 'latin1'))
    return walkAll(fs, order.base, trees, order.entries)
  }

  const bytesAs = (name: string, bytes: Buffer) =>
    isUtf8(bytes) ? { [name]: bytes.toString() } : { [`${name}Base64`]: bytes.toString('base64') }
  const kind = (stat: Stats) => {
    if (stat.isFile()) return 'file'
    if (stat.isDirectory()) return 'folder'
    if (stat.isSymbolicLink()) return 'link'
    if (stat.isFIFO()) return 'fifo'
    if (stat.isSocket()) return 'socket'
    return stat.isBlockDevice() ? 'block device' : 'character device'
  }
  const line = ({ path, stat, why }: Entry) => {
    const taken = why === undefined
    const target = () => {
      try {
        if (!isDeleted && stat?.isSymbolicLink() !== true) return {}
        return bytesAs('link', fs.readlinkSync(at(path), 'buffer'))
      } catch {
        return {}
      }
    }
    const facts = stat && {
      ...{ type: kind(stat), mode: (stat.mode & 0o7777).toString(8).padStart(4, '0'), uid: stat.uid },
      ...{ gid: stat.gid, size: stat.size, allocated: stat.blocks * 512, inode: stat.ino, names: stat.nlink },
      ...{ modified: new Date(stat.mtimeMs), changed: new Date(stat.ctimeMs), ...target() },
    }
    const text = JSON.stringify({ ...bytesAs('path', path), ...facts, taken, why })
    // Pure ASCII: whoever prints it to a terminal prints nothing that it would obey.
    return `${text.replace(/[\x7f-\uffff]/g, char => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)}\n`
  }

  const { entries, cut } = found()
  /** Where a file's content is stored: the length of its first name, which tar repeats with every other. */
  const linked = new Map<string, number>()
  const allocated = ({ size, blocks }: Stats) =>
    blocks * 512 >= size ? size : Math.max(blocks * 512, Math.min(size, 4096))
  /** What an entry adds to the archive. A second name of the same file adds no content. */
  const stored = ({ path, stat }: Entry) => {
    // Two headers, and the path in both of them.
    const head = 2560 + path.length
    if (stat === undefined || !stat.isFile()) return head + (stat?.isSymbolicLink() === true ? stat.size : 0)
    const key = `${stat.dev}:${stat.ino}`
    const first = linked.get(key)
    if (stat.nlink > 1 && first !== undefined) return head + first
    linked.set(key, path.length)
    return head + Math.ceil(allocated(stat) / 512) * 512
  }
  const sized = entries.map(entry => ({
    ...{ entry, bytes: stored(entry) },
    // "No room for it" may still be added.
    line: line(entry).length + 40,
  }))
  // A hostile name is written down in six times its length. The short are listed first; what has no line is taken all the same.
  let page = order.onlyMeasure ? 100_663_296 : Math.min(100_663_296, order.bytes / 2)
  let total = 20_480
  let unlisted = 0
  for (const one of [...sized].sort((a, b) => a.line - b.line)) {
    if (one.line > page) one.line = 0
    if (one.line === 0) unlisted += 1
    page -= one.line
    total += one.line
  }
  if (unlisted > 0) cut.push(`no room in the listing for ${unlisted} of ${entries.length} entries`)
  let room = order.bytes - total
  const wanted = sized.filter(({ entry }) => entry.why === undefined)
  for (const { bytes } of wanted) total += bytes
  // When not all fits, the small ones are taken: there are more of them for the same room.
  if (total > order.bytes)
    for (const { entry, bytes } of wanted.sort((a, b) => a.bytes - b.bytes)) {
      if (bytes > room) entry.why = 'no room for it'
      else room -= bytes
    }
  // A second name costs nothing as long as the first is taken: without that one, tar would store the content under it.
  const inode = ({ stat }: Entry) => `${stat?.dev}:${stat?.ino}`
  const without = new Set(entries.filter(({ why }) => why === 'no room for it').map(inode))
  for (const entry of entries)
    if (entry.why === undefined && entry.stat?.isFile() === true && without.has(inode(entry)))
      entry.why = 'no room for it'
  const left = entries.filter(({ why }) => why === 'no room for it').length
  if (left > 0) cut.push(`no room for ${left} of ${entries.length} entries`)
  const finish = () => {
    const summary: Summary = { bytes: total, entries: entries.length, cut }
    fs.writeSync(2, `\n${JSON.stringify(summary)}\n`)
  }
  if (order.onlyMeasure) {
    finish()
    return
  }

  const listing = fs.openSync('/work/listing.jsonl', 'w')
  let changed = 0
  // Whoever is not frozen may have given it a longer one meanwhile.
  const fitting = ({ entry, line: most }: (typeof sized)[number]) => {
    const text = most === 0 ? '' : line(entry)
    if (text.length <= most) return text
    changed += 1
    return ''
  }
  for (let from = 0; from < sized.length; from += 1000)
    fs.writeFileSync(
      listing,
      sized
        .slice(from, from + 1000)
        .map(fitting)
        .join(''),
    )
  fs.closeSync(listing)
  if (changed > 0) cut.push(`${changed} entries have no line in the listing: they were changed meanwhile`)

  const flags = [
    '--create',
    '--no-recursion',
    '--null',
    '--verbatim-files-from',
    '--sparse',
    '--numeric-owner',
  ]
  if (isDeleted) flags.push('--dereference')
  const warnings = ['--format=posix', '--warning=no-file-changed', '--quoting-style=escape']
  const places = ['-C', '/work', 'listing.jsonl', '-C', order.base, '--files-from=-']
  const tar = spawn('tar', [...flags, ...warnings, ...places], { stdio: ['pipe', 'inherit', 'pipe'] })
  let complaints = 0
  tar.stderr.on('data', (chunk: Buffer) => {
    complaints += chunk.filter(byte => byte === 10).length
  })
  // If tar ends early, its code says so.
  tar.stdin.on('error', () => {})
  const taken = entries.filter(({ why, stat }) => why === undefined && stat !== undefined)
  tar.stdin.end(Buffer.concat(taken.flatMap(({ path }) => [path, Buffer.of(0)])))
  tar.on('close', code => {
    if (code !== 0) cut.push(`tar ended with ${code} and ${complaints} complaints`)
    // Without a summary nothing has been collected.
    if (code === 0 || code === 1 || code === 2) finish()
  })
}
