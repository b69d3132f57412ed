import { createHash } from 'node:crypto'
import { closeSync, createWriteStream, fsyncSync, openSync, renameSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { type Duplex, PassThrough, Transform, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { ensureDirectory, syncDirectory, unfinishedName } from '../deployment/files.ts'
import type { JournalEvent } from '../procedure/journal.ts'
import type { Redactor } from '../secret.ts'
import { Sharing } from './share.ts'
import type { Sum } from './tree.ts'

/** A piece of evidence that is complete, on the disk, and in the chain of custody. */
export interface Artefact extends Sum {
  /** Relative to the case's folder. `bytes` and `sha256` are of the file as it lies there: of what is encrypted, the encrypted bytes. */
  file: string
  /** What was run or read, for a reader who wants to repeat it. */
  command: string
  began: string
  ended: string
  /** Why it is not all there was, if so. */
  cut: string | undefined
  /** Before it was encrypted. */
  plain?: Sum
  /** The redacted copy, and why it is not all of it. */
  shared?: Sum & { file: string; cut?: string }
}

/** What evidence is to be kept under which name, and where it comes from. */
export interface Order {
  /** Relative to `evidence/`: "gateway/processes.json". */
  name: string
  command: string
  /** It is text: a redacted copy for other people is made under `share/`. */
  share?: boolean
  /** It holds secrets whatever is done: kept encrypted or not at all. */
  sealed?: 'always'
}

/** Writes an artefact's bytes. `failed` is aborted when there is nowhere to write them any more; what comes then is swallowed. */
export type Produce = (into: Writable, failed: AbortSignal) => Promise<{ cut?: string } | undefined>

/** Where one artefact goes. */
export interface Place {
  path: string
  /** Where the redacted copy goes; undefined: there is none. */
  copy: string | undefined
  recipients: readonly string[]
  redactor: Redactor
}

/** What was written: under its name, complete, and on the disk. */
export interface Written {
  file: Sum
  plain: Sum | undefined
  shared: (Sum & { cut?: string }) | undefined
  cut: string | undefined
}

/**
 * Writes an artefact and its redacted copy at once, in bounded memory: hashed on the way, flushed, and named when they are
 * complete; of what fails nothing is left. Errors: the disk's; what `produce` throws.
 */
export async function writeArtefact(place: Place, produce: Produce): Promise<Written> {
  const failure = new AbortController()
  const plain = new Measure()
  const isEncrypted = place.recipients.length > 0
  const sharing = new Sharing(place.redactor)
  const outlets: Outlet[] = []
  try {
    // Loaded for those who encrypt.
    const encryption = isEncrypted
      ? (await import('./recipients.ts')).encryptionTo(place.recipients)
      : undefined
    const original = new Outlet(place.path, encryption === undefined ? [] : [plain, encryption], failure)
    outlets.push(original)
    const copy = place.copy === undefined ? undefined : new Outlet(place.copy, [sharing], failure)
    if (copy !== undefined) outlets.push(copy)
    const into = intake(outlets, failure.signal)
    const outcome = await produce(into, failure.signal)
    into.end()
    if (into.destroyed && !into.writableFinished) throw new Error('the producer gave up its output')
    await Promise.all(outlets.map(outlet => outlet.written))
    // The copy first: one without its original counts for nothing.
    for (const outlet of outlets.toReversed()) outlet.name()
    const cut = sharing.cut === undefined ? {} : { cut: sharing.cut }
    return {
      file: original.sum,
      plain: isEncrypted ? plain.sum : undefined,
      shared: copy === undefined ? undefined : { ...copy.sum, ...cut },
      cut: outcome?.cut,
    }
  } catch (error) {
    for (const outlet of outlets) outlet.discard()
    throw failure.signal.aborted ? failure.signal.reason : error
  }
}

/** Hands on at the pace of the slowest. When one has failed, the rest is swallowed: a child that waited for us would not end. */
function intake(outlets: readonly Outlet[], failed: AbortSignal): Writable {
  // A stream that has failed never says so of what it holds at that moment.
  let proceed = () => {}
  failed.addEventListener('abort', () => proceed())
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (failed.aborted) return done()
      proceed = () => {
        proceed = () => {}
        done()
      }
      const all = outlets.map(({ entrance }) => new Promise(taken => entrance.write(chunk, taken)))
      Promise.all(all).then(() => proceed())
    },
    final(done) {
      for (const { entrance } of outlets) entrance.end()
      done()
    },
  })
}

/** One file on its way: under a name that says it is unfinished, until it is complete. */
class Outlet {
  readonly entrance = new PassThrough()
  readonly written: Promise<void>
  readonly #path: string
  readonly #temporary: string
  readonly #measure = new Measure()

  constructor(path: string, through: readonly Duplex[], failure: AbortController) {
    this.#path = path
    this.#temporary = unfinishedName(path)
    ensureDirectory(dirname(path), 0o700)
    // Opened at once: what is discarded in the same moment must not appear afterwards.
    const fd = openSync(this.#temporary, 'wx', 0o400)
    const file = createWriteStream(this.#temporary, { fd })
    this.written = pipeline([this.entrance, ...through, this.#measure, file])
    this.written.catch(error => failure.abort(error))
  }

  get sum(): Sum {
    return this.#measure.sum
  }

  name(): void {
    const descriptor = openSync(this.#temporary, 'r')
    fsyncSync(descriptor)
    closeSync(descriptor)
    renameSync(this.#temporary, this.#path)
    syncDirectory(dirname(this.#path))
  }

  discard(): void {
    this.entrance.destroy()
    rmSync(this.#temporary, { force: true })
  }
}

class Measure extends Transform {
  readonly #hash = createHash('sha256')
  #bytes = 0
  #digest: string | undefined

  override _transform(
    chunk: Buffer,
    _encoding: BufferEncoding,
    done: (error: null, chunk: Buffer) => void,
  ): void {
    this.#hash.update(chunk)
    this.#bytes += chunk.length
    done(null, chunk)
  }

  /** Of all that has passed. */
  get sum(): Sum {
    this.#digest ??= this.#hash.digest('hex')
    return { bytes: this.#bytes, sha256: this.#digest }
  }
}

/** An artefact as the chain of custody has it. */
export function factsOf({ plain, shared, cut, ...facts }: Artefact): Record<string, string | number> {
  return {
    ...facts,
    ...(cut !== undefined && { cut }),
    ...(plain !== undefined && { plainBytes: plain.bytes, plainSha256: plain.sha256 }),
    ...(shared !== undefined && {
      shared: shared.file,
      sharedBytes: shared.bytes,
      sharedSha256: shared.sha256,
    }),
    ...(shared?.cut !== undefined && { sharedCut: shared.cut }),
  }
}

/** The artefact that a line of the chain enters, if it enters one. */
export function artefactIn({ step, facts }: JournalEvent): Artefact[] {
  if (step !== 'artefact' || facts === undefined) return []
  const text = (key: string) => String(facts[key] ?? '')
  const sum = (bytes: string, hash: string) => ({ bytes: Number(facts[bytes]), sha256: text(hash) })
  return [
    {
      ...{ file: text('file'), command: text('command'), began: text('began'), ended: text('ended') },
      ...sum('bytes', 'sha256'),
      cut: facts.cut === undefined ? undefined : text('cut'),
      ...(facts.plainSha256 !== undefined && { plain: sum('plainBytes', 'plainSha256') }),
      ...(facts.sharedSha256 !== undefined && {
        shared: {
          ...{ file: text('shared'), ...sum('sharedBytes', 'sharedSha256') },
          ...(facts.sharedCut !== undefined && { cut: text('sharedCut') }),
        },
      }),
    },
  ]
}
