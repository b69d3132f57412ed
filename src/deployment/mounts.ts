import { homedir } from 'node:os'
import { posix } from 'node:path'
import { SANDBOX } from '../gateway/sandbox.ts'
import { INSIDE, type Layout } from './layout.ts'

/** One mount, as a Compose file or the engine tells of it. */
export interface Mount {
  source: string
  target: string
  readOnly: boolean
}

export interface MountContext {
  /** The deployment folder: where a relative source starts. */
  root: string
  /** Home folders of this machine, besides what lies in /home and /Users. `~` is the first. */
  homes: readonly string[]
  /** The only mounts there may be. One that is more strictly read-only than its own is welcome. */
  own: readonly Mount[]
}

/** A place of this machine that no container may see, and how a path meets it. */
export interface DeniedPlace {
  place: string
  how: 'is' | 'is in' | 'holds'
}

/** Of the machine: /etc and /root are the seed's; the others give away as much, or the machine itself. */
const MACHINE = [
  ...['/etc', '/root', '/proc', '/sys', '/dev', '/run', '/var/run', '/boot', '/var/log', '/var/spool'],
  ...['/var/lib/docker', '/var/lib/containerd', '/usr', '/bin', '/sbin', '/lib', '/lib64'],
  ...['/private/etc', '/private/var/run', '/host_mnt'],
]

/** Of every home: the seed's four, and where other programs keep the same kind of thing. */
const OF_A_HOME = [
  ...['.ssh', '.gnupg', '.aws', '.config'],
  ...['.azure', '.docker', '.kube', '.netrc', '.npmrc', '.git-credentials', '.password-store'],
  ...['.local/share/keyrings', '.mozilla', '.bash_history'],
]

/** What the mounts of the gateway are judged against: what setup mounts, and where. */
export function gatewayMounts(layout: Layout, homes: readonly string[] = [homedir()]): MountContext {
  const own = [
    { source: layout.config, target: INSIDE.config, readOnly: true },
    { source: layout.secrets, target: INSIDE.secrets, readOnly: true },
    { source: layout.state, target: INSIDE.state, readOnly: false },
  ]
  return { root: layout.root, homes, own }
}

/** The same of a container beside it, which sees what it is told and nothing that the gateway has. */
export function companionMounts(
  layout: Layout,
  service: string,
  homes: readonly string[] = [homedir()],
): MountContext {
  const own =
    service === SANDBOX.service
      ? [
          { source: layout.sandbox, target: SANDBOX.folder, readOnly: true },
          { source: layout.sandboxWork, target: SANDBOX.work, readOnly: false },
        ]
      : [{ source: layout.border, target: INSIDE.border, readOnly: true }]
  return { root: layout.root, homes, own }
}

/**
 * Everything that is wrong with a mount, in words; nothing for one of the deployment's own at its own place. It is a
 * list of what is allowed: whatever trick a path uses, it has to be exactly one of ours. Symbolic links are the caller's
 * to look for: no look is taken at the disk.
 */
export function mountProblems(mount: Mount, context: MountContext): string[] {
  const source = sourcePath(mount.source, context)
  const target = withoutEnd(mount.target)
  const own = context.own.find(one => one.source === source)
  const steps = [mount.source, mount.target].filter(path => path.split('/').includes('..'))
  if (own !== undefined && steps.length === 0)
    return [
      ...(own.target === target ? [] : [`${mount.source} is mounted at ${target}, not at ${own.target}`]),
      ...(own.readOnly && !mount.readOnly ? [`${mount.source} is mounted writable`] : []),
    ]
  const denied = deniedPlace(source, context.homes)
  const where = source === mount.source ? mount.source : `${mount.source} (${source})`
  return [
    denied === undefined
      ? `${where || target} is none of this deployment’s own folders`
      : denied.how === 'is'
        ? `${where} must never be mounted`
        : `${where} ${denied.how} ${denied.place}, which must never be mounted`,
  ]
}

/**
 * The place no container may see that a path of this machine is, is in, or holds; undefined where there is none. Letters
 * are compared without their case, because some file systems do so too, and a socket is one wherever it lies.
 */
export function deniedPlace(path: string, homes: readonly string[]): DeniedPlace | undefined {
  const real = withoutEnd(path).replaceAll('\\', '/')
  const folded = real.toLowerCase()
  if (/\.sock$|\/pipe\/[^/]+$/.test(folded)) return { place: real, how: 'is' }
  const theirs = /^\/(home|users|var\/home)\/[^/]+/.exec(folded)?.[0]
  const everyHome = [...homes.map(home => withoutEnd(home)), ...(theirs === undefined ? [] : [theirs])]
  const places = [...MACHINE, ...everyHome.flatMap(home => OF_A_HOME.map(name => posix.join(home, name)))]
  const meeting = (how: DeniedPlace['how'], meets: (place: string) => boolean) => {
    const place = places.find(one => meets(one.toLowerCase()))
    return place === undefined ? undefined : { place, how }
  }
  return (
    meeting('is', place => folded === place) ??
    meeting('is in', place => isBelow(folded, place)) ??
    meeting('holds', place => isBelow(place, folded) || /^\/(home|users|var\/home)$/.test(folded))
  )
}

/** The absolute path a source stands for, as Compose reads it: `~`, `$HOME`, and relative to the file. */
function sourcePath(source: string, { root, homes }: MountContext): string {
  const home = homes[0] ?? '/root'
  const expanded = source.replace(/^~(?=\/|$)/, home).replace(/^\$(HOME\b|\{HOME\})/, home)
  return withoutEnd(posix.resolve(root, expanded))
}

/** Without `.`, `..`, doubled and closing slashes; the root folder stays "/". */
function withoutEnd(path: string): string {
  const plain = posix.normalize(path)
  return plain.length > 1 ? plain.replace(/\/+$/, '') : plain
}

function isBelow(path: string, folder: string): boolean {
  return path !== folder && path.startsWith(folder === '/' ? '/' : `${folder}/`)
}
