/** A client that never stops, and what a rotation does to it. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { request } from 'node:http'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Traffic {
  requests: number
  probes: number
  failedProbes: number
  /** How often the token in use was refused, and another one was taken at once. */
  changes: number
  /** Moments in which no token that is known was taken, in milliseconds altogether. */
  gap: number
}

/**
 * Every 50 ms an authenticated request and a health probe, until it is stopped. A client that is refused tries what lies in
 * the secrets folder by now, newest first, as one does that shares it.
 */
export function startTraffic(folder: string, port: number): { stop(): Promise<Traffic> } {
  const seen: Traffic = { requests: 0, probes: 0, failedProbes: 0, changes: 0, gap: 0 }
  let token = newestTokens(folder)[0] ?? ''
  let isStopped = false
  const authenticated = (async () => {
    while (!isStopped) {
      const began = performance.now()
      seen.requests += 1
      if ((await status(port, '/api/channels/x', token)) !== 404) {
        const refused = performance.now()
        const taken = await firstTaken(
          newestTokens(folder).filter(other => other !== token),
          port,
        )
        if (taken === undefined) seen.gap += Math.max(50, performance.now() - refused)
        else {
          seen.changes += 1
          token = taken
        }
      }
      await sleep(Math.max(0, 50 - (performance.now() - began)))
    }
  })()
  const health = (async () => {
    while (!isStopped) {
      const began = performance.now()
      seen.probes += 1
      if ((await status(port, '/healthz')) !== 200) seen.failedProbes += 1
      await sleep(Math.max(0, 50 - (performance.now() - began)))
    }
  })()
  return {
    async stop() {
      isStopped = true
      await Promise.all([authenticated, health])
      return seen
    },
  }
}

async function firstTaken(tokens: readonly string[], port: number): Promise<string | undefined> {
  for (const token of tokens) if ((await status(port, '/api/channels/x', token)) === 404) return token
  return undefined
}

/** The delivered tokens, newest first. */
export function newestTokens(folder: string): string[] {
  const secrets = resolve(folder, 'secrets')
  return readdirSync(secrets)
    .filter(name => name.startsWith('gateway_token.'))
    .map(name => resolve(secrets, name))
    .sort((a, b) => mtime(b) - mtime(a))
    .flatMap(path => {
      try {
        return [readFileSync(path, 'utf8')]
      } catch {
        // Retired this very moment.
        return []
      }
    })
}

function mtime(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
}

/** HTTP status, or undefined when nothing answers within a second. */
export function status(port: number, path: string, token?: string): Promise<number | undefined> {
  return new Promise(done => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
    const call = request({ host: '127.0.0.1', port, path, headers, timeout: 1000, agent: false }, answer => {
      answer.resume()
      done(answer.statusCode)
    })
    call.on('timeout', () => call.destroy())
    call.on('error', () => done(undefined))
    call.end()
  })
}
