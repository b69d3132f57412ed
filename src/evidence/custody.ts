import { readIfPresent } from '../deployment/files.ts'
import { type JournalEvent, sha256 } from '../procedure/journal.ts'
import { artefactIn } from './artefact.ts'
import type { Case } from './case.ts'
import { plain, table } from './markdown.ts'

/** What a line of the chain says, in words. */
export function inWords(event: JournalEvent): string {
  const [artefact] = artefactIn(event)
  if (artefact !== undefined) {
    const cut = artefact.cut === undefined ? '' : `; not all of it: ${artefact.cut}`
    return `kept ${artefact.file}, ${artefact.bytes} bytes, of: ${artefact.command}${cut}`
  }
  const facts = Object.entries(event.facts ?? {})
    .filter(([name]) => name !== 'by')
    .map(([name, value]) => `${name} ${value}`)
  const note = event.note === undefined ? [] : [event.note]
  const what = event.step === undefined ? `run ${event.event}` : `${event.step}: ${event.event}`
  // Steps have a dot in their name; of the case's own notes, these have one as well.
  const isNote =
    event.event === 'step-done' && /^(?:[^.]+|case\.(?:opened|resumed|closed|tools))$/.test(event.step ?? '')
  return [isNote ? event.step : what, ...note, ...facts].join('; ')
}

/** `chain-of-custody.md`: who did what, when, and the hash of what came of it. From the chain alone. */
export function custodyInWords(of: Case): string {
  let who = 'unknown'
  const events = of.journal.read()
  const rows = events.map(event => {
    who = String(event.facts?.by ?? who)
    const [artefact] = artefactIn(event)
    return [String(event.seq), event.at, who, inWords(event), artefact?.sha256 ?? '']
  })
  const { head } = chainOf(of)
  return `${[
    '# Chain of custody',
    `Case ${plain(of.id)}, opened ${of.openedAt} (UTC) with the runbook ${plain(of.runbook)}. Every line of custody.jsonl carries the SHA-256 of the line before it; this is what they say.`,
    table(['#', 'UTC', 'Who', 'What', 'SHA-256'], rows),
    `SHA-256 of line ${events.length}: ${head}`,
  ].join('\n\n')}\n`
}

/** How long the chain is, and the SHA-256 of its last line. */
export function chainOf(of: Case): { events: number; head: string } {
  const lines = linesIn(readIfPresent(of.path('custody')) ?? '')
  return { events: lines.length, head: sha256(lines.at(-1) ?? '') }
}

/** The lines of a chain's text. One without its end was never finished by its writer. */
export function linesIn(text: string): string[] {
  return text.split('\n').slice(0, -1)
}
