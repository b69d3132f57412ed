import { readlinkSync, realpathSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { lookAt } from '../deployment/files.ts'
import { Exit, ToolError } from '../errors.ts'

/** Whoever may change files: root in any case, and the person himself. */
export interface Trusted {
  uid: number
  gid: number
}

/**
 * Whether anybody else could have a scheduled run do something of his: what he would have to change, and whose it is. Looked
 * at are the paths, everything that links lead to, and all folders above. What is not there is nobody's.
 */
export function unsafePaths(paths: readonly string[], trusted: Trusted): string[] {
  const found = new Map<string, string>()
  const seen = new Set<string>()
  const ends = new Set(paths)
  const walk = (path: string) => {
    if (seen.has(path)) return
    seen.add(path)
    const above = dirname(path)
    if (above !== path) walk(above)
    const file = lookAt(path)
    if (file === undefined) return
    const { uid, gid } = file
    const mode = Number(file.mode)
    // A folder where everybody may write, and touch nothing but his own (/tmp), is no danger to what others have in there.
    const isShared = file.isDirectory() && (mode & 0o1000) !== 0 && !ends.has(path)
    // A group of the person's own, as most systems make one for each user.
    const isOwnGroup = trusted.uid !== 0 && Number(gid) === trusted.gid
    const others = isOwnGroup ? 0o002 : 0o022
    if (Number(uid) !== 0 && Number(uid) !== trusted.uid) found.set(path, `belongs to the user ${uid}`)
    else if (!file.isSymbolicLink() && (mode & others) !== 0 && !isShared)
      found.set(
        path,
        `belongs to the user ${uid}, and others may write to it (${(mode & 0o7777).toString(8)})`,
      )
    if (file.isSymbolicLink()) walk(resolve(realpathSync(above), readlinkSync(path)))
  }
  for (const path of paths) walk(path)
  return [...found].map(([path, why]) => `${path} ${why}`)
}

/** Refuses what {@link unsafePaths} finds. Errors: `schedule_unsafe`. */
export function expectSafe(paths: readonly string[], trusted: Trusted): void {
  const unsafe = unsafePaths(paths, trusted)
  if (unsafe.length === 0) return
  const who = trusted.uid === 0 ? 'root' : `the user ${trusted.uid}`
  throw new ToolError(
    'schedule_unsafe',
    `what would run every day as ${who} can be changed by somebody else:\n${unsafe.join('\n')}`,
    `${trusted.uid === 0 ? 'Run the command as that user, or move' : 'Move'} it to where only ${who} may write (chown, chmod go-w). Nothing was scheduled.`,
    Exit.usage,
  )
}
