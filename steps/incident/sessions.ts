import { table } from '../../src/evidence/markdown.ts'
import { redacted } from '../../src/evidence/share.ts'
import { type Deed, deedsIn, Lines } from '../../src/gateway/records.ts'
import {
  type Hit,
  HUGE,
  PATTERNS,
  SEVERITIES,
  type Severity,
  suspicionsIn,
} from '../../src/gateway/suspicious.ts'
import type { Redactor } from '../../src/secret.ts'
import type { Action, IncidentContext } from './context.ts'
import { mustLeak } from './leak.ts'
import { recordsFrom } from './records.ts'

/** Bytes of sessions that are looked at, and rows that are shown of each pattern: the gravest first. */
const MOST = 512 * 1024 * 1024
const ROWS = 100
/** Of one pattern in one session: whoever fills it with one kind of match pushes out no other, and no other session. */
const ROWS_A_SESSION = 20

/** Characters that are shown before a match and after it. */
const AROUND = 60
/** Characters beside it from which secrets are taken out before anything is cut off, and what of them may end in half of one. */
const MARGIN = 8192
const EDGE = MARGIN / 2

const PLACES = { call: 'calls', shown: 'what it was shown', both: 'calls, and what it was shown' } as const

/** A pattern that was found, where. */
interface Suspicion {
  deed: Deed
  severity: Severity
  what: string
  excerpt: string
}

/** What was done with a stolen token is done by an agent: what it was made to run, and what it was shown. */
export const reviewSessions: Action = {
  id: 'sessions.review',
  title: 'Review what the agents were made to do',
  effect: 'reads',
  async run(ctx, signal) {
    const { since } = mustLeak(ctx.case)
    const review = new Review(ctx)
    const lines = new Lines(line => {
      for (const deed of deedsIn(line)) review.take(deed)
    })
    const order = { what: 'sessions', since: since.getTime(), most: MOST } as const
    const { cut } = await recordsFrom(ctx, order, lines, signal)
    await lines.over()
    const missing = [
      ...(cut === undefined ? [] : [cut]),
      ...(lines.cut === 0 ? [] : [`${lines.cut} records are too long to be read`]),
    ]
    await ctx.case.keep(
      { name: 'findings/sessions.md', command: 'sessions.review', share: true },
      async into => {
        into.write(review.words(since, missing))
        return undefined
      },
    )
    const { high, medium, low } = review.counts
    const facts = { sessions: review.sessions.size, calls: review.calls, high, medium, low }
    ctx.case.note('suspicions', { ...facts, hosts: [...review.hosts].join(' ') })
    return {
      saw: `${facts.calls} calls in ${facts.sessions} sessions: ${high} of high, ${medium} of medium, ${low} of low suspicion${missing.length === 0 ? '' : `; NOT seen: ${missing.join('; ')}`}`,
      facts: { ...facts, ...(missing.length === 0 ? {} : { unseen: missing.join('; ') }) },
    }
  },
}

/** What {@link reviewSessions} has left in the case for the policy. */
export function suspicionsOf({ journal }: IncidentContext['case']): {
  high: number
  hosts: readonly string[]
} {
  const facts = journal
    .read()
    .findLast(({ step, facts }) => step === 'suspicions' && facts?.high !== undefined)?.facts
  const hosts = String(facts?.hosts ?? '')
  return { high: Number(facts?.high ?? 0), hosts: hosts === '' ? [] : hosts.split(' ') }
}

/** What stands around a match. Secrets are taken out while they are whole and written as they are: what is cut first may be half of one. */
function excerptOf(text: string, { from, to }: Hit, redactor: Redactor): string {
  const begin = Math.max(0, from - MARGIN)
  const clean = redacted(text.slice(begin, to + MARGIN), redactor)
  // Where the match stands now: what was taken out before it was longer, or shorter.
  const at = redacted(text.slice(begin, from), redactor).length
  const last = to + MARGIN < text.length ? clean.length - EDGE : clean.length
  return clean.slice(
    Math.max(begin > 0 ? EDGE : 0, at - AROUND),
    Math.max(0, Math.min(last, at + to - from + AROUND)),
  )
}

/** What is found, in bounded memory. Exported for its tests. */
export class Review {
  /** How often each pattern was met, by session. */
  readonly sessions = new Map<string, Map<string, number>>()
  readonly counts: Record<Severity, number> = { high: 0, medium: 0, low: 0 }
  /** Hosts that the policy allows and a suspicious call names. */
  readonly hosts = new Set<string>()
  calls = 0
  readonly #ctx: Pick<IncidentContext, 'redactor' | 'answers'>
  readonly #shown = new Map<string, Suspicion[]>()

  constructor(ctx: Pick<IncidentContext, 'redactor' | 'answers'>) {
    this.#ctx = ctx
  }

  take(deed: Deed): void {
    const isCall = deed.kind === 'call'
    if (isCall) this.calls += 1
    const hits = suspicionsIn(deed.text, isCall ? 'call' : 'shown')
    const met = this.sessions.get(deed.session) ?? new Map<string, number>()
    this.sessions.set(deed.session, met)
    for (const hit of hits) {
      const { severity, what } = hit.pattern
      this.counts[severity] += 1
      const times = (met.get(what) ?? 0) + 1
      met.set(what, times)
      const shown = this.#shown.get(what) ?? []
      this.#shown.set(what, shown)
      if (times > ROWS_A_SESSION || shown.length >= ROWS) continue
      const excerpt = excerptOf(deed.text, hit, this.#ctx.redactor)
      // Of the deed, what is shown: a text of megabytes is not kept in memory for it.
      shown.push({ deed: { ...deed, text: '' }, severity, what, excerpt })
    }
    if (isCall && hits.some(({ pattern }) => pattern.severity !== 'low'))
      for (const host of this.#ctx.answers.egressHosts)
        if (deed.text.includes(host.replace(/^\*/, ''))) this.hosts.add(host)
  }

  words(since: Date, missing: readonly string[]): string {
    const rank = ({ severity }: Suspicion) => SEVERITIES.indexOf(severity)
    const rows = [...this.#shown.values()].flat().sort((one, other) => rank(one) - rank(other))
    const total = this.counts.high + this.counts.medium + this.counts.low
    return [
      `# What the agents were made to do since ${since.toISOString()}`,
      '',
      `${this.calls} calls in ${this.sessions.size} sessions. A match proves nothing, and neither does none: read the sessions themselves.`,
      ...(missing.length > 0
        ? ['', '## What could not be looked at', '', ...missing.map(one => `- ${one}`)]
        : []),
      ...['', '## What stands out', ''],
      rows.length === 0
        ? 'Nothing.'
        : table(
            ['When', 'Session', 'Tool', 'Suspicion', 'What', 'Where it stands'],
            rows.map(({ deed: { at, session, tool, kind }, severity, what, excerpt }) => [
              ...[at, session.slice(0, 120), tool === '' ? kind : `${tool} (${kind})`],
              ...[severity, what, excerpt],
            ]),
          ),
      ...(total > rows.length ? ['', `And ${total - rows.length} more, which the evidence has.`] : []),
      ...['', '## What was looked for', ''],
      table(
        ['Suspicion', 'What', 'In'],
        PATTERNS.map(({ severity, what, where }) => [severity, what, PLACES[where]]),
      ),
      '',
      `And whatever returned more than ${HUGE} characters. Sessions that were deleted are not here.`,
      '',
    ].join('\n')
  }
}
