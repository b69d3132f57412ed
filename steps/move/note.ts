import { placeOf } from '../../src/deployment/answers.ts'
import { readIfPresent, writeAtomic } from '../../src/deployment/files.ts'
import { ToolError } from '../../src/errors.ts'
import type { Step } from '../../src/procedure/step.ts'
import { type MoveContext, renderedAnswers } from './context.ts'

type Needs = Pick<MoveContext, 'layout' | 'note' | 'from' | 'answers'>

/** Where the secrets are and where they go, on the disk before the first one moves: a successor needs nothing else. */
export const noteMove: Step<Needs> = {
  id: 'move.note',
  title: 'Write down where the secrets are and where they go',
  effect: 'writes',
  skip: ctx => (readIfPresent(ctx.layout.move) === textOf(ctx) ? 'it is written down' : undefined),
  async run(ctx) {
    // Under the lock now: another move may have begun, or ended, while this one was being talked about.
    const other = readIfPresent(ctx.layout.move)
    const rendered = readIfPresent(renderedAnswers(ctx.layout))
    if (other !== undefined || rendered !== ctx.note.from)
      throw new ToolError(
        'move_overtaken',
        'another move has begun or ended here in the meantime',
        'Run the command again: it starts from where the secrets are now.',
      )
    writeAtomic(ctx.layout.move, textOf(ctx), 0o600)
    const [from, to] = [placeOf(ctx.from.answers), placeOf(ctx.answers)]
    return { saw: `${from} → ${to}`, facts: { from, to } }
  },
}

function textOf({ note }: Pick<Needs, 'note'>): string {
  return `${JSON.stringify(note)}\n`
}
