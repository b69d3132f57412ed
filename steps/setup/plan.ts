import { resolve } from 'node:path'
import { hasSocket } from '../../src/deployment/answers.ts'
import { lookAt, readIfPresent } from '../../src/deployment/files.ts'
import { makePlan, type PlannedFile } from '../../src/deployment/plan.ts'
import { Exit, ToolError } from '../../src/errors.ts'
import { ENGINE_SOCKET, socketGroup } from '../../src/gateway/sandbox.ts'
import type { Step } from '../../src/procedure/step.ts'
import { must, type SetupContext } from './context.ts'
import { ownerOf } from './folder.ts'

type Needs = Pick<SetupContext, 'answers' | 'written' | 'layout' | 'found'>

/** Works out every file, and refuses to overwrite one that somebody edited. */
export const planFiles: Step<Needs> = {
  id: 'files.plan',
  title: 'Render the files',
  effect: 'reads',
  async run({ answers, written, layout, found }) {
    found.plan = makePlan({
      answers,
      written,
      layout,
      image: must(found, 'image'),
      border: must(found, 'border'),
      sandbox: found.sandbox,
      ownership: must(found, 'ownership'),
      isLabelled: found.isLabelled,
      socketGroup: hasSocket(answers) ? expectSocket() : undefined,
      secrets: must(found, 'secrets'),
    })
    const { files } = must(found, 'plan')
    const edited = files
      .filter(file => file.adaptable !== true && isEdited(layout.root, layout.base, file))
      .map(file => file.path)
    if (edited.length > 0)
      throw new ToolError(
        'edited',
        `edited since they were rendered: ${edited.join(', ')}`,
        `Your changes would be lost. Move them into deployment.yaml if it has a place for them, or compare with ${layout.base} and remove the file; then run the command again.`,
        Exit.usage,
      )
    return { saw: `${files.length} files, each parsed again and equal to its plan` }
  },
}

/** The group of the engine's socket. Errors: `no_socket`. */
function expectSocket(): number {
  const group = socketGroup()
  if (group !== undefined) return group
  throw new ToolError(
    'no_socket',
    `this machine has no engine socket at ${ENGINE_SOCKET} to hand to the gateway`,
    'Take --sandbox ssh: the commands of its agents run in a container of this deployment, without the socket.',
    Exit.usage,
  )
}

/** Whether a file on the disk already is as planned: bytes, mode and owner; or is somebody's own by now. */
export function isAsPlanned(file: PlannedFile, { layout, found }: Needs): boolean {
  const path = resolve(layout.root, file.path)
  const there = lookAt(path)
  const owner = ownerOf(file, must(found, 'ownership'))
  if (file.adaptable === true && isEdited(layout.root, layout.base, file)) return true
  return (
    there?.isFile() === true &&
    (Number(there.mode) & 0o7777) === file.mode &&
    (owner === undefined || there.uid === owner.uid) &&
    readIfPresent(path) === file.content &&
    // Without its base, a later edit could not be told from what was rendered.
    readIfPresent(resolve(layout.base, file.path)) === file.content
  )
}

function isEdited(root: string, base: string, file: PlannedFile): boolean {
  const rendered = readIfPresent(resolve(base, file.path))
  const present = readIfPresent(resolve(root, file.path))
  return (
    rendered !== undefined &&
    present !== undefined &&
    present !== rendered &&
    present !== file.content &&
    file.path !== 'deployment.yaml'
  )
}
