import type { Answers } from '../../src/deployment/answers.ts'
import type { FileOwner } from '../../src/deployment/files.ts'
import type { Layout } from '../../src/deployment/layout.ts'
import type { Ownership } from '../../src/deployment/owner.ts'
import type { Plan } from '../../src/deployment/plan.ts'
import type { Compose } from '../../src/docker/compose.ts'
import type { Docker } from '../../src/docker/engine.ts'
import type { ProcessRunner } from '../../src/docker/process.ts'
import type { GatewayImage } from '../../src/gateway/image.ts'
import type { DeliveredSecret } from '../../src/gateway/policy.ts'
import type { Journal } from '../../src/procedure/journal.ts'
import type { Redactor } from '../../src/secret.ts'
import type { SecretStore } from '../../src/stores/store.ts'
import type { BroughtSecrets, Openers } from '../../src/wizard/secrets.ts'

/** What setup knows when it starts, and what its steps find out on the way. */
export interface SetupContext {
  answers: Answers
  /** The text of `deployment.yaml`. */
  written: string
  layout: Layout
  /** The user who runs this. */
  person: FileOwner
  docker: Docker
  run: ProcessRunner
  compose: Compose
  store: SecretStore
  journal: Journal
  redactor: Redactor
  brought: BroughtSecrets
  /** What opens the store, or makes what does. */
  openers: Openers
  /** False with `--no-launch`: render only, and never talk to an engine. */
  launch: boolean
  /** How long the gateway may take to answer, in milliseconds. */
  startDeadline: number
  now(): Date
  /** A line of a child's output, for the progress display. */
  say(line: string): void
  found: Found
}

/** Filled in by the steps, in their order. */
export interface Found {
  image?: GatewayImage
  /** The gateway's image without the ssh client that a coding agent needs. */
  plain?: GatewayImage
  /** The image of the two at the border. */
  border?: GatewayImage
  /** The image in which a coding agent's commands run. */
  sandbox?: GatewayImage
  ownership?: Ownership
  /** Whether the engine confines containers by SELinux. */
  isLabelled?: boolean
  secrets?: DeliveredSecret[]
  plan?: Plan
  container?: string
}

/** What an earlier step must have found. A missing one is a defect in the order of the steps. */
export function must<K extends keyof Found>(found: Found, key: K): NonNullable<Found[K]> {
  const value = found[key]
  if (value === undefined) throw new Error(`no earlier step has found the ${key}`)
  return value
}
