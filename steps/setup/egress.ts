import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { lookAt, readIfPresent } from '../../src/deployment/files.ts'
import { INSIDE, type Layout } from '../../src/deployment/layout.ts'
import { EGRESS } from '../../src/docker/compose.ts'
import { type ContainerFacts, firstLine } from '../../src/docker/engine.ts'
import { Exit, ToolError } from '../../src/errors.ts'
import type { JournalEvent } from '../../src/procedure/journal.ts'
import type { Step } from '../../src/procedure/step.ts'
import type { SetupContext } from './context.ts'

type Needs = Pick<SetupContext, 'answers' | 'compose' | 'docker' | 'journal' | 'launch' | 'layout'>

/** What the proxy reads when it starts, and again when it is told to. */
const READ = ['squid.conf', 'is-open'] as const
/** The proxy ends itself when an opening is over; Docker has it back after some seconds. */
const PATIENCE = 15_000

/** Hosts that are allowed or denied do not make a new proxy: the running one reads its rules anew, and drops no connection. */
export const reloadEgress: Step<Needs> = {
  id: 'egress.reload',
  title: 'Have the running proxy read its rules',
  effect: 'writes',
  async skip({ answers, compose, journal, launch, layout }) {
    if (!launch) return 'nothing is launched'
    if (answers.egress === 'open') return 'there is no proxy'
    // An engine that does not answer is `run`'s to report: by then the rules are written.
    const proxy = await compose.container(EGRESS).catch(() => undefined)
    if (proxy?.State.Running !== true) return undefined
    return hasRead(proxy, layout, journal.read()) ? 'it has read them' : undefined
  },
  async run({ compose, docker, layout }) {
    try {
      const container = await untilRunning(compose)
      const rules = fingerprint(layout)
      // Squid checks its file first and does nothing when it is not right. Not by a signal from outside: some engines take
      // `docker kill` for a wish that the container stay ended.
      const { code, stderr } = await docker.exec(
        container,
        ['squid', '-k', 'reconfigure', '-f', `${INSIDE.border}/squid.conf`],
        { deadline: 30_000 },
      )
      if (code !== 0) throw new ToolError('egress_rules', firstLine(stderr), '')
      return {
        saw: `container ${container.slice(0, 12)} has read them; no connection was dropped`,
        facts: { container, rules },
      }
    } catch (error) {
      if (!(error instanceof ToolError)) throw error
      throw new ToolError(
        'egress_not_told',
        `the rules are written, but the proxy could not be told: ${error.message}`,
        'Look at `docker compose logs egress` in the deployment folder, and run the same command again. The proxy also reads them whenever it starts.',
        Exit.unknown,
        error,
      )
    }
  },
}

/** Whether a running proxy goes by the rules as they are on the disk. */
export function hasRead(
  { Id, State }: Pick<ContainerFacts, 'Id' | 'State'>,
  layout: Layout,
  events: readonly JournalEvent[],
): boolean {
  const started = Date.parse(State.StartedAt)
  const told = events.findLast(event => event.event === 'step-done' && event.step === reloadEgress.id)
  // A proxy that has started since has read what was there then.
  if (told?.facts?.container === Id && Date.parse(told.at) > started)
    return told.facts.rules === fingerprint(layout)
  return READ.every(name => (lookAt(resolve(layout.border, name))?.mtimeMs ?? started) < started)
}

function fingerprint({ border }: Layout): string {
  const hash = createHash('sha256')
  for (const name of READ) hash.update(`${name}\0${readIfPresent(resolve(border, name)) ?? ''}\0`)
  return hash.digest('hex')
}

async function untilRunning(compose: Needs['compose']): Promise<string> {
  const began = Date.now()
  for (;;) {
    const proxy = await compose.container(EGRESS)
    if (proxy?.State.Running === true && !proxy.State.Paused) return proxy.Id
    if (proxy === undefined || proxy.State.Status === 'exited' || Date.now() - began > PATIENCE)
      throw new ToolError(
        'egress_not_running',
        'it does not run',
        'Start the deployment: create-openclaw-secure .',
      )
    await sleep(300)
  }
}
