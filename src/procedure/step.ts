/**
 * What the tool is made of. A procedure is a list of steps; setting up, verifying, rotating and responding are all
 * procedures. This floor knows nothing of OpenClaw or Docker.
 */

/** `destroys` always asks first, or needs `--yes` and a named flag. */
export type Effect = 'reads' | 'writes' | 'destroys'

/** What a step has to say when it is done: one line for the person, and facts for the journal (never a secret). */
export interface Outcome {
  saw: string
  facts?: Record<string, string | number | boolean>
}

/** The smallest thing the tool can do, name, skip, run, resume and undo. */
export interface Step<C> {
  /** Stable and dotted: 'token.store'. */
  id: string
  /** Imperative: 'Store the gateway token'. */
  title: string
  effect: Effect
  /**
   * Whether Ctrl-C may end this step in the middle. Only for steps whose half-done work is worth nothing and harms
   * nothing (a download). All others run to their end first.
   */
  interruptible?: boolean
  /**
   * A reason not to run, or undefined to go. For a step that writes, it looks at the world: "already so" is what
   * makes a second run change nothing.
   */
  skip?(ctx: C): Promise<string | undefined> | string | undefined
  run(ctx: C, signal: AbortSignal): Promise<Outcome>
  undo?(ctx: C): Promise<void>
}

/** The six things that can go wrong, in the seed's words and order. */
export const THREATS = [
  'credential leakage',
  'filesystem access',
  'network exfiltration',
  'command injection',
  'resource exhaustion',
  'privilege escalation',
] as const
export type Threat = (typeof THREATS)[number]

export type Severity = 'critical' | 'high' | 'medium' | 'low'
export type Verdict = 'pass' | 'fail' | 'unknown' | 'skip'

/** `static`: from files alone, no engine needed. `live`: at the running container. */
export type Kind = 'static' | 'live'

/** What a check found. `unknown` means it could not look; it is never a pass. */
export interface Finding {
  check: string
  title: string
  /** The line of the seed's "Before Production" checklist it belongs to, 1 to 10. */
  line: number
  threat: Threat
  severity: Severity
  kind: Kind
  verdict: Verdict
  /** What was run and what was seen, redacted, so that a reader can repeat it. */
  evidence: string
  /** What to do about a `fail` or an `unknown`. */
  remedy: string
  refs: References
  /** It failed, and somebody answers for that until a day: the verdict is `skip`, and it stays visible. */
  suppressed?: Suppression
}

/** A failure that somebody has accepted, written in `deployment.yaml`. */
export interface Suppression {
  check: string
  reason: string
  /** The last day it holds, `YYYY-MM-DD`, UTC. */
  until: string
}

export interface References {
  seed: string
  cis?: string
  openclaw?: string
}

/** What a check itself decides; the runner adds what is fixed. */
export interface Judgement {
  verdict: Verdict
  evidence: string
}

/** A step that only reads, returns what it found, and can be shown to fail. `T` is what its negative control may break. */
export interface Check<C, T> {
  id: string
  title: string
  line: number
  threat: Threat
  severity: Severity
  kind: Kind
  remedy: string
  refs: References
  /** What it needs is set up after the first launch, by another command: setup does not answer for it. */
  later?: true
  run(ctx: C): Promise<Judgement>
  /** Makes a copy of the deployment one in which this check must fail: its negative control. */
  sabotage: Sabotage<T>
}

export interface Sabotage<T> {
  /** Breaks the copy's files: of a static check, all there is; of a live one, before the copy is started. */
  weaken?(twin: T): void | Promise<void>
  /** Breaks the running copy. */
  spoil?(twin: T): void | Promise<void>
  /** Breaks what other checks need: done last, when they have all been seen. */
  alone?: true
  /** Live checks share a weak copy; one that cannot share with the others names another. */
  in?: 'unguarded'
}
