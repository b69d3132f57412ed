import * as fs from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { type RecordsRead, readRecords } from '../../src/gateway/inside-records.ts'
import { scratch } from './support.ts'

afterEach(() => vi.restoreAllMocks())

/** Runs the program of the container on a folder, in which a file goes when it is looked at for the n-th time. */
async function logOf(state: string, gone: { name: string; atLook: number }) {
  const inState = (path: string) => path.replace(/^\/state/, state)
  let looks = 0
  const lookAt = (path: string, options?: fs.StatSyncOptions) => {
    if (path.endsWith(gone.name) && ++looks === gone.atLook) fs.rmSync(inState(path))
    return fs.lstatSync(inState(path), options)
  }
  const seen: Partial<Record<keyof typeof fs, unknown>> = {
    ...fs,
    readdirSync: (path: string, options: { withFileTypes: true }) => fs.readdirSync(inState(path), options),
    lstatSync: lookAt,
    openSync: (path: string, flags: number) => fs.openSync(inState(path), flags),
  }
  vi.spyOn(process, 'getBuiltinModule').mockImplementation(((name: string) =>
    name === 'node:fs' ? seen : {}) as typeof process.getBuiltinModule)
  const argv = process.argv
  const [out, err] = [[] as string[], [] as string[]]
  vi.spyOn(process.stdout, 'write').mockImplementation(text => out.push(String(text)) > 0)
  vi.spyOn(process.stderr, 'write').mockImplementation(text => err.push(String(text)) > 0)
  try {
    process.argv = ['node', JSON.stringify({ what: 'log', since: 0, most: 1000 })]
    await readRecords()
  } finally {
    process.argv = argv
  }
  return { log: out.join(''), read: JSON.parse(err.join('')) as RecordsRead }
}

describe('the log, of which a file goes while it is read', () => {
  it.each([
    ['when its age is looked at', 1, '/state/logs/old.log: gone meanwhile'],
    ['when its size is looked at', 2, '/state/logs/old.log: ENOENT'],
  ])('is still there without that one, which is named: %s', async (_when, atLook, cut) => {
    const state = scratch()
    fs.mkdirSync(join(state, 'logs'))
    for (const name of ['gateway.log', 'old.log']) fs.writeFileSync(join(state, 'logs', name), `${name}\n`)
    const { log, read } = await logOf(state, { name: 'old.log', atLook })
    expect(log).toBe('gateway.log\n')
    expect(read).toEqual({ rows: 1, cut: [cut] })
  })

  it('is none where there is no folder, and nothing is missing', async () => {
    const { log, read } = await logOf(scratch(), { name: '', atLook: 0 })
    expect([log, read]).toEqual(['', { rows: 0, cut: [] }])
  })
})
