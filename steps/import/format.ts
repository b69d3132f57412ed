import type { PlainSecret } from './context.ts'
import type { Candidate } from './names.ts'

/** A place in one file that holds a secret in plain text. */
export interface Place extends Omit<PlainSecret, 'name' | 'file'> {
  candidate: Candidate
  /** The variable that has this value. */
  variable?: string
  /** The services of a Compose file that get it. */
  services?: readonly string[]
}

/** Where one file needs a variable that another one sets, or the same. */
export interface Use {
  variable: string
  line: number
  /** In words, why nothing can take the variable's place here; undefined where something can. */
  how?: string
  /** The services of a Compose file that need it. */
  services?: readonly string[]
  /** What is treated like a plain value once the variable is one that is imported. */
  place?: Omit<Place, 'value'>
  /** Whether the variable is a secret because it is used here, whatever its name. */
  secret?: boolean
}

/** A service of a Compose file. */
export interface Service {
  name: string
  /** By its image, its command or its name. */
  isOpenClaw: boolean
}

/** What was seen in one file. */
export interface Looked {
  places: Place[]
  remarks: { line: number; text: string }[]
  /** Files of variables that it names, and the services that get them. */
  envFiles: { path: string; line: number; services: readonly string[] }[]
  uses: Use[]
  services: Service[]
  /** Why a secret of this name cannot be replaced in this file. */
  refuses?(name: string): string | undefined
}

/** Nothing yet. */
export function nothingSeen(): Looked {
  return { places: [], remarks: [], envFiles: [], uses: [], services: [] }
}
