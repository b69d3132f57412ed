import type { Answers } from '../deployment/answers.ts'
import type { Kind } from './kinds.ts'

export type AnswerId = keyof Answers
/** Answers so far. */
export type Partly = Partial<Answers>

/**
 * One question, declared once: the prompt, the flag, the environment variable, the place in `deployment.yaml`, the
 * help text and the documentation all come from here.
 */
export interface Question<K extends AnswerId = AnswerId> {
  id: K
  flag: string
  path: readonly [string, ...string[]]
  /** The section of the conversation and of the documentation. */
  group: 'Gateway' | 'Agent' | 'Egress' | 'Image' | 'Access' | 'Secrets' | 'Limits' | 'People'
  prompt: string
  help: string
  kind: Kind<Answers[K]>
  /** What `--yes` takes. undefined: there is no good guess, so it must be answered. */
  fallback(answers: Partly, place: Place): Answers[K] | undefined
  /** Whether the question arises at all. When not, its fallback is the answer, and `needs` says what it hangs on. */
  when?(answers: Partly): boolean
  needs?: string
  /** Has a default that suits nearly everybody: not asked, but shown for review, where it can be changed. */
  advanced?(place: Place): boolean
  /** A malformed text without the part that may be a secret put in the wrong place. */
  hides?(text: string): string
  /** Why this value is refused although it is well formed. */
  refuses?(value: Answers[K], answers: Partly): string | undefined
}

/** What defaults may depend on. */
export interface Place {
  directory: string
  timezone: string
  /** The engine publishes "loopback" ports to neighbours on the network too (Docker before 28). */
  exposedToNeighbours: boolean
  /** Names the AppRole that this run is going to make in Vault; undefined when it makes none. */
  newRole?: string
}

/** Gives each question its own type, so that its kind and its answer belong together. */
export const define = <K extends AnswerId>(question: Question<K>): Question<K> => question

/** The answer to a question that does not arise. */
export const never = () => ''
export const always = () => true

/** `OPENCLAW_SECURE_OPENCLAW_VERSION` for `--openclaw-version`. */
export function environmentName(question: Pick<Question, 'flag'>): string {
  return `OPENCLAW_SECURE_${question.flag.slice(2).replaceAll('-', '_').toUpperCase()}`
}
