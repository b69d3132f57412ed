import type { PlainSecret } from './context.ts'
import type { Candidate } from './names.ts'

/** A place in one file that holds a secret in plain text. */
export interface Place extends Omit<PlainSecret, 'name' | 'file'> {
  candidate: Candidate
}

/** What was seen in one file. */
export interface Looked {
  places: Place[]
  remarks: { line: number; text: string }[]
  /** Files of variables that it names. */
  envFiles: { path: string; line: number }[]
  /** Why a secret of this name cannot be replaced in this file. */
  refuses?(name: string): string | undefined
}
