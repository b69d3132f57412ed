/** What a step of a runbook does to the world: looks, limits the damage, or ends something that cannot be had again. */
export const RUNBOOK_EFFECTS = ['reads', 'contains', 'destroys'] as const
export type RunbookEffect = (typeof RUNBOOK_EFFECTS)[number]

/** Who agrees before a step is done. `nobody`: it just runs. */
export const CONFIRMS = ['nobody', 'person'] as const
export type Confirm = (typeof CONFIRMS)[number]

/** One step of a runbook, as its YAML says. */
export interface RunbookStep {
  /** Dotted, and unique in the runbook: names the step in the case, and in `--allow`. */
  id: string
  /** Imperative. */
  title: string
  /** For the person who is led: why this, and why now. */
  why: string
  effect: RunbookEffect
  confirm: Confirm
  /** A registered step of ours, or a program with its arguments; no shell. */
  does: { action: string } | { run: readonly [string, ...string[]] }
  /** How to take it back, in words. */
  undo: string | undefined
  /** Its target, and for a program its deadline. Milliseconds. */
  within: number
}

/** A runbook that was read without a complaint. */
export interface Runbook {
  id: string
  title: string
  /** When to use it. */
  when: string
  /** Who is called first; may be empty. */
  contacts: readonly string[]
  /** How long a drill holds good. Days. */
  drill: number
  steps: readonly RunbookStep[]
  /** The text it was read from. */
  text: string
}
