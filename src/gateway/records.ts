import { randomBytes } from 'node:crypto'
import { Writable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import * as z from 'zod'
import { pour } from '../docker/collector.ts'
import { type ContainerFacts, type Docker, firstLine, mountFlag, THROWAWAY_LABEL } from '../docker/engine.ts'
import { ToolError } from '../errors.ts'
import { parseJson } from '../json.ts'
import { asScript } from './inside.ts'
import { type RecordsOrder, readRecords } from './inside-records.ts'

const Read = z.object({ rows: z.number(), cut: z.array(z.string()) })

/**
 * Pours one kind of the gateway's records into `into`: JSON, one record a line. Read by the gateway's own user in a container of
 * its clean image that has no secrets, no network and no rights, and sees the state folder as it is; so a link in there leads at
 * most into that image, and the running gateway is not asked. Returns how many there were, and what is missing of them.
 * Errors: `records_unread`; those of the process runner.
 */
export async function recordsInto(
  docker: Docker,
  { Image: image, Config: { User: user } }: Pick<ContainerFacts, 'Image' | 'Config'>,
  state: string,
  order: RecordsOrder,
  into: Writable,
  signal?: AbortSignal,
): Promise<{ rows: number; cut: string | undefined }> {
  const name = `ocs-records-${randomBytes(6).toString('hex')}`
  const flags = [
    ...['run', '--rm', '--pull', 'never', '--name', name, '--label', THROWAWAY_LABEL, '--log-driver', 'none'],
    ...['--no-healthcheck', '--network', 'none', '--read-only', '--cap-drop', 'ALL', '--workdir', '/'],
    ...['--security-opt', 'no-new-privileges:true', '--pids-limit', '64', '--memory', '1g'],
    ...[
      '--tmpfs',
      '/tmp:rw,noexec,nosuid,nodev,size=512m,mode=1777',
      ...(user === '' ? [] : ['--user', user]),
    ],
    ...['--mount', mountFlag({ source: state, target: '/state', readOnly: true })],
    ...['--entrypoint', 'node', image, '-e', asScript(readRecords), JSON.stringify(order)],
  ]
  const options = { deadline: DEADLINE, most: order.most, ...(signal === undefined ? {} : { signal }) }
  try {
    const { code, stderr } = await pour(docker, flags, into, options)
    const read = Read.safeParse(parseJson(stderr.trim().split('\n').at(-1) ?? ''))
    if (code === 0 && read.success)
      return { rows: read.data.rows, cut: read.data.cut.length === 0 ? undefined : read.data.cut.join('; ') }
    throw new ToolError(
      'records_unread',
      `the gateway's records could not be read: ${firstLine(stderr)}`,
      'Look at the engine, and run the command again with --resume.',
    )
  } catch (error) {
    // The command-line client is gone; the container it started may not be.
    await docker.discard(name)
    throw error
  }
}

/** Milliseconds. */
const DEADLINE = 120_000

/** Hands a text on line by line, in bounded memory: of a line that is longer than `longest` characters, its beginning. */
export class Lines extends Writable {
  readonly #take: (line: string) => void
  readonly #longest: number
  readonly #decoder = new StringDecoder('utf8')
  #rest = ''
  /** How many lines were cut. */
  cut = 0

  constructor(take: (line: string) => void, longest = 8 * 1024 * 1024) {
    super()
    this.#take = take
    this.#longest = longest
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const parts = this.#decoder.write(chunk).split('\n')
    for (const [index, part] of parts.entries()) {
      const room = this.#longest - this.#rest.length
      if (part.length > room && room > 0) this.cut += 1
      if (room > 0) this.#rest += part.slice(0, room)
      if (index < parts.length - 1) this.#give()
    }
    done()
  }

  override _final(done: () => void): void {
    this.#give()
    done()
  }

  /** Ends it, and comes back when the last line was taken; also where whoever wrote has failed. */
  over(): Promise<void> {
    return new Promise(done => this.end(() => done()))
  }

  #give(): void {
    const line = this.#rest
    this.#rest = ''
    if (line !== '') this.#take(line)
  }
}

/** Somebody at the door: what the gateway's log has of who came in, or did not. */
export interface Access {
  at: string
  /** "refused: token_mismatch", "device pairing approved", … */
  what: string
  address: string
  /** What the other side calls itself, and its device. */
  who: string
  device: string
}

const Handshake = z.object({
  cause: z.string(),
  authReason: z.optional(z.string()),
  remoteAddr: z.optional(z.string()),
  clientDisplayName: z.optional(z.string()),
  client: z.optional(z.string()),
  deviceId: z.optional(z.string()),
})
/** OpenClaw's file log: "0" is who says it, "1" what is said. */
const LogLine = z.object({ 0: z.string(), 1: z.unknown(), time: z.string() })

/**
 * What a line of the gateway's log says of who came in; undefined for every other line. What an agent says is in this log too: so
 * only lines count that the gateway itself has written. Texts are as the other side chose them, and as long.
 */
export function accessIn(line: string): Access | undefined {
  // Most lines are about something else, and parsing is what takes long.
  if (!/handshake|pairing|gateway\/reload/.test(line)) return undefined
  const read = LogLine.safeParse(parseJson(line))
  if (!read.success) return undefined
  const { 0: source, 1: said, time: at } = read.data
  if (source === '{"subsystem":"gateway/ws"}') {
    const shake = Handshake.safeParse(said)
    if (!shake.success) return undefined
    const { cause, authReason, remoteAddr, clientDisplayName, client, deviceId } = shake.data
    const what = cause === 'pairing-required' ? 'asked to be paired' : `refused: ${authReason ?? cause}`
    const who = [clientDisplayName, client].filter(name => name !== undefined).join(', ')
    return { at, what, address: remoteAddr ?? '', who, device: deviceId ?? '' }
  }
  const text = typeof said === 'string' ? said : ''
  if (source === '{"subsystem":"gateway"}') {
    const [, what, device] = /^(device pairing [a-z]{1,20}) device=([0-9a-f]{1,64})/.exec(text) ?? []
    if (what !== undefined) return { at, what, address: '', who: '', device: device ?? '' }
  }
  if (source === '{"subsystem":"gateway/reload"}' && text.startsWith('config change detected'))
    return {
      at,
      what: 'the configuration was changed',
      address: '',
      who: /\((.{0,200})\)/.exec(text)?.[1] ?? '',
      device: '',
    }
  return undefined
}

/** Something that was said or done in a session of an agent. */
export interface Deed {
  at: string
  session: string
  /** The tool; empty where somebody only says something. */
  tool: string
  /** What the agent did, what the tool answered, or what was said to the agent. */
  kind: 'call' | 'result' | 'said'
  text: string
}

const Wrapped = z.object({
  session: z.nullish(z.string()),
  key: z.nullish(z.string()),
  at: z.nullish(z.number()),
  event: z.string(),
})
const Part = z.object({
  type: z.optional(z.string()),
  text: z.optional(z.string()),
  name: z.optional(z.string()),
  arguments: z.optional(z.unknown()),
})
const Message = z.object({
  type: z.literal('message'),
  timestamp: z.optional(z.string()),
  message: z.object({
    role: z.string(),
    toolName: z.optional(z.string()),
    content: z._default(z.union([z.string(), z.array(Part)]), []),
    /** A person's own command in a conversation. */
    command: z.optional(z.string()),
    output: z.optional(z.string()),
  }),
})

/** What one line of the session records tells; nothing, for what is neither said nor done. */
export function deedsIn(line: string): Deed[] {
  const outer = parseJson(line)
  const wrapped = Wrapped.safeParse(outer)
  const event = Message.safeParse(wrapped.success ? parseJson(wrapped.data.event) : outer)
  if (!event.success) return []
  const { key, session, at: stamp } = wrapped.success ? wrapped.data : { key: null, session: null, at: null }
  const at = typeof stamp === 'number' ? timeOf(stamp) : (event.data.timestamp ?? 'unknown')
  const { role, toolName, content, command, output } = event.data.message
  const head = { at, session: key ?? session ?? 'unknown' }
  if (command !== undefined)
    return [
      { ...head, tool: role, kind: 'call', text: command },
      { ...head, tool: role, kind: 'result', text: output ?? '' },
    ]
  const parts = typeof content === 'string' ? [{ type: 'text', text: content }] : content
  return parts.flatMap((part: z.infer<typeof Part>): Deed[] => {
    if (part.type === 'toolCall')
      return [{ ...head, tool: part.name ?? '', kind: 'call', text: textsOf(part.arguments).join('\n') }]
    if (part.text === undefined || role === 'assistant') return []
    return [
      { ...head, tool: toolName ?? '', kind: role === 'toolResult' ? 'result' : 'said', text: part.text },
    ]
  })
}

/** Every text in a tool's arguments, whatever their shape. */
function textsOf(value: unknown, depth = 0): string[] {
  if (typeof value === 'string') return [value]
  if (typeof value !== 'object' || value === null || depth > 8) return []
  return Object.values(value).flatMap(one => textsOf(one, depth + 1))
}

function timeOf(milliseconds: number): string {
  const date = new Date(milliseconds)
  return Number.isNaN(date.getTime()) ? 'unknown' : date.toISOString()
}
