import { uptime } from 'node:os'
import { resolve } from 'node:path'
import { lookAt, readIfPresent, writeAtomic } from '../deployment/files.ts'
import type { Layout } from '../deployment/layout.ts'
import { Exit, ToolError } from '../errors.ts'
import { parseJson } from '../json.ts'
import { type Journal, type JournalEvent, sha256 } from '../procedure/journal.ts'
import type { Runbook } from '../procedure/runbook.ts'
import type { Redactor } from '../secret.ts'
import type { Artefact } from './artefact.ts'
import { CASE_FILES, type Case, CLOSED, type Missing, QUARANTINE } from './case.ts'
import { chainOf, custodyInWords, linesIn } from './custody.ts'
import { signingKey, type VerifyingKey } from './key.ts'
import { type Closing, filesOf, Manifest } from './manifest.ts'
import { timelineOf } from './timeline.ts'
import { entriesIn, type Sum, sumOf } from './tree.ts'

/** What sealing needs of an incident. */
export interface Sealing {
  case: Case
  runbook: Pick<Runbook, 'id' | 'text'>
  layout: Pick<Layout, 'own'>
  /** Of the deployment. */
  journal: Journal
  redactor: Redactor
  now(): Date
  version: string
}

/** A signed case. */
export interface Sealed {
  /** SHA-256 of manifest.json: whoever keeps it elsewhere can tell any other manifest from this one. */
  manifest: string
  /** The fingerprint of the public key that fits. */
  key: string
  artefacts: number
  missing: number
  /** Files of which the chain says nothing. */
  strays: readonly string[]
}

/**
 * Signs what was kept: all files are read anew, and what is not as it was when it was kept is named and nothing is signed. A
 * seal that stands is left as it is. Errors: `evidence_changed`, `case_not_plain`, those of {@link signingKey}, the disk's.
 */
export async function sealCase(sealing: Sealing): Promise<Sealed> {
  const { case: of, runbook, layout, now, version, journal, redactor } = sealing
  const key = signingKey(layout)
  const artefacts = of.artefacts()
  await refuseChanged(of, artefacts)
  const standing = standingSeal(of, key)
  if (standing !== undefined) return summaryOf(standing.manifest, standing.hash)

  const sealedAt = now().toISOString()
  const documents = [
    await write(of, 'publicKey', key.pem),
    await write(of, 'runbook', runbook.text),
    await write(of, 'timeline', redactor.clean(await timelineOf(of, journal.read(), redactor))),
    await write(of, 'chain', redactor.clean(custodyInWords(of))),
  ]
  const manifest: Manifest = {
    ...{ schema: 1, tool: 'create-openclaw-secure', version, case: of.id },
    runbook: { id: runbook.id, sha256: sha256(runbook.text) },
    ...{ openedAt: of.openedAt, sealedAt, uptime: Math.round(uptime()) },
    ...{ key: key.fingerprint, recipients: [...of.recipients] },
    ...{ artefacts: artefacts.map(asListed), missing: of.missed() },
    ...{ strays: await straysIn(of, artefacts), documents, images: imagesIn(of.journal.read()) },
    chain: chainOf(of),
  }
  const text = `${JSON.stringify(manifest, null, 2)}\n`
  writeAtomic(of.path('manifest'), text, 0o400)
  writeAtomic(of.path('manifestSignature'), key.sign(Buffer.from(text)), 0o400)
  enter(journal, of, 'evidence.seal', { manifest: sha256(text) })
  return summaryOf(manifest, sha256(text))
}

/**
 * Ends a case: seals it where nobody has, writes the report and the documents of the whole chain, signs them and what came
 * after the first seal, and removes the note that a case is open. Errors: as {@link sealCase}.
 */
export async function closeCase(sealing: Sealing, report: (sealed: Sealed) => string): Promise<Sealed> {
  const { case: of, runbook, layout, now, journal, redactor } = sealing
  const key = signingKey(layout)
  const sealed = await sealCase(sealing)
  const first = standingSeal(of, key)
  if (first === undefined) throw new Error('the seal that was just made does not stand')
  const isNew = ({ file }: { file: string }) => !filesOf(first.manifest).some(known => known.file === file)
  const isNews = ({ file, at }: Missing) =>
    !first.manifest.missing.some(known => known.file === file && known.at === at)
  const artefacts = of.artefacts()
  const strays = (await straysIn(of, artefacts)).filter(isNew)
  const missing = of.missed()

  const text = redactor.clean(report(sealed))
  of.end({ report: CASE_FILES.report, manifest: sealed.manifest })
  const documents = [
    await write(of, 'report', text),
    await write(of, 'publicKey', key.pem),
    await write(of, 'runbook', runbook.text),
    await write(of, 'timeline', redactor.clean(await timelineOf(of, journal.read(), redactor))),
    await write(of, 'chain', redactor.clean(custodyInWords(of))),
    { file: CASE_FILES.custody, ...(await sumOf(of.path('custody'))) },
  ]
  const closing: Closing = {
    ...{ schema: 1, case: of.id, closedAt: now().toISOString(), manifest: sealed.manifest },
    ...{ key: key.fingerprint, artefacts: artefacts.filter(isNew).map(asListed) },
    ...{ missing: missing.filter(isNews), strays, documents, chain: chainOf(of) },
  }
  const closingText = `${JSON.stringify(closing, null, 2)}\n`
  writeAtomic(of.path('closing'), closingText, 0o400)
  writeAtomic(of.path('closingSignature'), key.sign(Buffer.from(closingText)), 0o400)
  enter(journal, of, CLOSED, { manifest: sealed.manifest, closing: sha256(closingText) })
  of.close(layout)
  return { ...sealed, artefacts: artefacts.length, missing: missing.length }
}

/** Whether the case's evidence is signed, by this deployment's key, and the chain is still the one that was signed. */
export function hasSeal(of: Case, layout: Pick<Layout, 'own'>): boolean {
  return standingSeal(of, signingKey(layout)) !== undefined
}

/** The seal that lies in the case, when it is this key's and says of the chain what is true. */
export function standingSeal(
  of: Pick<Case, 'id' | 'path'>,
  key: VerifyingKey,
): { manifest: Manifest; hash: string } | undefined {
  const text = readIfPresent(of.path('manifest'))
  const signature = readIfPresent(of.path('manifestSignature'))
  if (text === undefined || signature === undefined || !key.fits(Buffer.from(text), signature))
    return undefined
  const manifest = Manifest.safeParse(parseJson(text))
  if (!manifest.success || manifest.data.case !== of.id) return undefined
  const { events, head } = manifest.data.chain
  const line = linesIn(readIfPresent(of.path('custody')) ?? '')[events - 1]
  if (line === undefined || sha256(line) !== head) return undefined
  return { manifest: manifest.data, hash: sha256(text) }
}

/** Errors: `evidence_changed`, which names every file. */
async function refuseChanged(of: Case, artefacts: readonly Artefact[]): Promise<void> {
  const chain = of.journal.verifyChain()
  const changed = chain.intact ? [] : [`${CASE_FILES.custody} (line ${chain.broken}: ${chain.why})`]
  for (const artefact of artefacts)
    for (const kept of artefact.shared === undefined ? [artefact] : [artefact, artefact.shared]) {
      const found = await foundAt(of, kept.file)
      if (found === undefined) changed.push(`${kept.file} (gone, or not to be read)`)
      else if (found.sha256 !== kept.sha256) changed.push(kept.file)
    }
  if (changed.length === 0) return
  throw new ToolError(
    'evidence_changed',
    `Not as it was kept, and so nothing was signed: ${changed.join(', ')}`,
    'Somebody has changed the case. Put these files back from a copy, then: create-openclaw-secure incident --resume',
    Exit.interrupted,
  )
}

async function foundAt(of: Case, file: string): Promise<Sum | undefined> {
  try {
    return await sumOf(resolve(of.folder, file))
  } catch {
    return undefined
  }
}

/** Errors: `case_not_plain`, for what cannot be hashed. */
async function straysIn(of: Case, artefacts: readonly Artefact[]): Promise<({ file: string } & Sum)[]> {
  of.sweep()
  const known = new Set<string>([
    ...Object.values(CASE_FILES),
    ...artefacts.flatMap(({ file, shared }) => (shared === undefined ? [file] : [file, shared.file])),
  ])
  const strays = entriesIn(of.folder, [QUARANTINE]).filter(({ name }) => !known.has(name))
  const special = strays.filter(({ kind }) => kind !== 'file').map(({ name }) => name)
  if (special.length > 0)
    throw new ToolError(
      'case_not_plain',
      `In ${of.folder} lies what is no plain file: ${special.join(', ')}`,
      'Nothing of ours puts it there. Move it away, then: create-openclaw-secure incident --resume',
      Exit.interrupted,
    )
  const summed: ({ file: string } & Sum)[] = []
  for (const { name } of strays) summed.push({ file: name, ...(await sumOf(resolve(of.folder, name))) })
  return summed
}

/** One that is there with these bytes is left alone. */
async function write(of: Case, name: keyof typeof CASE_FILES, text: string): Promise<{ file: string } & Sum> {
  const path = of.path(name)
  if (lookAt(path) === undefined || readIfPresent(path) !== text) writeAtomic(path, text, 0o400)
  return { file: CASE_FILES[name], bytes: Buffer.byteLength(text), sha256: sha256(text) }
}

function asListed({ cut, ...artefact }: Artefact): Manifest['artefacts'][number] {
  return { ...artefact, ...(cut !== undefined && { cut }) }
}

/** Steps say as a fact under which id they have preserved an image. */
function imagesIn(events: readonly JournalEvent[]): Manifest['images'] {
  return events.flatMap(({ event, step = '', facts = {} }) => {
    if (event !== 'step-done' || step === 'artefact' || step === 'missing') return []
    return Object.entries(facts).flatMap(([name, value]) =>
      [...String(value).matchAll(/sha256:[0-9a-f]{64}\b/g)].map(([id]) => ({ step, name, id })),
    )
  })
}

/** The deployment's own log says what was signed: a copy of the hash outside of the case. */
function enter(journal: Journal, of: Case, procedure: string, facts: Record<string, string>): void {
  const isEntered = journal
    .read()
    .some(
      event =>
        event.procedure === procedure && event.run === of.id && event.facts?.manifest === facts.manifest,
    )
  if (!isEntered || procedure === CLOSED) journal.append({ run: of.id, procedure, event: 'done', facts })
}

function summaryOf({ key, artefacts, missing, strays }: Manifest, hash: string): Sealed {
  return {
    ...{ manifest: hash, key, artefacts: artefacts.length, missing: missing.length },
    strays: strays.map(({ file }) => file),
  }
}
