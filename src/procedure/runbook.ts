import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  visit,
} from 'yaml'
import * as z from 'zod'
import { type Problem, UsageError } from '../errors.ts'
import { sha256 } from './journal.ts'

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

/**
 * What a runbook does, as the SHA-256 of its steps: their order, what each does, who agrees, and its time. Words may change
 * without it being another one.
 */
export function deedsOf({ steps }: Pick<Runbook, 'steps'>): string {
  return sha256(
    JSON.stringify(steps.map(({ id, effect, confirm, does, within }) => [id, effect, confirm, does, within])),
  )
}

/** The steps of a runbook that call this action; a program of its own is none. */
export function stepsCalling({ steps }: Pick<Runbook, 'steps'>, action: string): RunbookStep[] {
  return steps.filter(({ does }) => 'action' in does && does.action === action)
}

/** Actions by id, with what each does to the world. */
export type KnownActions = ReadonlyMap<string, RunbookEffect>

/** What ends the collecting: nothing is destroyed before it. */
const SEAL = 'evidence.seal'
/** What closes the case: nothing is done after it. */
const REPORT = 'case.report'

/** No runbook for a person needs more. Bytes. */
const LONGEST = 65_536

/** Deeper than any runbook is, in nodes and pairs of the parsed YAML. */
const DEEPEST = 20

/** No control, format or surrogate character: nothing a terminal would obey or hide. */
const CHARACTER = '[^\\p{Cc}\\p{Cf}\\p{Cs}\\p{Co}\\p{Zl}\\p{Zp}]'

function matching(pattern: string, allowed: string) {
  return z.string({ error: allowed }).regex(new RegExp(`^${pattern}$`, 'u'), { error: allowed })
}

const line = (max: number) =>
  matching(`(?=.*\\S)${CHARACTER}{1,${max}}`, `one line of 1 to ${max} visible characters`)
const words = (max: number) =>
  matching(`(?=[^]*\\S)(?:${CHARACTER}|\\n){1,${max}}`, `a text of 1 to ${max} visible characters`)
const dotted = (allowed: string) => matching('(?=.{1,64}$)[a-z][a-z0-9-]*(?:\\.[a-z][a-z0-9-]*)+', allowed)
const UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000 }
const keysOf = (keys: string) => (issue: { code?: string | undefined }) =>
  issue.code === 'unrecognized_keys' ? `these keys alone: ${keys}` : `a mapping with the keys ${keys}`

const Step = z
  .strictObject(
    {
      id: dotted('a name such as "networks.cut": lower case, with a dot').describe(
        'Names the step in the case and in --allow. Unique in the runbook.',
      ),
      title: line(100).describe('What is done, in one line: "Cut every network".'),
      why: words(1500).describe('For the person who is led: why this, and why now.'),
      effect: z
        .enum(RUNBOOK_EFFECTS, { error: RUNBOOK_EFFECTS.join(', ') })
        .optional()
        .describe(
          'What it does to the world. Left out: what its action does. A step that only reads and cannot is passed over; any other that fails stops the run.',
        ),
      confirm: z
        .enum(CONFIRMS, { error: CONFIRMS.join(', ') })
        .optional()
        .describe(
          'Who agrees before it is done. Left out: a person for what destroys, nobody for anything else.',
        ),
      action: dotted('the name of an action, such as "networks.cut"')
        .optional()
        .describe('A step of create-openclaw-secure. This or `run`.'),
      run: z
        .array(
          z
            .string({ error: 'a text' })
            // biome-ignore lint/suspicious/noControlCharactersInRegex: no argument of a program can hold NUL
            .regex(/^[^\u0000]{0,4096}$/u, { error: 'a text of up to 4096 characters' }),
          { error: 'a list of a program and its arguments' },
        )
        .min(1, { error: 'a program, and its arguments' })
        .max(64, { error: 'up to 64 words' })
        .optional()
        .describe('A program and its arguments, each a word of the list. No shell reads them.'),
      undo: words(600).optional().describe('How to take it back, in words.'),
      within: matching('[1-9]\\d{0,2}(?:ms|s|m)', 'a time such as 500ms, 2s or 5m').describe(
        'How long it may take; a program is ended then.',
      ),
    },
    { error: keysOf('id, title, why, effect, confirm, action, run, undo, within') },
  )
  .meta({ oneOf: [{ required: ['action'] }, { required: ['run', 'effect'] }] })

const File = z.strictObject(
  {
    id: matching('[a-z][a-z0-9-]{0,39}', 'a name of lower-case letters, digits and dashes').describe(
      'Names the runbook: create-openclaw-secure incident ID.',
    ),
    title: line(100).describe('What it is for, in one line.'),
    when: words(600).describe('When to use it.'),
    contacts: z
      .array(line(200), { error: 'a list of lines, each naming somebody; it may be empty' })
      .max(20, { error: 'up to 20 lines' })
      .describe('Who is called first: name, telephone, mail. May be empty; verify is red then.'),
    drill: matching('(?:[1-9]\\d?|[12]\\d\\d|3[0-5]\\d|36[0-6])d', 'a time from 1d to 366d').describe(
      'How long a drill holds good.',
    ),
    steps: z
      .array(Step, { error: 'a list of steps' })
      .min(1, { error: 'at least one step' })
      .max(100, { error: 'up to 100 steps' })
      .describe('What is done, in this order.'),
  },
  { error: keysOf('id, title, when, contacts, drill, steps') },
)
type File = z.infer<typeof File>
type FileStep = z.infer<typeof Step>

/** The JSON Schema of a runbook file: what {@link readRunbook} demands, but for the rules between steps. */
export function runbookSchema(): Record<string, unknown> {
  const { $schema, ...rest } = z.toJSONSchema(File)
  return { $schema, title: 'A runbook of create-openclaw-secure', ...rest }
}

/**
 * Reads a runbook (YAML 1.2). `file` names it in what is wrong; `known` has the actions it may call. Nothing is run. Errors:
 * `usage`, with everything that is wrong at once, each with file, line and key.
 */
export function readRunbook(text: string, file: string, known: KnownActions): Runbook {
  const lines = new LineCounter()
  const place = (offset: number | undefined, key: string) =>
    `${file}:${lines.linePos(offset ?? 0).line || 1} ${key.slice(0, 60)}`
  const document = parsed(text, lines, place)
  const data: unknown = document.toJS({ maxAliasCount: 0 })
  const at = (path: readonly PropertyKey[]) => place(offsetOf(document, path), keyOf(path))
  const read = File.safeParse(data)
  const problems = read.success ? [] : read.error.issues.flatMap(issue => problemsOf(issue, data, at))
  problems.push(...ruleProblems(stepsIn(data), known, at))
  if (read.success && problems.length === 0) return runbookOf(read.data, text, known)
  const lineOf = ({ field }: Problem) => Number.parseInt(field.slice(file.length + 1), 10)
  throw refused(problems.sort((one, other) => lineOf(one) - lineOf(other)))
}

/** YAML without anything that is written once and read twice, and no deeper than a runbook is. */
function parsed(
  text: string,
  lineCounter: LineCounter,
  place: (offset: number | undefined, key: string) => string,
): Document {
  const whole = (given: string, allowed: string) =>
    refused([{ field: place(undefined, 'runbook'), given, allowed }])
  const bytes = Buffer.byteLength(text)
  if (bytes > LONGEST) throw whole(`${bytes} bytes`, `up to ${LONGEST} bytes`)
  const problems: Problem[] = []
  const refuse = (offset: number | undefined, given: string, allowed: string) => {
    if (problems.length < 10) problems.push({ field: place(offset, 'runbook'), given, allowed })
  }
  let document: Document
  try {
    document = parseDocument(text, {
      ...{ uniqueKeys: true, strict: true, lineCounter, prettyErrors: false },
      // Its warnings would be printed, past everything that cleans what we print.
      logLevel: 'error',
    })
    // A warning is a tag that nobody knows.
    for (const { pos, message, code } of [...document.errors, ...document.warnings])
      refuse(pos[0], message.split('\n')[0] ?? code, 'a YAML mapping, each key once')
    visit(document, (_, node, path) => {
      if (isAlias(node)) refuse(node.range?.[0], 'an alias', 'everything written out')
      if (isPair(node) && !isScalar(node.key))
        refuse(isNode(node.key) ? node.key.range?.[0] : undefined, 'a key that is no word', 'words as keys')
      if (path.length > DEEPEST) throw new RangeError('nested too deep')
    })
  } catch {
    // The parser is recursive: what is nested deep enough ends it.
    throw whole('a text that cannot be read as YAML, or is nested too deep', 'a YAML mapping')
  }
  if (problems.length > 0) throw refused(problems)
  return document
}

/** One step as it is written, and as much of it as is well written. */
interface WrittenStep {
  written: Record<string, unknown>
  sound: { [Key in keyof FileStep]?: FileStep[Key] | undefined }
}

/** The steps as far as they can be understood: a rule speaks of one even where something else about it is wrong. */
function stepsIn(data: unknown): (WrittenStep | undefined)[] {
  const steps = isRecord(data) && Array.isArray(data.steps) ? data.steps : []
  const one = z.object(Step.partial().shape)
  return steps.map(written => {
    if (!isRecord(written)) return undefined
    const sound = Object.entries(written).filter(([key, value]) => one.safeParse({ [key]: value }).success)
    return { written, sound: one.parse(Object.fromEntries(sound)) }
  })
}

/** What is wrong between the parts of a step, between steps, and with what they call. */
function ruleProblems(
  steps: readonly (WrittenStep | undefined)[],
  known: KnownActions,
  at: (path: readonly PropertyKey[]) => string,
): Problem[] {
  const problems: Problem[] = []
  const lastSeal = steps.findLastIndex(step => step?.written.action === SEAL)
  const ids = new Set<string>()
  for (const [index, step] of steps.entries()) {
    if (step === undefined) continue
    const wrong = (key: string, given: string | undefined, allowed: string) =>
      problems.push({
        field: at(['steps', index, key]),
        ...(given === undefined ? {} : { given }),
        allowed,
      })
    const { written } = step
    const { id, action, run, effect, confirm } = step.sound
    if (id !== undefined && ids.has(id)) wrong('id', id, 'an id that no other step of the runbook has')
    ids.add(id ?? '')
    if ('action' in written === 'run' in written)
      wrong('action', 'run' in written ? 'an action and a program' : undefined, 'either action or run')
    const does = action === undefined ? undefined : known.get(action)
    if (action !== undefined && does === undefined)
      wrong('action', action, `one of ${[...known.keys()].join(', ')}`)
    if (run !== undefined && !('effect' in written))
      wrong('effect', undefined, `${RUNBOOK_EFFECTS.join(', ')}; of a program nobody else can say it`)
    if (run?.[0] === '') wrong('run', '', 'a program, and its arguments')
    if (run !== undefined && isShellText(run))
      wrong('run', run.join(' '), 'a program and its arguments; what a shell reads is a script')
    if (action === REPORT && index !== steps.length - 1)
      wrong('action', action, 'only as the last step: with the report the case is closed')
    if (action === SEAL && index !== lastSeal)
      wrong('action', action, 'once: what was signed is not signed anew')
    if (id !== undefined && [SEAL, REPORT].includes(id) && action !== id)
      wrong('id', id, `another id: ${id} is an action's own`)
    if (does !== undefined && effect !== undefined && rank(effect) < rank(does))
      wrong('effect', effect, `${does}, which is what ${action} does`)
    if (Math.max(rank(effect), rank(does)) < rank('destroys')) continue
    if (confirm === 'nobody') wrong('confirm', confirm, 'person: nothing is destroyed without one')
    if (index < lastSeal || lastSeal < 0)
      problems.push({
        field: at(['steps', index, 'effect']),
        saw: 'it destroys before the evidence is sealed',
        allowed: `Put a step with the action ${SEAL} before it, and none after it.`,
      })
  }
  return problems
}

function runbookOf({ steps, drill, ...head }: File, text: string, known: KnownActions): Runbook {
  return {
    ...head,
    when: head.when.trim(),
    drill: Number.parseInt(drill, 10),
    steps: steps.map(({ action, run: [program, ...args] = [], ...step }): RunbookStep => {
      const effect = step.effect ?? known.get(action ?? '') ?? 'destroys'
      return {
        ...{ id: step.id, title: step.title, why: step.why.trim(), effect },
        confirm: step.confirm ?? (effect === 'destroys' ? 'person' : 'nobody'),
        does: action === undefined ? { run: [program ?? '', ...args] } : { action },
        undo: step.undo?.trim(),
        within: Number.parseInt(step.within, 10) * (UNITS[step.within.replace(/\d+/, '')] ?? 1),
      }
    }),
    text,
  }
}

/** A shell, anywhere in the words, that is handed a text to read: `sh -c`, `docker exec NAME bash -ec`. */
function isShellText(words: readonly string[]): boolean {
  const shell = words.findIndex(word => /^(?:.*\/)?(?:ba|da|z|k|mk|c|tc|fi|a)?sh$/.test(word))
  return shell >= 0 && words.slice(shell + 1).some(word => /^-[a-z]*c|^--command/.test(word))
}

function rank(effect: RunbookEffect | undefined): number {
  return effect === undefined ? -1 : RUNBOOK_EFFECTS.indexOf(effect)
}

function problemsOf(
  issue: z.core.$ZodIssue,
  data: unknown,
  at: (path: readonly PropertyKey[]) => string,
): Problem[] {
  const { path, message } = issue
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map(key => ({ field: at([...path, key]), given: 'an unknown key', allowed: message }))
  const value = path.reduce<unknown>(
    (node, part) => (typeof node === 'object' && node !== null ? Reflect.get(node, part) : undefined),
    data,
  )
  const given = value === undefined ? {} : { given: typeof value === 'string' ? value : describe(value) }
  return [{ field: at(path), ...given, allowed: message }]
}

function describe(value: unknown): string {
  if (value === null) return 'nothing'
  if (Array.isArray(value)) return `a list of ${value.length}`
  return typeof value === 'object' ? 'a mapping' : `the ${typeof value} ${String(value)}`
}

/** Where a path is in the file: its key, or what it should have been in. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number | undefined {
  let node: unknown = document.contents
  let offset = document.contents?.range?.[0]
  for (const part of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(part))
      if (!isScalar(pair?.key)) break
      offset = pair.key.range?.[0] ?? offset
      node = pair.value
    } else if (isSeq(node)) {
      const item: unknown = node.items[Number(part)]
      if (!isMap(item) && !isSeq(item) && !isScalar(item)) break
      offset = item.range?.[0] ?? offset
      node = item
    } else break
  }
  return offset
}

function keyOf(path: readonly PropertyKey[]): string {
  return String(path.findLast(part => typeof part === 'string') ?? 'runbook')
}

function refused(problems: readonly Problem[]): UsageError {
  return new UsageError(problems, 'Nothing was run. Correct the runbook and run the command again.')
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
