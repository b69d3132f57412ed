import type { Answers } from '../../src/deployment/answers.ts'
import type { FileOwner } from '../../src/deployment/files.ts'
import type { Layout } from '../../src/deployment/layout.ts'
import { type Compose, INGRESS, SERVICE } from '../../src/docker/compose.ts'
import type { Docker } from '../../src/docker/engine.ts'
import { type Member, membersOf } from '../../src/docker/isolation.ts'
import type { Gateway } from '../../src/gateway/running.ts'
import type { Journal } from '../../src/procedure/journal.ts'
import type { Runtime } from '../../src/procedure/run.ts'
import type { Redactor } from '../../src/secret.ts'
import type { SecretStore } from '../../src/stores/store.ts'
import type { RotateContext } from '../rotate/context.ts'

/** A lockdown, and its undoing. */
export interface LockdownContext {
  layout: Layout
  /** As they were rendered last: of what is running. */
  answers: Answers
  docker: Docker
  compose: Compose
  /** How it is asked while it is cut off. */
  gateway: Gateway
  /** How it is asked when it is back. */
  back: Gateway
  journal: Journal
  redactor: Redactor
  /** Opened when it is needed first: a store that does not answer must not keep the network on. */
  store(): Promise<SecretStore>
  owner(): FileOwner | undefined
  now(): Date
  /** What a procedure inside this one runs with: the lock is held already. */
  runtimeOf(): Runtime
  found: RotateContext['found']
}

/** Who is cut off: the gateway, and whoever hands the port's bytes on to it. The filter and the sandbox serve nobody else. */
const CUT_OFF: readonly (string | undefined)[] = [SERVICE, INGRESS]

/** The containers that are cut off, as they are now. Errors: `engine_unreachable`. */
export async function cutOffMembers({
  docker,
  answers,
}: Pick<LockdownContext, 'docker' | 'answers'>): Promise<Member[]> {
  return (await membersOf(docker, answers.name)).filter(({ service }) => CUT_OFF.includes(service))
}
