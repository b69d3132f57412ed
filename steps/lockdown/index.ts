import type { Step } from '../../src/procedure/step.ts'
import { revokeAllDevices } from '../rotate/devices.ts'
import type { LockdownContext } from './context.ts'
import { cutOff, recordPlaces } from './cut.ts'
import { endLockdown, proveOpen, rejoin } from './join.ts'
import { expectReplaced, replaceToken } from './replace.ts'

/** The panic button. The network first; the gateway goes on running, and keeps its state. */
export const lockdownSteps: readonly Step<LockdownContext>[] = [
  recordPlaces,
  cutOff,
  replaceToken,
  revokeAllDevices,
]

/** Back, exactly; but not with the old token, and not for the old devices. */
export const unlockSteps: readonly Step<LockdownContext>[] = [expectReplaced, rejoin, proveOpen, endLockdown]
