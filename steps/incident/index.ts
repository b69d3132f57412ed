import type { RunbookEffect, RunbookStep } from '../../src/procedure/runbook.ts'
import { budgetAction } from './budget.ts'
import { changesAction } from './changes.ts'
import { cutNetworks, pauseContainers, recordNetworks } from './contain.ts'
import type { Action } from './context.ts'
import { databasesAction } from './databases.ts'
import { engineAction } from './engine.ts'
import { hostAction } from './host.ts'
import { exportAction, imageAction } from './image.ts'
import { nameLeak } from './leak.ts'
import { logsAction } from './logs.ts'
import { memoryAction } from './memory.ts'
import { openGateway } from './open.ts'
import { proposePolicy } from './policy.ts'
import { processesAction } from './processes.ts'
import { rotateProviderKeys } from './provider-keys.ts'
import { quarantineState } from './quarantine.ts'
import { rebuildImages } from './rebuild.ts'
import { keepRecords } from './records.ts'
import { removeContainers } from './remove.ts'
import { reportCase } from './report.ts'
import { rotateAll } from './rotate-all.ts'
import { rotateLeaked } from './rotate-leaked.ts'
import { sealEvidence } from './seal.ts'
import { searchRecords } from './search.ts'
import { reviewSessions } from './sessions.ts'
import { startClosed } from './start-closed.ts'
import { stateAction } from './state.ts'
import { tmpfsAction } from './tmpfs.ts'
import { verifyAgain } from './verify.ts'

/** Everything that a runbook can call, by its name. */
export const ACTIONS: ReadonlyMap<string, Action> = new Map(
  [
    // Contain.
    ...[pauseContainers, recordNetworks, cutNetworks],
    // Preserve.
    ...[budgetAction, processesAction, tmpfsAction, memoryAction, logsAction, changesAction, stateAction],
    ...[databasesAction, hostAction, engineAction, imageAction, exportAction, sealEvidence],
    // Recover.
    ...[removeContainers, quarantineState, rebuildImages, startClosed, rotateAll, rotateProviderKeys],
    ...[openGateway, verifyAgain],
    // What leaked, and who used it.
    ...[nameLeak, rotateLeaked, keepRecords, searchRecords, reviewSessions, proposePolicy],
    reportCase,
  ].map(action => [action.id, action]),
)

/** What each of them does to the world: all that reading a runbook needs to know. */
export const EFFECTS: ReadonlyMap<string, RunbookEffect> = new Map(
  [...ACTIONS].map(([id, { effect }]) => [id, effect]),
)

/** The end of a case whose runbook is not gone through: what there is, is signed. */
export const CLOSING: readonly RunbookStep[] = [sealEvidence, reportCase].map(({ id, title }) => ({
  ...{ id, title, why: 'The case is ended where it stands.', effect: 'contains', confirm: 'nobody' },
  ...{ does: { action: id }, undo: undefined, within: 60_000 },
}))
