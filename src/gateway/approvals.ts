import * as z from 'zod'
import { type Docker, firstLine } from '../docker/engine.ts'
import type { Finished } from '../docker/process.ts'
import { ToolError, visible } from '../errors.ts'
import { parseJson } from '../json.ts'
import { programsOf, SANDBOX } from './sandbox.ts'

/**
 * What the agent may start, applied and read back, in both places where a command could run.
 *
 * In the gateway nothing may: OpenClaw's approvals say so, which it asks before every command there. In the sandbox it does
 * not ask them (2026.9.6: with approvals that deny everything, a command in the sandbox runs), and so the sandbox's image
 * decides: what is not on the list cannot be executed by its user.
 */

const Shut = { security: 'deny', ask: 'off', askFallback: 'deny', autoAllowSkills: false } as const

const Scope = z.looseObject({
  security: z.optional(z.string()),
  allowlist: z.optional(z.array(z.unknown())),
})
const Approvals = z.object({
  file: z.object({ defaults: Scope, agents: z.record(z.string(), Scope) }),
  effectivePolicy: z.object({
    scopes: z.array(z.object({ scopeLabel: z.string(), security: z.object({ effective: z.string() }) })),
  }),
})

/**
 * Why OpenClaw would let a command run in the gateway's own container, one reason each; empty when nothing can. Read from
 * `openclaw approvals get`, which merges openclaw.json with the database. Takes 2 s.
 * Errors: `approvals_unknown` when it could not look; those of the process runner.
 */
export async function openApprovals(docker: Docker, container: string): Promise<string[]> {
  const finished = await openclaw(docker, container, ['approvals', 'get', '--json'])
  return openIn(finished)
}

/** The same, of an answer to `openclaw approvals get --json`. Errors: `approvals_unknown`. */
export function openIn(finished: Pick<Finished, 'code' | 'stdout' | 'stderr'>): string[] {
  const read = Approvals.safeParse(parseJson(finished.stdout))
  if (finished.code !== 0 || !read.success) throw unseen(finished)
  const { file, effectivePolicy } = read.data
  if (effectivePolicy.scopes.length === 0) throw unseen(finished)
  const listed = Object.entries({ 'all agents': file.defaults, ...file.agents })
  return [
    ...effectivePolicy.scopes
      .filter(({ security }) => security.effective !== 'deny')
      .map(({ scopeLabel, security }) => `${visible(scopeLabel)} has the security "${security.effective}"`),
    ...listed
      .filter(([, { allowlist = [] }]) => allowlist.length > 0)
      .map(([name, { allowlist = [] }]) => `${visible(name)}: ${allowlist.length} allowed in the gateway`),
  ]
}

/**
 * Has OpenClaw refuse every command in the gateway's own container, and reads it back. It applies to the next command, without
 * a restart. Takes 4 s; changes nothing where it is so already.
 * Errors: `approvals_open` when it is not so afterwards; `approvals_unknown`; those of the process runner.
 */
export async function shutApprovals(docker: Docker, container: string): Promise<void> {
  if ((await openApprovals(docker, container)).length === 0) return
  // For "main" as well: what somebody has set for one agent would go before the defaults.
  const document = { version: 1, defaults: Shut, agents: { main: { ...Shut, allowlist: [] } } }
  const finished = await openclaw(docker, container, ['approvals', 'set', '--stdin', '--json'], document)
  const open = finished.code === 0 ? await openApprovals(docker, container) : [reasonOf(finished)]
  if (open.length > 0)
    throw new ToolError(
      'approvals_open',
      `OpenClaw would let commands run in the gateway itself: ${open.join('; ')}`,
      'Look at them with "docker compose exec openclaw-gateway node openclaw.mjs approvals get", then run setup again.',
    )
}

const Programs = z.object({ missing: z.array(z.string()), extra: z.array(z.string()) })

/** What differs between the list and what the sandbox's user can really start. */
export type ProgramsSeen = z.infer<typeof Programs>

/**
 * Looks in the running sandbox, as its user: `missing` are programs of the list that cannot be started, `extra` are files of
 * the image that can be and are not on it. Files that the agent has made in its workspace are its own, and what a listed git or
 * an added package starts by path is a part of it.
 * Errors: `programs_unknown` when it could not look; those of the process runner.
 */
export async function startablePrograms(
  docker: Docker,
  container: string,
  programs: readonly string[],
): Promise<ProgramsSeen> {
  const order = JSON.stringify(programsOf(programs))
  const finished = await docker.exec(container, ['python3', '-c', LOOK, order], { deadline: 60_000 })
  const seen = Programs.safeParse(parseJson(finished.stdout))
  if (finished.code === 0 && seen.success) return seen.data
  throw new ToolError(
    'programs_unknown',
    `the programs of the sandbox could not be looked at: ${reasonOf(finished)}`,
    'Look at the container with "docker compose logs sandbox", then run the command again.',
  )
}

/** Walks the image as `find -xdev` does: what is mounted is on another device. Libraries are no programs. */
const LOOK = `
import json, os, shutil, stat, sys
path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
names = json.loads(sys.argv[1])
found = {name: shutil.which(name, path=path) for name in names}
kept = {os.path.realpath(file) for file in found.values() if file}
root = os.lstat("/").st_dev
if os.path.exists("${SANDBOX.parts}"): kept.update(open("${SANDBOX.parts}").read().split("\\n"))
extra = []
for folder, folders, files in os.walk("/"):
    folders[:] = [f for f in folders if os.lstat(os.path.join(folder, f)).st_dev == root]
    for name in files:
        file = os.path.join(folder, name)
        info = os.lstat(file)
        if not stat.S_ISREG(info.st_mode) or info.st_dev != root or info.st_size == 0 or file in kept: continue
        if name.endswith(".so") or ".so." in name: continue
        if folder == "/usr/lib/git-core" and "git" in names: continue
        if os.access(file, os.X_OK): extra.append(file)
print(json.dumps({"missing": [name for name, file in found.items() if not file], "extra": sorted(extra)}))
`

async function openclaw(
  docker: Docker,
  container: string,
  command: readonly string[],
  input?: object,
): Promise<Finished> {
  return docker.exec(container, ['node', 'openclaw.mjs', ...command], {
    deadline: 120_000,
    ...(input === undefined ? {} : { input: JSON.stringify(input) }),
  })
}

function unseen(finished: Pick<Finished, 'code' | 'stdout' | 'stderr'>): ToolError {
  return new ToolError(
    'approvals_unknown',
    `OpenClaw's approvals could not be read: ${reasonOf(finished)}`,
    'Ask it in the deployment folder: docker compose exec openclaw-gateway node openclaw.mjs approvals get.',
  )
}

function reasonOf({ code, stdout, stderr }: Pick<Finished, 'code' | 'stdout' | 'stderr'>): string {
  return `${visible(firstLine(`${stderr}\n${stdout}`))} (exit code ${code})`
}
