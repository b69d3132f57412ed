import { chmodSync, linkSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Disk, judgeDisk, lookAtDisk, type Space, useOf } from '../../src/gateway/disk.ts'
import { scratch } from './support.ts'

const MIB = 1024 ** 2
const space = (size: number, free: number, more: Partial<Space> = {}): Space => ({
  size: size * MIB,
  free: free * MIB,
  files: 1_000_000,
  freeFiles: 900_000,
  ...more,
})
/** 100 MiB in 20 files, on a disk of 100 GiB that is half full. */
const disk = (change: Partial<Disk> = {}): Disk => ({
  use: { bytes: 100 * MIB, files: 20, unread: 0, more: false },
  state: space(102_400, 51_200),
  machine: space(102_400, 51_200),
  ...change,
})

describe('what a folder takes', () => {
  it('is all that lies below it, hidden files and deep folders too', () => {
    const folder = scratch()
    mkdirSync(join(folder, 'a/.b/c'), { recursive: true })
    writeFileSync(join(folder, 'a/.b/c/file'), Buffer.alloc(3 * MIB))
    writeFileSync(join(folder, '.hidden'), Buffer.alloc(2 * MIB))
    const { bytes, files, more, unread } = useOf(folder)
    expect({ files, more, unread }).toEqual({ files: 5, more: false, unread: 0 })
    expect(bytes).toBeGreaterThanOrEqual(5 * MIB)
    expect(bytes).toBeLessThan(5.2 * MIB)
  })

  it('counts a file with two names once, and what a link leads to not at all', () => {
    const elsewhere = scratch()
    writeFileSync(join(elsewhere, 'large'), Buffer.alloc(4 * MIB))
    const folder = scratch()
    writeFileSync(join(folder, 'one'), Buffer.alloc(2 * MIB))
    linkSync(join(folder, 'one'), join(folder, 'two'))
    symlinkSync(elsewhere, join(folder, 'folder-link'))
    symlinkSync(join(elsewhere, 'large'), join(folder, 'file-link'))
    symlinkSync(folder, join(folder, 'circle'))
    const { bytes, files } = useOf(folder)
    expect(files).toBe(5)
    expect(bytes).toBeLessThan(2.1 * MIB)
  })

  it('counts a file with a hole as large as it says it is: copied, it is', () => {
    const folder = scratch()
    writeFileSync(join(folder, 'hole'), '')
    truncateSync(join(folder, 'hole'), 300 * MIB)
    expect(useOf(folder).bytes).toBe(300 * MIB)
  })

  it('is counted to a number of files and no further', () => {
    const folder = scratch()
    for (let n = 0; n < 30; n++) writeFileSync(join(folder, `f${n}`), '')
    expect(useOf(folder, 10)).toMatchObject({ files: 10, more: true })
    expect(useOf(folder, 30)).toMatchObject({ files: 30, more: false })
  })

  it.skipIf(process.getuid?.() === 0)('says how many folders it could not read', () => {
    const folder = scratch()
    mkdirSync(join(folder, 'closed'))
    chmodSync(join(folder, 'closed'), 0)
    expect(useOf(folder).unread).toBe(1)
    chmodSync(join(folder, 'closed'), 0o700)
  })

  it('of a folder that is not there is nothing; of the real disk, something', () => {
    const folder = scratch()
    expect(useOf(join(folder, 'missing')).files).toBe(0)
    const { state, machine } = lookAtDisk(folder)
    // The same disk. What is free on it, others change between two looks.
    expect([state.size, state.files]).toEqual([machine.size, machine.files])
    expect(state.size).toBeGreaterThan(state.free)
    expect(state.free).toBeGreaterThan(0)
  })
})

describe('the judgement (resource exhaustion)', () => {
  it('of an ordinary state says what it takes, and that nothing but the look holds it', () => {
    expect(judgeDisk(disk(), 4096)).toEqual({
      problems: [],
      isBounded: false,
      saw: 'state/ takes 100 MiB of 4.0 GiB in 20 files (nothing but this look holds it to that); 50.0 GiB are free on the disk',
    })
  })

  it.each([
    [
      'a state that is over its limit',
      disk({ use: { ...disk().use, bytes: 4097 * MIB } }),
      '4.0 GiB in state/',
    ],
    [
      'too many files to count',
      disk({ use: { ...disk().use, files: 500_000, more: true } }),
      'more than 500000 files',
    ],
    [
      'a full disk',
      disk({ state: space(102_400, 900), machine: space(102_400, 900) }),
      'only 900 MiB are free on the disk',
    ],
    ['a small disk, nearly full', disk({ state: space(8000, 700) }), 'only 700 MiB are free'],
    [
      'a disk without room for files',
      disk({ state: space(102_400, 51_200, { freeFiles: 40_000 }) }),
      'has room for only 40000 more files',
    ],
    [
      'a disk of its own, nearly full',
      disk({ state: space(2048, 100) }),
      'only 100 MiB are free on the state’s own file system',
    ],
    [
      'a full machine beside a disk of its own',
      disk({ state: space(2048, 1900), machine: space(102_400, 200) }),
      'only 200 MiB are free on the disk',
    ],
  ])('names %s', (_, seen, problem) => {
    const { problems } = judgeDisk(seen, 4096)
    expect(problems.join('; ')).toContain(problem)
  })

  it('knows a file system of its own, or a quota, by its size', () => {
    expect(judgeDisk(disk({ state: space(4096, 3900) }), 4096)).toMatchObject({
      isBounded: true,
      problems: [],
      saw: expect.stringContaining('the kernel gives it no more than 4.0 GiB'),
    })
    expect(judgeDisk(disk({ state: space(4097, 3900) }), 4096).isBounded).toBe(false)
    // A whole machine that is smaller than the limit is not a bound of the state.
    const small = space(4000, 3000)
    expect(judgeDisk(disk({ state: small, machine: small }), 4096).isBounded).toBe(false)
  })

  it('asks nothing about files of a file system that has no fixed number of them', () => {
    const btrfs = space(102_400, 51_200, { files: 0, freeFiles: 0 })
    expect(judgeDisk(disk({ state: btrfs, machine: btrfs }), 4096).problems).toEqual([])
  })
})
