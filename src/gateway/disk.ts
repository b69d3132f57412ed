import { lstatSync, readdirSync, statfsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { errorCode } from '../deployment/files.ts'

const MIB = 1024 ** 2

/** Files and folders of the state, at the most: a file system runs out of these too, and nothing else counts them. */
export const MOST_FILES = 500_000

/** What a folder takes. */
export interface FolderUse {
  /** What the files say they hold, or what they occupy where that is more. */
  bytes: number
  /** Files, folders and links. */
  files: number
  /** Folders that could not be listed. */
  unread: number
  /** There are more files than were counted: {@link MOST_FILES} are enough to know. */
  more: boolean
}

/** A file system, in bytes and in files. */
export interface Space {
  size: number
  free: number
  /** 0 where the file system has no fixed number (btrfs, ZFS). */
  files: number
  freeFiles: number
}

/** What the state folder takes, what it may take at all, and what the machine has left. */
export interface Disk {
  use: FolderUse
  state: Space
  /** Where the deployment folder lies. Another one than {@link state} where the state is bounded by itself. */
  machine: Space
}

export interface DiskVerdict {
  /** What is wrong, in words; none: all is well. */
  problems: string[]
  /** What was seen, in one line. */
  saw: string
  /** Whether the kernel holds the state to its limit: a file system of its own, or a project quota. */
  isBounded: boolean
}

/** Looks at the disk. Links are not followed, and a file with two names is counted once. */
export function lookAtDisk(state: string): Disk {
  return { use: useOf(state), state: spaceOf(state), machine: spaceOf(dirname(state)) }
}

/** What a folder takes. It changes while it is looked at: what is gone by then is not counted. */
export function useOf(folder: string, most = MOST_FILES): FolderUse {
  const use: FolderUse = { bytes: 0, files: 0, unread: 0, more: false }
  const linked = new Set<string>()
  const waiting = [folder]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    for (const name of namesIn(next, use)) {
      if (use.files >= most) return { ...use, more: true }
      const path = resolve(next, name)
      const found = lstatSync(path, { throwIfNoEntry: false })
      if (found === undefined) continue
      use.files += 1
      if (found.isDirectory()) waiting.push(path)
      const id = `${found.dev}:${found.ino}`
      if (found.nlink > 1 && !found.isDirectory() && linked.has(id)) continue
      linked.add(id)
      use.bytes += Math.max(found.isFile() ? found.size : 0, found.blocks * 512)
    }
  }
  return use
}

/**
 * Whether the state keeps to its limit (MiB), and whether the machine has room for it. The state is bounded by the kernel
 * where its file system says it is no larger than the limit and the machine's is larger: so does a file system of its own,
 * and so does a project quota (ext4 and XFS answer statfs(2) with the quota).
 */
export function judgeDisk({ use, state, machine }: Disk, limit: number): DiskVerdict {
  const isBounded = state.size <= limit * MIB && state.size < machine.size
  const problems = [
    ...(use.bytes > limit * MIB
      ? [`${size(use.bytes)} in state/, and ${size(limit * MIB)} are its limit`]
      : []),
    ...(use.more ? [`more than ${use.files} files in state/`] : []),
    ...shortages(state, isBounded ? 'the state’s own file system' : 'the disk'),
    ...(isBounded ? shortages(machine, 'the disk') : []),
  ]
  const held = isBounded
    ? `the kernel gives it no more than ${size(state.size)}`
    : 'nothing but this look holds it to that'
  return {
    problems,
    saw: `state/ takes ${size(use.bytes)} of ${size(limit * MIB)} in ${use.more ? 'more than ' : ''}${use.files} files (${held}); ${size(machine.free)} are free on the disk`,
    isBounded,
  }
}

/** Less than this is short: 1 GiB, or a tenth of a small file system; a twentieth of its files. */
function shortages({ size: all, free, files, freeFiles }: Space, where: string): string[] {
  return [
    ...(free < Math.min(1024 * MIB, all / 10) ? [`only ${size(free)} are free on ${where}`] : []),
    ...(files > 0 && freeFiles < files / 20 ? [`${where} has room for only ${freeFiles} more files`] : []),
  ]
}

function spaceOf(path: string): Space {
  const { bsize, blocks, bavail, files, ffree } = statfsSync(path)
  return { size: blocks * bsize, free: bavail * bsize, files, freeFiles: ffree }
}

function namesIn(folder: string, use: FolderUse): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return []
    if (errorCode(error) !== 'EACCES') throw error
    use.unread += 1
    return []
  }
}

function size(bytes: number): string {
  return bytes >= 1024 * MIB ? `${(bytes / 1024 / MIB).toFixed(1)} GiB` : `${Math.ceil(bytes / MIB)} MiB`
}
