import { isDeepStrictEqual } from 'node:util'
import * as z from 'zod'
import { INSIDE } from '../deployment/layout.ts'
import { Exit, ToolError } from '../errors.ts'
import { parseCommentedJson } from '../json.ts'
import { type DeliveredSecret, secretFileName } from './policy.ts'

const Policy = z.looseObject({
  secrets: z.looseObject({
    providers: z.record(z.string(), z.looseObject({ path: z.optional(z.string()) })),
  }),
})

/** Which file openclaw.json names for a secret, below the secrets folder; undefined when it names none. */
export function pointerOf(text: string, name: string): string | undefined {
  const path = read(text).secrets.providers[name]?.path
  return path?.startsWith(`${INSIDE.secrets}/`) === true ? path.slice(INSIDE.secrets.length + 1) : undefined
}

/**
 * openclaw.json with another file for one secret, and every other byte as it is: a rotation at night does not fail over
 * what somebody has edited by day. What comes out is parsed and compared: only this one path differs.
 * Errors: `pointer_unknown`, when there is no such path in it, or not in one place.
 */
export function repointed(text: string, { name, rotationId }: DeliveredSecret): string {
  const now = pointerOf(text, name)
  const next = secretFileName({ name, rotationId })
  if (now === next) return text
  const quoted = (file: string) => `"${INSIDE.secrets}/${file}"`
  const parts = now === undefined ? [] : text.split(quoted(now))
  const changed = parts.join(quoted(next))
  if (parts.length !== 2 || !differsInOnePath(text, changed, name, next))
    throw new ToolError(
      'pointer_unknown',
      `openclaw.json does not name the file of ${name} in exactly one place`,
      'Compare it with .secure/base/config/openclaw.json and put it right, then run the command again.',
      Exit.unknown,
    )
  return changed
}

function differsInOnePath(before: string, after: string, name: string, file: string): boolean {
  const wanted = read(before)
  const provider = wanted.secrets.providers[name]
  if (provider !== undefined) provider.path = `${INSIDE.secrets}/${file}`
  return isDeepStrictEqual(wanted, read(after))
}

function read(text: string): z.infer<typeof Policy> {
  try {
    return Policy.parse(parseCommentedJson(text))
  } catch {
    throw new ToolError(
      'pointer_unknown',
      'openclaw.json cannot be read as the configuration that was rendered',
      'Compare it with .secure/base/config/openclaw.json and put it right, then run the command again.',
      Exit.unknown,
    )
  }
}
