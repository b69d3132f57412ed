import * as z from 'zod'

const Sum = z.strictObject({ bytes: z.int(), sha256: z.string() })
const File = Sum.extend({ file: z.string() })

const Artefact = File.extend({
  command: z.string(),
  began: z.string(),
  ended: z.string(),
  /** Why it is not all there was. */
  cut: z.optional(z.string()),
  /** Of what is encrypted: before it was. */
  plain: z.optional(Sum),
  /** The redacted copy. */
  shared: z.optional(File.extend({ cut: z.optional(z.string()) })),
})

/** What both signed files say: what lies in the case, and how far its chain of custody was. */
const Contents = z.strictObject({
  schema: z.literal(1),
  case: z.string(),
  /** Fingerprint of the public key that fits. */
  key: z.string(),
  artefacts: z.array(Artefact),
  /** What could not be had. */
  missing: z.array(
    z.strictObject({ file: z.string(), command: z.string(), why: z.string(), at: z.string() }),
  ),
  /** Files of which the chain does not say where they come from: no evidence, but what lies there is signed. */
  strays: z.array(File),
  /** Made from the chain, for people. */
  documents: z.array(File),
  /** Number of lines in custody.jsonl, and the SHA-256 of the last of them. */
  chain: z.strictObject({ events: z.int(), head: z.string() }),
})

/** `manifest.json`: signed while the deployment is still as it was found. */
export const Manifest = Contents.extend({
  tool: z.literal('create-openclaw-secure'),
  version: z.string(),
  runbook: z.strictObject({ id: z.string(), sha256: z.string() }),
  openedAt: z.string(),
  sealedAt: z.string(),
  /** Seconds since this machine started, at `sealedAt`: for a reader who finds the clock wrong. */
  uptime: z.number(),
  recipients: z.array(z.string()),
  /** Images that were preserved in the engine, by the step that says so. */
  images: z.array(z.strictObject({ step: z.string(), name: z.string(), id: z.string() })),
})
export type Manifest = z.infer<typeof Manifest>

/** `closing.json`: signed when the case is over. It has what came after the manifest, and the whole chain. */
export const Closing = Contents.extend({
  closedAt: z.string(),
  /** SHA-256 of manifest.json. */
  manifest: z.string(),
})
export type Closing = z.infer<typeof Closing>

/** The names of all files that it vouches for, with their sums. */
export function filesOf({ artefacts, strays, documents }: z.infer<typeof Contents>): z.infer<typeof File>[] {
  return [
    ...artefacts,
    ...artefacts.flatMap(({ shared }) => (shared === undefined ? [] : [shared])),
    ...strays,
    ...documents,
  ]
}
