import type { Step } from '../../src/procedure/step.ts'
import { reloadEgress } from '../setup/egress.ts'
import { checkRules, rulesAmong } from './check.ts'
import { closeAtOnce } from './close.ts'
import type { EgressContext } from './context.ts'
import { cutConnections, noteTakenOut } from './cut.ts'
import { writeHosts } from './hosts.ts'
import { openForAWhile } from './open.ts'
import { proveAnswers } from './prove.ts'

/** A change of the list: checked before it is written, and proven by what the running proxy answers. */
export const changeSteps: readonly Step<EgressContext>[] = [
  checkRules,
  noteTakenOut(rulesAmong),
  writeHosts,
  reloadEgress,
  cutConnections,
  proveAnswers,
]

/** Every host, until the time is over. */
export const openSteps: readonly Step<EgressContext>[] = [openForAWhile]

/** The same, ended now. */
export const closeSteps: readonly Step<EgressContext>[] = [closeAtOnce, proveAnswers]
