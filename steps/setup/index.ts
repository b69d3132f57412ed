import type { Step } from '../../src/procedure/step.ts'
import { cutConnections, noteTakenOut } from '../egress/cut.ts'
import { loadProfile } from './apparmor.ts'
import { seccompCanary } from './canary.ts'
import { checkConfig } from './check.ts'
import { must, type SetupContext } from './context.ts'
import { deliverSecrets } from './deliver.ts'
import { reloadEgress } from './egress.ts'
import { makeEvidenceKey } from './evidence.ts'
import { writeFiles, writePasswordFile } from './files.ts'
import { closeToNeighbours } from './firewall.ts'
import { createFolder } from './folder.ts'
import { lookForImage, obtainTheBorder, obtainTheImage, obtainTheSandbox } from './image.ts'
import { launchGateway, proveToken } from './launch.ts'
import { findOwner } from './owner.ts'
import { planFiles } from './plan.ts'
import { forgetSandboxKeys, refuseInGateway, writeSandboxKeys } from './sandbox.ts'
import { readSecretNames, storeSecrets } from './secrets.ts'
import { openTheStore } from './store.ts'

/**
 * From answers to a running gateway. The order is the safety: the answers and the ignore rules before any secret, the
 * secrets before what names them, the check before the files, the firewall before the port.
 */
export const setupSteps: readonly Step<SetupContext>[] = [
  lookForImage,
  obtainTheImage,
  obtainTheBorder,
  obtainTheSandbox,
  findOwner,
  createFolder,
  makeEvidenceKey,
  openTheStore,
  storeSecrets,
  readSecretNames,
  planFiles,
  checkConfig,
  deliverSecrets,
  noteTakenOut(
    ({ found }) => must(found, 'plan').files.find(({ path }) => path === 'border/squid.conf')?.content,
  ),
  writeFiles,
  writePasswordFile,
  writeSandboxKeys,
  closeToNeighbours,
  loadProfile,
  seccompCanary,
  launchGateway,
  reloadEgress,
  cutConnections,
  proveToken,
  forgetSandboxKeys,
  refuseInGateway,
]
