import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import * as http from 'node:http'
import * as https from 'node:https'
import { createSecureContext, type SecureContext } from 'node:tls'
import { ToolError, visible } from '../errors.ts'
import { parseJson } from '../json.ts'
import { isLoopbackHost } from '../wizard/kinds.ts'
import { STORE_DEADLINE } from './store.ts'

/** An answer is a few hundred bytes; whoever sends more than this is no Vault. */
const MAX_ANSWER = 1024 * 1024

/** Where the usual systems keep the CAs they trust: Debian, Fedora, SUSE, Alpine and macOS. Node brings its own list. */
const SYSTEM_CAS = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
]

const UNKNOWN_CA = [
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_UNTRUSTED',
  'CERT_SIGNATURE_FAILURE',
  'INVALID_CA',
]

export interface TransportOptions {
  /** `https://HOST[:PORT]`, or http where HOST is this machine. */
  address: string
  /** The CAs that may have signed its certificate, as PEM; empty: those that the system trusts. */
  ca: string
  /** How long one request may take altogether, in milliseconds. */
  deadline?: number
}

/** What node-vault hands to its transport, as far as it matters; `until` is our own. */
export interface TransportRequest {
  method: string
  uri: string
  headers?: Readonly<Record<string, string>>
  json?: unknown
  /** When the answer must be there at the latest, on the clock of `performance.now()`: several requests, one deadline. */
  until?: number
}

/** What node-vault expects back. */
export interface TransportAnswer {
  statusCode: number
  body: unknown
  request: { path: string }
}

/**
 * What node-vault takes as its `request-promise`: the one seam through which all its requests go. Its own transport
 * leaks, redirects, and believes the environment (each defect has a test in vault-transport.test.ts). This one speaks
 * to one server only, verifies it always, follows no redirect, uses no proxy, and has a deadline from name resolution
 * to the last byte. Errors: `store_unreachable`, `store_limited` and `store_denied`, made here from scratch: nothing of a
 * request or an answer is in them.
 */
export function safeTransport(options: TransportOptions): {
  defaults(): (request: TransportRequest) => Promise<TransportAnswer>
} {
  const { ca, deadline = STORE_DEADLINE } = options
  let agent: http.Agent | undefined
  const send = async ({ method, uri, headers, json, until }: TransportRequest): Promise<TransportAnswer> => {
    const server = serverAt(options.address)
    const url = new URL(uri)
    if (url.origin !== server.origin) throw new Error('a request for another server than the one that is set')
    agent ??= server.protocol === 'http:' ? new http.Agent() : new https.Agent(trusting(ca))
    const body = json === undefined || json === true ? undefined : Buffer.from(JSON.stringify(json))
    const { status, location, text } = await exchange({
      url,
      agent,
      method,
      // A copy: node-vault, and whoever calls it, keep theirs as they are.
      headers: {
        ...headers,
        'X-Vault-Request': 'true',
        ...(body === undefined ? {} : { 'Content-Length': String(body.length) }),
        ...(body === undefined || headers?.['Content-Type'] ? {} : { 'Content-Type': 'application/json' }),
      },
      body,
      until: until ?? performance.now() + deadline,
      deadline,
    })
    if (status >= 300 && status < 400) throw redirected(url, location)
    const parsed = text === '' ? undefined : parseJson(text)
    if (text !== '' && parsed === undefined) throw foreignAnswer(url, status)
    return { statusCode: status, body: parsed, request: { path: url.pathname } }
  }
  return { defaults: () => send }
}

/** What somebody who is not Vault answered, in words. Vault itself always answers in JSON. */
export function foreignAnswer(url: URL, status: number): ToolError {
  if (status === 429) return limited(url)
  if (status >= 500)
    return unreachable(
      `${url.origin} answers HTTP ${status}, and not as Vault does`,
      'A proxy or load balancer seems to stand before Vault and cannot reach it. Look there, then run the command again.',
    )
  return unreachable(
    `what answers at ${url.origin} is not Vault (HTTP ${status})`,
    'Correct --vault-address: host, port, and https or http.',
  )
}

/** Too many requests, by the server's own count. */
export function limited(url: URL): ToolError {
  return new ToolError(
    'store_limited',
    `Vault at ${url.origin} takes no more requests at the moment (HTTP 429)`,
    'Wait a minute and run the command again, or have the rate limit raised (sys/quotas/rate-limit).',
  )
}

/** `store_unreachable`, with what to do. */
export function unreachable(message: string, hint: string): ToolError {
  return new ToolError('store_unreachable', message, hint)
}

/** The server at an address, if secrets may be sent there. Errors: `store_unreachable`. */
export function serverAt(address: string): URL {
  const url = URL.canParse(address) ? new URL(address) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '')
    throw unreachable('the address of Vault is none', 'Give it as https://HOST[:PORT] with --vault-address.')
  if (url.protocol === 'http:' && !isLoopbackHost(url.hostname))
    throw unreachable(
      `secrets are not sent to ${url.origin}: everybody on the way could read them`,
      'Give an https:// address with --vault-address. Only on this machine itself (127.0.0.1, localhost) http will do.',
    )
  return url
}

/** Options of an agent that trusts these CAs and keeps no connection. Errors: `store_unreachable`, for a CA that is none. */
function trusting(ca: string): https.AgentOptions {
  return { keepAlive: false, maxCachedSessions: 0, rejectUnauthorized: true, secureContext: contextOf(ca) }
}

function contextOf(ca: string): SecureContext {
  if (ca === '') return createSecureContext({ ca: systemCas() })
  try {
    // A context takes a text without any certificate, and would then trust nobody.
    new X509Certificate(ca)
    return createSecureContext({ ca })
  } catch {
    throw unreachable(
      'the CA of Vault’s certificate is no certificate in PEM form',
      'Correct --vault-ca: the file has to begin with -----BEGIN CERTIFICATE-----.',
    )
  }
}

function systemCas(): string | undefined {
  for (const path of SYSTEM_CAS)
    try {
      return readFileSync(path, 'utf8')
    } catch {
      // Another system keeps them elsewhere.
    }
  return undefined
}

interface Exchange {
  url: URL
  agent: http.Agent
  method: string
  headers: Record<string, string>
  body: Buffer | undefined
  until: number
  deadline: number
}

/** One request and its whole answer, as text. */
function exchange(one: Exchange): Promise<{ status: number; location: string | undefined; text: string }> {
  const { url, agent, method, headers, body, until, deadline } = one
  return new Promise((resolve, reject) => {
    let sent: http.ClientRequest
    try {
      const request = url.protocol === 'http:' ? http.request : https.request
      sent = request(url, { agent, method, headers })
    } catch {
      // Node refuses a header that would break the request, before anything is sent. Its message is foreign text.
      reject(
        new ToolError(
          'store_denied',
          'the token or namespace for Vault holds characters that none can hold',
          'Give it again with --store-credential @FILE: one line, as Vault printed it.',
        ),
      )
      return
    }
    const fail = (error: Error) => {
      clearTimeout(timer)
      reject(error)
      sent.destroy()
    }
    const late = () =>
      fail(
        unreachable(
          `Vault at ${url.origin} did not answer within ${deadline / 1000} s`,
          'See whether the server, and what lies between, is in trouble; then run the command again. Nothing stored is lost.',
        ),
      )
    const timer = setTimeout(late, Math.max(0, until - performance.now()))
    sent.on('error', error => fail(networkError(url, error)))
    sent.on('response', response => {
      const chunks: Buffer[] = []
      let size = 0
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        size += chunk.length
        if (size > MAX_ANSWER)
          fail(
            unreachable(
              `what answers at ${url.origin} is not Vault: it sends more than 1 MiB`,
              'Correct --vault-address: host, port, and https or http.',
            ),
          )
      })
      response.on('error', error => fail(networkError(url, error)))
      response.on('end', () => {
        clearTimeout(timer)
        const text = Buffer.concat(chunks).toString('utf8')
        resolve({ status: response.statusCode ?? 0, location: response.headers.location, text })
      })
    })
    sent.end(body)
  })
}

/** A redirect, which nobody follows: whoever it leads to would receive the token. */
function redirected(url: URL, location: string | undefined): ToolError {
  const target =
    location !== undefined && URL.canParse(location, url.href) ? new URL(location, url) : undefined
  const whither = target === undefined ? '' : ` to ${visible(target.origin)}`
  return unreachable(
    `Vault at ${url.origin} redirects${whither}, and redirects are not followed`,
    'This is a standby node, or a proxy. Name the active node with --vault-address, if you trust it.',
  )
}

/** What went wrong on the way, by its code alone: messages of Node and OpenSSL may quote what was sent. */
function networkError(url: URL, error: Error & { code?: string }): ToolError {
  const code = error.code ?? 'no code'
  const where = url.origin
  if (code === 'ECONNREFUSED')
    return unreachable(
      `nothing listens at ${where}`,
      'Start Vault, or correct --vault-address; then run the command again.',
    )
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return unreachable(
      `the name ${url.hostname} cannot be resolved (${code})`,
      'Correct --vault-address, or this machine’s name resolution.',
    )
  if (UNKNOWN_CA.includes(code))
    return unreachable(
      `the certificate of ${where} is signed by no CA that is trusted here (${code})`,
      'Name the CA that signed it with --vault-ca FILE. If it should be trusted already, somebody may stand between.',
    )
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID')
    return unreachable(
      `the certificate of ${where} ${code === 'CERT_HAS_EXPIRED' ? 'has expired' : 'is not valid yet'}`,
      'Have the server’s certificate renewed, or set this machine’s clock.',
    )
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return unreachable(
      `the certificate of ${where} is for another name than ${url.hostname}`,
      'Give the name that is in the certificate with --vault-address, or somebody may stand between.',
    )
  if (code === 'EPROTO' || code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_'))
    return unreachable(
      `there is no TLS to be had with ${where} (${code})`,
      'Correct --vault-address: host, port, and https or http. Vault needs TLS 1.2 or later.',
    )
  if (code === 'ECONNRESET' || code === 'EPIPE')
    return unreachable(
      `${where} closes the connection without a whole answer (${code})`,
      'See whether the server, and what lies between, is in trouble; then run the command again.',
    )
  return unreachable(
    `${where} cannot be reached (${code})`,
    'Correct --vault-address, or see whether the network lets this machine through.',
  )
}
