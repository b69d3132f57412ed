import { existsSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import type * as z from 'zod'
import { errorCode, isUnfinished } from '../deployment/files.ts'
import { Exit, ToolError } from '../errors.ts'
import { parseJson } from '../json.ts'
import { Journal, sha256 } from '../procedure/journal.ts'
import { artefactIn } from './artefact.ts'
import { CASE_FILES, CLOSED, QUARANTINE } from './case.ts'
import { linesIn } from './custody.ts'
import { type VerifyingKey, verifyingKey } from './key.ts'
import { Closing, filesOf, Manifest } from './manifest.ts'
import { bytesOf, type Entry, entriesIn, isInside, type Sum, sumOf } from './tree.ts'

/** Something about a file of a bundle. */
export interface Remark {
  file: string
  what: string
}

/** What was found in a bundle. */
export interface Verified {
  /** Its name, as its manifest has it. */
  case: string | undefined
  /** SHA-256 of manifest.json. */
  manifest: string | undefined
  /** The evidence is what was signed, whatever else is wrong. */
  sealed: boolean
  /** So is the end of the case. */
  closed: boolean
  /** Files that were read and compared. */
  files: number
  problems: Remark[]
  /** What could not be read: of it nothing is known. */
  unseen: Remark[]
  /** No fault, and good to know. */
  remarks: Remark[]
}

/** Which public key a reader trusts: the key itself, or its fingerprint. */
export type Trust = VerifyingKey | { fingerprint: string }

/** What is larger is not a file of ours. */
const LONGEST = 64 * 1024 * 1024

/**
 * Verifies a bundle with nothing but itself and a public key: both signatures, every file, the chain of custody, and that
 * nothing was added. No link is followed, and no name in it leads out of it. Errors: `bundle_unreadable`.
 */
export async function verifyBundle(folder: string, trust: Trust): Promise<Verified> {
  return new Verification(folder, listed(folder)).verify(trust)
}

function listed(folder: string): Entry[] {
  try {
    return entriesIn(folder, [QUARANTINE])
  } catch (error) {
    throw new ToolError(
      'bundle_unreadable',
      `${folder} cannot be read as a folder (${errorCode(error) ?? 'no reason given'})`,
      'Name the folder of a case: cases/UTC-RUNBOOK, or a copy of it, readable by this user.',
      Exit.unknown,
      error,
    )
  }
}

class Verification {
  readonly #folder: string
  readonly #found: ReadonlyMap<string, Entry>
  readonly #expected = new Map<string, Sum>()
  readonly #problems: Remark[] = []
  readonly #unseen: Remark[] = []
  readonly #remarks: Remark[] = []
  #files = 0

  constructor(folder: string, found: readonly Entry[]) {
    this.#folder = folder
    this.#found = new Map(found.map(entry => [entry.name, entry]))
  }

  async verify(trust: Trust): Promise<Verified> {
    const key = await this.#keyOf(trust)
    const first = await this.#signed('manifest', 'manifestSignature', Manifest, key)
    const lines = await this.#chain()
    const manifest = first?.content
    const isOver = lines.at(-1)?.includes(`"step":"${CLOSED}"`) === true
    const last =
      isOver || this.#found.has(CASE_FILES.closing) || this.#found.has(CASE_FILES.closingSignature)
        ? await this.#signed('closing', 'closingSignature', Closing, key)
        : undefined
    if (manifest !== undefined) {
      this.#expect(last === undefined ? filesOf(manifest) : filesOf({ ...manifest, documents: [] }))
      this.#reaches(CASE_FILES.manifest, manifest.chain, lines)
      if (last === undefined) this.#afterSeal(lines.slice(manifest.chain.events))
    }
    const evidence = (manifest?.artefacts ?? []).flatMap(({ file, shared }) => [
      file,
      ...(shared ? [shared.file] : []),
    ])
    if (last !== undefined) this.#end(last.content, first, lines)
    await this.#compare()
    if (existsSync(resolve(this.#folder, QUARANTINE)))
      this.#remark(QUARANTINE, 'what was taken out of the deployment is no part of what is signed')
    const isWell = (names: readonly string[]) =>
      !this.#problems.concat(this.#unseen).some(({ file }) => names.includes(file))
    const signed = [CASE_FILES.manifest, CASE_FILES.manifestSignature, CASE_FILES.custody]
    return {
      case: manifest?.case,
      manifest: first?.hash,
      sealed: manifest !== undefined && isWell([...signed, ...evidence]),
      closed: last !== undefined && this.#problems.length + this.#unseen.length === 0,
      files: this.#files,
      problems: this.#problems,
      unseen: this.#unseen,
      remarks: this.#remarks,
    }
  }

  /** The key the reader trusts; of a fingerprint, the bundle's own key if it is that one. */
  async #keyOf(trust: Trust): Promise<VerifyingKey | undefined> {
    const name = CASE_FILES.publicKey
    const text = (await this.#read(name))?.toString('utf8')
    if (text === undefined) return 'fits' in trust ? trust : undefined
    const own = verifyingKey(text)
    if (own?.fingerprint !== trust.fingerprint)
      this.#problem(
        name,
        `it is not the key ${trust.fingerprint}${own === undefined ? '' : `, but ${own.fingerprint}`}`,
      )
    if ('fits' in trust) return trust
    return own?.fingerprint === trust.fingerprint ? own : undefined
  }

  /** One of the two signed files, if it can be understood. What it says is compared even where the signature does not fit. */
  async #signed<T extends z.ZodType<{ key: string }>>(
    file: 'manifest' | 'closing',
    signature: 'manifestSignature' | 'closingSignature',
    schema: T,
    key: VerifyingKey | undefined,
  ): Promise<{ content: z.infer<T>; hash: string } | undefined> {
    const [name, signatureName] = [CASE_FILES[file], CASE_FILES[signature]]
    const bytes = await this.#read(name, true)
    const signed = (await this.#read(signatureName, true))?.toString('latin1')
    if (bytes === undefined) return undefined
    if (key === undefined) this.#problem(name, 'nothing says who signed it: the public key is not there')
    else if (signed !== undefined && !key.fits(bytes, signed))
      this.#problem(
        name,
        `the signature in ${signatureName} does not fit: one of the two was changed, or another key signed`,
      )
    const content = schema.safeParse(parseJson(bytes.toString('utf8')))
    if (content.success) return { content: content.data, hash: sha256(bytes) }
    this.#problem(name, 'it is not what this version of the tool writes')
    return undefined
  }

  /** The lines of the chain, each of which must have the hash of the one before. */
  async #chain(): Promise<string[]> {
    const name = CASE_FILES.custody
    const bytes = await this.#read(name, true)
    if (bytes === undefined) return []
    const chain = new Journal(resolve(this.#folder, name), () => new Date(0)).verifyChain()
    if (!chain.intact) this.#problem(name, `the chain breaks at line ${chain.broken}: ${chain.why}`)
    return linesIn(bytes.toString('utf8'))
  }

  #reaches(who: string, { events, head }: Manifest['chain'], lines: readonly string[]): void {
    const line = lines[events - 1]
    if (line === undefined)
      this.#problem(CASE_FILES.custody, `it ends before line ${events}, which ${who} names`)
    else if (sha256(line) !== head)
      this.#problem(CASE_FILES.custody, `line ${events} is not the one that ${who} names`)
  }

  /** A case that goes on: the chain alone vouches for what was kept since. */
  #afterSeal(lines: readonly string[]): void {
    this.#remark(
      CASE_FILES.manifest,
      `the case is not closed: ${lines.length} lines of the chain are not signed yet`,
    )
    for (const line of lines) {
      const event = parseJson(line)
      if (!isEvent(event)) continue
      for (const { file, shared, ...sum } of artefactIn(event)) {
        // What is signed is worth more than a line that nobody has signed.
        const again = [file, ...(shared === undefined ? [] : [shared.file])].filter(name =>
          this.#expected.has(name),
        )
        for (const name of again) this.#problem(name, 'a line that is not signed enters it once more')
        if (again.length > 0) continue
        this.#expect([{ file, ...sum }, ...(shared === undefined ? [] : [shared])])
        this.#remark(file, 'it was kept after the seal: it is in the chain, and not signed yet')
      }
    }
  }

  #end(
    closing: Closing,
    first: { content: Manifest; hash: string } | undefined,
    lines: readonly string[],
  ): void {
    this.#expect(filesOf(closing))
    this.#reaches(CASE_FILES.closing, closing.chain, lines)
    if (closing.manifest !== first?.hash)
      this.#problem(CASE_FILES.manifest, `it is not the one that ${CASE_FILES.closing} names`)
    if (closing.case !== first?.content.case)
      this.#problem(CASE_FILES.closing, `it is of another case: ${closing.case}`)
  }

  #expect(files: readonly ({ file: string } & Sum)[]): void {
    for (const { file, bytes, sha256 } of files)
      if (isInside(file)) this.#expected.set(file, { bytes, sha256 })
      else this.#problem(file, 'a name that leads out of the bundle: nothing was read')
  }

  /** Every file against what was signed, and what was signed against the files. */
  async #compare(): Promise<void> {
    const own = new Set<string>([
      ...[CASE_FILES.manifest, CASE_FILES.manifestSignature, CASE_FILES.closing],
      ...[CASE_FILES.closingSignature, CASE_FILES.custody],
    ])
    const isOpen = !this.#found.has(CASE_FILES.closing)
    for (const { name, kind } of this.#found.values()) {
      if (kind !== 'file') this.#problem(name, 'it is no plain file, and was not opened')
      else if (this.#expected.has(name) || own.has(name)) continue
      else if (isOpen && isUnfinished(basename(name)))
        this.#remark(name, 'a run that was cut short has left it')
      else this.#problem(name, 'it was added: nothing that is signed names it')
    }
    for (const [name, { sha256 }] of this.#expected) {
      if (this.#found.get(name)?.kind !== 'file') {
        if (!this.#found.has(name)) this.#problem(name, 'it is missing')
        continue
      }
      const sum = await this.#look(name, sumOf)
      if (sum === undefined) continue
      this.#files += 1
      if (sum.sha256 !== sha256) this.#problem(name, 'it was changed')
    }
  }

  /** The bytes of one of the case's own files. */
  async #read(name: string, isNeeded = false): Promise<Buffer | undefined> {
    const entry = this.#found.get(name)
    if (entry === undefined && isNeeded) this.#problem(name, 'it is missing')
    if (entry?.kind !== 'file') return undefined
    const bytes = await this.#look(name, async path => ({ read: await bytesOf(path, LONGEST) }))
    if (bytes !== undefined && bytes.read === undefined)
      this.#problem(name, `it has more than ${LONGEST} bytes, and was not read`)
    return bytes?.read
  }

  async #look<T>(name: string, look: (path: string) => Promise<T>): Promise<T | undefined> {
    try {
      return await look(resolve(this.#folder, name))
    } catch (error) {
      this.#unseen.push({
        file: name,
        what: `it could not be read (${errorCode(error) ?? 'no reason given'})`,
      })
      return undefined
    }
  }

  #problem(file: string, what: string): void {
    if (!this.#problems.some(known => known.file === file && known.what === what))
      this.#problems.push({ file, what })
  }

  #remark(file: string, what: string): void {
    this.#remarks.push({ file, what })
  }
}

function isEvent(value: unknown): value is Parameters<typeof artefactIn>[0] {
  return typeof value === 'object' && value !== null && 'step' in value && 'facts' in value
}
