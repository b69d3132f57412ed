import { firstLine } from '../../src/docker/engine.ts'
import { membersOf } from '../../src/docker/isolation.ts'
import { Exit, ToolError } from '../../src/errors.ts'
import { hasSeal } from '../../src/evidence/seal.ts'
import type { Action } from './context.ts'
import { isSealed } from './run.ts'

/** What nobody can take back: so it is refused as long as the evidence is not signed. */
export const removeContainers: Action = {
  id: 'containers.remove',
  title: 'Remove the containers that somebody was in',
  effect: 'destroys',
  async skip({ docker, answers }) {
    return (await membersOf(docker, answers.name)).length === 0 ? 'there are none' : undefined
  },
  async run(ctx) {
    const { docker, answers } = ctx
    if (!isSealed(ctx) || !hasSeal(ctx.case, ctx.layout))
      throw new ToolError(
        'not_sealed',
        'the evidence is not sealed: what is in the containers would be lost',
        'Have the runbook seal it first (evidence.seal), then go on: create-openclaw-secure incident --resume',
        Exit.interrupted,
      )
    const members = await membersOf(docker, answers.name)
    const ids = members.map(({ id }) => id)
    // Killed while it is frozen it never runs again (measured); `stop` would thaw it and ask it to end.
    await docker.call(['kill', ...members.filter(({ isRunning }) => isRunning).map(({ id }) => id)], {
      deadline: 30_000,
    })
    // Volumes that an image made by itself stay: they are not in the evidence.
    const { stderr } = await docker.call(['rm', '--force', ...ids], { deadline: 60_000 })
    const left = await membersOf(docker, answers.name)
    if (left.length > 0)
      throw new ToolError(
        'not_removed',
        `still there: ${left.map(({ label }) => label).join(', ')} (${firstLine(stderr)})`,
        'Correct the cause and go on: create-openclaw-secure incident --resume',
        Exit.interrupted,
      )
    return { saw: `${ids.length} removed; their networks stay`, facts: { removed: ids.length } }
  },
}
