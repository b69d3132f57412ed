import { readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import Handlebars from 'handlebars'
import { parseDocument } from 'yaml'
import { ToolError } from '../errors.ts'
import { parseCommentedJson } from '../json.ts'
import { packageFile } from './package.ts'

/** How a rendered file is read back. `text` has no structure to compare. */
export type Syntax = 'yaml' | 'json' | 'text'

/**
 * Fills one file of `templates/`. Values enter only through `{{json …}}` (JSON is YAML, and a quoted string
 * everywhere else), and what comes out is parsed again and must be exactly `structure`: whatever an answer holds, it
 * adds no key and changes none. Errors: `render_mismatch`, a defect of ours, before anything is written.
 */
export function render(template: string, values: object, syntax: Syntax, structure?: object): string {
  const text = compiled(template)(values, {
    allowProtoMethodsByDefault: false,
    allowProtoPropertiesByDefault: false,
  })
  if (
    structure !== undefined &&
    !isDeepStrictEqual(readBack(text, syntax), JSON.parse(JSON.stringify(structure)))
  )
    throw mismatch(template)
  return text
}

/** A file of `templates/` that is used as it is. */
export function verbatim(template: string): string {
  return readFileSync(packageFile(`templates/${template}`), 'utf8')
}

/** The runbooks that come with this package, by id. */
export const RUNBOOKS = ['credential-exposed', 'container-compromised'] as const

/**
 * A runbook of this package, naming who is called first, when that is known. The contact is one line of JSON, and is read
 * back as it was. Errors: `render_mismatch`.
 */
export function runbook(id: (typeof RUNBOOKS)[number], contact: string): string {
  const text = shipped(`steps/incident/${id}.yaml`)
  if (contact.trim() === '') return text
  const line = `contacts: [${json(contact)}]`
  const parts = text.split('\ncontacts: []\n')
  if (parts.length !== 2 || !isDeepStrictEqual(readBack(line, 'yaml'), { contacts: [contact] }))
    throw mismatch(`${id}.yaml`)
  return parts.join(`\n${line}\n`)
}

/** The schema that an editor checks a runbook with. */
export function runbookSchemaText(): string {
  return shipped('schemas/runbook.schema.json')
}

const SHIPPED = new Map<string, string>()

/** A file of this package, read once. */
function shipped(path: string): string {
  const text = SHIPPED.get(path) ?? readFileSync(packageFile(path), 'utf8')
  SHIPPED.set(path, text)
  return text
}

function mismatch(template: string): ToolError {
  return new ToolError(
    'render_mismatch',
    `${template} did not render to the planned structure`,
    'Nothing was written. Please report this with your deployment.yaml.',
  )
}

/** JSON for a template: characters that a terminal, YAML or an editor would not show are escaped. */
export function json(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffe\uffff]/g,
    char => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

function readBack(text: string, syntax: Syntax): unknown {
  try {
    if (syntax === 'json') return parseCommentedJson(text)
    const document = parseDocument(text, { uniqueKeys: true, strict: true })
    return document.errors.length > 0 ? undefined : document.toJS({ maxAliasCount: 0 })
  } catch {
    return undefined
  }
}

/** Every file is read and compiled once: making a plan is nothing but filling in. */
const COMPILED = new Map<string, HandlebarsTemplateDelegate>()

function compiled(template: string): HandlebarsTemplateDelegate {
  const known = COMPILED.get(template)
  if (known !== undefined) return known
  const made = engine().compile(readFileSync(packageFile(`templates/${template}`), 'utf8'), {
    strict: true,
    noEscape: true,
    knownHelpersOnly: true,
    knownHelpers: { json: true, each: true, if: true, unless: true, with: false, lookup: false, log: false },
  })
  COMPILED.set(template, made)
  return made
}

/** An instance of our own: nobody else's helpers or partials are in it. */
function engine(): typeof Handlebars {
  const own = Handlebars.create()
  for (const name of Object.keys(own.helpers))
    if (!['each', 'if', 'unless'].includes(name)) own.unregisterHelper(name)
  own.registerHelper('json', json)
  return own
}
