/** The flags of `incident RUNBOOK`; the third word marks those that may be given several times. */
export const INCIDENT_OPTIONS = [
  ['--resume', 'go on with the case that is open'],
  ['--drill', 'rehearse it on a disposable copy, with a harmless compromise planted in it'],
  ['--allow <step>', 'agree to this step, which destroys; repeatable', 'several'],
  ['--leaked <secret>', 'what has leaked, by name; repeatable (default: gateway_token)', 'several'],
  [
    '--since <time>',
    'when all was still well, UTC: 2026-11-20T08:00Z (default: since the leaked value exists)',
  ],
  ['--cut-first', 'data is leaving right now: cut the networks before anything is frozen'],
  ['--memory', 'keep the processes’ memory too: minutes, gigabytes, and all secrets in it'],
  ['--encrypt-to <age1...>', 'encrypt the evidence to this age recipient; repeatable', 'several'],
  ['--keep-state', 'a weakening: start the rebuilt gateway with the state of the compromised one'],
  ['--apply-policy', 'take the proposed change of deployment.yaml without asking'],
  ['--provider-key <id=@file|id=@->', 'a provider’s new key, from a file or stdin; repeatable', 'several'],
  ['--secret-value <name=@file|name=@->', 'the new value of a --secret; repeatable', 'several'],
] as const

/** The words after `incident` that are no runbook. */
export const INCIDENT_COMMANDS = [
  ['verify-bundle <path>', 'check a case’s hashes, chain of custody and signature, offline'],
  ['analyze <case> [program...]', 'open the preserved image, where it can do nothing'],
  ['close', 'end the open case before its runbook is through: sign what there is, and report'],
] as const

/** The panic button, and its opposite. */
export const LOCKDOWN_COMMANDS = [
  ['lockdown', 'the panic button: network off, a new token, all devices out; everything else is kept'],
  ['unlock', 'undo a lockdown: the same networks, with the new token'],
] as const
