import { renameSync } from 'node:fs'
import { basename, relative, resolve } from 'node:path'
import { ensureDirectory, errorCode, lookAt, syncDirectory } from '../../src/deployment/files.ts'
import { membersOf } from '../../src/docker/isolation.ts'
import { Exit, explainWriteError, ToolError } from '../../src/errors.ts'
import { QUARANTINE } from '../../src/evidence/case.ts'
import type { Action, IncidentContext } from './context.ts'

/**
 * What an intruder may have left in the gateway's state (a hook, a skill, a message for the agent) is not taken over into
 * the clean one. It is moved and not copied: as one rename each, which happens or does not.
 */
export const quarantineState: Action = {
  id: 'state.quarantine',
  title: 'Move the gateway’s state into the case, so that the clean one starts without it',
  effect: 'contains',
  skip: ctx =>
    !ctx.wishes.keepState && toMove(ctx).length === 0 ? 'nothing is left to be moved' : undefined,
  async run(ctx) {
    const { docker, answers, layout, wishes } = ctx
    // In the chain as well: what was kept may be how they come back.
    if (wishes.keepState)
      return {
        saw: 'KEPT as it was (--keep-state): whatever somebody has left in it will run again',
        facts: { weakened: 'state kept' },
      }
    const using = (await membersOf(docker, answers.name)).filter(({ isRunning }) => isRunning)
    if (using.length > 0)
      throw new ToolError(
        'state_in_use',
        `${using.map(({ label }) => label).join(', ')} still has the state open`,
        'Have the runbook remove the containers first (containers.remove), then go on: create-openclaw-secure incident --resume',
        Exit.interrupted,
      )
    const quarantine = resolve(ctx.case.folder, QUARANTINE)
    ensureDirectory(quarantine, 0o700)
    for (const folder of toMove(ctx)) move(folder, resolve(quarantine, basename(folder)))
    syncDirectory(quarantine)
    syncDirectory(layout.root)
    const where = relative(layout.root, quarantine)
    return {
      saw: `moved to ${where}. To have a single thing back, look at it first, then: cp -a ${where}/state/PATH state/PATH`,
      facts: { quarantine: where },
    }
  },
}

/** What is not in the case yet. What lies in its old place beside that is the clean one, made since. */
function toMove({ layout, case: { folder } }: IncidentContext): string[] {
  return [layout.state, layout.sandboxWork].filter(
    path => lookAt(path) !== undefined && lookAt(resolve(folder, QUARANTINE, basename(path))) === undefined,
  )
}

function move(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch (error) {
    if (errorCode(error) !== 'EXDEV') throw explainWriteError(error, to)
    throw new ToolError(
      'quarantine_elsewhere',
      `${from} is on another file system than the case: it cannot be moved in one step`,
      `Move it there by hand (mv ${from} ${to}), or keep it with --keep-state; then go on: create-openclaw-secure incident --resume`,
      Exit.interrupted,
      error,
    )
  }
}
