import { randomInt } from 'node:crypto'
import { request } from 'node:http'
import { stripVTControlCharacters } from 'node:util'
import * as z from 'zod'
import type { Answers } from '../deployment/answers.ts'
import type { Docker } from '../docker/engine.ts'
import { visible } from '../errors.ts'
import { parseJson } from '../json.ts'
import type { Secret } from '../secret.ts'

/**
 * The cheapest question whose answer depends on the token alone and changes nothing: 401 without the right one, 404
 * with it. Other paths answer 200 to everybody (the Control UI's catch-all), so their status proves nothing.
 */
export const AUTH_PATH = '/api/channels/x'

/** What an HTTP request came back with; undefined when nothing answered. */
export type Status = number | undefined

/** How the gateway is reached from this machine. */
export type Door = Pick<Answers, 'port' | 'access'>

/**
 * Behind a proxy OpenClaw refuses whoever does not say for whom he asks (403), and takes a loopback address for a lie.
 * We ask for nobody: an address that documentation owns (RFC 5737).
 */
const FOR_NOBODY = { 'x-forwarded-for': '192.0.2.1' }

/** Asks the gateway through its published port, as a person on this machine, or the proxy, would. */
export function askFromHost(
  door: Door,
  path: string,
  token?: Secret,
  timeout = 5000,
  body?: object,
): Promise<Status> {
  return new Promise(resolve => {
    const headers = {
      ...(token === undefined ? {} : { authorization: `Bearer ${token.expose()}` }),
      ...(door.access === 'proxy' ? FOR_NOBODY : {}),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    }
    const method = body === undefined ? 'GET' : 'POST'
    const call = request(
      { host: '127.0.0.1', port: door.port, method, path, headers, timeout, agent: false },
      response => {
        response.resume()
        resolve(response.statusCode)
      },
    )
    call.on('timeout', () => call.destroy())
    call.on('error', () => resolve(undefined))
    call.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

/**
 * Asks from loopback inside the container, where wrong tokens are not counted: from outside, ten of them would lock
 * everybody out for five minutes. They are answered late, the later the more there were from that address within a minute:
 * so each question comes from an address of its own. The token travels through stdin.
 */
export async function askFromInside(
  docker: Docker,
  container: string,
  port: number,
  token: Secret,
): Promise<Status> {
  const from = `127.${randomInt(1, 254)}.${randomInt(1, 254)}.${randomInt(1, 254)}`
  const script = `let t='';process.stdin.on('data',d=>t+=d).on('end',()=>require('http').get({host:'127.0.0.1',port:${port},path:'${AUTH_PATH}',localAddress:'${from}',headers:{authorization:'Bearer '+t},timeout:8000},r=>console.log(r.statusCode,r.resume()&&'')).on('timeout',()=>process.exit(1)).on('error',()=>process.exit(1)))`
  const { code, stdout } = await docker.exec(container, ['node', '-e', script], {
    input: token,
    deadline: 20_000,
  })
  const status = z.coerce.number().int().safeParse(stdout.trim())
  return code === 0 && status.success ? status.data : undefined
}

const LogLine = z.object({ level: z.optional(z.string()), message: z.string() })

/** The gateway's own words about why it does not start: its last complaint, from its JSON console log. */
export function reasonInLog(log: string): string {
  const lines = stripVTControlCharacters(log)
    .split('\n')
    .map(line => {
      const parsed = LogLine.safeParse(parseJson(line))
      return parsed.success
        ? { level: parsed.data.level ?? '', text: parsed.data.message }
        : { level: '', text: line }
    })
  const telling =
    /failed|invalid|blocked|refusing|cannot|unable|EACCES|EROFS|ENOSPC|error|unavailable|out of memory/i
  const complaint =
    lines.findLast(line =>
      /Gateway (failed to start|start blocked)|Startup failed|Refusing to bind/i.test(line.text),
    ) ??
    lines.findLast(line => ['error', 'fatal'].includes(line.level)) ??
    lines.findLast(line => telling.test(line.text)) ??
    lines.findLast(line => line.text.trim() !== '')
  return complaint === undefined
    ? 'its log is empty'
    : visible(stripVTControlCharacters(complaint.text)).trim().slice(0, 600)
}
