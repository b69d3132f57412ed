import type { Threat } from '../../src/procedure/step.ts'
import { STOPPED, THROUGH, WORDS } from './words.ts'

/**
 * One thing an attacker would do, as data. It is bounded, undoes itself, and runs in containers alone. Each gets through
 * somewhere: docs/threats.md shows where.
 */
export interface Attack {
  /** `attack.filesystem.shadow`: the second word is the threat's check. */
  id: string
  threat: Threat
  /** What the attacker wants. */
  title: string
  how: ShellAttack | ToolAttack
  /** What has to be there to be attacked, by the name of its variable: see {@link Surroundings}. */
  needs?: readonly (keyof Surroundings)[]
  /** A gateway process that was taken over can do this all the same: why, and what limits the damage. */
  residual?: string
}

/**
 * A POSIX shell script in the words of words.ts. It says `through WORDS` or `stopped WORDS`; whatever else becomes of it means
 * that it was not tried. `does COMMAND` says one of the two by the command's code.
 */
export interface ShellAttack {
  shell: string
  /** Seconds; 10 where nothing is said. */
  limit?: number
}

/** A call of one of the agent's own tools. It got through when its result has this in it. */
export interface ToolAttack {
  tool: string
  arguments: Record<string, unknown>
  proof: RegExp
}

/** What stands around the container for the test, by shell variable. What is missing is not attacked. */
export interface Surroundings {
  /** An address out there, and the ports that listen on it. */
  OUTSIDE?: string
  OUTSIDE6?: string
  TCP?: string
  OTHER?: string
  UDP?: string
  /** A UDP port that answers questions of DNS. */
  DNS?: string
  /** A port of a service of this machine, on all its addresses, and one of them. */
  HOST_PORT?: string
  HOST?: string
  /** A container beside this one. */
  NEIGHBOUR?: string
  NEIGHBOUR_PORT?: string
  /** A name that this machine's own resolver answers. */
  NAME?: string
  /** Set where the cloud's metadata service, or what stands for it, answers this machine. */
  METADATA?: string
  /** The shipped program for kernel calls (native/probe.c), in base64, or where it lies already. */
  PROBE_BASE64?: string
  PROBE?: string
  /** Processes and mebibytes that are more than any limit; `unlimited` where there is none to try. */
  PROCESSES?: string
  MEMORY?: string
  /** What a container may write that this one is like, and has read-only: mounts, one a line. */
  LENT?: string
  /** The mounts that the container is meant to have, temporary folders among them: one a line. */
  OWN?: string
  /** How many the machine has, where the limit is below that. */
  PROCESSORS?: string
}

export type Outcome = 'stopped' | 'through' | 'unknown'

export interface Result {
  attack: Attack
  outcome: Outcome
  /** Which container was attacked, where it was not the gateway's. */
  where?: string
  /** By what it was stopped, or what the attacker has got: one line. */
  seen: string
}

export const isShell = (attack: Attack): attack is Attack & { how: ShellAttack } => 'shell' in attack.how
export const isTool = (attack: Attack): attack is Attack & { how: ToolAttack } => 'tool' in attack.how

const RUNNER = String.raw`
# Every engine mounts this file of its own; on a machine nobody does.
awk '$5 == "/etc/hosts" { found = 1 } END { exit !found }' /proc/self/mountinfo || { echo 'refused: this is no container'; exit 1; }
# What it has to bring along it puts where programs may be written and started, if there is such a place.
if [ -n "$PROBE_BASE64" ]; then
  for place in "$PWD" "$HOME" "$OPENCLAW_STATE_DIR" /tmp /var/tmp; do
    [ -w "$place" ] || continue
    PROBE=$place/.ocs-probe
    echo "$PROBE_BASE64" | base64 -d >"$PROBE" && chmod 755 "$PROBE" && OCS_SIBLING=1 "$PROBE" fork 0 >/dev/null 2>&1 && break
    rm -f "$PROBE"
    PROBE=
  done
  export PROBE
  unset PROBE_BASE64
fi
try() {
  script=$(cat)
  seen=$(timeout -k 1 "$2" sh -c "$WORDS
$script" 2>&1 </dev/null)
  code=$?
  printf 'ocs-result\t%s\t%s\t%s\n' "$1" "$code" "$(printf %s "$seen" | tail -n 2 | tr '\n\t\r' '   ' | cut -c 1-140)"
}
`

/** The script that makes these attacks one after the other, and prints a line for each. It refuses outside of a container. */
export function scriptOf(attacks: readonly Attack[], surroundings: Surroundings): string {
  const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`
  const made = attacks.filter(isShell).filter(attack => missing(attack, surroundings).length === 0)
  const needed = new Set<string>(made.flatMap(({ needs = [] }) => needs))
  if (needed.has('PROBE')) needed.add('PROBE_BASE64')
  const variables = Object.entries(surroundings).filter(
    ([name]) => ['LENT', 'OWN'].includes(name) || needed.has(name),
  )
  return [
    ...variables.map(([name, value]) => `${name}=${quoted(value)}`),
    // Not the program itself: each attack would be handed it in its environment.
    ...variables.filter(([name]) => name !== 'PROBE_BASE64').map(([name]) => `export ${name}`),
    `WORDS=${quoted(WORDS)}`,
    RUNNER,
    ...made.map(({ id, how }) => `try ${id} ${how.limit ?? 10} <<'ocs-end'\n${how.shell.trim()}\nocs-end`),
    'case $PROBE in */.ocs-probe) rm -f "$PROBE" ;; esac',
    '',
  ].join('\n')
}

/** What the script of {@link scriptOf} has printed, one result for each attack. One without a line is `unknown`. */
export function readResults(
  attacks: readonly Attack[],
  printed: string,
  surroundings: Surroundings,
): Result[] {
  const lines = new Map<string, [code: number, seen: string]>()
  for (const [, id = '', code = '', seen = ''] of printed.matchAll(/^ocs-result\t(\S+)\t(\d+)\t?(.*)$/gm))
    lines.set(id, [Number(code), seen.trim()])
  return attacks.filter(isShell).map(attack => {
    const lacking = missing(attack, surroundings)
    if (lacking.length > 0)
      return { attack, outcome: 'unknown', seen: `not tried: nothing here to attack (${lacking.join(', ')})` }
    const [code, seen] = lines.get(attack.id) ?? []
    if (code === undefined) return { attack, outcome: 'unknown', seen: 'its result never came' }
    if (code === THROUGH) return { attack, outcome: 'through', seen: seen ?? '' }
    if (code === STOPPED) return { attack, outcome: 'stopped', seen: seen ?? '' }
    return { attack, outcome: 'unknown', seen: `not tried, code ${code}: ${seen ?? ''}` }
  })
}

/** Whether OpenClaw itself has refused a call, in its own words (2026.9). What else fails proves nothing: a sandbox may be broken. */
export function isRefusal(answer: string): boolean {
  return /Tool \S+ not found|\bexec denied:|\bexec host not\b|\bescapes (?:sandbox root|allowed mounts)/.test(
    answer,
  )
}

/** What an agent's tool has answered, of an agent whose tools work or are refused; undefined when the call was never answered. */
export function judgeTool(attack: Attack & { how: ToolAttack }, answer: string | undefined): Result {
  const seen = (answer ?? '').replace(/\s+/g, ' ').slice(0, 140)
  if (answer === undefined) return { attack, outcome: 'unknown', seen: 'the agent’s tool was never called' }
  if (attack.how.proof.test(answer)) return { attack, outcome: 'through', seen }
  // Nothing said is no refusal, and neither is an error of any kind; but a file that is not there has been looked for.
  const isError = /"status":\s*"error"/.test(answer) && !isRefusal(answer) && !/File not found/.test(answer)
  return { attack, outcome: seen === '' || isError ? 'unknown' : 'stopped', seen }
}

function missing({ needs = [] }: Attack, surroundings: Surroundings): string[] {
  const there = { ...surroundings, PROBE: surroundings.PROBE ?? surroundings.PROBE_BASE64 }
  return needs.filter(name => there[name] === undefined)
}
