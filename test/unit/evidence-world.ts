/** What the suites about evidence share: a deployment's folder, a case in it, and a clock that goes on. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Writable } from 'node:stream'
import { type Layout, layoutOf } from '../../src/deployment/layout.ts'
import { beginCase, type Case, type Order, resumeCase } from '../../src/evidence/case.ts'
import { Journal } from '../../src/procedure/journal.ts'
import { runProcedure } from '../../src/procedure/run.ts'
import type { Runbook } from '../../src/procedure/runbook.ts'
import { silentProgress } from '../../src/report/progress.ts'
import { Redactor } from '../../src/secret.ts'
import type { Action, Asking, IncidentContext } from '../../steps/incident/context.ts'
import { reportCase } from '../../steps/incident/report.ts'
import { sealEvidence } from '../../steps/incident/seal.ts'
import { scratch } from './support.ts'

const TEXT = `id: container-compromised
title: The container may be compromised
steps:
  - { id: containers.pause, title: Freeze every container }
  - { id: evidence.seal, title: Sign the evidence }
  - { id: image.rebuild, title: Rebuild the image }
  - { id: case.report, title: Close the case }
`

function step(id: string, within: number): Runbook['steps'][number] {
  const why = 'So that a test can see it.'
  return {
    ...{ id, title: `Do ${id}`, why, effect: 'contains', confirm: 'nobody' },
    ...{ does: { action: id }, undo: undefined, within },
  }
}

export const RUNBOOK: Runbook = {
  ...{ id: 'container-compromised', title: 'The container may be compromised', when: 'Somebody got in.' },
  ...{ contacts: [], drill: 90, text: TEXT },
  steps: [step('containers.pause', 2000), step('evidence.seal', 10_000), step('case.report', 5000)],
}

/** A deployment without a gateway, in which cases are opened. */
export class World {
  readonly layout: Layout
  readonly redactor = new Redactor()
  readonly journal: Journal
  readonly said: string[] = []
  ask: Asking | undefined
  #time = Date.UTC(2026, 10, 26, 10)

  constructor(folder = join(scratch(), 'my-gateway')) {
    this.layout = layoutOf(folder)
    mkdirSync(this.layout.own, { recursive: true, mode: 0o700 })
    this.journal = new Journal(this.layout.journal, this.now, this.redactor)
  }

  /** Every look at the clock takes 100 ms. */
  now = (): Date => {
    this.#time += 100
    return new Date(this.#time)
  }

  /** Goes on where the time of another world has stopped. */
  later(): void {
    this.#time += 3_600_000
  }

  begin(recipients: readonly string[] = []): Case {
    const { layout, now, redactor } = this
    return beginCase(layout, { runbook: RUNBOOK.id, text: RUNBOOK.text, recipients }, now, redactor)
  }

  /** As the next process does, after the one before was killed. */
  resume(): Case {
    const taken = resumeCase(this.layout, this.now, this.redactor)
    if (taken === undefined) throw new Error('no case is open')
    taken.takeUp()
    return taken
  }

  contextOf(of: Case): IncidentContext {
    const known: Partial<IncidentContext> = {
      ...{ case: of, runbook: RUNBOOK, layout: this.layout, journal: this.journal },
      ...{ redactor: this.redactor, now: this.now, version: '0.1.0', ask: this.ask },
      say: line => this.said.push(line),
    }
    return known as IncidentContext
  }

  /** One step, as the runner does it. */
  async act(action: Pick<Action, 'id' | 'title' | 'run'>, of: Case): Promise<void> {
    const { id, title } = action
    const runtime = {
      ...{ journal: of.journal, progress: silentProgress, signal: new AbortController().signal },
      ...{ lock: async () => () => {}, runId: of.id, dryRun: false },
    }
    const run = (ctx: IncidentContext, signal: AbortSignal) => action.run(ctx, signal)
    await runProcedure(RUNBOOK.id, [{ id, title, effect: 'writes', run }], this.contextOf(of), runtime)
  }

  /** A case with evidence of every kind, sealed and closed. */
  async closed(recipients: readonly string[] = []): Promise<Case> {
    const of = this.begin(recipients)
    await this.collect(of)
    await this.act(sealEvidence, of)
    await keep(of, { name: 'after/verify.txt', command: 'verify', share: true }, 'all checks pass\n')
    of.note('left-to-do', { secret: 'openai_api_key', what: 'revoke the old one' })
    await this.act(reportCase, of)
    return of
  }

  async collect(of: Case): Promise<void> {
    this.journal.append({ run: 'r', procedure: 'setup', event: 'begun' })
    await this.act(
      { id: 'containers.pause', title: 'Freeze', run: async () => ({ saw: 'frozen', facts: { paused: 2 } }) },
      of,
    )
    const log = { name: 'gateway/gateway.log', command: 'docker logs gateway', share: true }
    await keep(
      of,
      log,
      '2026-11-26T09:59:00.5Z {"level":"warn","message":"reason=token_mismatch"}\nno time here\n',
    )
    await keep(of, { name: 'gateway/export.tar', command: 'docker export' }, Buffer.alloc(3000, 7))
    of.missing({ name: 'gateway/memory.bin', command: 'collector memory' }, 'nobody asked for it')
    of.note('preserved', { service: 'gateway', reference: 'evidence:x', id: `sha256:${'ab'.repeat(32)}` })
  }
}

export async function keep(of: Case, order: Order, bytes: string | Uint8Array) {
  return of.keep(order, async into => {
    await written(into, bytes)
    return undefined
  })
}

export function written(into: Writable, bytes: string | Uint8Array): Promise<void> {
  return new Promise((done, failed) => into.write(bytes, error => (error ? failed(error) : done())))
}
