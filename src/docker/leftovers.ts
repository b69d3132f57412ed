import { readdirSync, readFileSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { hasEnded, statOf, THIS_RUN } from '../deployment/alive.ts'
import { ToolError } from '../errors.ts'
import { type Docker, THROWAWAY } from './engine.ts'

/** In the environment of every child: the run that started it, and the deployment it works on. */
export const RUN = 'CREATE_OPENCLAW_SECURE_RUN'

/** What {@link RUN} has for a deployment's folder. */
export function runOn(root: string): string {
  return `${THIS_RUN} ${root}`
}

/**
 * Removes the throw-away containers of runs that were killed: they hold addresses of the deployment's networks, and one that
 * was reading a container still sits among its processes. An engine that does not answer is told of by whoever needs it.
 */
export async function removeLeftovers(docker: Docker, signal: AbortSignal): Promise<void> {
  try {
    const format = `{{.ID}} {{.Label "${THROWAWAY}"}}`
    const list = ['ps', '--all', '--no-trunc', '--filter', `label=${THROWAWAY}`, '--format', format]
    const { stdout } = await docker.call(list, { deadline: LIST, signal })
    const dead = stdout.split('\n').flatMap(line => {
      const [id = '', mark = ''] = line.split(' ')
      return hasEnded(mark) ? [id] : []
    })
    if (dead.length > 0)
      await docker.call(['rm', '--force', '--volumes', ...dead], { deadline: 60_000, signal })
  } catch (error) {
    if (!(error instanceof ToolError) && !signal.aborted) throw error
  }
}

/** An engine that hangs must not be waited for twice. Milliseconds. */
const LIST = 2000

/** A command that a killed run had begun has this long to end by itself. Milliseconds. */
const PATIENCE = 15_000
const LOOK = 500

/**
 * The same, and waits until no Docker command goes on that a killed run had begun on this deployment: it would change what
 * whoever has the lock now looks at. One that does not end is ended.
 */
export async function settleLeftovers(
  docker: Docker,
  root: string,
  signal: AbortSignal,
  patience = PATIENCE,
): Promise<void> {
  for (let waited = 0; waited < 2 * patience && !signal.aborted; waited += LOOK) {
    const groups = orphansOf(root)
    // After the look: one that has ended may have left a container.
    await removeLeftovers(docker, signal)
    if (groups.size === 0) return
    if (waited >= patience) for (const group of groups) end(group)
    await sleep(LOOK)
  }
}

/** The process groups of Docker's command line that a killed run of ours had started on this deployment. */
function orphansOf(root: string): Set<number> {
  const groups = new Set<number>()
  for (const pid of processes()) {
    const { name, group } = statOf(pid)
    // Nothing else: a key agent or a clipboard that such a command has started lives on by right.
    if (name?.startsWith('docker') !== true || group === undefined) continue
    const [mark, ...rest] = (startedBy(pid) ?? '').split(' ')
    if (mark !== undefined && rest.join(' ') === root && hasEnded(mark)) groups.add(Number(group))
  }
  return groups
}

function processes(): number[] {
  try {
    return readdirSync('/proc').map(Number).filter(Number.isInteger)
  } catch {
    return []
  }
}

/** What a process of this user has in {@link RUN}. */
function startedBy(pid: number): string | undefined {
  try {
    if (statSync(`/proc/${pid}`).uid !== process.getuid?.()) return undefined
    const variables = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
    return variables.find(one => one.startsWith(`${RUN}=`))?.slice(RUN.length + 1)
  } catch {
    return undefined
  }
}

function end(group: number): void {
  try {
    process.kill(-group, 'SIGKILL')
  } catch {
    // It has ended meanwhile.
  }
}
