import * as z from 'zod'
import { Exit, type ExitCode, ToolError } from '../errors.ts'
import { parseJson } from '../json.ts'
import type { Secret } from '../secret.ts'

/** Who a service account token belongs to, and the host that it makes the SDK talk to. */
export interface ServiceAccount {
  email: string
  host: string
}

/** What matters to us in a token. The rest is keys, which nobody but the SDK has to understand. */
const Content = z.looseObject({ signInAddress: z.string().max(300), email: z.string().min(1).max(300) })

/** Tokens have less than a thousand characters. */
const LONGEST = 16_384

/**
 * The whole address, not only the host a URL parser finds in it: the SDK has a parser of its own, and where two
 * parsers disagree a foreign host gets in. So no user, no port, no path, nothing that could be read in two ways.
 */
const ADDRESS = /^(?:https:\/\/)?((?:[a-z0-9-]+\.)*1password\.(?:com|eu|ca))\/?$/i

/**
 * Reads a service account token (`ops_` and JSON in base64url) without contacting anybody. The SDK sends its requests
 * to whatever address stands in the token, unencrypted ones included (measured, 0.5.0), so that a token made by
 * somebody else would lead our secrets to him: only https and 1Password's own domains are accepted.
 *
 * Errors: `store_credential`, which says what is wrong and shows nothing of the token. `exit` is Exit.usage for a token
 * that somebody has just given, and Exit.unknown for one that was kept.
 */
export function inspectServiceAccount(token: Secret, exit: ExitCode = Exit.usage): ServiceAccount {
  const fail = (what: string) =>
    new ToolError(
      'store_credential',
      `the service account token ${what}`,
      'Copy the whole token, ops_…, from where 1Password showed it. It is shown once: if it is lost, make a new one at 1Password (Developer → Service Accounts).',
      exit,
    )
  const text = token.expose().trim()
  if (!text.startsWith('ops_')) throw fail('does not begin with ops_')
  if (text.length > LONGEST) throw fail('is far too long to be one')
  const encoded = text.slice(4)
  if (!/^[\w+/-]+={0,2}$/.test(encoded)) throw fail('holds characters that no token has')
  const json = parseJson(Buffer.from(encoded, 'base64url').toString('utf8'))
  if (json === undefined) throw fail('is cut off or damaged: it cannot be decoded')
  const content = Content.safeParse(json)
  if (!content.success)
    throw fail('names no sign-in address and account: it is none of 1Password’s, or damaged')
  const { signInAddress, email } = content.data
  if (/^(?!https:)[a-z][a-z0-9+.-]*:\/\//i.test(signInAddress))
    throw fail('names a sign-in address that is not https, where what is sent could be read on the way')
  const host = ADDRESS.exec(signInAddress)?.[1]?.toLowerCase()
  if (host === undefined)
    throw fail(
      'names a sign-in address that is not 1Password’s (1password.com, 1password.eu or 1password.ca, without a port or a user): secrets would go to somebody else',
    )
  return { email, host }
}
