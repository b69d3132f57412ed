import type { Summary } from './inside-collect.ts'

/**
 * The memory of every process: for each piece a line of JSON that says whose it is, where and how long, and then its bytes. Only
 * pages that are a process's own (written to, or never in a file) and are there: reserved address space is not read.
 */
export function memory(): void {
  const fs = process.getBuiltinModule('node:fs')
  const order: { bytes: number } = JSON.parse(fs.readFileSync(0, 'utf8'))
  const PAGE = 4096
  const SPAN = 256
  const summary: Summary = { bytes: 0, entries: 0, cut: [] }
  const write = (chunk: Buffer) => {
    for (let at = 0; at < chunk.length; ) at += fs.writeSync(1, chunk, at)
    summary.bytes += chunk.length
  }
  const own = fs.readlinkSync('/proc/self/ns/mnt')
  const flags = Buffer.alloc(SPAN * 8)
  const page = Buffer.alloc(SPAN * PAGE)
  const problems = new Set<string>()
  const copy = (pid: string, mem: number, pagemap: number, start: number, end: number) => {
    for (let at = start; at < end; at += SPAN * PAGE) {
      const pages = Math.min(SPAN, (end - at) / PAGE)
      fs.readSync(pagemap, flags, 0, pages * 8, (at / PAGE) * 8)
      // Bit 63: in memory; 62: swapped out; 61: a file's, or shared.
      const isOwn = (index: number) => index < pages && [0x80, 0x40].some(is(flags[index * 8 + 7] ?? 0))
      for (let first = 0; first < pages; first += 1) {
        if (!isOwn(first)) continue
        let last = first
        while (isOwn(last + 1)) last += 1
        const length = (last - first + 1) * PAGE
        const from = at + first * PAGE
        const read = fs.readSync(mem, page, 0, length, from)
        if (summary.bytes + read + 256 > order.bytes) throw new RangeError('no room for all of it')
        write(Buffer.from(`${JSON.stringify({ pid, at: from.toString(16), bytes: read })}\n`))
        write(page.subarray(0, read))
        first = last
      }
    }
  }
  const is = (byte: number) => (bit: number) => (byte & 0x20) === 0 && (byte & bit) !== 0
  try {
    for (const pid of fs.readdirSync('/proc').filter(name => /^\d+$/.test(name)))
      try {
        if (fs.readlinkSync(`/proc/${pid}/ns/mnt`) === own) continue
        const maps = fs.readFileSync(`/proc/${pid}/maps`, 'latin1').split('\n')
        const mem = fs.openSync(`/proc/${pid}/mem`, 'r')
        const pagemap = fs.openSync(`/proc/${pid}/pagemap`, 'r')
        summary.entries += 1
        for (const map of maps) {
          const [, start = '', end = ''] = /^([0-9a-f]{1,12})-([0-9a-f]{1,12}) r..p /.exec(map) ?? []
          if (start === '' || /\[v(var|dso|syscall)/.test(map)) continue
          try {
            copy(pid, mem, pagemap, Number.parseInt(start, 16), Number.parseInt(end, 16))
          } catch (error) {
            if (error instanceof RangeError) throw error
            problems.add(String(Reflect.get(Object(error), 'code')))
          }
        }
        fs.closeSync(mem)
        fs.closeSync(pagemap)
      } catch (error) {
        if (error instanceof RangeError) throw error
        problems.add(String(Reflect.get(Object(error), 'code')))
      }
  } catch (error) {
    summary.cut.push(error instanceof RangeError ? 'no room for all of it' : 'it broke off')
  }
  for (const code of problems) summary.cut.push(`some could not be read (${code})`)
  fs.writeSync(2, `\n${JSON.stringify(summary)}\n`)
}
