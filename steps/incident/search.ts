import { decisionIn } from '../../src/deployment/egress.ts'
import { EGRESS } from '../../src/docker/compose.ts'
import { ToolError, visible } from '../../src/errors.ts'
import { table } from '../../src/evidence/markdown.ts'
import { type Access, accessIn, Lines } from '../../src/gateway/records.ts'
import type { Action, IncidentContext } from './context.ts'
import { mustLeak } from './leak.ts'
import { logInto, recordsFrom } from './records.ts'

/** Looked at, of the newest lines; and rows of a table. What is more is counted. */
const MOST = 128 * 1024 * 1024
const ROWS = 500

/** One kind of event, from one place, by one who calls himself so. */
interface Group {
  access: Access
  last: string
  count: number
}

/** Who was at the door. It is asked of the state folder and not of the case, where evidence may be encrypted. */
export const searchRecords: Action = {
  id: 'records.search',
  title: 'Search the records for who came in, or tried to',
  effect: 'reads',
  async run(ctx, signal) {
    const { since } = mustLeak(ctx.case)
    const groups = new Groups(since)
    const lines = new Lines(line => groups.take(accessIn(line)), 1024 * 1024)
    const log = await lookingAt('the gateway’s log', () =>
      recordsFrom(ctx, { what: 'log', since: since.getTime(), most: MOST }, lines, signal),
    )
    await lines.over()
    const reached = new Map<string, number>()
    const decisions = new Lines(line => {
      const decision = decisionIn(line.replace(/^\S+ /, ''))
      if (decision === undefined) return
      const key = `${decision.allowed ? 'allowed' : 'refused'} ${decision.target}`
      if (reached.has(key) || reached.size < ROWS) reached.set(key, (reached.get(key) ?? 0) + 1)
    }, 4096)
    const proxy = await lookingAt('the proxy’s log', () => logInto(ctx, EGRESS, since, decisions, signal))
    await decisions.over()

    const devices = devicesIn(ctx)
    const refused = groups.count(({ what }) => what.startsWith('refused'))
    const unseen = [log, proxy].filter(missing => missing !== undefined)
    const text = words({ ctx, since, groups, reached, devices, unseen })
    await ctx.case.keep(
      { name: 'findings/access.md', command: 'records.search', share: true },
      async into => {
        into.write(text)
        return undefined
      },
    )
    const facts = {
      refused,
      asked: groups.count(({ what }) => what === 'asked to be paired'),
      devices: devices.length,
    }
    return {
      saw: `${refused} refused at the gateway’s WebSocket, ${facts.asked} times asked to be paired, ${devices.length} devices before they were removed${unseen.length === 0 ? '' : `; NOT seen: ${unseen.join('; ')}`}`,
      facts: { ...facts, ...(unseen.length === 0 ? {} : { unseen: unseen.join('; ') }) },
    }
  },
}

/** Undefined when all of it was seen; else what was not. */
async function lookingAt(
  what: string,
  look: () => Promise<{ cut: string | undefined }>,
): Promise<string | undefined> {
  try {
    const { cut } = await look()
    return cut === undefined ? undefined : `${what}: ${visible(cut)}`
  } catch (error) {
    if (!(error instanceof ToolError)) throw error
    return `${what}: ${error.message}`
  }
}

/** Events counted together, in bounded memory: whoever floods the log makes one row of it, or many that are told as a number. */
class Groups {
  readonly #since: number
  readonly #groups = new Map<string, Group>()
  #rest = 0

  constructor(since: Date) {
    this.#since = since.getTime()
  }

  /** What has no time that can be read counts as well. */
  take(access: Access | undefined): void {
    if (access === undefined || Date.parse(access.at) < this.#since) return
    const key = JSON.stringify(
      [access.what, access.address, access.who, access.device].map(one => one.slice(0, 200)),
    )
    const known = this.#groups.get(key)
    if (known !== undefined) {
      known.count += 1
      known.last = access.at
    } else if (this.#groups.size < ROWS) this.#groups.set(key, { access, last: access.at, count: 1 })
    else this.#rest += 1
  }

  count(wanted: (access: Access) => boolean): number {
    return [...this.#groups.values()].reduce(
      (sum, { access, count }) => sum + (wanted(access) ? count : 0),
      0,
    )
  }

  rows(): string[][] {
    return [...this.#groups.values()].map(({ access: { at, what, address, who, device }, last, count }) => [
      at,
      last,
      String(count),
      what,
      address,
      who,
      device.slice(0, 16),
    ])
  }

  get rest(): string[] {
    return this.#rest === 0
      ? []
      : ['', `And ${this.#rest} more events of other kinds, which the evidence has.`]
  }
}

/** The devices as the case has them: they were removed with the token. A run that was killed may have entered one twice. */
function devicesIn({ case: { journal } }: IncidentContext): string[][] {
  const keys = ['name', 'client', 'role', 'address', 'connected', 'paired', 'seen', 'id']
  const entered = journal
    .read()
    .filter(({ step, facts }) => step === 'device' && facts?.address !== undefined)
  const byId = new Map(entered.map(({ facts }) => [facts?.id, keys.map(key => String(facts?.[key] ?? ''))]))
  return [...byId.values()]
}

function words(found: {
  ctx: IncidentContext
  since: Date
  groups: Groups
  reached: ReadonlyMap<string, number>
  devices: readonly string[][]
  unseen: readonly string[]
}): string {
  const { ctx, since, groups, reached, devices, unseen } = found
  const orNone = (rows: readonly string[][], head: readonly string[]) =>
    rows.length === 0 ? 'None.' : table(head, rows)
  const hosts = [...reached].map(([key, count]) => [...key.split(' '), String(count)])
  return [
    `# Who came in, or tried to, since ${since.toISOString()}`,
    ...(unseen.length > 0
      ? ['', '## What could not be looked at', '', ...unseen.map(one => `- ${one}`)]
      : []),
    ...['', '## At the gateway', ''],
    orNone(groups.rows(), ['First', 'Last', 'Times', 'What', 'From', 'Calls itself', 'Device']),
    ...groups.rest,
    ...['', '## Devices that were paired', ''],
    orNone(devices, ['Name', 'Program', 'Role', 'From', 'Connected', 'Paired', 'Last seen', 'Id']),
    ...['', '## Whom the gateway asked to reach', ''],
    ctx.answers.egress === 'open'
      ? 'Not known: with egress open, nobody between the gateway and the world keeps a list.'
      : orNone(hosts, ['Proxy', 'Host', 'Times']),
    ...['', '## What these records cannot show', ''],
    '- A wrong token over HTTP: OpenClaw does not log it. A burst of guesses is seen only at its WebSocket.',
    '- The right token in the wrong hands: it looks like its owner. Compare the devices, the sessions and their times with what you did.',
    '- From where: everybody comes by the ingress, whose address on the inner network is the one that the gateway sees.',
    '- What was deleted: a log that was cut or a session that was removed by whoever had the token is not here.',
    '',
  ].join('\n')
}
