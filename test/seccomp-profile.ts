/**
 * The seccomp profile, composed of what was seen (seccomp/learned.json) and what was decided (seccomp/kept.yaml). The same
 * two files give the same bytes; nobody edits the profile itself.
 */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import * as yaml from 'yaml'
import * as z from 'zod'

const Learned = z.object({
  image: z.string(),
  node: z.string(),
  /** Of each call: in which phases it was seen, and which programs made it there. */
  calls: z.record(z.string(), z.record(z.string(), z.array(z.string()))),
  /** Of some calls: the classes of the argument that decides what they can do, each with the programs. */
  arguments: z.record(z.string(), z.record(z.string(), z.array(z.string()))),
})
export type Learned = z.infer<typeof Learned>

const Group = z.strictObject({ why: z.string(), calls: z.array(z.string()) })
const Kept = z.strictObject({
  /** Allowed although nobody was seen making them. */
  allow: z.array(Group),
  /** Denied with ENOSYS by a rule of their own, whatever the engine makes of the default. The learning run denies them too. */
  fallback: z.array(Group),
  /** Denied by not being named; that one of them is learned or kept is an error. */
  deny: z.array(Group),
  socket: z.record(
    z.string(),
    z.strictObject({ why: z.string(), family: z.int(), protocol: z.optional(z.int()) }),
  ),
  /** Sockets that programs ask for and do without: learned, and denied all the same. */
  socketInVain: z.record(z.string(), z.string()),
  socketpair: z.strictObject({ why: z.string(), family: z.int() }),
  clone: z.strictObject({ why: z.string(), forbidden: z.int() }),
  ioctl: z.strictObject({ why: z.string(), forbidden: z.array(z.int()) }),
})
export type Kept = z.infer<typeof Kept>

export function readLearned(root: string): Learned {
  return Learned.parse(JSON.parse(readFileSync(resolve(root, 'seccomp/learned.json'), 'utf8')))
}

export function readKept(root: string): Kept {
  return Kept.parse(yaml.parse(readFileSync(resolve(root, 'seccomp/kept.yaml'), 'utf8')))
}

interface Argument {
  index: number
  value: number
  valueTwo?: number
  op: 'SCMP_CMP_EQ' | 'SCMP_CMP_MASKED_EQ'
}
/** A rule as engines read it. */
export interface Rule {
  comment?: string
  names: string[]
  action: 'SCMP_ACT_ALLOW' | 'SCMP_ACT_ERRNO'
  errnoRet?: number
  args?: Argument[]
}

const ENOSYS = 38
/** In this order, since a call stands where it was needed first. */
const PHASES: Record<string, string> = {
  boot: 'the gateway’s start',
  calls: 'health checks and calls to the gateway',
  'agent turn': 'an agent’s turn with bash, git, python3, node, curl and SQLite',
  maintenance: 'a reload of the secrets and a verified backup',
  'docker exec': 'docker exec',
  stop: 'the stop',
  ssh: 'sshd and ssh',
  'egress (Squid)': 'Squid',
  'ingress (HAProxy)': 'HAProxy',
}

/**
 * The text of the profile. Errors: when a denied call was learned or kept, a call is named twice in the file, or a class of socket was
 * learned that nobody decided about.
 */
export function composeProfile(learned: Learned, kept: Kept): string {
  const limited = new Set(['socket', 'socketpair', 'clone', 'ioctl'])
  const seen = Object.keys(learned.calls)
  const free = seen.filter(name => !limited.has(name))
  refuseContradictions(free, kept)
  const families = [...Object.keys(kept.socket), ...Object.keys(kept.socketInVain)]
  const undecided = Object.keys(learned.arguments.socket ?? {}).filter(family => !families.includes(family))
  if (undecided.length > 0)
    throw new Error(`seccomp/kept.yaml says nothing of sockets of ${undecided.join(', ')}`)

  const rules: Rule[] = []
  for (const [phase, words] of Object.entries(PHASES)) {
    const names = free.filter(name => firstPhase(learned, name) === phase).sort()
    const first = rules.length === 0 ? 'Learned from' : 'Learned as well from'
    if (names.length > 0) rules.push({ comment: `${first} ${words}.`, names, action: 'SCMP_ACT_ALLOW' })
  }
  const placed = new Set(rules.flatMap(rule => rule.names))
  const lost = free.filter(name => !placed.has(name))
  if (lost.length > 0) throw new Error(`no known phase made these calls: ${lost.join(', ')}`)
  for (const { why, calls } of kept.allow) {
    const names = calls.filter(name => !placed.has(name)).sort()
    if (names.length > 0) rules.push({ comment: `Kept: ${why}`, names, action: 'SCMP_ACT_ALLOW' })
  }
  for (const [name, { why, family, protocol }] of Object.entries(kept.socket))
    rules.push({
      comment: `${provenance(learned, 'socket', name)}: ${why}`,
      names: ['socket'],
      action: 'SCMP_ACT_ALLOW',
      args: [
        { index: 0, value: family, op: 'SCMP_CMP_EQ' },
        ...(protocol === undefined ? [] : [{ index: 2, value: protocol, op: 'SCMP_CMP_EQ' } as const]),
      ],
    })
  rules.push({
    comment: `${provenance(learned, 'socketpair')}: ${kept.socketpair.why}`,
    names: ['socketpair'],
    action: 'SCMP_ACT_ALLOW',
    args: [{ index: 0, value: kept.socketpair.family, op: 'SCMP_CMP_EQ' }],
  })
  rules.push({
    comment: `${provenance(learned, 'clone')}: ${kept.clone.why}`,
    names: ['clone'],
    action: 'SCMP_ACT_ALLOW',
    args: [masked(0, kept.clone.forbidden, 0)],
  })
  for (const [index, [mask, value]] of allBut(kept.ioctl.forbidden).entries())
    rules.push({
      ...(index === 0 ? { comment: `${provenance(learned, 'ioctl')}: ${kept.ioctl.why}` } : {}),
      names: ['ioctl'],
      action: 'SCMP_ACT_ALLOW',
      args: [masked(1, mask, value)],
    })
  for (const { why, calls } of kept.fallback)
    rules.push({
      comment: `Denied: ${why}`,
      names: [...calls].sort(),
      action: 'SCMP_ACT_ERRNO',
      errnoRet: ENOSYS,
    })
  return printed('SCMP_ACT_ERRNO', rules)
}

/** The profile that the learning run has: everything works but what makes programs fall back, so that what they do instead is seen. */
export function learningProfile(kept: Kept): string {
  const names = kept.fallback.flatMap(group => group.calls)
  return printed('SCMP_ACT_ALLOW', [{ names, action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS }])
}

function refuseContradictions(free: readonly string[], kept: Kept): void {
  const allowed = kept.allow.flatMap(group => group.calls)
  const denied = [...kept.deny, ...kept.fallback].flatMap(group => group.calls)
  const both = [...free, ...allowed].filter(name => denied.includes(name))
  if (both.length > 0) throw new Error(`allowed, and denied by seccomp/kept.yaml: ${both.join(', ')}`)
  const named = [...allowed, ...denied]
  const twice = named.filter((name, index) => named.indexOf(name) !== index)
  if (twice.length > 0) throw new Error(`named twice in seccomp/kept.yaml: ${twice.join(', ')}`)
}

function firstPhase(learned: Learned, name: string): string | undefined {
  const phases = Object.keys(learned.calls[name] ?? {})
  return Object.keys(PHASES).find(phase => phases.includes(phase))
}

/** "Learned from the gateway’s start (node)", or "Kept" for what nobody was seen doing. */
function provenance(learned: Learned, name: string, kind?: string): string {
  const phase = firstPhase(learned, name)
  if (phase === undefined || (kind !== undefined && learned.arguments[name]?.[kind] === undefined))
    return 'Kept'
  return `Learned from ${kind === undefined ? PHASES[phase] : learned.arguments[name]?.[kind]?.join(', ')}`
}

function masked(index: number, mask: number, value: number): Argument {
  return { index, value: mask, valueTwo: value, op: 'SCMP_CMP_MASKED_EQ' }
}

/**
 * Pairs of mask and value that together match every 32-bit number but the given ones. A filter has no "not equal" for the
 * low half of an argument, so this walks down the bits, and lets through whatever leaves the path to a forbidden number.
 */
export function allBut(forbidden: readonly number[]): [mask: number, value: number][] {
  const found: [number, number][] = []
  const walk = (bit: number, mask: number, prefix: number) => {
    if (bit < 0) return
    const deeper = mask + 2 ** bit
    for (const next of [prefix, prefix + 2 ** bit])
      if (forbidden.some(number => number - (number % 2 ** bit) === next)) walk(bit - 1, deeper, next)
      else found.push([deeper, next])
  }
  walk(31, 0, 0)
  return found
}

/** As a person would lay it out: lists of names wrapped, rules about arguments on a line each. */
function printed(defaultAction: string, rules: readonly Rule[]): string {
  const json = (value: unknown) => JSON.stringify(value)
  const rule = ({ comment, names, action, errnoRet, args }: Rule) => {
    const head = comment === undefined ? '' : `"comment": ${json(comment)}, `
    const tail = `"action": ${json(action)}${errnoRet === undefined ? '' : `, "errnoRet": ${errnoRet}`}`
    if (args !== undefined) return `    {${head}"names": ${json(names)}, ${tail}, "args": ${json(args)}}`
    return `    {\n      ${head.replace(/ $/, '')}\n      "names": [\n${wrapped(names)}\n      ],\n      ${tail}\n    }`.replace(
      /\n {6}\n/,
      '\n',
    )
  }
  const head =
    defaultAction === 'SCMP_ACT_ALLOW'
      ? `  "defaultAction": ${json(defaultAction)},`
      : `  "defaultAction": ${json(defaultAction)},\n  "defaultErrnoRet": ${ENOSYS},`
  const architecture = (name: string) => `    {"architecture": "SCMP_ARCH_${name}", "subArchitectures": []}`
  return `{
${head}
  "archMap": [
${architecture('X86_64')},
${architecture('AARCH64')}
  ],
  "syscalls": [
${rules.map(rule).join(',\n')}
  ]
}
`
}

function wrapped(names: readonly string[]): string {
  const lines = ['       ']
  for (const [index, name] of names.entries()) {
    const word = ` "${name}"${index === names.length - 1 ? '' : ','}`
    if ((lines.at(-1) ?? '').length + word.length > 110) lines.push('       ')
    lines[lines.length - 1] += word
  }
  return lines.join('\n')
}
