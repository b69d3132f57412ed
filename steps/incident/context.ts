import type { Answers } from '../../src/deployment/answers.ts'
import type { FileOwner } from '../../src/deployment/files.ts'
import type { Layout } from '../../src/deployment/layout.ts'
import type { Compose } from '../../src/docker/compose.ts'
import type { Docker } from '../../src/docker/engine.ts'
import type { ProcessRunner } from '../../src/docker/process.ts'
import type { Case } from '../../src/evidence/case.ts'
import type { Journal } from '../../src/procedure/journal.ts'
import type { Runtime } from '../../src/procedure/run.ts'
import type { Runbook, RunbookEffect, RunbookStep } from '../../src/procedure/runbook.ts'
import type { Finding, Outcome } from '../../src/procedure/step.ts'
import type { Redactor, Secret } from '../../src/secret.ts'
import type { SecretStore } from '../../src/stores/store.ts'

/** An incident: the deployment it happens to, the case that is open for it, and what the person has decided. */
export interface IncidentContext {
  case: Case
  runbook: Runbook
  layout: Layout
  /** As they were rendered last: of what is running. */
  answers: Answers
  docker: Docker
  /** The same engine, redacting nothing: for evidence that has to be as it was found. Nothing of it is shown. */
  searching: Docker
  run: ProcessRunner
  /** Redacts nothing. */
  searchingRun: ProcessRunner
  compose: Compose
  store: SecretStore
  /** Of the deployment; the case has one of its own. */
  journal: Journal
  redactor: Redactor
  person: FileOwner
  /** Who must own what the gateway reads; undefined: whoever runs this. */
  owner(): FileOwner | undefined
  now(): Date
  version: string
  /** Comes back when nothing goes on any more that a killed run had begun, and the chain says with what the case is made. */
  settled(): Promise<void>
  /** What a procedure inside this one runs with: the lock is held already. */
  runtimeOf(): Runtime
  /** Runs every check against the deployment as it is now. */
  verify(): Promise<Finding[]>
  /** Tells the person what comes next, and why. */
  lead(step: RunbookStep): void
  /** A line for the person. */
  say(line: string): void
  /** How to ask; undefined where nobody can be asked. */
  ask: Asking | undefined
  wishes: Wishes
}

/** Asks the person. */
export interface Asking {
  /** Text to read before the next question. */
  show(text: string): void
  confirm(question: string): Promise<boolean>
  /** A line of text; empty when the person has nothing to say. */
  text(question: string): Promise<string>
  /** A secret, not shown while it is typed; undefined when there is none. */
  secret(question: string): Promise<Secret | undefined>
  choose(question: string, options: readonly { value: string; label: string }[]): Promise<string>
}

/** What flags say. */
export interface Wishes {
  /** Exfiltration is live: cut before freezing. */
  cutFirst: boolean
  /** The processes' memory as well: it holds secrets. Needs a recipient. */
  memory: boolean
  /** age recipients: what is kept is encrypted to them. */
  recipients: readonly string[]
  /** Keep the gateway's state instead of putting it into the case. A weakening. */
  keepState: boolean
  /** Steps that destroy, by id, agreed to. */
  allow: readonly string[]
  /** Names of secrets that leaked. Empty: ask; where nobody can be asked, the gateway token. */
  leaked: readonly string[]
  /** When everything was still well. */
  since: Date | undefined
  /** New provider keys, and values of other secrets, by secret name. */
  brought: ReadonlyMap<string, Secret>
  /** Takes a proposed change of the policy without asking. */
  applyPolicy: boolean
  /** A drill's copy: nobody elsewhere is asked anything, and no image is built. */
  rehearsal: boolean
  /** How long the gateway may take to start. Milliseconds. */
  startDeadline: number
}

/** What a runbook can call by name. */
export interface Action {
  /** Dotted: 'networks.cut'. */
  id: string
  title: string
  effect: RunbookEffect
  /**
   * Looked at again when a run goes on, as long as the evidence is not sealed: somebody may have undone it. Without this, what
   * the chain of custody says is done is not done again.
   */
  standing?: true
  /** Does not wait until the case is {@link IncidentContext.settled}: it needs nothing of it, and every tenth of a second counts. */
  hasty?: true
  /** A reason not to run, from a look at the world. */
  skip?(ctx: IncidentContext): Promise<string | undefined> | string | undefined
  run(ctx: IncidentContext, signal: AbortSignal): Promise<Outcome>
}
