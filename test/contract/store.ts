import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { Secret } from '../../src/secret.ts'
import type { SecretStore, StoredSecret } from '../../src/stores/store.ts'

/** A place that stores secrets, empty at first. `open` is a new client of it: another process, or this one restarted. */
export interface Place {
  open(): SecretStore
  /** Puts something in the way of every client of this place, and returns what takes it away again. */
  obstruct(obstacle: Obstacle): Promise<() => Promise<void>>
}

/** What can stand between a client and its store, and what the client has to call it. */
const OBSTACLES = {
  'refuses this client': 'store_denied',
  'cannot be reached': 'store_unreachable',
  'never answers': 'store_unreachable',
  'holds what this tool never wrote': 'store_corrupt',
} as const
export type Obstacle = keyof typeof OBSTACLES

/** A store answers or gives up within this time, in milliseconds: its own 15 s and what a busy machine adds. */
const PATIENCE = 20_000

const NAME = 'gateway_token'
/** Values nobody else has: what leaks is found by looking for them. */
const value = (rotationId: string) => ({
  rotationId,
  value: new Secret(`${rotationId}-VALUE-${'x9Qz'.repeat(12)}`),
})
/** A key has several lines, and the newline at its end is a part of it. */
const key = {
  rotationId: 'two-2',
  value: new Secret(`-----BEGIN KEY-----\ntwo-2-VALUE-${'x9Qz'.repeat(12)}\n-----END KEY-----\n`),
}
const [one, two, three] = [value('one-1'), key, value('three-3')]

/** What a store holds, with the values exposed: to compare. */
function shown(secret: StoredSecret | undefined): unknown {
  if (secret === undefined) return undefined
  const { revision: _, ...slots } = secret
  return Object.fromEntries(
    Object.entries(slots).map(([slot, stored]) => [slot, `${stored.rotationId}=${stored.value.expose()}`]),
  )
}

const is = (stored: { rotationId: string; value: Secret }) => `${stored.rotationId}=${stored.value.expose()}`

/** What every secret store must do, whatever is behind it. Runs against a fresh place a test. */
export function storeContract(name: string, makePlace: () => Promise<Place>): void {
  /** A store with `one` current. */
  const withOne = async () => {
    const place = await makePlace()
    const store = place.open()
    const staged = await store.stage(NAME, one, 0)
    const revision = await store.commit(NAME, one.rotationId, staged)
    return { place, store, revision }
  }
  /** A store with `two` current and `one` previous. */
  const withTwo = async () => {
    const { place, store, revision } = await withOne()
    return {
      place,
      store,
      revision: await store.commit(NAME, two.rotationId, await store.stage(NAME, two, revision)),
    }
  }

  describe(`${name}: a secret`, () => {
    it('nobody stored is undefined', async () => {
      expect(await (await makePlace()).open().load(NAME)).toBeUndefined()
    })

    it('can be checked for before and after it is stored', async () => {
      const { store } = await withOne()
      expect(await (await makePlace()).open().check()).toMatch(/\w/)
      const saw = await store.check()
      expect(saw).toMatch(/\w/)
      expect(saw).not.toContain(one.value.expose())
    })

    it('that is staged lies beside nothing, and is not current', async () => {
      const store = (await makePlace()).open()
      const revision = await store.stage(NAME, one, 0)
      const loaded = await store.load(NAME)
      expect(loaded?.revision).toBe(revision)
      expect(shown(loaded)).toEqual({ pending: is(one) })
    })

    it('is current once it is committed', async () => {
      const { store, revision } = await withOne()
      expect((await store.load(NAME))?.revision).toBe(revision)
      expect(shown(await store.load(NAME))).toEqual({ current: is(one) })
    })

    it('stays current while another is staged, and both can be found', async () => {
      const { store, revision } = await withOne()
      await store.stage(NAME, two, revision)
      expect(shown(await store.load(NAME))).toEqual({ current: is(one), pending: is(two) })
    })

    it('becomes previous when the next is committed, and is forgotten when it is retired', async () => {
      const { store, revision } = await withTwo()
      expect(shown(await store.load(NAME))).toEqual({ current: is(two), previous: is(one) })
      const next = await store.retire(NAME, revision)
      expect((await store.load(NAME))?.revision).toBe(next)
      expect(shown(await store.load(NAME))).toEqual({ current: is(two) })
    })

    it('is forgotten as previous when two more are committed', async () => {
      const { store, revision } = await withTwo()
      await store.commit(NAME, three.rotationId, await store.stage(NAME, three, revision))
      expect(shown(await store.load(NAME))).toEqual({ current: is(three), previous: is(two) })
    })

    it('stays current when the pending one is rolled back', async () => {
      const { store, revision } = await withOne()
      const staged = await store.stage(NAME, two, revision)
      await store.rollback(NAME, two.rotationId, staged)
      expect(shown(await store.load(NAME))).toEqual({ current: is(one) })
    })

    it('that is pending is replaced when another is staged', async () => {
      const { store, revision } = await withOne()
      await store.stage(NAME, three, await store.stage(NAME, two, revision))
      expect(shown(await store.load(NAME))).toEqual({ current: is(one), pending: is(three) })
    })

    it('is gone when it is destroyed, with all its values, and can be begun anew', async () => {
      const { store, revision } = await withTwo()
      await store.stage(NAME, three, revision)
      await store.destroy(NAME)
      expect(await store.load(NAME)).toBeUndefined()
      await store.destroy(NAME)
      await store.stage(NAME, one, 0)
      expect(shown(await store.load(NAME))).toEqual({ pending: is(one) })
    })

    it('keeps its bytes: nothing is trimmed, added or encoded', async () => {
      const store = (await makePlace()).open()
      const odd = { rotationId: 'odd-1', value: new Secret(' a"b\\c$d{{e}}é😀\t\n') }
      await store.stage(NAME, odd, 0)
      expect((await store.load(NAME))?.pending?.value.expose()).toBe(odd.value.expose())
    })

    it('does not touch another one', async () => {
      const { store } = await withOne()
      await store.stage('openai_api_key', two, 0)
      await store.destroy('openai_api_key')
      expect(shown(await store.load(NAME))).toEqual({ current: is(one) })
    })

    it('is not changed by the change of one that shares the beginning of its name', async () => {
      const { store } = await withOne()
      await store.stage(`${NAME}_2`, two, 0)
      expect(shown(await store.load(NAME))).toEqual({ current: is(one) })
      await store.destroy(NAME)
      expect(shown(await store.load(`${NAME}_2`))).toEqual({ pending: is(two) })
    })

    it('never changes under a rotation id that is in use', async () => {
      const { store, revision } = await withTwo()
      for (const used of [one, two])
        await store.stage(NAME, { rotationId: used.rotationId, value: three.value }, revision).catch(() => {})
      const { current, previous } = (await store.load(NAME)) ?? {}
      expect(current?.value.expose()).toBe(two.value.expose())
      expect(previous?.value.expose()).toBe(one.value.expose())
    })
  })

  describe(`${name}: compare and swap`, () => {
    const stale: Record<string, (store: SecretStore, revision: number) => Promise<unknown>> = {
      'stage with an old revision': (store, revision) => store.stage(NAME, three, revision - 1),
      'stage as if it were new': store => store.stage(NAME, three, 0),
      'stage with a revision to come': (store, revision) => store.stage(NAME, three, revision + 1),
      'commit with an old revision': (store, revision) => store.commit(NAME, two.rotationId, revision - 1),
      'commit of another value than the pending one': (store, revision) =>
        store.commit(NAME, three.rotationId, revision),
      'rollback of another value than the pending one': (store, revision) =>
        store.rollback(NAME, three.rotationId, revision),
      'rollback with an old revision': (store, revision) =>
        store.rollback(NAME, two.rotationId, revision - 1),
      'retire with an old revision': (store, revision) => store.retire(NAME, revision - 2),
    }
    for (const [what, call] of Object.entries(stale))
      it(`refuses to ${what}, and changes nothing`, async () => {
        const { store, revision } = await withOne()
        const staged = await store.stage(NAME, two, revision)
        await expect(call(store, staged)).rejects.toMatchObject({ code: 'store_conflict' })
        expect((await store.load(NAME))?.revision).toBe(staged)
        expect(shown(await store.load(NAME))).toEqual({ current: is(one), pending: is(two) })
      })

    it('refuses to commit what nobody staged', async () => {
      const store = (await makePlace()).open()
      await expect(store.commit(NAME, one.rotationId, 0)).rejects.toMatchObject({ code: 'store_conflict' })
      expect(await store.load(NAME)).toBeUndefined()
    })

    it('raises the revision with every change', async () => {
      const { store, revision } = await withOne()
      const staged = await store.stage(NAME, two, revision)
      const committed = await store.commit(NAME, two.rotationId, staged)
      const retired = await store.retire(NAME, committed)
      expect([revision, staged, committed, retired]).toEqual([
        revision,
        revision + 1,
        revision + 2,
        revision + 3,
      ])
    })

    it('lets one of two writers win and tells the other, never both and never neither', async () => {
      const { place, revision } = await withOne()
      const tries = await Promise.allSettled([
        place.open().stage(NAME, two, revision),
        place.open().stage(NAME, three, revision),
      ])
      expect(tries.map(attempt => attempt.status).sort()).toEqual(['fulfilled', 'rejected'])
      for (const attempt of tries)
        if (attempt.status === 'rejected') expect(attempt.reason).toMatchObject({ code: 'store_conflict' })
      const winner = tries[0]?.status === 'fulfilled' ? two : three
      expect(shown(await place.open().load(NAME))).toEqual({ current: is(one), pending: is(winner) })
    })

    it('shows a second client what the first one wrote, at once', async () => {
      const { place, store, revision } = await withOne()
      const other = place.open()
      const staged = await store.stage(NAME, two, revision)
      await expect(other.stage(NAME, three, revision)).rejects.toMatchObject({ code: 'store_conflict' })
      expect(await other.commit(NAME, two.rotationId, staged)).toBe(staged + 1)
      expect(shown(await store.load(NAME))).toEqual({ current: is(two), previous: is(one) })
    })
  })

  describe(`${name}: a call made again after its answer was lost`, () => {
    it('stages once', async () => {
      const { store, revision } = await withOne()
      const first = await store.stage(NAME, two, revision)
      expect(await store.stage(NAME, two, revision)).toBe(first)
      expect(shown(await store.load(NAME))).toEqual({ current: is(one), pending: is(two) })
    })

    it('commits once', async () => {
      const { store, revision } = await withOne()
      const staged = await store.stage(NAME, two, revision)
      const first = await store.commit(NAME, two.rotationId, staged)
      expect(await store.commit(NAME, two.rotationId, staged)).toBe(first)
      expect(shown(await store.load(NAME))).toEqual({ current: is(two), previous: is(one) })
    })

    it('rolls back once', async () => {
      const { store, revision } = await withOne()
      const staged = await store.stage(NAME, two, revision)
      const first = await store.rollback(NAME, two.rotationId, staged)
      expect(await store.rollback(NAME, two.rotationId, staged)).toBe(first)
      expect(shown(await store.load(NAME))).toEqual({ current: is(one) })
    })

    it('retires once', async () => {
      const { store, revision } = await withTwo()
      const first = await store.retire(NAME, revision)
      expect(await store.retire(NAME, revision)).toBe(first)
      expect(shown(await store.load(NAME))).toEqual({ current: is(two) })
    })

    it('does not say "rolled back" of a value that somebody has committed meanwhile', async () => {
      const { store, revision } = await withOne()
      const staged = await store.stage(NAME, two, revision)
      const committed = await store.commit(NAME, two.rotationId, staged)
      for (const known of [staged, committed])
        await expect(store.rollback(NAME, two.rotationId, known)).rejects.toMatchObject({
          code: 'store_conflict',
        })
      expect(shown(await store.load(NAME))).toEqual({ current: is(two), previous: is(one) })
    })

    it('has nothing to roll back or to retire, and says so by changing nothing', async () => {
      const { store, revision } = await withOne()
      expect(await store.rollback(NAME, two.rotationId, revision)).toBe(revision)
      expect(await store.retire(NAME, revision)).toBe(revision)
      expect(shown(await store.load(NAME))).toEqual({ current: is(one) })
    })
  })

  describe(`${name}: a program killed in the middle`, () => {
    it('between stage and commit leaves both values to its successor, which goes either way', async () => {
      const { place, store, revision } = await withOne()
      await store.stage(NAME, two, revision)
      // The successor knows nothing but the place.
      const successor = place.open()
      const found = await successor.load(NAME)
      expect(shown(found)).toEqual({ current: is(one), pending: is(two) })
      await successor.commit(NAME, found?.pending?.rotationId ?? '', found?.revision ?? -1)
      expect(shown(await place.open().load(NAME))).toEqual({ current: is(two), previous: is(one) })
    })

    it('before the first commit leaves a pending value that its successor can roll back', async () => {
      const place = await makePlace()
      const revision = await place.open().stage(NAME, one, 0)
      await place.open().rollback(NAME, one.rotationId, revision)
      expect(shown((await place.open().load(NAME)) ?? undefined)).toEqual({})
      await place.open().stage(NAME, two, revision + 1)
      expect(shown(await place.open().load(NAME))).toEqual({ pending: is(two) })
    })

    it('between commit and retire leaves the old value to its successor', async () => {
      const { place, revision } = await withTwo()
      const successor = place.open()
      expect(shown(await successor.load(NAME))).toEqual({ current: is(two), previous: is(one) })
      await successor.retire(NAME, revision)
      expect(shown(await place.open().load(NAME))).toEqual({ current: is(two) })
    })
  })

  describe(`${name}: an error`, () => {
    it('never carries a value: not in its message, its stack, its properties or its cause', async () => {
      const { store, revision } = await withOne()
      const calls = [
        store.stage(NAME, two, 99),
        store.stage(NAME, { rotationId: '../../etc/x', value: two.value }, revision),
        store.stage(NAME, { rotationId: '', value: two.value }, revision),
        store.commit(NAME, 'other-1', revision),
        store.rollback(NAME, 'other-1', 99),
        store.retire(NAME, 99),
      ]
      const errors = (await Promise.allSettled(calls)).flatMap(result =>
        result.status === 'rejected' ? [result.reason] : [],
      )
      expect(errors).toHaveLength(calls.length)
      for (const error of errors) {
        const text = [
          inspect(error, { depth: 9, showHidden: true }),
          String(error),
          error.stack,
          JSON.stringify(error),
        ].join('\n')
        for (const secret of [one, two]) expect(text).not.toContain(secret.value.expose())
      }
    })

    it('comes when a rotation id could not be a name, and nothing is stored', async () => {
      const { store, revision } = await withOne()
      for (const rotationId of [
        '',
        'abc',
        '../x',
        'a/b/c',
        'UPPER',
        'a b c d',
        'a.b.c',
        'x'.repeat(65),
        'ab\ncd',
      ]) {
        await expect(store.stage(NAME, { rotationId, value: two.value }, revision)).rejects.toThrow()
        expect(shown(await store.load(NAME))).toEqual({ current: is(one) })
      }
    })
  })

  describe(`${name}: a store that`, () => {
    for (const [obstacle, code] of Object.entries(OBSTACLES))
      it(`${obstacle} says ${code} to every call in time, without a value, and has lost nothing afterwards`, {
        timeout: 4 * PATIENCE,
      }, async () => {
        const { place, revision } = await withOne()
        const before = place.open()
        const staged = await before.stage(NAME, two, revision)
        const clear = await place.obstruct(obstacle as Obstacle)
        const store = place.open()
        const began = performance.now()
        const timed = async (call: Promise<unknown>) => ({
          error: await call.then(
            () => new Error('it went through'),
            (reason: unknown) => reason,
          ),
          took: performance.now() - began,
        })
        const calls = {
          load: timed(store.load(NAME)),
          stage: timed(store.stage(NAME, three, staged)),
          commit: timed(store.commit(NAME, two.rotationId, staged)),
          rollback: timed(store.rollback(NAME, two.rotationId, staged)),
          retire: timed(store.retire(NAME, staged)),
        }
        await Promise.all(Object.values(calls))
        await clear()
        for (const [what, call] of Object.entries(calls)) {
          const { error, took } = await call
          expect(error, what).toMatchObject({ code, hint: expect.stringMatching(/\w/) })
          expect(took, what).toBeLessThan(PATIENCE)
          const text = `${inspect(error, { depth: 20, showHidden: true })} ${JSON.stringify(error)}`
          for (const secret of [one, two, three]) expect(text).not.toContain(secret.value.expose())
        }
        expect(shown(await place.open().load(NAME))).toEqual({ current: is(one), pending: is(two) })
      })

    it('has been closed can be closed again', async () => {
      const { store } = await withOne()
      await store.close()
      await store.close()
    })
  })
}
