import type { Answers } from '../deployment/answers.ts'
import { choice, integer, yesNo } from './kinds.ts'
import { always, define } from './question.ts'

/** How much the containers may use of the machine, and what of its kernel. */
export const LIMIT_QUESTIONS = [
  define({
    id: 'memory',
    flag: '--memory',
    path: ['limits', 'memoryMiB'],
    group: 'Limits',
    prompt: 'How much memory may it use (MiB)?',
    help: 'memory limit in MiB; no swap is added',
    // A start survives with 1024; but agent turns take 1.2 GiB, and OpenClaw's own audits run within the limit too.
    kind: integer(1536, 1_048_576, '<MiB>', 'MiB'),
    fallback: () => 2048,
    advanced: always,
  }),
  define({
    id: 'cpus',
    flag: '--cpus',
    path: ['limits', 'cpus'],
    group: 'Limits',
    prompt: 'How many CPUs may it use?',
    help: 'CPU limit',
    kind: integer(1, 1024, '<number>'),
    fallback: () => 2,
    advanced: always,
  }),
  define({
    id: 'pids',
    flag: '--pids',
    path: ['limits', 'pids'],
    group: 'Limits',
    prompt: 'How many processes and threads may it have?',
    help: 'limit of processes and threads',
    kind: integer(128, 32_768, '<number>'),
    fallback: () => 256,
    advanced: always,
  }),
  define({
    id: 'seccomp',
    flag: '--seccomp',
    path: ['limits', 'seccomp'],
    group: 'Limits',
    prompt: 'Which kernel calls may the containers make?',
    help: 'kernel calls the containers may make; docker-default is a weakening',
    kind: choice<Answers['seccomp']>('<profile>', [
      { value: 'fitted', label: 'What OpenClaw needs', hint: 'derived from what it does' },
      {
        value: 'docker-default',
        label: 'What Docker allows everybody',
        hint: 'for kernels and engines it does not fit',
      },
    ]),
    fallback: () => 'fitted',
    advanced: always,
  }),
  define({
    id: 'stateLimit',
    flag: '--state-limit',
    path: ['limits', 'stateMiB'],
    group: 'Limits',
    prompt: 'How much may its state take on the disk (MiB)?',
    help: 'limit of the state folder in MiB: sessions, workspace, logs',
    kind: integer(1024, 1_048_576, '<MiB>', 'MiB'),
    fallback: () => 4096,
    advanced: always,
  }),
  define({
    id: 'apparmor',
    flag: '--apparmor',
    path: ['limits', 'apparmor'],
    group: 'Limits',
    prompt: 'Load an AppArmor profile of its own? (needs root, and a machine that has AppArmor)',
    help: 'load an AppArmor profile for the gateway, on machines that have it',
    kind: yesNo(),
    fallback: () => false,
    advanced: always,
  }),
] as const
