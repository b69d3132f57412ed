import { decisionIn } from '../../src/deployment/egress.ts'
import { EGRESS } from '../../src/docker/compose.ts'
import { ToolError, visible } from '../../src/errors.ts'
import { plain, table } from '../../src/evidence/markdown.ts'
import { redacted } from '../../src/evidence/share.ts'
import { type Access, accessIn, Lines } from '../../src/gateway/records.ts'
import type { Redactor } from '../../src/secret.ts'
import type { Action, IncidentContext } from './context.ts'
import { mustLeak } from './leak.ts'
import { logInto, recordsFrom } from './records.ts'
import { DEVICES } from './rotate-leaked.ts'

/** Looked at, of the newest lines. */
const MOST = 128 * 1024 * 1024
/** Rows of one kind of event, and kinds that are told apart. What is more is counted. */
const ROWS = 200
const KINDS = 30
const ASKED = 'asked to be paired'
/** What matters most, and always has room: what only one who was let in can do comes first. */
const GRAVE = ['device pairing approved', 'the configuration was changed', ASKED]

/** Who was at the door. It is asked of the state folder and not of the case, where evidence may be encrypted. */
export const searchRecords: Action = {
  id: 'records.search',
  title: 'Search the records for who came in, or tried to',
  effect: 'reads',
  async run(ctx, signal) {
    const { since } = mustLeak(ctx.case)
    const accesses = new Tally(GRAVE)
    const lines = new Lines(line => {
      const access = accessIn(line)
      // What has no time that can be read counts as well.
      if (access === undefined || Date.parse(access.at) < since.getTime()) return
      const { kind, cells } = shown(access, ctx.redactor)
      accesses.take(kind, cells, access.at.slice(0, 40))
    }, 1024 * 1024)
    const log = await lookingAt('the gateway’s log', () =>
      recordsFrom(ctx, { what: 'log', since: since.getTime(), most: MOST }, lines, signal),
    )
    await lines.over()
    const reached = new Tally(['allowed', 'refused'])
    const decisions = new Lines(line => {
      const decision = decisionIn(line.replace(/^\S+ /, ''))
      if (decision !== undefined) reached.take(decision.allowed ? 'allowed' : 'refused', [decision.target])
    }, 4096)
    // With an open way out there is no proxy, and nobody has written down whom the gateway reached.
    const proxy =
      ctx.answers.egress === 'open'
        ? undefined
        : await lookingAt('the proxy’s log', () =>
            logInto(ctx, { service: EGRESS, since }, decisions, signal),
          )
    await decisions.over()

    const devices = devicesIn(ctx)
    const refused = accesses.count(kind => kind.startsWith('refused'))
    const unseen = [log, proxy, devices.unseen].filter(missing => missing !== undefined)
    const text = words({ ctx, since, accesses, reached, devices, unseen })
    await ctx.case.keep(
      { name: 'findings/access.md', command: 'records.search', share: true },
      async into => {
        into.write(text)
        return undefined
      },
    )
    const facts = {
      refused,
      asked: accesses.count(kind => kind === ASKED),
      devices: devices.total,
    }
    return {
      saw: `${refused} refused at the gateway’s WebSocket, ${facts.asked} times asked to be paired, ${devices.unseen === undefined ? devices.total : 'an unknown number of'} devices before they were removed${unseen.length === 0 ? '' : `; NOT seen: ${unseen.join('; ')}`}`,
      facts: { ...facts, ...(unseen.length === 0 ? {} : { unseen: unseen.join('; ') }) },
    }
  },
}

/**
 * What is shown of one who was at the door, who chooses how long it is. It is redacted before it is cut: the rest of a secret
 * that was cut would not be known for one. Exported for its tests.
 */
export function shown(
  { what, address, who, device }: Access,
  redactor: Redactor,
): { kind: string; cells: string[] } {
  const cut = (text: string) => redacted(text, redactor).slice(0, 200)
  return { kind: cut(what), cells: [cut(address), cut(who), cut(device)] }
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

/** Events that are alike. */
interface Group {
  kind: string
  cells: readonly string[]
  first: string
  last: string
  count: number
}

/**
 * Counts events, those that are alike together, in bounded memory. Each kind has rows of its own: whoever makes many of one kind
 * pushes out no other, and how many there were stays true. Exported for its tests.
 */
export class Tally {
  readonly #kinds = new Map<string, { total: number; groups: Map<string, Group> }>()

  /** `first`: kinds that always have room; their rows come first. */
  constructor(first: readonly string[]) {
    for (const kind of first) this.#kinds.set(kind, { total: 0, groups: new Map() })
  }

  take(what: string, cells: readonly string[], at = ''): void {
    // Forged kinds fall together, and a refusal is still counted as one.
    const other = what.startsWith('refused') ? 'refused: otherwise' : 'something else'
    const kind = this.#kinds.has(what) || this.#kinds.size < KINDS ? what : other
    const known = this.#kinds.get(kind) ?? { total: 0, groups: new Map<string, Group>() }
    this.#kinds.set(kind, known)
    known.total += 1
    const key = JSON.stringify(cells)
    const group = known.groups.get(key)
    if (group !== undefined) {
      group.count += 1
      group.last = at
    } else if (known.groups.size < ROWS)
      known.groups.set(key, { ...{ kind, cells, first: at, last: at }, count: 1 })
  }

  /** Of all events, also those that have no row. */
  count(wanted: (kind: string) => boolean): number {
    return [...this.#kinds].reduce((sum, [kind, { total }]) => sum + (wanted(kind) ? total : 0), 0)
  }

  rows(): Group[] {
    return [...this.#kinds.values()].flatMap(({ groups }) => [...groups.values()])
  }

  /** How many events of a kind have no row. */
  rest(): [kind: string, count: number][] {
    return [...this.#kinds].flatMap(([kind, { total, groups }]): [string, number][] => {
      const left = [...groups.values()].reduce((sum, { count }) => sum - count, total)
      return left === 0 ? [] : [[kind, left]]
    })
  }
}

function restOf(tally: Tally): string[] {
  const rest = tally.rest().map(([kind, count]) => `- And ${count} more: ${plain(kind)}.`)
  return rest.length === 0 ? [] : ['', ...rest]
}

/** The devices: those that are named one by one, and how many there were. */
interface Paired {
  rows: readonly string[][]
  total: number
  /** Why they are not known. */
  unseen: string | undefined
}

/** The devices as the case has them: they were removed with the token. A run that was killed may have entered one twice. */
function devicesIn({ case: of }: IncidentContext): Paired {
  const keys = ['name', 'client', 'role', 'address', 'connected', 'paired', 'seen', 'id']
  const events = of.journal.read()
  const entered = events.filter(({ step, facts }) => step === 'device' && facts?.address !== undefined)
  const byId = new Map(entered.map(({ facts }) => [facts?.id, keys.map(key => String(facts?.[key] ?? ''))]))
  const counted = events.findLast(({ step, facts }) => step === 'devices' && facts?.paired !== undefined)
  const why = of.missed().find(({ file }) => file === `evidence/${DEVICES}`)?.why ?? 'nobody has listed them'
  return {
    rows: [...byId.values()],
    total: Math.max(byId.size, Number(counted?.facts?.paired ?? 0)),
    unseen: of.has(DEVICES) ? undefined : `the paired devices: ${visible(why)}`,
  }
}

function words(found: {
  ctx: IncidentContext
  since: Date
  accesses: Tally
  reached: Tally
  devices: Paired
  unseen: readonly string[]
}): string {
  const { ctx, since, accesses, reached, devices, unseen } = found
  const orNone = (rows: readonly string[][], head: readonly string[]) =>
    rows.length === 0 ? 'None.' : table(head, rows)
  const doors = accesses
    .rows()
    .map(({ kind, cells: [address = '', who = '', device = ''], first, last, count }) => [
      ...[first, last, String(count), kind, address, who, device.slice(0, 16)],
    ])
  const hosts = reached.rows().map(({ kind, cells, count }) => [kind, ...cells, String(count)])
  return [
    `# Who came in, or tried to, since ${since.toISOString()}`,
    ...(unseen.length > 0
      ? ['', '## What could not be looked at', '', ...unseen.map(one => `- ${one}`)]
      : []),
    ...['', '## At the gateway', ''],
    orNone(doors, ['First', 'Last', 'Times', 'What', 'From', 'Calls itself', 'Device']),
    ...restOf(accesses),
    ...['', '## Devices that were paired', ''],
    devices.rows.length === 0 && devices.unseen !== undefined
      ? 'Not known.'
      : orNone(devices.rows, ['Name', 'Program', 'Role', 'From', 'Connected', 'Paired', 'Last seen', 'Id']),
    ...(devices.total > devices.rows.length
      ? ['', `- And ${devices.total - devices.rows.length} more, in evidence/${DEVICES}.`]
      : []),
    ...['', '## Whom the gateway asked to reach', ''],
    ctx.answers.egress === 'open'
      ? 'Not known: with egress open, nobody between the gateway and the world keeps a list.'
      : orNone(hosts, ['Proxy', 'Host', 'Times']),
    ...(ctx.answers.egress === 'open' ? [] : restOf(reached)),
    ...['', '## What these records cannot show', ''],
    '- A wrong token over HTTP: OpenClaw does not log it. A burst of guesses is seen only at its WebSocket.',
    '- The right token in the wrong hands: it looks like its owner. Compare the devices, the sessions and their times with what you did.',
    '- From where: everybody comes by the ingress, whose address on the inner network is the one that the gateway sees.',
    '- What was deleted: a log that was cut or a session that was removed by whoever had the token is not here.',
    '',
  ].join('\n')
}
