import * as http from 'node:http'
import * as https from 'node:https'
import { type Problem, printable, ToolError, UsageError } from '../errors.ts'
import type { Secret } from '../secret.ts'
import { provider } from '../wizard/kinds.ts'

/** From name resolution to the head of the answer, in milliseconds. */
const DEADLINE = 15_000

/** A token of RFC 9110, 5.6.2. */
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$/

/** What a request needs for itself, what a proxy reads, and what every server writes into its log. */
const FORBIDDEN =
  /^(host|content-.*|transfer-encoding|connection|keep-alive|upgrade|te|trailer|expect|via|forwarded|x-forwarded-.*|proxy-.*|accept|user-agent|referer|origin|date|range)$/i

/**
 * What is wrong with the flags that name a call by which a key is proven. The URL is never repeated: what stands there by
 * mistake may be the key.
 */
export function providerCallProblems(url: string | undefined, header: string | undefined): Problem[] {
  const problems: Problem[] = []
  const wrongUrl = (given: string, allowed: string) =>
    problems.push({ field: 'URL to prove a key with', given, allowed, flag: '--prove-url' })
  const wrongHeader = (given: string, allowed: string) =>
    problems.push({ field: 'header to prove a key with', given, allowed, flag: '--prove-header' })

  if (url !== undefined) {
    const parsed = URL.canParse(url) ? new URL(url) : undefined
    if (parsed === undefined || !/^https?:$/.test(parsed.protocol))
      wrongUrl('(not shown)', 'https://HOST[:PORT]/PATH')
    else if (parsed.username !== '' || parsed.password !== '')
      wrongUrl('(not shown)', 'a URL without a user or a password: the key goes into a header')
    else if (!mayCarryKey(parsed))
      wrongUrl(parsed.origin, 'https, or http to a private address: everybody on the way could read the key')
  } else if (header !== undefined) wrongHeader('a header without a URL', 'only with --prove-url')
  if (header !== undefined && !HEADER_NAME.test(header))
    wrongHeader('(not shown)', 'the name of a header alone, x-api-key for example')
  else if (header !== undefined && FORBIDDEN.test(header))
    wrongHeader(header, 'a header that is meant for a key, x-api-key for example')
  return problems
}

/** Where a provider's own URL may be, the key may go: the same rule decides. */
function mayCarryKey(url: URL): boolean {
  return provider.fromText(`proof=${url.origin}`) !== undefined
}

/**
 * Asks a URL with a key, as `Authorization: Bearer` or bare in the named header, and returns the HTTP status of the
 * answer; nothing else of it is read. A redirect is an answer as well: whoever it leads to would get the key. The
 * certificate is always verified, whatever the environment says; whom to trust besides is told to Node
 * (NODE_EXTRA_CA_CERTS). `deadline` is in milliseconds, 15,000 by default.
 *
 * Errors: `provider_unreachable`; `provider_key_unfit`, for a key that no header can hold; a usage error for what
 * {@link providerCallProblems} finds. All are made here from scratch: the key is in none of them.
 */
export async function callWithKey(
  url: string,
  header: string | undefined,
  key: Secret,
  { deadline = DEADLINE }: { deadline?: number } = {},
): Promise<{ status: number }> {
  const problems = providerCallProblems(url, header)
  if (problems.length > 0) throw new UsageError(problems)
  const target = new URL(url)
  const signal = AbortSignal.timeout(deadline)
  return new Promise((resolve, reject) => {
    let call: http.ClientRequest
    try {
      call = (target.protocol === 'http:' ? http : https).request(target, {
        method: 'GET',
        headers: headersOf(target, header, key),
        rejectUnauthorized: true,
        signal,
      })
    } catch {
      // Node refuses, before it sends anything, what would end the header too early.
      const hint = 'Give it as the provider printed it: one line of printable characters.'
      reject(new ToolError('provider_key_unfit', 'the key holds characters that no header can hold', hint))
      return
    }
    call.on('response', response => {
      resolve({ status: response.statusCode ?? 0 })
      response.destroy()
    })
    call.on('error', (error: Error & { code?: string }) => {
      reject(unreachable(target, signal.aborted ? `no answer within ${deadline / 1000} s` : error.code))
    })
    call.end()
  })
}

function headersOf({ hostname }: URL, header: string | undefined, key: Secret): http.OutgoingHttpHeaders {
  const value = key.expose()
  return {
    accept: '*/*',
    // Some refuse whoever does not say what he is, with the same 403 as a wrong key.
    'user-agent': 'create-openclaw-secure',
    // Anthropic demands it of every request (its documentation, "Versions"), and answers 400 without it.
    ...(hostname === 'api.anthropic.com' && { 'anthropic-version': '2023-06-01' }),
    ...(header === undefined ? { authorization: `Bearer ${value}` } : { [header]: value }),
  }
}

/** What a status says about the key. 401 and 403 refuse it; all but 2xx beside them say nothing about it. */
export function acceptedStatus(status: number): 'accepted' | 'refused' | 'unknown' {
  if (status >= 200 && status < 300) return 'accepted'
  return status === 401 || status === 403 ? 'refused' : 'unknown'
}

/** By the code of the error alone: messages of Node and OpenSSL may quote what was sent. */
function unreachable({ origin }: URL, reason = 'no reason given'): ToolError {
  const isCertificate = /CERT|VERIFY|ISSUER|ERR_TLS/.test(reason)
  return new ToolError(
    'provider_unreachable',
    `${printable(origin)} cannot be asked whether it accepts the key (${reason})`,
    isCertificate
      ? 'Name the CA that signed its certificate with NODE_EXTRA_CA_CERTS=FILE, or correct --prove-url. If it should be trusted already, somebody may stand between.'
      : 'Correct --prove-url, or see whether the network lets this machine through; then run the command again.',
  )
}
