/** How a runbook is gone through: in its order, once, agreed to where it destroys, and taken up again where it stopped. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { lookAtImage } from '../../src/commands/analyze.ts'
import { layoutOf } from '../../src/deployment/layout.ts'
import { analysisArguments } from '../../src/docker/analysis.ts'
import { Docker, type ImageFacts } from '../../src/docker/engine.ts'
import { processRunner } from '../../src/docker/process.ts'
import { Cancelled, ToolError, UsageError } from '../../src/errors.ts'
import { beginCase } from '../../src/evidence/case.ts'
import type { Runtime } from '../../src/procedure/run.ts'
import type { RunbookStep } from '../../src/procedure/runbook.ts'
import type { Finding } from '../../src/procedure/step.ts'
import { Redactor } from '../../src/secret.ts'
import type { Action, IncidentContext } from '../../steps/incident/context.ts'
import { ACTIONS } from '../../steps/incident/index.ts'
import { respond } from '../../steps/incident/run.ts'
import { verifyAgain } from '../../steps/incident/verify.ts'
import { thrown } from './support.ts'

let root = ''
let did: string[] = []

beforeEach(() => {
  root = mkdtempSync(resolve(tmpdir(), 'ocs-respond-'))
  did = []
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const action = (id: string, effect: Action['effect'], more: Partial<Action> = {}): Action => ({
  id,
  title: id,
  effect,
  async run() {
    did.push(id)
    return { saw: 'done' }
  },
  ...more,
})

const step = (id: string, effect: RunbookStep['effect'], more: Partial<RunbookStep> = {}): RunbookStep => ({
  ...{ id, title: `Do ${id}`, why: 'Because.', effect, does: { action: id }, undo: undefined, within: 1000 },
  confirm: effect === 'destroys' ? 'person' : 'nobody',
  ...more,
})

/** A world in which the runbook is these steps, and what they call these actions. */
function world(steps: RunbookStep[], actions: Action[], ask?: (question: string) => boolean) {
  const layout = layoutOf(mkdtempSync(resolve(root, 'own-')))
  mkdirSync(layout.own, { mode: 0o700 })
  const redactor = new Redactor()
  const now = () => new Date()
  const runbook = { id: 'mine', title: 'Mine', when: '', contacts: [], drill: 90, steps, text: 'id: mine\n' }
  const open = beginCase(layout, { runbook: 'mine', text: runbook.text }, now, redactor)
  const run = processRunner(redactor, process.env)
  const ctx = {
    ...{ case: open, runbook, layout, redactor, now, run, searchingRun: run, docker: new Docker(run) },
    settled: async () => {},
    lead: () => {},
    say: () => {},
    ask: ask === undefined ? undefined : { confirm: async (question: string) => ask(question) },
    wishes: { allow: [] as string[] },
  } as unknown as IncidentContext
  const person = { stop: new AbortController() }
  const runtime = (): Runtime => ({
    journal: open.journal,
    progress: { begin() {}, done() {}, skipped() {}, failed() {} },
    signal: person.stop.signal,
    lock: async () => () => {},
    runId: 'test',
    dryRun: false,
  })
  const table = new Map(actions.map(one => [one.id, one]))
  return { ctx, go: () => respond(ctx, table, runtime), open, person }
}

describe('a runbook', () => {
  it('is gone through in its order, and every step is in the chain of custody', async () => {
    const { go, open } = world(
      [step('look', 'reads'), step('cut', 'contains')],
      [action('cut', 'contains'), action('look', 'reads')],
    )
    expect(await go()).toMatchObject({ unseen: [] })
    expect(did).toEqual(['look', 'cut'])
    expect(
      open.journal
        .read()
        .filter(({ event }) => event === 'step-done')
        .map(one => one.step),
    ).toEqual([...['case.opened', 'look', 'cut']])
    expect(open.journal.verifyChain()).toMatchObject({ intact: true })
  })

  it('goes on after what only looks could not see, and says so at the end, also when it was an earlier run', async () => {
    const blind = action('look', 'reads', {
      run: async () => {
        throw new ToolError('not_seen', 'nobody answers', '')
      },
    })
    const { go, open } = world(
      [step('look', 'reads'), step('cut', 'contains')],
      [blind, action('cut', 'contains')],
    )
    expect(await go()).toMatchObject({ unseen: ['look'] })
    expect(did).toEqual(['cut'])
    expect(open.missed()).toMatchObject([{ why: 'not_seen: nobody answers' }])
    expect(await go()).toMatchObject({ unseen: ['look'] })
  })

  it('stops at what fails to contain, and the same command goes on from there without doing anything twice', async () => {
    let broken = true
    const cut = action('cut', 'contains', {
      async run() {
        if (broken) throw new ToolError('not_cut', 'still connected', '')
        did.push('cut')
        return { saw: '' }
      },
    })
    const { go } = world(
      [step('pause', 'contains'), step('cut', 'contains')],
      [action('pause', 'contains'), cut],
    )
    await expect(go()).rejects.toMatchObject({ code: 'not_cut' })
    broken = false
    await go()
    expect(did).toEqual(['pause', 'cut'])
  })

  it.each([
    ['Correct the cause and run the same command again.', 'Correct the cause and run RESUME.'],
    ['Look at the engine, and run the command again with --resume.', 'Look at the engine, and run RESUME.'],
    [
      'Nobody is locked out. create-openclaw-secure rotate --resume goes on.',
      'Nobody is locked out. RESUME goes on.',
    ],
    ['Free some space.', 'Free some space. The case stays open, as it is. Go on with: RESUME'],
    ['Move it away, then: RESUME', 'Move it away, then: RESUME'],
  ])('that fails ends half-way, with the command that goes on: %s', async (hint, shown) => {
    const resume = (text: string) => text.replace('RESUME', 'create-openclaw-secure incident --resume')
    const { go } = world(
      [step('cut', 'contains')],
      [
        action('cut', 'contains', {
          async run() {
            throw new ToolError('not_cut', 'still connected', resume(hint))
          },
        }),
      ],
    )
    await expect(go()).rejects.toMatchObject({ code: 'not_cut', exit: 4, hint: resume(shown) })
  })

  it('leaves an error of usage as it is', async () => {
    const wrong = new UsageError([{ field: 'x', allowed: 'y' }])
    const fail = action('cut', 'contains', { run: () => Promise.reject(wrong) })
    await expect(world([step('cut', 'contains')], [fail]).go()).rejects.toBe(wrong)
  })

  it('takes the gateway off the network before what a killed run has left is gone, and looks at nothing before', async () => {
    const { go, ctx } = world(
      [step('cut', 'contains'), step('look', 'reads')],
      [action('cut', 'contains', { hasty: true }), action('look', 'reads')],
    )
    let settle = () => {}
    const settled = new Promise<void>(done => {
      settle = done
    })
    ctx.settled = () => settled
    const gone = go()
    await sleep(100)
    expect(did).toEqual(['cut'])
    settle()
    await gone
    expect(did).toEqual(['cut', 'look'])
  })

  it('looks again at what contains until the evidence is sealed, and never after', async () => {
    const pause = action('pause', 'contains', { standing: true })
    const seal = action('evidence.seal', 'contains')
    const fail = action('later', 'contains', {
      run: async () => {
        throw new ToolError('later', '', '')
      },
    })
    const before = world([step('pause', 'contains'), step('later', 'contains')], [pause, fail])
    await expect(before.go()).rejects.toThrow()
    await expect(before.go()).rejects.toThrow()
    expect(did).toEqual(['pause', 'pause'])
    did = []
    const after = world(
      [step('pause', 'contains'), step('evidence.seal', 'contains'), step('later', 'contains')],
      [pause, seal, fail],
    )
    await expect(after.go()).rejects.toThrow()
    await expect(after.go()).rejects.toThrow()
    expect(did).toEqual(['pause', 'evidence.seal'])
  })
})

describe('a step that destroys', () => {
  const steps = [step('seal', 'contains'), step('remove', 'destroys')]
  const actions = [action('seal', 'contains'), action('remove', 'destroys')]

  it('waits with code 4 where nobody can be asked, after everything before it', async () => {
    const { go } = world(steps, actions)
    await expect(go()).rejects.toMatchObject({ code: 'incident_waits', exit: 4 })
    expect(did).toEqual(['seal'])
  })

  it('is done when it was named', async () => {
    const { go, ctx } = world(steps, actions)
    Object.assign(ctx.wishes, { allow: ['remove'] })
    await go()
    expect(did).toEqual(['seal', 'remove'])
  })

  it('is asked for where somebody is there, told what cannot be undone, and a no stops with nothing lost', async () => {
    const asked: string[] = []
    const { go } = world(steps, actions, question => {
      asked.push(question)
      return asked.length > 1
    })
    await expect(go()).rejects.toBeInstanceOf(Cancelled)
    expect(asked[0]).toContain('It cannot be undone.')
    await go()
    expect(did).toEqual(['seal', 'remove'])
  })
})

describe('a program of the runbook’s own', () => {
  const program = (code: number, effect: RunbookStep['effect']) =>
    step('mine', effect, {
      does: { run: ['node', '-e', `console.log('said it'); process.exit(${code})`] },
      within: 20_000,
    })

  it('is evidence by what it says, whatever its code, when it only looks', async () => {
    const { go, open } = world([program(3, 'reads')], [])
    await go()
    expect(readFileSync(resolve(open.folder, 'evidence/programs/mine-1.txt'), 'utf8')).toBe('said it\n')
  })

  it('stops the run when it was to contain and failed; run again, it says so under another name', async () => {
    const { go, open } = world([program(3, 'contains')], [])
    await expect(go()).rejects.toMatchObject({ code: 'program_failed', exit: 4 })
    await expect(go()).rejects.toMatchObject({ code: 'program_failed' })
    expect(open.artefacts().map(({ file }) => file)).toEqual([
      ...['evidence/programs/mine-1.txt', 'evidence/programs/mine-2.txt'],
    ])
  })
})

describe('the checks at the end', () => {
  const steps = [step('deployment.verify', 'reads')]
  const found = (check: string, verdict: Finding['verdict'], evidence: string) =>
    ({ check, verdict, evidence }) as Finding

  it('that a person stops have not looked: the next run asks them again', async () => {
    const { go, ctx, open, person } = world(steps, [verifyAgain])
    ctx.verify = async () => {
      person.stop.abort()
      return [found('ports.loopback', 'unknown', 'could not look: stopped by the person')]
    }
    await expect(go()).rejects.toBeInstanceOf(Cancelled)
    expect(open.missed()).toEqual([])
    person.stop = new AbortController()
    ctx.verify = async () => [found('ports.loopback', 'fail', 'port 1 is open')]
    expect(await go()).toMatchObject({ unseen: [], checks: { failed: ['ports.loopback'], unknown: [] } })
  })

  it('say why one could not look', async () => {
    const { go, ctx } = world(steps, [verifyAgain])
    ctx.verify = async () => [
      found('ports.loopback', 'fail', 'port 1 is open'),
      found('egress.denied', 'unknown', 'could not look: no address is free'),
      found('limits.pids', 'unknown', 'another reason'),
    ]
    expect((await go()).checks).toEqual({
      failed: ['ports.loopback'],
      unknown: ['egress.denied', 'limits.pids'],
      why: 'egress.denied: could not look: no address is free',
    })
  })
})

describe('the table of actions', () => {
  it('has each under its own name, and a title that says what it does', () => {
    expect([...ACTIONS].filter(([id, { id: own, title }]) => id !== own || title === '')).toEqual([])
    expect(ACTIONS.size).toBeGreaterThan(30)
  })
})

describe('the preserved image', () => {
  it('is opened with no network, no capabilities, no entrypoint, no environment and nothing of the machine', () => {
    const words = analysisArguments({
      image: 'sha256:1',
      seccomp: '/s.json',
      program: ['id'],
      terminal: false,
    })
    const text = words.join(' ')
    expect(text).toMatch(
      /--network none .*--read-only .*--cap-drop ALL .*seccomp=\/s\.json --user 65534:65534/,
    )
    expect(text).toMatch(/--entrypoint \/usr\/bin\/env sha256:1 -i PATH=\S+ HOME=\/ TERM=dumb id$/)
    expect(text).not.toMatch(/--mount|--volume|--tty|--env /)
  })

  const preserved = { reference: 'evidence:x', id: 'sha256:1' }
  const engineWith = (images: Record<string, string>): Pick<Docker, 'image'> => ({
    image: async name => (name in images ? ({ Id: images[name] } as ImageFacts) : undefined),
  })

  it('is the one that was signed, also where its name means another one by now, which is said', async () => {
    const same = { 'evidence:x': 'sha256:1', 'sha256:1': 'sha256:1' }
    expect(await lookAtImage(engineWith(same), preserved)).toBeUndefined()
    const moved = { ...same, 'evidence:x': 'sha256:2', 'sha256:2': 'sha256:2' }
    expect(await lookAtImage(engineWith(moved), preserved)).toMatch(/another image by now \(sha256:2\)/)
    expect(await lookAtImage(engineWith({ 'sha256:1': 'sha256:1' }), preserved)).toBeUndefined()
  })

  it('that is gone is not stood in for by another one of its name', async () => {
    for (const [images, said] of [
      [{}, /no more: sha256:1$/],
      [{ 'evidence:x': 'sha256:2' }, /no more: sha256:1\. evidence:x is another image by now \(sha256:2\)/],
    ] as const) {
      const error = await thrown(() => lookAtImage(engineWith(images), preserved))
      expect(error).toMatchObject({ code: 'no_image', message: expect.stringMatching(said) })
    }
  })
})
