import { isDeepStrictEqual } from 'node:util'
import { type Answers, hasSandbox } from '../../src/deployment/answers.ts'
import type { Check, Judgement } from '../../src/procedure/step.ts'
import type { Secret } from '../../src/secret.ts'
import type { Service } from './service.ts'
import { at } from './tree.ts'
import { NotApplicable, type World } from './world.ts'

/** A check of `verify`: what it looks at, and the copy in which it has to fail. */
export type VerifyCheck = Check<World, Twin> & {
  /** Milliseconds, where it takes longer than others. */
  deadline?: number
}

/**
 * A copy of a deployment, with secrets of its own, for negative controls to break. Nothing in it is worth protecting.
 */
export interface Twin {
  readonly answers: Answers
  readonly root: string
  /** The address of its network's bridge: another address of this machine that no neighbour has a route to. */
  readonly bridgeAddress: string
  readonly token: Secret
  /** Whom its container runs as. */
  readonly user: { uid: number; gid: number }
  /** Sets keys of a service in docker-compose.yml, the gateway's unless another is named; `undefined` removes one. */
  service(keys: Record<string, unknown>, service?: string): void
  /** Sets keys of a network in docker-compose.yml. */
  network(name: string, keys: Record<string, unknown>): void
  /** Puts the gateway on a network with a way out, besides its own. */
  wayOut(): void
  /** Adds a variable to the service's environment. */
  environment(name: string, value: string): void
  /** Adds a volume to the service. */
  mount(source: string, target: string, readOnly: boolean): void
  /** Sets one value of openclaw.json; `undefined` removes it. */
  policy(path: readonly [string, ...string[]], value: unknown): void
  /** Runs this in the container before the gateway, in a shell. */
  startWith(script: string): void
  /** Adds a line to the Dockerfile of an image of its own, on top of the deployment's. */
  image(instruction: string): void
  /** Writes a file of the copy; folders are made. */
  write(path: string, content: string | Secret, mode?: number): void
  read(path: string): string
  remove(path: string): void
  chmod(path: string, mode: number): void
  /** Its files below `secrets/`. */
  secretFiles(): string[]
  /** Runs git in the copy. */
  git(...args: string[]): Promise<void>
  /** Waits until the running gateway's log says this. */
  untilLogged(pattern: RegExp): Promise<void>
}

/** A judgement in one line: `passIf(condition, what was seen)`. */
export function passIf(good: boolean, evidence: string): Judgement {
  return { verdict: good ? 'pass' : 'fail', evidence }
}

export function unknown(evidence: string): Judgement {
  return { verdict: 'unknown', evidence }
}

export function skip(reason: string): Judgement {
  return { verdict: 'skip', evidence: reason }
}

/** Passes when openclaw.json has exactly these values; "a.b" is a place in it. */
export function demand(
  policy: Record<string, unknown>,
  wanted: readonly (readonly [place: string, value: unknown])[],
): Judgement {
  const seen = wanted.map(([place, value]) => ({ place, value, found: at(policy, ...place.split('.')) }))
  const wrong = seen.filter(one => !isDeepStrictEqual(one.found, one.value))
  const shown = (wrong.length > 0 ? wrong : seen).map(
    ({ place, found }) => `${place} ${found === undefined ? 'not set' : JSON.stringify(found)}`,
  )
  return passIf(wrong.length === 0, `openclaw.json: ${shown.join(', ')}`)
}

/** The answers of a deployment of this tool. Somebody else's has none: what only ours has is skipped there. */
export function ours(world: Pick<World, 'own'>): Answers {
  if (world.own === undefined) throw new NotApplicable('this deployment was not made by this tool')
  return world.own
}

/** Skips where there is no sandbox of the deployment's own to look into. */
export function expectSandbox(world: Pick<World, 'own'>): void {
  const answers = ours(world)
  if (answers.posture !== 'coding') throw new NotApplicable('the agent has no commands, and no sandbox')
  if (!hasSandbox(answers))
    throw new NotApplicable('OpenClaw makes the sandboxes itself, by the engine’s socket (agent.sandbox)')
}

/** The service in the Compose file, or undefined where the container was started by hand. */
export async function serviceIfAny(world: Pick<World, 'service'>): Promise<Service | undefined> {
  try {
    return await world.service()
  } catch (error) {
    if (error instanceof NotApplicable) return undefined
    throw error
  }
}
