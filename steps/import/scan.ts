import { relative, resolve } from 'node:path'
import { Exit, type Problem, ToolError, UsageError } from '../../src/errors.ts'
import { type Redactor, Secret } from '../../src/secret.ts'
import { lookAtComposition } from './compose.ts'
import type { PlainSecret, Remark, ScannedFile, Survey } from './context.ts'
import { filesIn, linesOf, MOST_FILES, read, rootOf } from './files.ts'
import type { Looked } from './format.ts'
import { Unreadable } from './json5-text.ts'
import { nameAll, type Unnamed } from './names.ts'
import { lookAtPolicy } from './openclaw-json.ts'
import { shapesIn } from './recognise.ts'
import { lookAtVariables } from './variables.ts'

const LOOK: Record<ScannedFile['format'], (text: string) => Looked> = {
  openclaw: lookAtPolicy,
  variables: lookAtVariables,
  compose: lookAtComposition,
}

/** Nobody has more of them; comparing each with each file would take for ever. */
const MOST_PLACES = 1000

/** A value has to be this long, in bytes, before finding it elsewhere is no accident. */
const TELLING = 8

/**
 * The plaintext secrets of a set-up that was made by hand, in the order of the files. Looks at the folder's openclaw.json,
 * Compose files, `.env`, `.env.*` and `*.env`, at openclaw.json and `.env` in its `config`, `.openclaw`, `state` and `data`, and
 * at each `env_file` within the folder; not at samples and backups. Changes nothing. The redactor learns every value.
 * Errors: all files that cannot be read or parsed, at once ({@link UsageError}); `not_a_folder`, `too_many`.
 */
export function scan(folder: string, redactor: Redactor): PlainSecret[] {
  return survey(folder, redactor).secrets
}

/** {@link scan}, with what a person should know beside it, and the files as they were. */
export function survey(folder: string, redactor: Redactor): Survey {
  const root = rootOf(folder)
  const { parts, others } = filesIn(root)
  const queue = [...parts]
  const files = new Map<string, ScannedFile>()
  const texts = new Map<string, string>()
  const looks = new Map<string, Looked>()
  const remarks: Remark[] = []
  const problems: Problem[] = []
  for (const [file, format] of queue) {
    if (looks.size >= MOST_FILES) {
      remarks.push({ file, text: `more than ${MOST_FILES} files: not looked at` })
      continue
    }
    const found = read(root, file)
    if ('left' in found) remarks.push({ file, text: found.left })
    else if ('unreadable' in found)
      problems.push({ field: file, saw: found.unreadable, allowed: 'Make it readable.' })
    else
      try {
        const looked = LOOK[format](found.text)
        looks.set(file, looked)
        texts.set(file, found.text)
        files.set(file, { format, digest: found.digest })
        for (const remark of looked.remarks) remarks.push({ file, ...remark })
        for (const { path, line } of looked.envFiles)
          addEnvFile(root, path, queue, text => remarks.push({ file, line, text }))
      } catch (error) {
        if (!(error instanceof Unreadable)) throw error
        problems.push({ field: `${file}, line ${error.line}`, saw: error.message, allowed: 'Correct it.' })
      }
  }
  if (problems.length > 0) throw new UsageError(problems)

  const secrets = named(looks, redactor)
  remarks.push(...elsewhere(root, texts, others, secrets, redactor))
  return {
    secrets: secrets.map(secret => ({ ...secret, where: redactor.clean(secret.where) })),
    remarks: remarks.map(remark => ({ ...remark, text: redactor.clean(remark.text) })),
    files,
  }
}

/** An `env_file` is looked at too, where it lies in the folder. A missing one is Compose's business. */
function addEnvFile(
  root: string,
  path: string,
  queue: [string, ScannedFile['format']][],
  remark: (text: string) => void,
): void {
  if (path.includes('$')) {
    remark('the env_file named here depends on a variable: not looked at')
    return
  }
  const file = relative(root, resolve(root, path))
  if (queue.some(([known]) => known === file)) return
  const found = read(root, file)
  if ('unreadable' in found && found.unreadable === 'it is not there') return
  if ('left' in found) remark(`the env_file named here: ${found.left}`)
  else queue.push([file, 'variables'])
}

/** Every secret with its name, and with all reasons that keep one in its file. */
function named(looks: ReadonlyMap<string, Looked>, redactor: Redactor): PlainSecret[] {
  const places: Unnamed[] = [...looks].flatMap(([file, looked]) =>
    looked.places.map(place => {
      redactor.learn(place.value)
      return { ...place, file }
    }),
  )
  if (places.length > MOST_PLACES)
    throw new ToolError(
      'too_many',
      `${places.length} secrets in plain text were found; at most ${MOST_PLACES} can be imported at once`,
      'Name the folder of one set-up.',
      Exit.usage,
    )
  return nameAll(places).map(secret => {
    const stays = secret.stays ?? looks.get(secret.file)?.refuses?.(secret.name)
    return stays === undefined ? secret : { ...secret, stays }
  })
}

/** What looks like a secret, or is one of those found, where nothing is replaced: comments, commands, other files. */
function elsewhere(
  root: string,
  texts: ReadonlyMap<string, string>,
  others: readonly string[],
  secrets: readonly PlainSecret[],
  redactor: Redactor,
): Remark[] {
  const remarks: Remark[] = []
  const values = secrets.filter(one => one.stays === undefined && one.value.length >= TELLING)
  const look = (file: string, text: string, options: { hex: boolean }) => {
    const lines = new Map<number, string>()
    const lineOf = linesOf(text)
    for (const { at, value, kind } of shapesIn(text, options)) {
      redactor.learn(new Secret(value))
      lines.set(
        lineOf(at),
        `looks like a secret (${kind}), where this tool replaces nothing: remove it by hand`,
      )
    }
    const bytes = Buffer.from(text)
    for (const { name, value } of new Map(values.map(one => [one.name, one])).values())
      if (value.isIn(bytes)) {
        const line = text.split('\n').findIndex(one => value.isIn(one)) + 1
        lines.set(Math.max(line, 1), `the value of ${name} stands here too: remove it by hand`)
      }
    for (const [line, found] of lines) remarks.push({ file, line, text: found })
  }
  for (const [file, text] of texts) {
    const spans = secrets.filter(one => one.file === file).map(one => one.span)
    look(file, without(text, spans), { hex: true })
  }
  for (const file of others.filter(other => !texts.has(other)).slice(0, MOST_FILES)) {
    const found = read(root, file)
    if ('text' in found) look(file, found.text, { hex: false })
  }
  if (others.length > MOST_FILES)
    remarks.push({ file: '.', text: `holds more than ${MOST_FILES} other files: not all were looked at` })
  return remarks
}

/** The text with blanks in place of these stretches, so that its lines stay what they are. */
function without(text: string, spans: readonly (readonly [number, number])[]): string {
  let result = ''
  let from = 0
  for (const [start, end] of [...spans].sort((a, b) => a[0] - b[0])) {
    if (start < from) continue
    result += text.slice(from, start) + text.slice(start, end).replace(/[^\n]/g, ' ')
    from = end
  }
  return result + text.slice(from)
}
