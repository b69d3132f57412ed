import { agentsAutomation } from './agents-automation.ts'
import { agentsContained } from './agents-contained.ts'
import { agentsElevated } from './agents-elevated.ts'
import { agentsRefused } from './agents-refused.ts'
import { apparmorEnforced } from './apparmor-enforced.ts'
import { auditConfig } from './audit-config.ts'
import { auditLedger } from './audit-ledger.ts'
import { auditLevel } from './audit-level.ts'
import { auditLogKept } from './audit-log-kept.ts'
import { auditOpenclaw } from './audit-openclaw.ts'
import { auditRedaction } from './audit-redaction.ts'
import { auditUnmuted } from './audit-unmuted.ts'
import { backupRestored } from './backup-restored.ts'
import type { VerifyCheck } from './check.ts'
import { companionsHardened } from './companions-hardened.ts'
import { composeCapabilities } from './compose-capabilities.ts'
import { composeEnvironment } from './compose-environment.ts'
import { composeHost } from './compose-host.ts'
import { composeLimits } from './compose-limits.ts'
import { composeLogs } from './compose-logs.ts'
import { composeMounts } from './compose-mounts.ts'
import { composeNoNewPrivileges } from './compose-no-new-privileges.ts'
import { composePorts } from './compose-ports.ts'
import { composeReadOnly } from './compose-read-only.ts'
import { composeSeccomp } from './compose-seccomp.ts'
import { composeUser } from './compose-user.ts'
import { containerAsFile } from './container-as-file.ts'
import { containerHealth } from './container-health.ts'
import { containerStable } from './container-stable.ts'
import { debuggerClosed } from './debugger-closed.ts'
import { egressDenied } from './egress-denied.ts'
import { egressFiltered } from './egress-filtered.ts'
import { filesAsRendered } from './files-as-rendered.ts'
import { filesDenied } from './files-denied.ts'
import { filesPrivate } from './files-private.ts'
import { filesScoped } from './files-scoped.ts'
import { filesWorkspace } from './files-workspace.ts'
import { gatewayApi } from './gateway-api.ts'
import { gatewayCommands } from './gateway-commands.ts'
import { gatewayPairing } from './gateway-pairing.ts'
import { gatewayPlugins } from './gateway-plugins.ts'
import { gatewayTerminal } from './gateway-terminal.ts'
import { gatewayTools } from './gateway-tools.ts'
import { hostClosed } from './host-closed.ts'
import { hostProtections } from './host-protections.ts'
import { imagePinned } from './image-pinned.ts'
import { imageRunning } from './image-running.ts'
import { imageSetuid } from './image-setuid.ts'
import { incidentContact } from './incident-contact.ts'
import { incidentDocumented } from './incident-documented.ts'
import { incidentDrilled } from './incident-drilled.ts'
import { journalIntact } from './journal-intact.ts'
import { limitsCore } from './limits-core.ts'
import { limitsDisk } from './limits-disk.ts'
import { limitsEnforced } from './limits-enforced.ts'
import { limitsFiles } from './limits-files.ts'
import { limitsFork } from './limits-fork.ts'
import { limitsHog } from './limits-hog.ts'
import { limitsLogFile } from './limits-log-file.ts'
import { limitsLogs } from './limits-logs.ts'
import { monitorConfigured } from './monitor-configured.ts'
import { networkDiscovery } from './network-discovery.ts'
import { networkOrigins } from './network-origins.ts'
import { networkOwn } from './network-own.ts'
import { outboundQuiet } from './outbound-quiet.ts'
import { policyKeys } from './policy-keys.ts'
import { policyLoaded } from './policy-loaded.ts'
import { portsListening } from './ports-listening.ts'
import { portsNeighbours } from './ports-neighbours.ts'
import { portsPublished } from './ports-published.ts'
import { portsSingle } from './ports-single.ts'
import { portsUnreachable } from './ports-unreachable.ts'
import { privilegesNone } from './privileges-none.ts'
import { rootfsReadonly } from './rootfs-readonly.ts'
import { rotateScheduled } from './rotate-scheduled.ts'
import { sandboxEntered } from './sandbox-entered.ts'
import { sandboxPrograms } from './sandbox-programs.ts'
import { seccompCalls } from './seccomp-calls.ts'
import { seccompEnforced } from './seccomp-enforced.ts'
import { secretsAudit } from './secrets-audit.ts'
import { secretsEnvClosed } from './secrets-env-closed.ts'
import { secretsEnvironment } from './secrets-environment.ts'
import { secretsHidden } from './secrets-hidden.ts'
import { secretsHistory } from './secrets-history.ts'
import { secretsIgnored } from './secrets-ignored.ts'
import { secretsPrivate } from './secrets-private.ts'
import { secretsReferences } from './secrets-references.ts'
import { secretsState } from './secrets-state.ts'
import { secretsStray } from './secrets-stray.ts'
import { secretsUntracked } from './secrets-untracked.ts'
import { stateBounded } from './state-bounded.ts'
import { storeCurrent } from './store-current.ts'
import { storePrivate } from './store-private.ts'
import { suppressionsCurrent } from './suppressions-current.ts'
import { tmpBounded } from './tmp-bounded.ts'
import { tmpNoexec } from './tmp-noexec.ts'
import { tokenAccepted } from './token-accepted.ts'
import { tokenAge } from './token-age.ts'
import { tokenFile } from './token-file.ts'
import { tokenGuessed } from './token-guessed.ts'
import { tokenLimiter } from './token-limiter.ts'
import { tokenOwn } from './token-own.ts'
import { tokenRequired } from './token-required.ts'
import { tokenStrength } from './token-strength.ts'

/** All checks, in the order of the seed's checklist. */
export const checks: readonly VerifyCheck[] = [
  tokenStrength,
  tokenAccepted,
  tokenRequired,
  tokenGuessed,
  tokenLimiter,
  tokenAge,
  rotateScheduled,
  tokenOwn,
  gatewayApi,
  composePorts,
  portsPublished,
  portsSingle,
  portsUnreachable,
  portsNeighbours,
  portsListening,
  networkOwn,
  networkOrigins,
  networkDiscovery,
  outboundQuiet,
  agentsContained,
  agentsRefused,
  sandboxEntered,
  sandboxPrograms,
  agentsElevated,
  agentsAutomation,
  gatewayTerminal,
  gatewayCommands,
  gatewayPlugins,
  gatewayPairing,
  gatewayTools,
  composeUser,
  composeCapabilities,
  composeNoNewPrivileges,
  composeSeccomp,
  composeHost,
  imagePinned,
  imageRunning,
  imageSetuid,
  privilegesNone,
  seccompEnforced,
  seccompCalls,
  hostClosed,
  hostProtections,
  apparmorEnforced,
  containerAsFile,
  containerHealth,
  containerStable,
  debuggerClosed,
  policyLoaded,
  egressDenied,
  egressFiltered,
  companionsHardened,
  tokenFile,
  secretsReferences,
  secretsEnvClosed,
  secretsEnvironment,
  composeEnvironment,
  secretsHidden,
  secretsHistory,
  secretsState,
  secretsStray,
  secretsPrivate,
  secretsAudit,
  secretsUntracked,
  secretsIgnored,
  storeCurrent,
  storePrivate,
  composeMounts,
  filesScoped,
  filesWorkspace,
  filesDenied,
  composeReadOnly,
  rootfsReadonly,
  tmpNoexec,
  tmpBounded,
  filesPrivate,
  filesAsRendered,
  composeLimits,
  limitsEnforced,
  limitsFork,
  limitsHog,
  limitsFiles,
  limitsDisk,
  stateBounded,
  limitsCore,
  composeLogs,
  limitsLogs,
  limitsLogFile,
  auditLedger,
  auditLogKept,
  auditLevel,
  auditRedaction,
  auditUnmuted,
  auditOpenclaw,
  auditConfig,
  policyKeys,
  journalIntact,
  suppressionsCurrent,
  monitorConfigured,
  backupRestored,
  incidentDocumented,
  incidentContact,
  incidentDrilled,
]
