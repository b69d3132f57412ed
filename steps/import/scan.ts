import { relative, resolve } from 'node:path'
import { Exit, type Problem, ToolError, UsageError } from '../../src/errors.ts'
import type { Redactor } from '../../src/secret.ts'
import { lookAtComposition } from './compose.ts'
import type { PlainSecret, Remark, ScannedFile, Survey } from './context.ts'
import { elsewhere } from './elsewhere.ts'
import { filesIn, MOST_FILES, read, rootOf } from './files.ts'
import type { Looked } from './format.ts'
import { Unreadable } from './json5-text.ts'
import { nameAll } from './names.ts'
import { lookAtPolicy } from './openclaw-json.ts'
import { EVERYDAY_WORD } from './recognise.ts'
import { related, usesInScripts } from './uses.ts'
import { lookAtVariables } from './variables.ts'

const LOOK: Record<ScannedFile['format'], (text: string, used?: ReadonlySet<string>) => Looked> = {
  openclaw: lookAtPolicy,
  variables: lookAtVariables,
  compose: lookAtComposition,
}

/** Nobody has more of them; comparing each with each file would take for ever. */
const MOST_PLACES = 1000

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
        for (const { path, line } of looked.envFiles)
          addEnvFile(root, path, queue, text => remarks.push({ file, line, text }))
      } catch (error) {
        if (!(error instanceof Unreadable)) throw error
        problems.push({ field: `${file}, line ${error.line}`, saw: error.message, allowed: 'Correct it.' })
      }
  }
  if (problems.length > 0) throw new UsageError(problems)

  // A variable may be a secret by nothing but its use, in a file that was looked at after its own.
  const used = new Set(
    [...looks.values()].flatMap(({ uses }) => uses.filter(use => use.secret).map(use => use.variable)),
  )
  for (const [file, { format }] of files) looks.set(file, LOOK[format](texts.get(file) ?? '', used))
  for (const [file, looked] of looks) remarks.push(...looked.remarks.map(remark => ({ file, ...remark })))

  const beside = others.filter(other => !texts.has(other)).slice(0, MOST_FILES)
  const secrets = named(looks, usesInScripts(root, beside), redactor)
  remarks.push(...elsewhere(root, texts, beside, secrets, redactor))
  if (others.length > MOST_FILES)
    remarks.push({ file: '.', text: `holds more than ${MOST_FILES} other files: not all were looked at` })
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
function named(
  looks: ReadonlyMap<string, Looked>,
  scripts: Parameters<typeof related>[1],
  redactor: Redactor,
): PlainSecret[] {
  const { found, settled } = related(looks, scripts)
  for (const { value, stays } of found) if (stays !== EVERYDAY_WORD) redactor.learn(value)
  if (found.length > MOST_PLACES)
    throw new ToolError(
      'too_many',
      `${found.length} secrets in plain text were found; at most ${MOST_PLACES} can be imported at once`,
      'Name the folder of one set-up.',
      Exit.usage,
    )
  return settled(
    nameAll(found).map(secret => {
      const stays = secret.stays ?? looks.get(secret.file)?.refuses?.(secret.name)
      return stays === undefined ? secret : { ...secret, stays }
    }),
  )
}
