import type { DeliveredSecret } from '../../src/gateway/policy.ts'
import type { Redactor, Secret } from '../../src/secret.ts'
import type { SecretStore } from '../../src/stores/store.ts'

/** A secret in plain text, where a reader of the file finds it. Only `value` is secret; all else may be shown. */
export interface PlainSecret {
  /** Relative to the folder. */
  file: string
  line: number
  /** `models.providers.openai.apiKey`, or the name of a variable. */
  where: string
  /** What it is, in words: "OpenAI API key". */
  kind: string
  /** Its name in the store. Places with one value have one name. */
  name: string
  value: Secret
  /** From where to where its literal stands in the text of the file. */
  span: readonly [start: number, end: number]
  /** Why it is neither imported nor replaced; undefined when it is. */
  stays?: string
  /** The variable that is named here instead: no plain text, but nothing once the variable is gone. */
  uses?: string
}

/** Something that a person should know about a file, and that this tool leaves to him. */
export interface Remark {
  file: string
  line?: number
  text: string
  /** A secret stands there in plain text, and this tool leaves it there. */
  remains?: true
}

/** A file as it was when it was looked at. */
export interface ScannedFile {
  format: 'openclaw' | 'variables' | 'compose'
  /** SHA-256 of its bytes: what has changed since is not overwritten. */
  digest: string
}

/** All that was seen in a folder. */
export interface Survey {
  secrets: PlainSecret[]
  remarks: Remark[]
  /** By the path relative to the folder. */
  files: Map<string, ScannedFile>
}

/** What an import knows when it starts, and what its steps find out on the way. */
export interface ImportContext {
  /** Where the set-up that was made by hand lies. */
  folder: string
  store: SecretStore
  redactor: Redactor
  /** Names the deployment already has a place for. */
  known: readonly string[]
  now(): Date
  /** A line for the person. Never a secret. */
  say(line: string): void
  found: ImportFound
}

/** Filled in by the steps, in their order. */
export interface ImportFound {
  secrets?: PlainSecret[]
  remarks?: Remark[]
  files?: Map<string, ScannedFile>
  /** Names that this run has put into the store. */
  stored?: string[]
  /** What was read back from the store and is equal to what the files say. */
  verified?: DeliveredSecret[]
  /** Names that are in the store and that the deployment has no place for yet: its answers have to name them. */
  added?: string[]
}

/** Those that are imported, one a name. */
export function importable({ secrets = [] }: Pick<ImportFound, 'secrets'>): Map<string, PlainSecret> {
  return new Map(secrets.filter(secret => secret.stays === undefined).map(secret => [secret.name, secret]))
}

/** Where secrets stand in plain text when all is done, as FILE:LINE: what stays, and what is not replaced. */
export function remaining({
  secrets = [],
  remarks = [],
}: Pick<ImportFound, 'secrets' | 'remarks'>): string[] {
  const places = [
    ...secrets.filter(secret => secret.stays !== undefined),
    ...remarks.filter(remark => remark.remains === true),
  ]
  return [...new Set(places.map(({ file, line }) => (line === undefined ? file : `${file}:${line}`)))]
}

/** "2 secrets", "1 secret". */
export function count(number: number, thing: string): string {
  return `${number} ${thing}${number === 1 ? '' : 's'}`
}
