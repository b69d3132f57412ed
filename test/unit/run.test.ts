import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { Cancelled, Exit, ToolError } from '../../src/errors.ts'
import { Journal } from '../../src/procedure/journal.ts'
import { type Runtime, runProcedure } from '../../src/procedure/run.ts'
import type { Step } from '../../src/procedure/step.ts'
import { scratch, thrown } from './support.ts'

/** What a procedure runs with here: a real journal, a lock that tells when it is held, and all that was shown. */
function world() {
  const journal = new Journal(join(scratch(), 'journal.jsonl'), () => new Date('2026-11-23T01:40:00Z'))
  const shown: string[] = []
  const stop = new AbortController()
  const lock = { held: false, taken: 0 }
  const runtime: Runtime = {
    journal,
    progress: {
      begin: step => shown.push(`begin ${step.id}`),
      done: (step, saw) => shown.push(`done ${step.id}: ${saw}`),
      skipped: (step, why) => shown.push(`skip ${step.id}: ${why}`),
      failed: (step, error) => shown.push(`failed ${step.id}: ${error.message}`),
    },
    signal: stop.signal,
    async lock() {
      lock.held = true
      lock.taken += 1
      return () => {
        lock.held = false
      }
    },
    runId: 'run-1',
    dryRun: false,
  }
  const ran: string[] = []
  const step = (id: string, more: Partial<Step<undefined>> = {}): Step<undefined> => ({
    id,
    title: `Do ${id}`,
    effect: 'writes',
    run: async () => {
      ran.push(id)
      return { saw: `saw ${id}` }
    },
    ...more,
  })
  const run = (steps: Step<undefined>[], changed: Partial<Runtime> = {}) =>
    runProcedure('setup', steps, undefined, { ...runtime, ...changed })
  const events = () =>
    journal.read().map(({ event, step: of }) => (of === undefined ? event : `${event} ${of}`))
  return { journal, shown, stop, lock, ran, step, run, events }
}

describe('a procedure', () => {
  it('runs its steps in order and says which of them wrote and how long each took', async () => {
    const { ran, run, step } = world()
    const result = await run(
      [step('a'), step('b', { effect: 'reads' }), step('c', { effect: 'destroys' })].map((one, index) => ({
        ...one,
        run: async () => ({ saw: `${ran.push(String(index))}` }),
      })),
    )
    expect(ran).toEqual(['0', '1', '2'])
    expect(result.written).toEqual(['a', 'c'])
    expect(Object.keys(result.took)).toEqual(['a', 'b', 'c'])
    for (const milliseconds of Object.values(result.took)) expect(milliseconds).toBeGreaterThanOrEqual(0)
  })

  it('waits for one step before it begins the next', async () => {
    const { shown, run, step } = world()
    await run([
      step('slow', { run: () => new Promise(done => setTimeout(() => done({ saw: 'x' }), 5)) }),
      step('next'),
    ])
    expect(shown).toEqual(['begin slow', 'done slow: x', 'begin next', 'done next: saw next'])
  })

  it('journals steps with an effect, announced before and confirmed after, and no reading step', async () => {
    const { events, run, step } = world()
    await run([step('look', { effect: 'reads' }), step('a'), step('b', { effect: 'destroys' })])
    expect(events()).toEqual(['begun', 'step-begun a', 'step-done a', 'step-begun b', 'step-done b', 'done'])
  })

  it('has announced a step on the disk before the step runs, under the lock', async () => {
    const { journal, lock, run, step } = world()
    let seen: unknown
    await run([
      step('a', {
        async run() {
          seen = { last: new Journal(journal.path, () => new Date()).read().at(-1), held: lock.held }
          return { saw: '' }
        },
      }),
    ])
    expect(seen).toMatchObject({
      last: { event: 'step-begun', step: 'a', run: 'run-1', procedure: 'setup' },
      held: true,
    })
  })

  it('keeps what a step wants remembered in the journal', async () => {
    const { journal, run, step } = world()
    await run([step('a', { run: async () => ({ saw: '', facts: { fingerprint: 'abc' } }) })])
    expect(journal.read().find(event => event.event === 'step-done')?.facts).toEqual({ fingerprint: 'abc' })
  })

  it('takes no lock and makes no journal when there is nothing to write', async () => {
    const { journal, lock, run, shown, step } = world()
    const result = await run([step('look', { effect: 'reads' }), step('a', { skip: () => 'already so' })])
    expect(result.written).toEqual([])
    expect(lock.taken).toBe(0)
    expect(existsSync(journal.path)).toBe(false)
    expect(shown).toContain('skip a: already so')
  })

  it('takes the lock once, before its first effect, and gives it back', async () => {
    const { lock, run, step } = world()
    const held: boolean[] = []
    const note = (id: string, effect: 'reads' | 'writes') =>
      step(id, { effect, run: async () => ({ saw: `${held.push(lock.held)}` }) })
    await run([note('look', 'reads'), note('a', 'writes'), note('again', 'reads'), note('b', 'writes')])
    expect(held).toEqual([false, true, true, true])
    expect(lock).toEqual({ held: false, taken: 1 })
  })

  it('asks a step again once it holds the lock: somebody else may have done the work', async () => {
    const { events, lock, ran, run, shown, step } = world()
    await run([step('a', { skip: () => (lock.held ? 'done by another' : undefined) })])
    expect(ran).toEqual([])
    expect(shown).toEqual(['skip a: done by another'])
    expect(events()).toEqual([])
    expect(lock).toEqual({ held: false, taken: 1 })
  })

  it('does nothing at all when the lock is refused', async () => {
    const { journal, ran, run, step } = world()
    const locked = new ToolError('locked', 'another setup is running', '')
    expect(await thrown(() => run([step('a')], { lock: () => Promise.reject(locked) }))).toBe(locked)
    expect(ran).toEqual([])
    expect(existsSync(journal.path)).toBe(false)
  })
})

describe('a step that fails', () => {
  const failing = new ToolError('gateway_died', 'the gateway ended', 'look at its log')

  it('ends the procedure with its own error, journalled by its code, and the lock given back', async () => {
    const { events, journal, lock, ran, run, shown, step } = world()
    const error = await thrown(() =>
      run([step('a'), step('b', { run: () => Promise.reject(failing) }), step('c')]),
    )
    expect(error).toBe(failing)
    expect(events()).toEqual([
      'begun',
      'step-begun a',
      'step-done a',
      'step-begun b',
      'step-failed b',
      'failed',
    ])
    expect(journal.read().find(event => event.event === 'step-failed')?.note).toBe('gateway_died')
    expect(ran).toEqual(['a'])
    expect(shown).toContain('failed b: the gateway ended')
    expect(lock).toEqual({ held: false, taken: 1 })
  })

  it('is undone, and only it', async () => {
    const { events, run, step } = world()
    const undone: string[] = []
    const undo = (id: string) => async () => {
      undone.push(id)
    }
    await thrown(() =>
      run([
        step('a', { undo: undo('a') }),
        step('b', { undo: undo('b'), run: () => Promise.reject(failing) }),
      ]),
    )
    expect(undone).toEqual(['b'])
    expect(events().slice(-3)).toEqual(['step-failed b', 'step-undone b', 'failed'])
  })

  it('still ends with its own error when undoing it fails too', async () => {
    const { lock, run, shown, step } = world()
    const undo = () => Promise.reject(new ToolError('engine_unreachable', 'the engine is gone as well', ''))
    const error = await thrown(() => run([step('a', { undo, run: () => Promise.reject(failing) })]))
    expect(error).toBe(failing)
    expect(shown).toContain('failed a: the gateway ended')
    expect(lock.held).toBe(false)
  })

  it('still ends with its own error when the journal cannot be written any more', async () => {
    const { journal, run, step, lock } = world()
    const full = new ToolError('disk_full', 'no space left', '')
    const breaks = () => {
      vi.spyOn(journal, 'append').mockImplementation(() => {
        throw new Error('the journal is full too')
      })
      return Promise.reject(full)
    }
    expect(await thrown(() => run([step('a', { run: breaks })]))).toBe(full)
    expect(lock.held).toBe(false)
  })

  it('never puts a foreign error’s text into the journal, only its name', async () => {
    const { journal, run, step } = world()
    await thrown(() => run([step('a', { run: () => Promise.reject(new TypeError('token=abc123')) })]))
    expect(JSON.stringify(journal.read())).not.toContain('abc123')
    expect(journal.read().find(event => event.event === 'step-failed')?.note).toBe('TypeError')
  })

  it('ends the procedure when it only reads, without a journal', async () => {
    const { journal, ran, run, step } = world()
    expect(
      await thrown(() =>
        run([step('look', { effect: 'reads', run: () => Promise.reject(failing) }), step('a')]),
      ),
    ).toBe(failing)
    expect(ran).toEqual([])
    expect(existsSync(journal.path)).toBe(false)
  })

  it('counts as failed also when what it throws is no error', async () => {
    const { events, run, step } = world()
    expect((await thrown(() => run([step('a', { run: () => Promise.reject('just text') })]))).message).toBe(
      'just text',
    )
    expect(events().at(-1)).toBe('failed')
  })

  it('can be run again from there: what is done is skipped', async () => {
    const { events, run, step } = world()
    const done = new Set<string>()
    let broken = true
    const steps = ['a', 'b'].map(id =>
      step(id, {
        skip: () => (done.has(id) ? 'already so' : undefined),
        async run() {
          if (id === 'b' && broken) throw failing
          done.add(id)
          return { saw: id }
        },
      }),
    )
    await thrown(() => run(steps))
    broken = false
    expect((await run(steps, { runId: 'run-2' })).written).toEqual(['b'])
    expect(events().slice(-4)).toEqual(['begun', 'step-begun b', 'step-done b', 'done'])
  })
})

describe('a person who stops the procedure', () => {
  it('before it begins finds nothing changed', async () => {
    const { journal, ran, run, step, stop } = world()
    stop.abort()
    const error = await thrown(() => run([step('a')]))
    expect(error).toBeInstanceOf(Cancelled)
    expect(error).toMatchObject({
      exit: Exit.cancelled,
      message: expect.stringContaining('Nothing was changed'),
    })
    expect(ran).toEqual([])
    expect(existsSync(journal.path)).toBe(false)
  })

  it('between two steps is told what exists', async () => {
    const { events, lock, ran, run, step, stop } = world()
    const error = await thrown(() =>
      run([step('a'), step('b', { run: async () => ({ saw: String(stop.abort()) }) }), step('c')]),
    )
    expect(error).toBeInstanceOf(Cancelled)
    expect(error.message).toContain('a, b')
    expect(error.message).not.toContain('c,')
    expect(ran).toEqual(['a'])
    expect(events().at(-1)).toBe('cancelled')
    expect(lock.held).toBe(false)
  })

  it('does not disturb a step that must run to its end', async () => {
    const { events, run, step, stop } = world()
    let disturbed: boolean | undefined
    await thrown(() =>
      run([
        step('a', {
          async run(_, signal) {
            stop.abort()
            await new Promise(done => setTimeout(done, 5))
            disturbed = signal.aborted
            return { saw: '' }
          },
        }),
        step('b'),
      ]),
    )
    expect(disturbed).toBe(false)
    expect(events()).toEqual(['begun', 'step-begun a', 'step-done a', 'cancelled'])
  })

  it('in the last step finds the procedure done', async () => {
    const { events, run, step, stop } = world()
    expect((await run([step('a', { run: async () => ({ saw: String(stop.abort()) }) })])).written).toEqual([
      'a',
    ])
    expect(events().at(-1)).toBe('done')
  })

  for (const [kind, more] of Object.entries({
    'an interruptible step': { interruptible: true },
    'a reading step': { effect: 'reads' },
  } as const))
    it(`ends ${kind} in the middle, without undoing it`, async () => {
      const { run, step, stop } = world()
      let undone = false
      const error = await thrown(() =>
        run([
          step('before'),
          step('long', {
            ...more,
            run: (_, signal) =>
              new Promise((_done, fail) => {
                signal.addEventListener('abort', () => fail(new Error('aborted')))
                stop.abort()
              }),
            async undo() {
              undone = true
            },
          }),
        ]),
      )
      expect(error).toBeInstanceOf(Cancelled)
      expect(error.message).toContain('before')
      expect(undone).toBe(false)
    })

  it('finds the interrupted step in the journal as stopped by the person', async () => {
    const { events, journal, run, step, stop } = world()
    await thrown(() =>
      run([
        step('long', {
          interruptible: true,
          run() {
            stop.abort()
            return Promise.reject(new Error('aborted'))
          },
        }),
      ]),
    )
    expect(events()).toEqual(['begun', 'step-begun long', 'step-failed long', 'cancelled'])
    expect(journal.read().find(event => event.event === 'step-failed')?.note).toBe('stopped by the person')
  })
})

describe('a dry run', () => {
  it('looks, and shows every effect as not done, without lock or journal', async () => {
    const { journal, lock, ran, run, shown, step } = world()
    const result = await run(
      [
        step('look', { effect: 'reads' }),
        step('a'),
        step('b', { effect: 'destroys' }),
        step('c', { skip: () => 'already so' }),
      ],
      { dryRun: true },
    )
    expect(ran).toEqual(['look'])
    expect(result.written).toEqual([])
    expect(shown.slice(2)).toEqual([
      'skip a: dry run: not done',
      'skip b: dry run: not done',
      'skip c: already so',
    ])
    expect(lock.taken).toBe(0)
    expect(existsSync(journal.path)).toBe(false)
  })
})
