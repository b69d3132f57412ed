import { resolve } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { readIfPresent, writeAtomic } from '../../src/deployment/files.ts'
import { ToolError } from '../../src/errors.ts'
import { repointed } from '../../src/gateway/pointer.ts'
import { GATEWAY_TOKEN } from '../../src/gateway/policy.ts'
import { runProcedure } from '../../src/procedure/run.ts'
import type { Step } from '../../src/procedure/step.ts'
import { must, procedureOf, type RotateContext } from '../../steps/rotate/context.ts'
import { backSteps, rotateSteps } from '../../steps/rotate/index.ts'
import { some } from '../unit/support.ts'
import { type Explored, explore, type Matrix, stumble } from './rotate-matrix.ts'
import { PROVIDER_KEY, type Rotate, STORES } from './rotate-world.ts'

vi.mock('node:fs', async () => (await import('./rotate-disk.ts')).watched())
vi.mock('node:timers/promises', async () => (await import('./rotate-time.ts')).instantTimers())
// It reads, and changes nothing.
vi.mock('../../src/deployment/search.ts', () => ({
  searchFolder: async () => ({ searched: 0, left: 0, found: [] }),
}))
vi.mock('../../src/stores/vault-transport.ts', async importActual => ({
  ...(await importActual<object>()),
  safeTransport: (await import('./rotate-servers.ts')).vaultTransport,
}))

/** It cannot read what is delivered by a rotation, whatever the file's mode is. */
const REFUSES = { cannotRead: (file: string) => !file.includes('.20261001t') }
const FORWARDS = { ends: 'rotated', kills: 2 } as const
const BACK = { ends: 'taken back', kills: 2, temper: REFUSES } as const

const total = { kills: 0, runs: 0 }

function counted({ kills, runs, broken }: Explored): string[] {
  total.kills += kills
  total.runs += runs
  return broken
}

const ALL = STORES.flatMap(store => [GATEWAY_TOKEN, PROVIDER_KEY].map(name => [store, name] as const))

describe('a rotation that is killed at any moment, and again at any moment of the run that goes on', () => {
  it.each(ALL)(
    'in %s: %s ends up as the new value, and nobody is locked out meanwhile',
    async (store, name) => {
      expect(counted(await explore({ store, name, ...FORWARDS }))).toEqual([])
    },
    60_000,
  )

  it.each(ALL)(
    'in %s: %s ends up as the old value where the gateway cannot read the new one',
    async (store, name) => {
      expect(counted(await explore({ store, name, ...BACK }))).toEqual([])
    },
    60_000,
  )

  it.each([
    ['misses the first change', { misses: 1 }],
    ['hears of no change', { hears: undefined }],
    ['hears of a change when nobody waits for it any more', { hears: 7000 }],
    ['reads at once and takes long', { takes: 7000 }],
    ['does nothing without being started anew', { hears: undefined, reloads: false }],
    ['changes only with a new container', { hears: undefined, reloads: false, restarts: 'not' }],
    ['starts with what it had', { hears: undefined, reloads: false, restarts: 'as before' }],
  ] as const)(
    'comes to its end with a gateway that %s',
    async (_, temper) => {
      for (const name of [GATEWAY_TOKEN, PROVIDER_KEY])
        expect(counted(await explore({ name, temper, ends: 'rotated', kills: 1 }))).toEqual([])
    },
    60_000,
  )

  it('is thousands of runs, which stand for tens of thousands of kills', () => {
    expect(total.runs).toBeGreaterThan(2000)
    expect(total.kills).toBeGreaterThan(50_000)
  })
})

describe('a rotation that something goes wrong with at any moment', () => {
  it.each(STORES)(
    'in %s: says so, keeps both values, and goes on when it is well again',
    async store => {
      expect(counted(await stumble({ store, ...FORWARDS }, 'an error'))).toEqual([])
      expect(counted(await stumble({ store, ...BACK }, 'an error'))).toEqual([])
    },
    60_000,
  )

  it('ends between two steps when the person stops it, and goes on later', async () => {
    expect(counted(await stumble(FORWARDS, 'Ctrl-C'))).toEqual([])
    expect(counted(await stumble(BACK, 'Ctrl-C'))).toEqual([])
  }, 60_000)
})

type Steps = readonly Step<RotateContext>[]

/** A rotation with its steps in another order, or others; back it goes by its own way. */
function broken(change: (steps: Steps) => Steps, back: Steps = backSteps): Rotate {
  return async (ctx, runtimeOf) => {
    const procedure = procedureOf(ctx.name)
    await runProcedure(procedure, change(rotateSteps(ctx.name)), ctx, runtimeOf()).catch((error: unknown) => {
      if (!(error instanceof ToolError) || ctx.found.stage !== 'staged') throw error
      ctx.resume = true
      return runProcedure(procedure, back, ctx, runtimeOf())
    })
  }
}

const named = (steps: Steps, id: string) => some(steps.find(step => step.id === id))

/** The steps with one of them right before another. */
function moved(id: string, before: string): (steps: Steps) => Steps {
  return steps =>
    steps.flatMap(step => {
      if (step.id === id) return []
      return step.id === before ? [named(steps, id), step] : [step]
    })
}

const pointTooEarly: Step<RotateContext> = {
  ...{ id: 'early', title: 'Point before there is a file', effect: 'writes' },
  async run({ name, layout, found }) {
    for (const path of [resolve(layout.base, 'config/openclaw.json'), layout.configFile]) {
      const text = repointed(readIfPresent(path) ?? '', { name, ...must(found, 'next') })
      writeAtomic(path, text, 0o400)
    }
    return { saw: '' }
  },
}

const tellTheJournal: Step<RotateContext> = {
  ...{ id: 'leak', title: 'Write the value down', effect: 'writes' },
  run: async ({ found }) => ({ saw: '', facts: { value: must(found, 'next').value.expose() } }),
}

describe('the matrix sees', () => {
  const [look, applyOld, unstage] = backSteps
  const inTheWrongOrder = [some(look), some(unstage), some(applyOld)]
  const controls: [what: string, matrix: Partial<Matrix>, seen: string][] = [
    [
      'the old value destroyed before the new one is proven',
      {
        rotate: broken(steps =>
          moved('rotate.retire', 'rotate.apply')(moved('rotate.commit', 'rotate.apply')(steps)),
        ),
      },
      'the store does not have what the gateway takes',
    ],
    [
      'the old file removed before the gateway has another',
      {
        rotate: broken(steps =>
          moved('rotate.retire', 'rotate.apply')(moved('rotate.commit', 'rotate.apply')(steps)),
        ),
      },
      'a gateway that starts now finds nothing to take',
    ],
    [
      'a gateway pointed to a file that is not there yet',
      {
        store: 'vault',
        rotate: broken(steps =>
          steps.flatMap(one => (one.id === 'rotate.deliver' ? [pointTooEarly, one] : [one])),
        ),
      },
      'a gateway that starts now finds nothing to take',
    ],
    [
      'a value committed that the gateway never takes',
      { ...BACK, rotate: broken(moved('rotate.commit', 'rotate.apply')) },
      'the store has current, previous',
    ],
    [
      'the new value forgotten before the gateway is back at the old one',
      { ...BACK, rotate: broken(steps => steps, inTheWrongOrder) },
      'a gateway that starts now finds nothing to take',
    ],
    [
      'a way back that is not gone on with',
      { ...BACK, rotate: broken(steps => steps, [some(look), some(applyOld)]) },
      'the store has current, pending',
    ],
    [
      'a value in the journal',
      {
        rotate: broken(steps =>
          steps.flatMap(one => (one.id === 'rotate.apply' ? [tellTheJournal, one] : [one])),
        ),
      },
      '.secure/journal.jsonl holds a value',
    ],
  ]

  it.each(controls)(
    '%s',
    async (_, matrix, seen) => {
      const { broken: found } = await explore({ ...FORWARDS, ...matrix, kills: 1 })
      expect(found.join('\n')).toContain(seen)
    },
    60_000,
  )

  it('nothing wrong with the same steps in their own order', async () => {
    const { broken: found } = await explore({ ...FORWARDS, kills: 1, rotate: broken(steps => steps) })
    expect(found.filter(one => one.startsWith('nobody kills it'))).toEqual([])
  })
})
