import { RUNBOOKS } from '../../src/deployment/render.ts'
import { ToolError, UsageError } from '../../src/errors.ts'
import { type KnownActions, type Runbook, readRunbook } from '../../src/procedure/runbook.ts'
import type { FileWorld } from './world.ts'

/** The runbooks of a deployment as they are now, edited or not. */
export interface FoundRunbooks {
  /** By the path that is shown: "runbooks/credential-exposed.yaml". */
  read: ReadonlyMap<string, Runbook>
  /** What keeps the others from being read, with file and line, and what is not there. */
  wrong: readonly string[]
}

/** Reads every runbook of the deployment, as an incident would. Errors: those of looking. */
export async function findRunbooks(
  world: Pick<FileWorld, 'layout' | 'file' | 'names' | 'text'>,
  known: () => Promise<KnownActions> = registered,
): Promise<FoundRunbooks> {
  const { runbooks: folder } = world.layout
  if (world.file(folder)?.kind !== 'folder') return { read: new Map(), wrong: ['runbooks/ is not there'] }
  const actions = await known()
  const read = new Map<string, Runbook>()
  const wrong: string[] = []
  for (const name of world.names(folder).sort()) {
    if (!/\.ya?ml$/.test(name)) continue
    const shown = `runbooks/${name}`
    try {
      const runbook = readRunbook(await world.text(`${folder}/${name}`), shown, actions)
      // Named after its file: that is how an incident finds it.
      if (name === `${runbook.id}.yaml`) read.set(shown, runbook)
      else wrong.push(`${shown} has the id ${runbook.id}: name it ${runbook.id}.yaml`)
    } catch (error) {
      if (!(error instanceof UsageError)) throw error
      wrong.push(...error.message.split('\n'))
    }
  }
  const has = (id: string) => [...read.keys()].includes(`runbooks/${id}.yaml`)
  const hopeless = (id: string) => wrong.some(line => line.startsWith(`runbooks/${id}.yaml`))
  wrong.push(
    ...RUNBOOKS.filter(id => !has(id) && !hopeless(id)).map(id => `runbooks/${id}.yaml is not there`),
  )
  return { read, wrong }
}

/** The same where every one of them has to be known. Errors: `runbooks_unread`. */
export async function allRunbooks(
  world: Pick<FileWorld, 'layout' | 'file' | 'names' | 'text'>,
): Promise<ReadonlyMap<string, Runbook>> {
  const { read, wrong } = await findRunbooks(world)
  if (wrong.length === 0) return read
  throw new ToolError('runbooks_unread', `incident.documented comes first: ${wrong[0]}`, '')
}

/** What a runbook may call. Loaded when it is asked for: all that an incident does hangs on it. */
async function registered(): Promise<KnownActions> {
  return (await import('../incident/index.ts')).EFFECTS
}
