import { createHash } from 'node:crypto'
import { homedir } from 'node:os'
import { dirname, resolve } from 'node:path'
import { ensureDirectory, readIfPresent, writeAtomic } from '../../src/deployment/files.ts'
import {
  type Canary,
  engineGround,
  type Ground,
  groundOf,
  missingCalls,
  tryUnder,
} from '../../src/docker/canary.ts'
import type { Docker } from '../../src/docker/engine.ts'
import type { ProcessRunner } from '../../src/docker/process.ts'
import { ToolError } from '../../src/errors.ts'
import type { JournalEvent } from '../../src/procedure/journal.ts'
import type { Step } from '../../src/procedure/step.ts'
import { type Found, must, type SetupContext } from './context.ts'

type Needs = Pick<
  SetupContext,
  'answers' | 'docker' | 'run' | 'launch' | 'journal' | 'startDeadline' | 'found'
>

/**
 * Whether a filter fits depends on the engine, its runc, the kernel and the image, and whether a gateway starts on its limits: it is
 * tried before the gateway's own container has it, and again when one of them has changed.
 */
export const seccompCanary: Step<Needs> = {
  id: 'seccomp.canary',
  title: 'Try the image under its seccomp profile',
  // It leaves nothing behind, but a killed one does, and what it finds is worth remembering.
  effect: 'writes',
  interruptible: true,
  async skip(ctx) {
    if (!ctx.launch) return 'nothing is launched; the next run that launches tries it'
    const canary = canaryOf(ctx)
    if (canary === undefined) return 'the answers take Docker’s own profile'
    const ground = await groundOf(ctx.run, ctx.docker, canary)
    return isTried(ctx.journal.read(), ground)
      ? 'neither the image, the profile, the limits, the engine nor the kernel has changed since it was tried'
      : undefined
  },
  async run(ctx, signal) {
    const { docker, run } = ctx
    const canary = canaryOf(ctx)
    if (canary === undefined) throw new Error('there is no profile to try')
    const ground = await groundOf(run, docker, canary)
    if (wasTriedHere(ground))
      return { saw: 'the same was tried on this machine, for another deployment', facts: ground }
    const outcome = await tryUnder(docker, canary, canary.profile, signal)
    if (outcome.ok) {
      rememberTrial(ground)
      return {
        saw: `healthy after ${(outcome.healthy / 1000).toFixed(1)} s, one call with its token and one child process`,
        facts: ground,
      }
    }
    // The same under the engine's own profile tells whose fault it is.
    const without = await tryUnder(docker, canary, undefined, signal)
    if (!without.ok)
      throw new ToolError(
        'canary_failed',
        `the image does not work in a throw-away container, with the seccomp profile or without: ${without.why}`,
        'Is it an OpenClaw gateway image, and is --memory enough? Correct the cause and run the same command again.',
      )
    const missing = await missingCalls(run, docker, { ...canary, patience: enough(without.healthy) }, signal)
    throw new ToolError(
      'seccomp_refused',
      `under its seccomp profile the image does not work: ${outcome.why}. Kernel calls that are missing: ${missing?.join(', ') ?? 'unknown'}`,
      'Choose the OpenClaw release this tool was made for, or a newer version of this tool. --seccomp docker-default takes Docker’s own, weaker profile instead; deployment.yaml and the checks then say so.',
    )
  },
}

/** While it is looked for which call is missing, nobody waits much longer than a start takes. */
function enough(healthy: number): number {
  return Math.max(10_000, 2 * healthy)
}

/** What would be tried; undefined when the deployment takes Docker's own profile. */
function canaryOf({
  answers,
  startDeadline,
  found,
}: Pick<Needs, 'answers' | 'startDeadline' | 'found'>): Canary | undefined {
  if (answers.seccomp === 'docker-default') return undefined
  const profile = plannedProfile(found)
  const { uid, gid } = must(found, 'ownership').user
  const { memory, cpus, pids } = answers
  return {
    image: must(found, 'image').pinned,
    user: `${uid}:${gid}`,
    profile,
    memory,
    cpus,
    pids,
    patience: startDeadline,
  }
}

function plannedProfile(found: Found): string {
  const profile = must(found, 'plan').files.find(file => file.path === 'seccomp-profile.json')
  if (profile === undefined) throw new Error('the plan has no seccomp profile')
  return profile.content
}

/** What has sung on this machine, whichever deployment it was for: one line a ground. */
const TRIALS = () => resolve(homedir(), '.cache/create-openclaw-secure/canaries')

function wasTriedHere(ground: Ground): boolean {
  return (readIfPresent(TRIALS()) ?? '').split('\n').includes(hashOf(ground))
}

/** Errors: none. Where it cannot be kept, the next deployment tries once more. */
function rememberTrial(ground: Ground): void {
  try {
    const known = (readIfPresent(TRIALS()) ?? '').split('\n').filter(line => line !== '')
    ensureDirectory(dirname(TRIALS()), 0o700)
    writeAtomic(TRIALS(), `${[...known.slice(-99), hashOf(ground)].join('\n')}\n`, 0o600)
  } catch (error) {
    if (!(error instanceof ToolError)) throw error
  }
}

function hashOf(ground: Ground): string {
  return createHash('sha256').update(JSON.stringify(ground)).digest('hex')
}

/** Whether the last canary that sang did so on the same ground. */
export function isTried(events: readonly JournalEvent[], ground: Ground): boolean {
  const last = lastGround(events)
  return last !== undefined && Object.entries(ground).every(([name, value]) => last[name] === value)
}

/**
 * What is another now than when the profile was tried last, in words ("kernel 6.1.0, not 6.0.0"). Nothing, where none was
 * tried; a version that cannot be seen by everybody counts only where it was seen both times. Errors: `engine_unreachable`.
 */
export async function changedGround(
  run: ProcessRunner,
  docker: Docker,
  events: readonly JournalEvent[],
): Promise<string[]> {
  const last = lastGround(events)
  if (last === undefined) return []
  return Object.entries(await engineGround(run, docker))
    .filter(([name, value]) => last[name] !== value && ![last[name], value].includes('unknown'))
    .map(([name, value]) => `${name} ${value}, not ${last[name]}`)
}

function lastGround(events: readonly JournalEvent[]): JournalEvent['facts'] {
  return events.findLast(event => event.event === 'step-done' && event.step === 'seccomp.canary')?.facts
}
