import type { Step } from '../../src/procedure/step.ts'
import { openTheStore } from '../setup/store.ts'
import type { MoveContext } from './context.ts'
import { copySecrets, readBack } from './copy.ts'
import { destroyOld } from './destroy.ts'
import { lookAtBoth } from './look.ts'
import { noteMove } from './note.ts'
import { switchOver } from './switch.ts'

/**
 * From one store to another while the gateway runs. Killed anywhere, the same command goes on: until the switch the old
 * store has everything, from the switch on the new one.
 */
export const moveSteps: readonly Step<MoveContext>[] = [
  lookAtBoth,
  // Before the note: a place that turns out to be the wrong one can still be corrected.
  openTheStore,
  noteMove,
  copySecrets,
  readBack,
  switchOver,
  destroyOld,
]
