import { basename, resolve } from 'node:path'
import { placeOf } from '../../src/deployment/answers.ts'
import { writeAtomic } from '../../src/deployment/files.ts'
import type { Step } from '../../src/procedure/step.ts'
import { isSwitched, type MoveContext } from './context.ts'

type Needs = Pick<MoveContext, 'layout' | 'note' | 'answers'>

/** One file is replaced, and from then on the new store has the truth. Before, the old one has it: never neither. */
export const switchOver: Step<Needs> = {
  id: 'move.switch',
  title: 'Let deployment.yaml name the new store',
  effect: 'writes',
  skip: ctx => (isSwitched(ctx) ? 'it does' : undefined),
  async run({ layout, note, answers }) {
    writeAtomic(resolve(layout.base, basename(layout.answers)), note.to, 0o600)
    writeAtomic(layout.answers, note.to, 0o644)
    return { saw: placeOf(answers) }
  },
}
