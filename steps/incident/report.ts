import { parse } from 'yaml'
import * as z from 'zod'
import { render } from '../../src/deployment/render.ts'
import type { Artefact, Case } from '../../src/evidence/case.ts'
import { inWords } from '../../src/evidence/custody.ts'
import { plain, table } from '../../src/evidence/markdown.ts'
import { closeCase, type Sealed } from '../../src/evidence/seal.ts'
import type { JournalEvent } from '../../src/procedure/journal.ts'
import type { Runbook } from '../../src/procedure/runbook.ts'
import type { Action, Asking } from './context.ts'
import { leftIn } from './left.ts'

/** The step of the chain that has what the person said. */
const WORDS = 'words'

/** The report in the shape of NIST SP 800-61r3, and the end of the case: the facts are the chain's, the words are the person's. */
export const reportCase: Action = {
  id: 'case.report',
  title: 'Write the report, sign it, and close the case',
  effect: 'contains',
  async run(ctx) {
    const { case: of, runbook, ask } = ctx
    if (ask !== undefined && !of.journal.read().some(({ step }) => step === WORDS))
      of.note(WORDS, await askForWords(ask))
    const at = ctx.now()
    const { manifest, key } = await closeCase(ctx, sealed => reportOf(of, runbook, sealed, at))
    const line = lineOf(of, manifest, key)
    ctx.say(`Keep this line elsewhere: ${line}`)
    return { saw: `the report is ${of.path('report')}; keep elsewhere: ${line}`, facts: { manifest } }
  },
}

async function askForWords(ask: Asking): Promise<Record<string, string>> {
  return {
    found: await ask.text('How was it found? (one line; empty: nothing to say)'),
    impact: await ask.text('What was the impact, as far as you know? (one line)'),
    lessons: await ask.text('What should be different next time? (one line)'),
  }
}

/** What tells this case from any that somebody makes up later. */
export function lineOf({ id }: Pick<Case, 'id'>, manifest: string, key: string): string {
  return `${id} manifest sha256:${manifest} key ${key}`
}

/** `report.md`, from the chain of custody alone. */
export function reportOf(
  of: Case,
  runbook: Pick<Runbook, 'title' | 'when' | 'text' | 'steps'>,
  sealed: Sealed,
  at: Date,
): string {
  const events = of.journal.read()
  const words = events.findLast(({ step }) => step === WORDS)?.facts ?? {}
  const said = (name: string) => plain(String(words[name] ?? ''), 4000)
  const done = actionsIn(events, runbook)
  const people = [
    ...new Set(events.flatMap(({ facts }) => (facts?.by === undefined ? [] : [String(facts.by)]))),
  ]
  return render(
    'report.md.hbs',
    {
      title: plain(runbook.title),
      ...{ case: plain(of.id), runbook: plain(of.runbook), opened: of.openedAt, written: at.toISOString() },
      ...{ by: plain(people.join(', ')), manifest: sealed.manifest, key: sealed.key },
      what: plain(runbook.when, 2000),
      took: lasted(at.getTime() - Date.parse(of.openedAt)),
      ...{ found: said('found'), impact: said('impact'), lessons: said('lessons') },
      affected: list(factsAbout(events)),
      actions: table(['Began', 'Step', 'Took', 'Target', 'Met', 'Facts'], done.filter(isOther).map(cellsOf)),
      targets: targetsOf(done),
      failures: list(failuresIn(events)),
      undone: list(undoneIn(runbook, done)),
      evidence: table(
        ['File', 'Bytes', 'SHA-256', 'Of', 'Kept at', 'Not all, because'],
        of.artefacts().map(evidenceCells),
      ),
      images: list(notesOf(events, 'preserved')),
      missing:
        list(of.missed().map(({ file, why, at }) => `${file}: ${why} (${at})`)) || 'Everything was had.',
      left: list(leftIn(of).map(({ words }) => words)) || 'Nothing that this tool knows of.',
      line: lineOf(of, sealed.manifest, sealed.key),
    },
    'text',
  )
}

/** A step as the chain has it. */
interface Done {
  id: string
  title: string
  began: string
  /** Milliseconds; undefined: it has not ended. */
  took: number | undefined
  /** Its target. Milliseconds; undefined: the runbook has no such step any more. */
  within: number | undefined
  facts: JournalEvent['facts']
}

/** Not the step that writes this: it is not over yet. */
function isOther({ took }: Done, index: number, all: readonly Done[]): boolean {
  return took !== undefined || index < all.length - 1
}

/** A step that was cut short and done again counts from its first beginning: that is how long it took. */
export function actionsIn(events: readonly JournalEvent[], { steps }: Pick<Runbook, 'steps'>): Done[] {
  const begun = new Map<string, Done>()
  for (const { event, step, at, facts } of events) {
    if (step === undefined) continue
    const known = begun.get(step)
    if (event === 'step-begun' && known === undefined) {
      const planned = steps.find(({ id }) => id === step)
      const title = planned?.title ?? step
      begun.set(step, { id: step, title, began: at, took: undefined, within: planned?.within, facts: {} })
    }
    if (event !== 'step-done' || known === undefined) continue
    // One that looks again at what stands does not take longer for it.
    known.took ??= Date.parse(at) - Date.parse(known.began)
    known.facts = facts
  }
  return [...begun.values()]
}

function cellsOf({ id, title, began, took, within, facts }: Done): string[] {
  const met = isMet(took, within)
  return [
    began,
    `${id}: ${title}`,
    took === undefined ? 'not ended' : lasted(took),
    within === undefined ? '' : lasted(within),
    met === undefined ? '' : met ? 'yes' : 'NO',
    Object.entries(facts ?? {})
      .map(([name, value]) => `${name} ${value}`)
      .join(', '),
  ]
}

/** Whether a step kept to its target; undefined where it has not ended, or has none. */
export function isMet(took: number | undefined, within: number | undefined): boolean | undefined {
  return took === undefined || within === undefined ? undefined : took <= within
}

function targetsOf(done: readonly Done[]): string {
  const judged = done.filter(({ took, within }) => isMet(took, within) !== undefined)
  const missed = judged.filter(({ took, within }) => isMet(took, within) === false).map(({ id }) => id)
  const first = `${judged.length - missed.length} of ${judged.length} targets met.`
  return missed.length === 0 ? first : `${first} Missed: ${missed.map(id => plain(id)).join(', ')}.`
}

/** Which secrets leaked and which were replaced, which devices were there: what a reader wants to know of the impact. */
function factsAbout(events: readonly JournalEvent[]): string[] {
  return ['leak', 'device', 'devices', 'rotated', 'old-key'].flatMap(step => notesOf(events, step))
}

function notesOf(events: readonly JournalEvent[], step: string): string[] {
  return events
    .filter(event => event.step === step && event.event === 'step-done')
    .map(event => inWords(event).replace(`${step}; `, ''))
}

function failuresIn(events: readonly JournalEvent[]): string[] {
  return events
    .filter(({ event, facts }) => event === 'step-failed' || facts?.unseen !== undefined)
    .map(({ at, step, note, facts }) => `${at} ${step}: ${note ?? facts?.unseen ?? 'failed'}`)
}

const Steps = z.object({ steps: z.array(z.object({ id: z.string(), title: z.string() })) })

/** By the runbook's own text: a case that is ended early runs no more than its end. */
function undoneIn({ text }: Pick<Runbook, 'text'>, done: readonly Done[]): string[] {
  const read = Steps.safeParse(parse(text, { maxAliasCount: 0 }))
  // This step is not over while it writes this.
  const ended = done
    .filter(({ id, took }) => took !== undefined || id === done.at(-1)?.id)
    .map(({ id }) => id)
  return (read.data?.steps ?? [])
    .filter(({ id }) => !ended.includes(id))
    .map(({ id, title }) => `${id}: ${title}`)
}

function evidenceCells({ file, bytes, sha256, command, ended, cut }: Artefact): string[] {
  return [file, String(bytes), sha256, command, ended, cut ?? '']
}

/** A list of foreign texts; empty for none. */
function list(texts: readonly string[]): string {
  return texts.map(text => `- ${plain(text)}`).join('\n')
}

function lasted(milliseconds: number): string {
  if (milliseconds < 10_000) return `${(milliseconds / 1000).toFixed(1)} s`
  const seconds = Math.round(milliseconds / 1000)
  return seconds < 120 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`
}
