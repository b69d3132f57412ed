import type { Check } from '../../src/procedure/step.ts'
import { agentsContained } from './agents-contained.ts'
import { auditJudge } from './audit-judge.ts'
import { auditLedger } from './audit-ledger.ts'
import { auditLogKept } from './audit-log-kept.ts'
import { backupRestored } from './backup-restored.ts'
import { filesScoped } from './files-scoped.ts'
import { hostClosed } from './host-closed.ts'
import { imagePinned } from './image-pinned.ts'
import { incidentDocumented } from './incident-documented.ts'
import { journalIntact } from './journal-intact.ts'
import { limitsEnforced } from './limits-enforced.ts'
import { limitsLogs } from './limits-logs.ts'
import { monitorConfigured } from './monitor-configured.ts'
import { portsNeighbours } from './ports-neighbours.ts'
import { portsPublished } from './ports-published.ts'
import { portsUnreachable } from './ports-unreachable.ts'
import { privilegesNone } from './privileges-none.ts'
import { rootfsReadonly } from './rootfs-readonly.ts'
import { seccompEnforced } from './seccomp-enforced.ts'
import { secretsAudit } from './secrets-audit.ts'
import { secretsHidden } from './secrets-hidden.ts'
import { secretsUntracked } from './secrets-untracked.ts'
import { tmpNoexec } from './tmp-noexec.ts'
import { tokenAccepted } from './token-accepted.ts'
import { tokenFile } from './token-file.ts'
import { tokenStrength } from './token-strength.ts'
import type { World } from './world.ts'

/** All checks, in the order of the seed's checklist. */
export const checks: readonly Check<World>[] = [
  tokenStrength,
  tokenAccepted,
  portsPublished,
  portsUnreachable,
  portsNeighbours,
  agentsContained,
  privilegesNone,
  seccompEnforced,
  hostClosed,
  imagePinned,
  tokenFile,
  secretsAudit,
  secretsHidden,
  secretsUntracked,
  filesScoped,
  rootfsReadonly,
  tmpNoexec,
  limitsEnforced,
  limitsLogs,
  auditLedger,
  auditLogKept,
  auditJudge,
  journalIntact,
  monitorConfigured,
  backupRestored,
  incidentDocumented,
]
