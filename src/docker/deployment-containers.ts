import * as z from 'zod'
import { parseJson } from '../json.ts'
import { EGRESS, INGRESS, SANDBOX_SERVICE, SERVICE } from './compose.ts'
import { type Docker, unreachable } from './engine.ts'

/** A container of a deployment, running or not. */
export interface DeploymentContainer {
  id: string
  /** Its Compose service; undefined for one that OpenClaw's docker backend has made for a session. */
  service: string | undefined
  /** What its evidence is called: the service, or "agent-…"; unique, and nothing but `a-z 0-9 . _ -`. */
  label: string
  /** It has processes and temporary folders, or will have them again in a moment: frozen, or being started anew. */
  isRunning: boolean
  isPaused: boolean
}

const Row = z.tuple([z.string(), z.string(), z.string(), z.string(), z.string()])
const FORMAT = `[${[
  '.ID',
  '.State',
  '(.Label "com.docker.compose.project")',
  '(.Label "com.docker.compose.service")',
  '.Names',
]
  .map(field => `{{json ${field}}}`)
  .join(',')}]`

/** Where an agent can be first, and what only hands bytes on last. */
const ORDER: readonly (string | undefined)[] = [SERVICE, SANDBOX_SERVICE, undefined, EGRESS, INGRESS]

/**
 * Every container of the deployment `project`, the gateway first: Compose's, and those that OpenClaw's docker backend has made
 * (their prefix is set in `src/gateway/sandbox.ts`). Errors: `engine_unreachable`.
 */
export async function deploymentContainers(docker: Docker, project: string): Promise<DeploymentContainer[]> {
  const list = async (filter: string) => {
    const { code, stdout, stderr } = await docker.call(
      ['ps', '--all', '--no-trunc', '--filter', filter, '--format', FORMAT],
      { deadline: 15_000 },
    )
    if (code !== 0) throw unreachable(stderr)
    return stdout.split('\n').flatMap(line => {
      const row = Row.safeParse(parseJson(line))
      return row.success ? [row.data] : []
    })
  }
  const prefix = `${project}-agent-`
  const [ours, agents] = await Promise.all([
    list(`label=com.docker.compose.project=${project}`),
    list(`name=^/?${project.replaceAll('.', '\\.')}-agent-`),
  ])
  // A deployment called "NAME-agent" has containers with that prefix as well: Compose says whose they are.
  const rows = [...ours, ...agents.filter(([, , owner]) => owner === '')]
  const found = rows.map(([id, state, , service, name]) => ({
    id,
    service: service === '' ? undefined : service,
    label: plain(service === '' ? `agent-${name.slice(prefix.length)}` : service),
    isRunning: ['running', 'paused', 'restarting'].includes(state),
    isPaused: state === 'paused',
  }))
  return found
    .map(container => {
      const isShared = found.filter(({ label }) => label === container.label).length > 1
      return isShared ? { ...container, label: `${container.label}-${container.id.slice(0, 12)}` } : container
    })
    .sort((a, b) => rank(a) - rank(b) || a.label.localeCompare(b.label))
}

function rank({ service }: DeploymentContainer): number {
  const found = ORDER.indexOf(service)
  return found < 0 ? ORDER.length : found
}

/** A name that can be a file's, whatever it was. */
function plain(name: string): string {
  return name
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]/g, '-')
    .replace(/^[.-]+/, '')
    .slice(0, 80)
}
