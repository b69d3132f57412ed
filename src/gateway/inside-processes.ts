import type { Summary } from './inside-collect.ts'

/** What {@link processes} is told. */
export interface ProcessesOrder {
  /** Most bytes of the answer. */
  bytes: number
  /** The container has the collector's own image: a program that is not here was not there. */
  sameImage: boolean
  /** Most bytes of a process's arguments in its {@link ProcessNote}. */
  arguments: number
}

/**
 * What may be shown of one process, once the secrets are taken out of it: no value of its environment is in it. Nothing in it is cut
 * but the arguments, since half of a secret is not known as one.
 */
export interface ProcessNote {
  pid: number
  parent: number
  user: number
  program: string
  arguments: string
  environment: string[]
  sockets: string[]
  /** Why somebody should look at it. */
  marks: string[]
}

/**
 * Every process of the container that this one shares process ids with, its own left out: one JSON document, a process a line.
 * What is no UTF-8 is there as `{base64}`. The shareable half goes into the summary.
 */
export function processes(): void {
  const fs = process.getBuiltinModule('node:fs')
  const { createHash } = process.getBuiltinModule('node:crypto')
  const { isUtf8 } = process.getBuiltinModule('node:buffer')
  const order: ProcessesOrder = JSON.parse(fs.readFileSync(0, 'utf8'))
  const summary: Summary = { bytes: 0, entries: 0, cut: [] }
  const put = (text: string) => {
    const bytes = Buffer.from(text)
    for (let at = 0; at < bytes.length; ) at += fs.writeSync(1, bytes, at)
    summary.bytes += bytes.length
  }
  const bytesOf = (path: string, most: number): Buffer => {
    try {
      const file = fs.openSync(
        path,
        fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK,
      )
      const buffer = Buffer.alloc(most)
      let size = 0
      try {
        for (let more = 1; more > 0 && size < most; size += more)
          more = fs.readSync(file, buffer, size, most - size, null)
      } catch {}
      fs.closeSync(file)
      return buffer.subarray(0, size)
    } catch {
      return Buffer.alloc(0)
    }
  }
  const text = (path: string, most = 65_536) => bytesOf(path, most).toString('latin1')
  const faithful = (bytes: Buffer) =>
    isUtf8(bytes) ? bytes.toString() : { base64: bytes.toString('base64') }
  const link = (path: string): Buffer => {
    try {
      return fs.readlinkSync(path, 'buffer')
    } catch (error) {
      return Buffer.from(`(${Reflect.get(Object(error), 'code')})`)
    }
  }
  const list = (path: string) => {
    try {
      return fs.readdirSync(path)
    } catch {
      return []
    }
  }
  const asText = (bytes: Buffer) => bytes.toString(isUtf8(bytes) ? 'utf8' : 'latin1')
  const split = (bytes: Buffer) => {
    const parts: Buffer[] = []
    for (let from = 0; from < bytes.length; ) {
      const end = bytes.indexOf(0, from)
      parts.push(bytes.subarray(from, end < 0 ? bytes.length : end))
      from = end < 0 ? bytes.length : end + 1
    }
    return parts
  }

  /** "0100007F:4965" of /proc/net/tcp: the kernel writes words of 32 bits as this machine stores them. */
  const address = (hex: string) => {
    const [words = '', port = ''] = hex.split(':')
    const bytes = (words.match(/.{8}/g) ?? []).flatMap(word => [...Buffer.from(word, 'hex').reverse()])
    const host =
      bytes.length === 4
        ? bytes.join('.')
        : `[${(Buffer.from(bytes).toString('hex').match(/.{4}/g) ?? []).join(':')}]`
    return `${host}:${Number.parseInt(port, 16)}`
  }
  const STATES =
    `- established syn-sent syn-received fin-wait-1 fin-wait-2 time-wait closed close-wait last-ack listening
    closing`.split(/\s+/)
  /** Sockets by inode, of one network namespace. */
  const socketsOf = (pid: string) => {
    const sockets = new Map<string, string>()
    for (const kind of ['tcp', 'tcp6', 'udp', 'udp6', 'raw', 'raw6'])
      for (const row of text(`/proc/${pid}/net/${kind}`, 4_194_304).split('\n').slice(1)) {
        const field = row.trim().split(/\s+/)
        const [, local = '', remote = '', state = ''] = field
        if (field[9] === undefined) continue
        const said = STATES[Number.parseInt(state, 16)] ?? state
        const ends = `${kind} ${address(local)} > ${address(remote)}`
        sockets.set(field[9], kind.startsWith('tcp') ? `${ends} ${said}` : ends)
      }
    for (const row of bytesOf(`/proc/${pid}/net/unix`, 4_194_304).toString('latin1').split('\n').slice(1)) {
      const field = row.trim().split(/\s+/)
      if (field[6] !== undefined) sockets.set(field[6], `unix ${field.slice(7).join(' ')}`.trim())
    }
    return sockets
  }
  const folder = (path: string, names: string[], most: number) =>
    Object.fromEntries(
      names.map(name => [name, text(`${path}/${name}`, most)]).filter(([, said]) => said !== ''),
    )

  /** The counters of the container's own control groups, as they are mounted in it. Links among them are aliases. */
  const counters = () => {
    const found: Record<string, string> = {}
    const root = '/proc/1/root/sys/fs/cgroup'
    const isKind = (path: string, is: 'isFile' | 'isDirectory') => {
      try {
        return fs.lstatSync(path)[is]()
      } catch {
        return false
      }
    }
    for (const group of ['', ...list(root).filter(name => isKind(`${root}/${name}`, 'isDirectory'))])
      for (const name of list(`${root}/${group}`)) {
        const path = `${root}/${group}/${name}`
        if (!/^(memory|pids|cpu|cpuacct|cpuset|io|blkio|freezer|cgroup)\./.test(name)) continue
        if (Object.keys(found).length < 400 && isKind(path, 'isFile'))
          found[group === '' ? name : `${group}/${name}`] = text(path, 16_384)
      }
    return found
  }

  // A process may have thousands of open files, and there is a deadline: who comes late is only looked at briefly.
  const isLate = () => performance.now() > 60_000
  const hashes = new Map<string, string>()
  const hashOf = (path: string) => {
    try {
      const { dev, ino, size } = fs.statSync(path)
      const known = hashes.get(`${dev}:${ino}`)
      if (known !== undefined) return { size, sha256: known }
      if (size > 268_435_456 || isLate()) return { size, sha256: undefined }
      const hash = createHash('sha256')
      const buffer = Buffer.alloc(4_194_304)
      const file = fs.openSync(path, 'r')
      for (let read = 1; read > 0; ) {
        read = fs.readSync(file, buffer)
        hash.update(buffer.subarray(0, read))
      }
      fs.closeSync(file)
      hashes.set(`${dev}:${ino}`, hash.digest('hex'))
      return { size, sha256: hashes.get(`${dev}:${ino}`) }
    } catch {
      return undefined
    }
  }
  /** What is mounted where and can be written to, the deepest first: "/home/node/.openclaw" → "ext4". */
  const mounts = text('/proc/1/mountinfo', 1_048_576)
    .split('\n')
    .map(line => {
      const [front = '', back = ''] = line.split(' - ')
      const [, , , , point = '/', options = ''] = front.split(' ')
      return { point, type: back.split(' ')[0] ?? '', isWritable: /^rw\b/.test(options) }
    })
    .filter(({ isWritable }) => isWritable)
    .sort((a, b) => b.point.length - a.point.length)
  const mountOf = (path: string) =>
    mounts.find(({ point }) => point !== '/' && (path === point || path.startsWith(`${point}/`)))
  const inHere = (path: string, size: number | undefined) => {
    try {
      return fs.statSync(path).size === size
    } catch {
      return false
    }
  }

  /** Open files that are looked at whatever else there is no time or room for. */
  const FEW = 64
  const own = link('/proc/self/ns/mnt').toString()
  const pids = list('/proc')
    .filter(name => /^\d+$/.test(name))
    .filter(pid => link(`/proc/${pid}/ns/mnt`).toString() !== own)
  const spaces = new Map<string, { pid: string; sockets: Map<string, string> }>()
  const notes: ProcessNote[] = []
  let written = 0
  let lean = 0
  /** Writes one process, without its files and maps where there is no room for them. False: not even that fits. */
  const one = (pid: string, most: number): boolean => {
    const at = (name: string) => `/proc/${pid}/${name}`
    const status = text(at('status'))
    const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1] ?? ''
    const network = link(at('ns/net')).toString()
    const space = spaces.get(network) ?? { pid, sockets: socketsOf(pid) }
    spaces.set(network, space)
    const argv = bytesOf(at('cmdline'), 262_144)
    const environ = bytesOf(at('environ'), 1_048_576)
    const program = link(at('exe'))
    const binary = hashOf(at('exe'))
    const isBrief = isLate()
    const maps = isBrief ? '' : text(at('maps'), 2_097_152)
    let paths = 4_194_304
    const executable = maps.split('\n').filter(line => /^\S+ ..x/.test(line))
    const files = list(at('fd'))
      .slice(0, isBrief ? FEW : 16_384)
      .map(fd => {
        const whole = link(at(`fd/${fd}`))
        const target = whole.subarray(0, paths)
        paths -= target.length
        const inode = /^socket:\[(\d+)\]$/.exec(whole.toString('latin1'))?.[1]
        const socket = inode === undefined ? undefined : (space.sockets.get(inode) ?? `inode ${inode}`)
        return { fd, target: faithful(target), socket, info: text(at(`fdinfo/${fd}`), 512) }
      })
    const record = {
      ...{ pid: Number(pid), parent: Number(field('PPid')), state: field('State'), user: field('Uid') },
      ...{ group: field('Gid'), name: field('Name'), program: faithful(program), binary },
      ...{ folder: faithful(link(at('cwd'))), root: faithful(link(at('root'))) },
      arguments: split(argv).map(faithful),
      environment: split(environ).map(faithful),
      started: text(at('stat')).split(') ').at(-1)?.split(' ')[19],
      ...{ files, maps, status, capabilities: field('CapEff'), cgroup: text(at('cgroup')) },
      anonymousExecutable: executable.filter(line => line.trim().split(/\s+/).length < 6).length,
      deleted: maps
        .split('\n')
        .filter(line => line.endsWith(' (deleted)'))
        .slice(0, 500),
      namespaces: Object.fromEntries(list(at('ns')).map(kind => [kind, link(at(`ns/${kind}`)).toString()])),
      ...folder(`/proc/${pid}`, ['stat', 'limits', 'io', 'wchan', 'syscall', 'loginuid', 'sched'], 16_384),
      threads: list(at('task')).length,
    }
    const fits = (said: string) => summary.bytes + Buffer.byteLength(said) + 2 <= most
    const full = JSON.stringify(record)
    const isFull = fits(full)
    const said = isFull
      ? full
      : JSON.stringify({ ...record, files: files.slice(0, FEW), maps: '', deleted: [] })
    const isWritten = isFull || fits(said)
    if (isWritten) put(`${written === 0 ? '' : ',\n'}${said}`)
    if (isWritten) written += 1
    if (isWritten && (!isFull || isBrief || paths === 0)) lean += 1
    const name = asText(program)
    const base = name.replace(/ \(deleted\)$/, '').replace(/^.*\//s, '')
    const words = split(argv)
    const script = words.slice(1).find(word => word[0] !== 45)
    const from = mountOf(program.toString('latin1'))
    const scriptFrom =
      script !== undefined && /^(python|perl|node|ruby|(ba|da|z)?sh$)/.test(base)
        ? mountOf(script.toString('latin1'))
        : undefined
    const input = files.find(({ fd }) => fd === '0')?.socket
    const marks = [
      name.endsWith(' (deleted)') ? 'its program has been deleted' : undefined,
      from === undefined ? undefined : `its program lies in a writable folder (${from.type})`,
      scriptFrom === undefined ? undefined : `its script lies in a writable folder (${scriptFrom.type})`,
      // Squid talks to its helper like that: that one is started with a script, and where it lies is looked at above.
      input !== undefined && script === undefined && /^((ba|da|z|a)?sh|busybox)$/.test(base)
        ? 'a shell that reads from a socket'
        : undefined,
      // Docker puts its init there itself.
      order.sameImage && from === undefined && base !== 'docker-init' && !inHere(name, binary?.size)
        ? 'its program is not in the image'
        : undefined,
      /^0*$/.test(field('CapEff')) ? undefined : 'it has capabilities',
      ['', '0'].includes(field('TracerPid')) ? undefined : 'another process traces it',
    ]
    notes.push({
      ...{ pid: Number(pid), parent: Number(field('PPid')), user: Number(field('Uid').split('\t')[0]) },
      program: name,
      arguments: asText(argv.subarray(0, order.arguments)).replace(/\0$/, '').replaceAll('\0', ' '),
      environment: split(environ)
        .slice(0, 100)
        .map(item => asText(item.subarray(0, Math.max(0, item.indexOf(61)))))
        .map(key => (key.length > 80 ? '(a long name)' : key || '(no name)')),
      sockets: files.flatMap(({ socket }) => socket ?? []).slice(0, 50),
      marks: marks.filter(mark => mark !== undefined),
    })
    return isWritten
  }

  put(
    `{"schema":1,"read":${JSON.stringify(new Date())},"machine":${JSON.stringify({
      ...folder('/proc', ['uptime', 'version', 'loadavg', 'meminfo'], 16_384),
      boot: text('/proc/sys/kernel/random/boot_id').trim(),
      started: /^btime (\d+)$/m.exec(text('/proc/stat', 1_048_576))?.[1],
    })},\n"counters":${JSON.stringify(counters())},\n"mounts":${JSON.stringify(text('/proc/1/mountinfo', 1_048_576))},
"processes":[\n`,
  )
  let left = 0
  // What comes after them has to fit as well.
  for (const pid of pids) if (notes.length >= 4096 || !one(pid, (order.bytes * 3) / 4)) left += 1
  if (left > 0) summary.cut.push(`no room for ${left} of ${pids.length} processes`)
  if (lean > 0) summary.cut.push(`not all files and maps of ${lean} processes`)
  const NET =
    `dev route ipv6_route arp if_inet6 snmp netstat sockstat sockstat6 tcp tcp6 udp udp6 unix raw raw6`.split(
      ' ',
    )
  put('],\n"networks":[')
  let networks = 0
  for (const [namespace, { pid }] of spaces) {
    const said = JSON.stringify({ namespace, files: folder(`/proc/${pid}/net`, NET, 1_048_576) })
    if (summary.bytes + Buffer.byteLength(said) > order.bytes) continue
    put(`${networks === 0 ? '' : ',\n'}${said}`)
    networks += 1
  }
  put(']}\n')
  if (networks < spaces.size) summary.cut.push(`no room for ${spaces.size - networks} networks`)
  summary.entries = written
  // The last line of stderr is bounded. What somebody should look at comes first, and whatever else there is room for.
  let room = 3_000_000
  const chosen = new Set(
    [...notes.filter(({ marks }) => marks.length > 0), ...notes.filter(({ marks }) => marks.length === 0)]
      .slice(0, 1000)
      .filter(note => {
        // Rather none of its arguments than no process.
        if (room < 1_500_000 && note.arguments.length > 400) note.arguments = '(too long to be shown here)'
        room -= Buffer.byteLength(JSON.stringify(note))
        return room >= 0
      }),
  )
  summary.notes = notes.filter(note => chosen.has(note))
  if (chosen.size < notes.length)
    summary.cut.push(`the brief list has ${chosen.size} of ${notes.length} processes`)
  fs.writeSync(2, `\n${JSON.stringify(summary)}\n`)
}
