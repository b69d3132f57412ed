/**
 * The keys of the sandbox, rotated in a simulated deployment that is killed at every moment, and once more at every moment of the
 * run that goes on. What has to hold at each: the gateway and its sandbox know each other, now and after either has started anew.
 */
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { writeAtomic } from '../../src/deployment/files.ts'
import { SANDBOX_CLIENT_KEY, SANDBOX_HOST_KEY } from '../../src/gateway/sandbox.ts'
import { runProcedure } from '../../src/procedure/run.ts'
import { rotateSteps } from '../../steps/rotate/index.ts'
import { filesNow } from './rotate-disk.ts'
import { always, explore, KEYS, keyOf, type Rotate, settled, slotsIn, World } from './rotate-sandbox-world.ts'

vi.mock('node:fs', async () => (await import('./rotate-disk.ts')).watched())
vi.mock('node:timers/promises', async () => (await import('./rotate-time.ts')).instantTimers())
// It reads, and changes nothing.
vi.mock('../../src/deployment/search.ts', () => ({
  searchFolder: async () => ({ searched: 0, left: 0, found: [] }),
}))

describe.each(KEYS)('a rotation of %s', name => {
  it('ends with the new key, on both sides, and nothing of the old one', async () => {
    const world = await World.begin()
    const before = slotsIn(filesNow(), name).current
    expect(await world.run(name, false)).toMatchObject({ code: 'done' })
    expect(slotsIn(filesNow(), name).current).not.toBe(before)
    expect(settled(world)).toEqual([])
  })

  it('never has the two not know each other, killed at any moment, and again when it goes on', async () => {
    const { kills, broken } = await explore(name)
    expect(broken).toEqual([])
    expect(kills).toBeGreaterThan(60)
  }, 120_000)

  it('does not begin where the gateway is not let in as it is', async () => {
    const world = await World.begin()
    writeAtomic(join(world.layout.sandbox, 'authorized_keys'), 'restrict ssh-ed25519 AAAA gateway\n', 0o400)
    const before = world.now()
    expect(await world.run(name, false)).toMatchObject({ code: 'sandbox_not_current', exit: 3 })
    expect(keyOf(world.now())).toBe(keyOf(before))
  })

  it('does not begin while the sandbox does not run', async () => {
    const world = await World.begin()
    world.shows = undefined
    expect(await world.run(name, false)).toMatchObject({ code: 'sandbox_stopped', exit: 3 })
    expect(world.unfinished()).toEqual([])
  })

  it('says that it is half-way when the sandbox goes away, and goes on when it is back', async () => {
    const world = await World.begin()
    world.onMoment = what => {
      if (/before a line/.test(what) && filesNow().has('.secure/journal.jsonl')) world.shows = undefined
    }
    expect(await world.run(name, false)).toMatchObject({ code: 'sandbox_unseen', exit: 4 })
    world.onMoment = () => {}
    expect(always(world.now())).toEqual([])
    expect(await world.run(name, true)).toMatchObject({ code: 'done' })
    expect(settled(world)).toEqual([])
  })
})

describe('a rotation that the sandbox does not take is taken back', () => {
  it.each([
    ['sshd would not start with the new host key', SANDBOX_HOST_KEY, { objects: true }],
    ['sshd goes on with the old host key', SANDBOX_HOST_KEY, { deaf: true }],
    ['the sandbox lets in nobody new', SANDBOX_CLIENT_KEY, { stubborn: true }],
  ] as const)('%s', async (_what, name, temper) => {
    const world = await World.begin(temper)
    const before = slotsIn(filesNow(), name).current
    expect(await world.run(name, false)).toMatchObject({ code: 'rotation_rolled_back', exit: 3 })
    expect(slotsIn(filesNow(), name).current).toBe(before)
    expect(settled(world)).toEqual([])
  })

  it.each([
    [SANDBOX_HOST_KEY, { objects: true }],
    [SANDBOX_CLIENT_KEY, { stubborn: true }],
  ] as const)(
    '%s: killed at any moment, and again when it goes on',
    async (name, temper) => {
      const { kills, broken } = await explore(name, temper)
      expect(broken).toEqual([])
      expect(kills).toBeGreaterThan(40)
    },
    120_000,
  )
})

describe('the crash test itself', () => {
  it.each([
    ['admits the new key too late', SANDBOX_CLIENT_KEY, 'rotate.sandbox.admit'],
    ['has the gateway recognise the new host key too late', SANDBOX_HOST_KEY, 'rotate.sandbox.recognise'],
  ])(
    'sees it when a rotation %s',
    async (_what, name, left) => {
      const broken: Rotate = (ctx, runtimeOf) =>
        runProcedure(
          `rotate ${ctx.name}`,
          rotateSteps(ctx.name).filter(({ id }) => ![left, 'rotate.sandbox.try'].includes(id)),
          ctx,
          runtimeOf(),
        ).then(() => {})
      expect((await explore(name, {}, broken)).broken.length).toBeGreaterThan(0)
    },
    120_000,
  )
})
