/** An incident in a folder of its own, of which nothing runs: what a step needs that only looks, asks and writes. */
import { mkdirSync } from 'node:fs'
import type { Answers } from '../../src/deployment/answers.ts'
import { layoutOf } from '../../src/deployment/layout.ts'
import { beginCase } from '../../src/evidence/case.ts'
import { Redactor, Secret } from '../../src/secret.ts'
import type { Asking, IncidentContext, Wishes } from '../../steps/incident/context.ts'
import { ANSWERS } from './support.ts'

export const inTime = new AbortController().signal

/** Secrets by name: the rotation id and the value of each. */
export type Stored = Readonly<Record<string, { rotationId: string; value: string }>>

interface Change {
  answers?: Answers
  stored?: Stored
  wishes?: Partial<Wishes>
  /** What the person says to every question for agreement; without it, nobody can be asked. */
  confirms?: boolean
  chooses?: string
}

/** The context, and what was said to the person. What is not in it is not to be touched: to reach for it is an error. */
export function incidentIn(folder: string, change: Change = {}): { ctx: IncidentContext; said: string[] } {
  const layout = layoutOf(folder)
  const said: string[] = []
  const redactor = new Redactor()
  const now = () => new Date('2026-11-26T10:00:00Z')
  mkdirSync(layout.own, { recursive: true })
  const ask: Asking = {
    show: text => void said.push(text),
    confirm: async () => change.confirms === true,
    choose: async () => change.chooses ?? '',
    text: async () => '',
    secret: async () => undefined,
  }
  const wishes: Wishes = {
    ...{ cutFirst: false, memory: false, recipients: [], keepState: false, allow: [], leaked: [] },
    ...{ since: undefined, brought: new Map(), applyPolicy: false, rehearsal: false, startDeadline: 1000 },
    ...change.wishes,
  }
  const present: Partial<IncidentContext> = {
    ...{ layout, redactor, now, wishes, answers: change.answers ?? ANSWERS },
    case: beginCase(layout, { runbook: 'credential-exposed', text: '' }, now, redactor),
    ask: change.confirms === undefined && change.chooses === undefined ? undefined : ask,
    say: line => void said.push(line),
    store: storeOf(change.stored ?? {}),
  }
  const ctx = new Proxy(present, {
    get(target, name) {
      if (!(name in target)) throw new Error(`the step reached for ${String(name)}`)
      return Reflect.get(target, name)
    },
  })
  return { ctx: ctx as IncidentContext, said }
}

function storeOf(stored: Stored): IncidentContext['store'] {
  const never = async () => {
    throw new Error('a step that only names changed the store')
  }
  return {
    async load(name) {
      const one = stored[name]
      if (one === undefined) return undefined
      return { revision: 1, current: { rotationId: one.rotationId, value: new Secret(one.value) } }
    },
    check: async () => 'it is there',
    close: async () => {},
    ...{ stage: never, commit: never, rollback: never, retire: never, destroy: never },
  }
}
