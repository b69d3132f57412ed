import { passIf, type VerifyCheck } from './check.ts'
import { at, record } from './tree.ts'

/** What OpenClaw 2026.9 knows below these two; anything else there keeps it from starting. */
const KNOWN: Record<string, readonly string[]> = {
  security: ['audit', 'installPolicy'],
  logging: [
    'level',
    'file',
    'maxFileBytes',
    'consoleLevel',
    'consoleStyle',
    'redactSensitive',
    'redactPatterns',
    'audit',
  ],
}

/** The seed's own snippets are such a file. Only OpenClaw itself knows every key: audit.config asks it. */
export const policyKeys: VerifyCheck = {
  id: 'policy.keys',
  title: 'openclaw.json has none of the well-known keys that keep OpenClaw from starting',
  line: 7,
  threat: 'command injection',
  severity: 'high',
  kind: 'static',
  remedy:
    'Remove them: docs/seed-to-reality.md says what does their work. Never let openclaw doctor --fix do it: it drops them in silence.',
  refs: { seed: '4. Filesystem Scoping', openclaw: 'config validate' },
  async run(world) {
    const policy = await world.policy()
    const unknown = Object.entries(KNOWN).flatMap(([section, known]) =>
      Object.keys(record(policy[section]))
        .filter(key => !known.includes(key))
        .map(key => `${section}.${key}`),
    )
    const mode = at(policy, 'gateway', 'mode')
    // Without a mode OpenClaw takes the file for a damaged one; no file at all is another matter.
    const unset = mode === undefined && Object.keys(policy).length > 0
    return passIf(
      unknown.length === 0 && !unset,
      `openclaw.json: ${unknown.length === 0 ? 'no such key' : unknown.join(', ')}; gateway.mode ${JSON.stringify(mode ?? null)}`,
    )
  },
  sabotage: { weaken: twin => twin.policy(['security', 'shell'], { policy: 'sandboxed' }) },
}
