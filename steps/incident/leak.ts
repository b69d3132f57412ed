import { UsageError } from '../../src/errors.ts'
import type { Case } from '../../src/evidence/case.ts'
import { allSecretNamesOf, GATEWAY_TOKEN } from '../../src/gateway/policy.ts'
import { bornAt } from '../../src/stores/store.ts'
import type { Action, IncidentContext } from './context.ts'

/** What leaked, as the case has it: names, never values. */
export interface Leak {
  /** The secrets, the gateway token first: the others are proven with it. */
  names: readonly string[]
  /** When all was still well. */
  since: Date
}

/** First of all, because it decides what is rotated, and how far back the records are searched. */
export const nameLeak: Action = {
  id: 'leak.name',
  title: 'Name what leaked, and since when',
  effect: 'reads',
  skip: ctx => (leakIn(ctx.case) === undefined ? undefined : 'the case has it'),
  async run(ctx) {
    const { answers, store, wishes, now } = ctx
    const known = allSecretNamesOf(answers)
    const names = inOrder(await whichOf(ctx, known))
    const unknown = names.filter(name => !known.includes(name))
    if (unknown.length > 0)
      throw new UsageError(
        unknown.map(given => ({ field: 'leaked', given, allowed: known.join(', ') })),
        'Name a secret of this deployment, and run the command again with --resume.',
      )
    const facts: Record<string, string> = {}
    const births: Date[] = []
    for (const name of names) {
      const current = (await store.load(name))?.current
      if (current === undefined) continue
      facts[`id ${name}`] = current.rotationId
      facts[`fingerprint ${name}`] = current.value.fingerprint(name)
      const born = bornAt(current.rotationId)
      if (born !== undefined) births.push(born)
    }
    // Nobody can have had a value before it was made.
    const oldest = births.sort((one, other) => one.getTime() - other.getTime())[0]
    const since = wishes.since ?? oldest ?? new Date(now().getTime() - MONTH)
    const reason = wishes.since !== undefined ? 'as was said' : oldest !== undefined ? 'its birth' : 'a guess'
    ctx.case.note(LEAK, { leaked: names.join(' '), since: since.toISOString(), ...facts })
    return {
      saw: `${names.join(', ')}; all was well until ${since.toISOString()} (${reason})`,
      facts: { leaked: names.join(' '), since: since.toISOString() },
    }
  },
}

/** What {@link nameLeak} has written into the case; undefined before it has. */
export function leakIn({ journal }: Pick<Case, 'journal'>): Leak | undefined {
  const facts = journal
    .read()
    .findLast(({ step, facts }) => step === LEAK && facts?.leaked !== undefined)?.facts
  if (facts === undefined) return undefined
  const names = String(facts.leaked).split(' ')
  return { names, since: new Date(String(facts.since)) }
}

/** What leaked. A runbook that asks for it before it was named has its steps in the wrong order. */
export function mustLeak(of: Pick<Case, 'journal'>): Leak {
  const leak = leakIn(of)
  if (leak !== undefined) return leak
  throw new UsageError(
    [
      {
        field: 'runbook',
        saw: 'it has not named what leaked',
        allowed: `Put the step ${nameLeak.id} first.`,
      },
    ],
    'Correct the runbook.',
  )
}

/** The step of the note that has it. */
export const LEAK = 'leak'
/** What is rotated monthly is not older. Milliseconds. */
const MONTH = 31 * 86_400_000

/** By flag, by asking, or the one that is handed around: the gateway token. */
async function whichOf(
  { wishes, ask }: IncidentContext,
  known: readonly string[],
): Promise<readonly string[]> {
  if (wishes.leaked.length > 0) return wishes.leaked
  if (ask === undefined) return [GATEWAY_TOKEN]
  const options = [...known, ALL].map(value => ({ value, label: value }))
  const chosen = await ask.choose('Which of them leaked?', options)
  return chosen === ALL ? known : [chosen]
}

/** For whoever is not sure. No secret can be called so. */
const ALL = 'all of them'

function inOrder(names: readonly string[]): string[] {
  const rank = (name: string) => (name === GATEWAY_TOKEN ? 0 : 1)
  return [...new Set(names)].sort((one, other) => rank(one) - rank(other))
}
