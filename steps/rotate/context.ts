import type { Answers } from '../../src/deployment/answers.ts'
import type { FileOwner } from '../../src/deployment/files.ts'
import type { Layout } from '../../src/deployment/layout.ts'
import type { Docker } from '../../src/docker/engine.ts'
import type { Problem } from '../../src/errors.ts'
import type { Device } from '../../src/gateway/devices.ts'
import type { Gateway } from '../../src/gateway/running.ts'
import type { Journal } from '../../src/procedure/journal.ts'
import type { Redactor, Secret } from '../../src/secret.ts'
import type { SecretStore, StoredValue } from '../../src/stores/store.ts'

/** The rotation of one secret: what is known when it starts, and what its steps find out. */
export interface RotateContext {
  layout: Layout
  /** As they were rendered last: of what is running, not of what somebody edited since. */
  answers: Answers
  /** Which secret. */
  name: string
  store: SecretStore
  gateway: Gateway
  docker: Docker
  journal: Journal
  redactor: Redactor
  /** Who must own what the gateway reads; undefined: whoever runs this. */
  owner(): FileOwner | undefined
  /** The new value, where it comes from somewhere else; undefined: it is generated. */
  brought: Secret | undefined
  /** A call that proves a provider's key before the gateway gets it. */
  call: { url: string; header: string | undefined } | undefined
  /** Goes on with what an earlier run has begun. */
  resume: boolean
  /** Whether a gateway that was stopped may be started for it: not by a timer, for somebody may have stopped it on purpose. */
  mayStart: boolean
  now(): Date
  found: Found
}

/** Filled in by the steps, in their order. */
export interface Found {
  /** How far the store is. */
  stage?: 'none' | 'staged' | 'committed'
  revision?: number
  /** What the gateway accepts before the rotation. */
  old?: StoredValue
  /** What it is to accept afterwards. */
  next?: StoredValue
  /** How the gateway took the new value up, and how long that took from the switch to the proof, in milliseconds. */
  applied?: { by: string; took: number }
  /** Devices with tokens of their own, which outlive the rotation. */
  devices?: readonly Device[]
  /** Files in which the old value still stands, relative to the deployment. */
  left?: readonly string[]
  /** The old value is destroyed: whatever goes wrong from here on, the rotation has happened. */
  isOver?: true
}

/** What an earlier step must have found. A missing one is a defect in the order of the steps. */
export function must<K extends keyof Found>(found: Found, key: K): NonNullable<Found[K]> {
  const value = found[key]
  if (value === undefined) throw new Error(`no earlier step has found the ${key}`)
  return value
}

/** What opens the store is a secret as well, with a rotation of its own. */
export const STORE_CREDENTIAL = 'store_credential'

/** A rotation in the journal: each secret has its own. */
export function procedureOf(name: string): string {
  return `rotate ${name}`
}

/**
 * Rotations that were begun and not ended, by secret, as the journal has them. A journal that somebody has damaged says
 * nothing: what is half-way, the store knows as well, and `verify` reports the journal.
 */
export function unfinishedRotations(
  journal: Pick<Journal, 'read' | 'verifyChain'>,
): { name: string; since: string }[] {
  if (!journal.verifyChain().intact) return []
  const last = new Map<string, { since: string; isOver: boolean }>()
  for (const { procedure, event, at } of journal.read()) {
    if (!procedure.startsWith(PREFIX)) continue
    const known = last.get(procedure)
    const since = known === undefined || known.isOver ? at : known.since
    last.set(procedure, { since, isOver: event === 'done' })
  }
  return [...last]
    .filter(([, { isOver }]) => !isOver)
    .map(([procedure, { since }]) => ({ name: procedure.slice(PREFIX.length), since }))
}

/**
 * What is wrong with changing anything else about the secrets while a rotation is half-way. What opens the store is not one
 * of them: setup is how another one is brought.
 */
export function unfinishedRotationProblems(journal: Pick<Journal, 'read' | 'verifyChain'>): Problem[] {
  return unfinishedRotations(journal)
    .filter(({ name }) => name !== STORE_CREDENTIAL)
    .map(({ name, since }) => ({
      field: name,
      saw: `a rotation was cut short (begun at ${since})`,
      allowed: 'Finish it first: create-openclaw-secure rotate --resume.',
    }))
}

const PREFIX = procedureOf('')
