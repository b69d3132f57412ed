import { stripVTControlCharacters } from 'node:util'
import * as z from 'zod'
import { INSIDE } from '../deployment/layout.ts'
import { type Docker, firstLine } from '../docker/engine.ts'
import { ToolError, visible } from '../errors.ts'
import { parseJson } from '../json.ts'
import { asScript } from './inside.ts'
import { attendDevices, type DevicesOrder } from './inside-devices.ts'
import { AUTH_PATH } from './probe.ts'

/**
 * Someone's program with a key, and with tokens of its own that outlive a change of the gateway's. The texts were chosen
 * by the device; here they are {@link visible} and short.
 */
export interface Device {
  id: string
  /** What the owner calls it, else what it calls itself. */
  name: string
  /** Which program: "cli", "node-host", … */
  client: string
  /** "operator", "node", or both. */
  role: string
  /** From where it asked to be paired. */
  address: string
  /** Whether it is connected right now. */
  connected: boolean
  pairedAt: Date | undefined
  seenAt: Date | undefined
}

/** Who may come in without the gateway's token, and who is about to. */
export interface Devices {
  paired: Device[]
  /** Requests that wait for the owner. */
  pending: number
  /** Setup codes that have not expired: whoever has one is paired without being approved. */
  codes: number
}

/** Each wrong token is answered twice as late as the one before: five take 15 s, ten would take a minute. */
const TRIES = 5

const Text = z.nullish(z.string())
const Time = z.nullish(z.number())
const Listed = z.object({
  pending: z.array(z.unknown()),
  paired: z.array(
    z.object({
      deviceId: z.string(),
      operatorLabel: Text,
      displayName: Text,
      clientId: Text,
      role: Text,
      roles: z.nullish(z.array(z.string())),
      remoteIp: Text,
      connected: z.nullish(z.boolean()),
      createdAtMs: Time,
      approvedAtMs: Time,
      lastSeenAtMs: Time,
    }),
  ),
})

const Rows = z.object({ paired: z.number(), codes: z.number() })
const Attended = z.object({
  before: Rows,
  command: z.object({ code: z.number(), stdout: z.string(), stderr: z.string() }),
  after: Rows,
  answers: z.array(z.number()),
})

/**
 * The gateway's paired devices, as the gateway lists them; what that does not show, from its database. Takes about 0.2 s.
 * Errors: `devices_unknown` when it could not look, or was shown fewer than there are; those of the process runner.
 */
export async function pairedDevices(docker: Docker, container: string): Promise<Devices> {
  return (await recordedDevices(docker, container)).devices
}

/**
 * The same, and beside it the words of the gateway, in which no token stands: evidence. Errors: as {@link pairedDevices}.
 */
export async function recordedDevices(
  docker: Docker,
  container: string,
): Promise<{ devices: Devices; shown: string }> {
  const { command, after } = await attend(docker, container, {
    command: ['devices', 'list', '--json'],
    voidCodes: false,
    tries: 0,
    port: INSIDE.port,
    path: '',
  })
  const listed = Listed.safeParse(parseJson(command.stdout))
  if (command.code !== 0 || !listed.success) throw unseen(reasonOf(command))
  const { paired, pending } = listed.data
  // It shows a caller who is no administrator only himself.
  if (paired.length < after.paired)
    throw unseen(`openclaw devices list shows ${paired.length} of ${after.paired} devices`)
  const devices: Devices = {
    paired: paired.map(device => ({
      id: short(device.deviceId),
      name: short(device.operatorLabel || device.displayName || device.clientId || 'without a name'),
      client: short(device.clientId || 'unknown'),
      role: short(device.roles?.join(', ') || device.role || 'none'),
      address: short(device.remoteIp || 'unknown'),
      connected: device.connected ?? false,
      pairedAt: dateOf(device.approvedAtMs ?? device.createdAtMs),
      seenAt: dateOf(device.lastSeenAtMs),
    })),
    pending: pending.length,
    codes: after.codes,
  }
  return { devices, shown: command.stdout }
}

/**
 * Removes every paired device, request and setup code with OpenClaw's own means, which disconnects the devices, and
 * proves it. No token leaves the container, or is in an argument or environment there. `port` is the gateway's in the
 * container. Takes 0.6 s, and up to a minute where the gateway has just seen wrong tokens.
 *
 * `removed` is how many devices there were. `tokens`: how many of their tokens, of the five seen last, the gateway did
 * not refuse over HTTP until then; `refused`: how many of those it refuses now, which is all, or it throws. A token that
 * opens nothing over HTTP (a node's) is proven by its absence: OpenClaw looks it up in its database at each connection.
 *
 * Errors: `devices_not_revoked` when something is left, or a token still accepted; `devices_unknown` when it could not
 * look; those of the process runner.
 */
export async function revokeDevices(
  docker: Docker,
  container: string,
  port: number,
): Promise<{ removed: number; tokens: number; refused: number }> {
  const { before, command, after, answers } = await attend(docker, container, {
    command: ['devices', 'clear', '--yes', '--pending', '--json'],
    voidCodes: true,
    tries: TRIES,
    port,
    path: AUTH_PATH,
  })
  const refused = answers.filter(status => status === 401).length
  const unanswered = answers.filter(status => status === 0 || status === 429 || status >= 500).length
  const accepted = answers.length - refused - unanswered
  const left = [
    ...counted(after.paired, 'device is still paired', 'devices are still paired'),
    ...counted(after.codes, 'setup code is still valid', 'setup codes are still valid'),
    ...counted(accepted, 'old token is still accepted', 'old tokens are still accepted'),
  ]
  // Requests that nobody answered may be left: who is approved tomorrow is as much inside.
  if (command.code !== 0) left.push(`openclaw devices clear failed: ${reasonOf(command)}`)
  if (left.length > 0)
    throw new ToolError(
      'devices_not_revoked',
      left.join('; '),
      'Run the same command again. If that does not help, stop the gateway: docker compose stop.',
    )
  if (unanswered > 0)
    throw unseen(
      `the devices are removed, but the gateway did not say whether it refuses ${unanswered} of their tokens`,
    )
  return { removed: before.paired, tokens: answers.length, refused }
}

async function attend(
  docker: Docker,
  container: string,
  order: DevicesOrder,
): Promise<z.infer<typeof Attended>> {
  const finished = await docker.exec(
    container,
    ['node', '-e', asScript(attendDevices), JSON.stringify(order)],
    { deadline: 300_000 },
  )
  const attended = Attended.safeParse(parseJson(finished.stdout))
  if (finished.code === 0 && attended.success) return attended.data
  throw unseen(reasonOf(finished))
}

function unseen(reason: string): ToolError {
  return new ToolError(
    'devices_unknown',
    `the paired devices could not be looked at: ${reason}`,
    'Ask OpenClaw in the deployment folder: docker compose exec openclaw-gateway node openclaw.mjs devices list.',
  )
}

/** With `--json`, OpenClaw's commands say so why they failed. */
const Failed = z.object({ error: z.object({ message: z.string() }) })

/** Why a command failed, in its own words and on one line. */
function reasonOf({ code, stdout, stderr }: z.infer<typeof Attended>['command']): string {
  const failed = Failed.safeParse(parseJson(stdout))
  const line = failed.success
    ? failed.data.error.message
    : (/\w*Error: .*$/m.exec(stderr)?.[0] ?? firstLine(`${stderr}\n${stdout}`))
  return `${short(stripVTControlCharacters(line), 300)} (exit code ${code})`
}

function counted(count: number, one: string, many: string): string[] {
  return count === 0 ? [] : [`${count} ${count === 1 ? one : many}`]
}

/** Foreign text for one line, cut by characters and not through them. */
function short(text: string, most = 80): string {
  const characters = [...text]
  return visible(characters.length > most ? `${characters.slice(0, most).join('')}…` : text)
}

function dateOf(milliseconds: number | null | undefined): Date | undefined {
  const date = new Date(milliseconds ?? Number.NaN)
  return Number.isNaN(date.getTime()) ? undefined : date
}
