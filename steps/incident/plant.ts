import { randomBytes } from 'node:crypto'
import { INSIDE } from '../../src/deployment/layout.ts'
import { type Compose, EGRESS } from '../../src/docker/compose.ts'
import type { Docker } from '../../src/docker/engine.ts'
import { ToolError } from '../../src/errors.ts'
import { asScript } from '../../src/gateway/inside.ts'
import { type PretendOrder, pretend } from '../../src/gateway/inside-drill.ts'
import { Secret } from '../../src/secret.ts'

/** What a drill puts into the copy: as an intruder would, and harmless. Each has a mark of its own by which it is found again. */
export interface Planted {
  /** What it stands for. */
  what: string
  mark: Secret
  /** The actions that should find it: one of them is enough. */
  by: readonly string[]
}

/**
 * Plants a harmless compromise in the running gateway of a copy. Returns what has to be found in the evidence. Errors:
 * `not_planted`.
 */
export async function plant(
  docker: Docker,
  compose: Compose,
  { hasProxy }: { hasProxy: boolean },
): Promise<Planted[]> {
  const id = await compose.containerId()
  const mark = () => `drill-${randomBytes(8).toString('hex')}`
  const [file, dropped, process, beacon, guesser] = [mark(), mark(), mark(), mark(), mark()]
  const order: PretendOrder = {
    ...{ file, process, beacon, guesser, port: INSIDE.port, guesses: 3 },
    dropped: `${INSIDE.workspace}/${dropped}`,
    proxy: hasProxy ? { host: EGRESS, port: INSIDE.proxyPort } : undefined,
  }
  const { code, stderr } = await docker.exec(id ?? '', ['node', '-e', asScript(pretend)], {
    input: JSON.stringify(order),
    deadline: 30_000,
  })
  if (code !== 0)
    throw new ToolError('not_planted', `nothing could be planted in the copy: ${stderr.trim()}`, '')
  return [
    {
      what: 'a file dropped in /tmp, which only memory holds',
      mark: new Secret(file),
      by: ['evidence.tmpfs'],
    },
    { what: 'a file dropped in the agent’s workspace', mark: new Secret(dropped), by: ['evidence.state'] },
    { what: 'a process with a strange name', mark: new Secret(process), by: ['evidence.processes'] },
    { what: 'a host that something tried to reach every second', mark: new Secret(beacon), by: SEEN_BY_LOGS },
    { what: 'a burst of wrong tokens', mark: new Secret(guesser), by: SEEN_BY_LOGS },
  ]
}

const SEEN_BY_LOGS = ['evidence.logs', 'evidence.records']
