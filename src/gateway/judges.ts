import { stripVTControlCharacters } from 'node:util'
import * as z from 'zod'
import { INSIDE } from '../deployment/layout.ts'
import { type Docker, firstLine } from '../docker/engine.ts'
import type { Finished } from '../docker/process.ts'
import { Exit, ToolError, visible } from '../errors.ts'
import { parseJson } from '../json.ts'
import { openIn } from './approvals.ts'
import { reasonInLog } from './probe.ts'

/**
 * OpenClaw's own opinions. Each is read from its JSON: `security audit` exits 0 whatever it finds.
 */

const Validation = z.object({
  valid: z.boolean(),
  issues: z.optional(z.array(z.object({ path: z.string(), message: z.string() }))),
})

/**
 * Has a configuration checked by the image that is going to run it, in a container without a network. `folder` holds
 * the `openclaw.json` and must be readable by `user`. Errors: `config_rejected` with OpenClaw's own words,
 * `image_not_openclaw`.
 */
export async function validateConfig(
  docker: Docker,
  image: string,
  user: string,
  folder: string,
  signal: AbortSignal,
): Promise<string> {
  const { code, stdout, stderr } = await docker.throwaway({
    image,
    command: ['node', 'openclaw.mjs', 'config', 'validate', '--json'],
    user,
    mounts: [{ source: folder, target: INSIDE.config, readOnly: true }],
    tmpfs: [
      '/tmp:rw,noexec,nosuid,nodev,size=128m,mode=1777',
      `${INSIDE.state}:rw,noexec,nosuid,nodev,size=64m,mode=0700,${ids(user)}`,
      `${INSIDE.cache}:rw,noexec,nosuid,nodev,size=64m,mode=0700,${ids(user)}`,
    ],
    environment: {
      HOME: INSIDE.home,
      OPENCLAW_STATE_DIR: INSIDE.state,
      OPENCLAW_CONFIG_PATH: INSIDE.configFile,
      XDG_CACHE_HOME: INSIDE.cache,
    },
    deadline: 120_000,
    signal,
  })
  const verdict = Validation.safeParse(parseJson(stdout))
  if (!verdict.success)
    throw new ToolError(
      'image_not_openclaw',
      `the image does not answer as OpenClaw does (code ${code}): ${errorLine(stderr || stdout)}`,
      'Check --image or --openclaw-version: it must be an OpenClaw gateway image with openclaw.mjs in its working folder.',
    )
  if (verdict.data.valid) return 'valid'
  const issues = (verdict.data.issues ?? [])
    .map(issue => visible(`${issue.path}: ${issue.message}`))
    .join('; ')
  throw new ToolError(
    'config_rejected',
    `this OpenClaw refuses the configuration: ${issues}`,
    'Nothing was replaced. Choose the OpenClaw release this tool was made for, or a newer version of this tool.',
    Exit.unknown,
  )
}

/** The line of a Node stack trace that says what is wrong. */
function errorLine(text: string): string {
  return visible(stripVTControlCharacters(/^\w*Error: .*$/m.exec(text)?.[0] ?? firstLine(text)))
}

const SecurityAudit = z.object({
  summary: z.object({ critical: z.number(), warn: z.number(), info: z.number() }),
  findings: z.array(z.object({ checkId: z.string(), severity: z.string(), title: z.string() })),
})
export type SecurityAudit = z.infer<typeof SecurityAudit>

const SecretsAudit = z.object({
  status: z.string(),
  summary: z.object({ plaintextCount: z.number(), unresolvedRefCount: z.number() }),
  findings: z.array(z.object({ code: z.string(), message: z.string() })),
})
export type SecretsAudit = z.infer<typeof SecretsAudit>

const Ledger = z.object({ events: z.array(z.unknown()) })

const Answer = z.object({ code: z.number(), stdout: z.string(), stderr: z.string() })
const Answers = z.object({
  security: Answer,
  secrets: Answer,
  approvals: Answer,
  /** What the gateway's database holds of the ledger; where that could not be read, `ledger` was asked. */
  records: z.optional(z.number()),
  ledger: z.optional(Answer),
  /** Asked only where the audit failed. */
  validation: z.optional(Answer),
})

/** What OpenClaw says of a deployment. Each throws `judge_silent` when that judge gave no verdict. */
export interface Judges {
  security(): SecurityAudit
  secrets(): SecretsAudit
  /** Why a command could be run in the gateway's own container; empty when none can. Errors: `approvals_unknown`. */
  approvals(): string[]
  /** How many records the audit ledger has, and who says so. */
  ledger(): { records: number; source: string }
  /** What OpenClaw dislikes about the configuration so much that it would not start; empty when nothing. */
  objections(): string[]
}

/** Reads what `askJudges` printed. Errors: `judge_silent`. */
export function readJudges({ code, stdout, stderr }: Finished): Judges {
  const answers = Answers.safeParse(parseJson(stdout))
  if (!answers.success) throw silent('', code, stderr)
  const { security, secrets, approvals, records, ledger, validation } = answers.data
  return {
    security: () => read(SecurityAudit, security, 'security audit'),
    secrets: () => read(SecretsAudit, secrets, 'secrets audit'),
    approvals: () => openIn(approvals),
    ledger() {
      if (records !== undefined) return { records, source: 'audit_events in state/openclaw.sqlite' }
      if (ledger === undefined) throw silent(' audit', 0, '')
      return { records: read(Ledger, ledger, 'audit').events.length, source: 'openclaw audit --json' }
    },
    objections() {
      const found = validation === undefined ? undefined : read(Validation, validation, 'config validate')
      if (found?.valid === false) {
        const said = (found.issues ?? []).map(issue => `${issue.path}: ${issue.message}`)
        return said.length > 0 ? said : ['refused, without a reason']
      }
      // Who gives a verdict has read the configuration, and found nothing that keeps the gateway from starting.
      read(SecurityAudit, security, 'security audit')
      return []
    },
  }
}

function read<T>(schema: z.ZodType<T>, finished: Finished, what: string): T {
  const parsed = schema.safeParse(parseJson(finished.stdout))
  if (parsed.success) return parsed.data
  throw silent(` ${what}`, finished.code, finished.stderr)
}

function silent(what: string, code: number, stderr: string): ToolError {
  return new ToolError(
    'judge_silent',
    `openclaw${what} gave no verdict (code ${code}): ${reasonInLog(/Reason: ([^"\n]*)/.exec(stderr)?.[1] ?? stderr)}`,
    'Look at the gateway’s log, then run the command again.',
  )
}

function ids(user: string): string {
  const [uid, gid] = user.split(':')
  return `uid=${uid},gid=${gid}`
}
