import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { archive, asProgram, type Summary, walk } from '../../src/gateway/inside-collect.ts'
import { copyDatabase, databases } from '../../src/gateway/inside-databases.ts'
import { memory } from '../../src/gateway/inside-memory.ts'
import { processes } from '../../src/gateway/inside-processes.ts'
import { divide } from '../../steps/incident/budget.ts'
import { scratch } from './support.ts'

describe('the walk', () => {
  const paths = (base: string, most = 1000) =>
    walk(fs, base, [Buffer.from('tree')], most).entries.map(({ path }) => path.toString())

  it('lists everything below a folder, the upper floors first, and follows no link', () => {
    const base = scratch()
    fs.mkdirSync(join(base, 'tree/a/b'), { recursive: true })
    fs.mkdirSync(join(base, 'outside'))
    fs.writeFileSync(join(base, 'outside/secret'), '')
    fs.writeFileSync(join(base, 'tree/a/b/deep'), '')
    fs.writeFileSync(join(base, 'tree/top'), '')
    fs.symlinkSync('../outside', join(base, 'tree/link'))
    const found = paths(base)
    expect([...found].sort()).toEqual([
      'tree',
      'tree/a',
      'tree/a/b',
      'tree/a/b/deep',
      'tree/link',
      'tree/top',
    ])
    expect(found.indexOf('tree/top')).toBeLessThan(found.indexOf('tree/a/b'))
  })

  it('is not led out by a tree that is a link itself', () => {
    const base = scratch()
    fs.mkdirSync(join(base, 'elsewhere'))
    fs.writeFileSync(join(base, 'elsewhere/secret'), '')
    fs.symlinkSync('elsewhere', join(base, 'tree'))
    expect(paths(base)).toEqual(['tree'])
  })

  it('is not flooded: one folder never takes the place of the others, and says that there is more', () => {
    const base = scratch()
    fs.mkdirSync(join(base, 'tree/flood'), { recursive: true })
    fs.mkdirSync(join(base, 'tree/quiet'))
    fs.writeFileSync(join(base, 'tree/quiet/evidence'), '')
    for (let n = 0; n < 100; n += 1) fs.writeFileSync(join(base, 'tree/flood', String(n)), '')
    const { entries, cut } = walk(fs, base, [Buffer.from('tree')], 60)
    expect(entries.length).toBeLessThanOrEqual(60)
    expect(entries.map(({ path }) => path.toString())).toContain('tree/quiet/evidence')
    expect(entries.find(({ path }) => path.toString() === 'tree/flood')?.why).toBe(
      'it holds more than is listed',
    )
    expect(cut).toEqual(['more entries than are listed'])
  })

  it('is not flooded with long names either: the memory of the collector holds every path [resource exhaustion]', () => {
    const base = scratch()
    fs.mkdirSync(join(base, 'tree/flood'), { recursive: true })
    fs.mkdirSync(join(base, 'tree/quiet'))
    fs.writeFileSync(join(base, 'tree/quiet/evidence'), '')
    for (let n = 100; n < 200; n += 1)
      fs.writeFileSync(join(base, 'tree/flood', `${n}${'x'.repeat(200)}`), '')
    const { entries, cut } = walk(fs, base, [Buffer.from('tree')], 1000, 6000)
    expect(entries.reduce((sum, { path }) => sum + path.length, 0)).toBeLessThanOrEqual(6000)
    expect(entries.map(({ path }) => path.toString())).toContain('tree/quiet/evidence')
    expect(entries.find(({ path }) => path.toString() === 'tree/flood')?.why).toBe(
      'it holds more than is listed',
    )
    expect(cut).toEqual(['more entries than are listed'])
  })
})

describe('the programs of the collector', () => {
  it('are whole programs when they are sent as text', () => {
    for (const text of [
      asProgram(archive, walk),
      asProgram(databases, walk, copyDatabase),
      asProgram(memory),
      asProgram(processes),
    ])
      execFileSync(process.execPath, ['--check', '-'], { input: text })
  })

  it('measure by what is on the disk: a hole takes no room', () => {
    const base = scratch()
    fs.mkdirSync(join(base, 'state'))
    fs.writeFileSync(join(base, 'state/sparse'), '')
    fs.truncateSync(join(base, 'state/sparse'), 10 * 1024 ** 3)
    fs.writeFileSync(join(base, 'state/real'), Buffer.alloc(100_000, 1))
    const order = { what: 'trees', base, names: ['state'], bytes: 0, entries: 100, onlyMeasure: true }
    const { stderr, stdout } = run(asProgram(archive, walk), JSON.stringify(order))
    const summary = JSON.parse(stderr) as Summary
    expect(summary.entries).toBe(3)
    expect(summary.bytes).toBeGreaterThan(100_000)
    expect(summary.bytes).toBeLessThan(200_000)
    expect(stdout).toBe('')
  })

  it('count what tar stores beside the contents: long names, in the listing too, and targets of links [resource exhaustion]', () => {
    const base = scratch()
    const deep = join(base, 'state', ...Array<string>(10).fill('\x01'.repeat(200)))
    fs.mkdirSync(deep, { recursive: true })
    const measured = () => {
      const order = { what: 'trees', base, names: ['state'], bytes: 0, entries: 1000, onlyMeasure: true }
      return (JSON.parse(run(asProgram(archive, walk), JSON.stringify(order)).stderr) as Summary).bytes
    }
    const before = measured()
    fs.writeFileSync(join(deep, 'file'), '')
    const file = measured() - before
    // Its name of 2 kB in tar's header, and of 12 kB in the listing.
    expect(file).toBeGreaterThan(7 * 2000)
    fs.symlinkSync('x'.repeat(4000), join(base, 'state/link'))
    fs.linkSync(join(deep, 'file'), join(base, 'state/second'))
    expect(measured() - before - file).toBeGreaterThan(2 * 4000 + 2000)
  })

  it('take of two names of a file both or none: tar would store the content under the second [resource exhaustion]', () => {
    const base = scratch()
    fs.mkdirSync(join(base, 'state'))
    fs.writeFileSync(join(base, 'state/one'), Buffer.alloc(400_000, 1))
    fs.linkSync(join(base, 'state/one'), join(base, 'state/two'))
    fs.writeFileSync(join(base, 'state/small'), 'x')
    const order = { what: 'trees', base, names: ['state'], bytes: 100_000, entries: 100, onlyMeasure: true }
    const { stderr } = run(asProgram(archive, walk), JSON.stringify(order))
    expect((JSON.parse(stderr) as Summary).cut).toEqual(['no room for 2 of 4 entries'])
  })

  function run(program: string, input: string) {
    const errors = join(scratch(), 'stderr')
    const file = fs.openSync(errors, 'w')
    const stdout = execFileSync(process.execPath, ['-e', program], { input, stdio: ['pipe', 'pipe', file] })
    return { stdout: stdout.toString(), stderr: fs.readFileSync(errors, 'utf8') }
  }
})

describe('the budget', () => {
  const MB = 1024 ** 2
  const share = (name: string, wants: number, canBeCut = true) => ({ name, wants: wants * MB, canBeCut })
  const got = (shares: ReturnType<typeof share>[], free: number) =>
    divide(shares, free * MB).map(({ gets }) => gets / MB)

  it('gives what would be gone first all it wants, and cuts what comes later', () => {
    expect(got([share('tmpfs', 30), share('state', 100), share('logs', 5)], 50)).toEqual([30, 20, 0])
  })

  it('leaves out what is worth nothing in part, and keeps the room for what fits', () => {
    expect(got([share('state', 10), share('filesystem', 300, false), share('last', 20)], 50)).toEqual([
      10, 0, 20,
    ])
  })

  it('cuts nothing where there is room', () => {
    expect(got([share('tmpfs', 30), share('state', 100)], 1000)).toEqual([30, 100])
  })
})
