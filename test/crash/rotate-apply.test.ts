import { describe, expect, it, vi } from 'vitest'
import { writeAtomic } from '../../src/deployment/files.ts'
import { ToolError } from '../../src/errors.ts'
import { GATEWAY_TOKEN } from '../../src/gateway/policy.ts'
import { Secret } from '../../src/secret.ts'
import { some } from '../unit/support.ts'
import { filesNow } from './rotate-disk.ts'
import { always } from './rotate-matrix.ts'
import { type Outcome, PROVIDER_KEY, World, type WorldOptions } from './rotate-world.ts'

vi.mock('node:fs', async () => (await import('./rotate-disk.ts')).watched())
vi.mock('node:timers/promises', async () => (await import('./rotate-time.ts')).instantTimers())
vi.mock('../../src/stores/vault-transport.ts', async importActual => ({
  ...(await importActual<object>()),
  safeTransport: (await import('./rotate-servers.ts')).vaultTransport,
}))

const DEAF = { hears: undefined, reloads: false } as const
const UNREADABLE = { cannotRead: (file: string) => !file.includes('.20261001t') }

/** A deployment, and what a rotation of it came to. */
async function rotated(options: WorldOptions & { before?: (world: World) => void } = {}) {
  const world = await World.begin(options)
  options.before?.(world)
  const old = some(world.slotsIn(world.now()).current).value
  const outcome = await world.rotate()
  return { world, old, outcome, ...seen(world, old) }
}

/** Which value the gateway takes, which one is current, and what else the store has. */
function seen(world: World, old: string) {
  const { current, ...others } = world.slotsIn(world.now())
  const which = (value: string | undefined) => (value === undefined ? 'none' : value === old ? 'old' : 'new')
  return {
    takes: world.gateway.now.runs ? which(world.gateway.now.inForce.values[world.name]) : 'none',
    current: which(current?.value),
    others: Object.keys(others),
  }
}

const by = ({ found }: Outcome) => found?.applied?.by
const hint = ({ error }: Outcome) => (error instanceof ToolError ? error.hint : '')

describe.each([GATEWAY_TOKEN, PROVIDER_KEY])('the ways to a new %s', name => {
  it.each([
    ['hot reload', {}, []],
    ['hot reload, again', { misses: 1 }, []],
    ['secrets reload', { hears: undefined }, ['reload']],
    ['restart', DEAF, ['reload', 'reads', 'objection', 'restart']],
    ['new container', { ...DEAF, restarts: 'not' }, ['reload', 'reads', 'objection', 'restart', 'recreate']],
    [
      'new container',
      { ...DEAF, restarts: 'as before' },
      ['reload', 'reads', 'objection', 'restart', 'recreate'],
    ],
  ] as const)(
    'are tried in their order, as far as needed: %s, with a gateway that is %j',
    async (way, temper, done) => {
      const { world, outcome, ...state } = await rotated({ name, temper })
      expect(outcome).toMatchObject({ code: 'done', exit: 0 })
      expect(by(outcome)).toBe(way)
      expect(state).toMatchObject({ takes: 'new', current: 'new', others: [] })
      const looks = ['state', 'watch', 'isUpToDate']
      expect(world.gateway.asked.filter(one => !looks.includes(one))).toEqual(done)
    },
  )

  it('serve nobody for a moment only after the gateway was seen to read the value', async () => {
    const { world, outcome, ...state } = await rotated({ name, temper: UNREADABLE })
    expect(outcome).toMatchObject({ code: 'rotation_rolled_back', exit: 3 })
    expect(outcome.error?.message).toMatch(/cannot read \w+\.\S+: EACCES/)
    expect(hint(outcome)).toMatch(/old value is in force/)
    expect(state).toMatchObject({ takes: 'old', current: 'old', others: [] })
    expect(world.gateway.asked).not.toContain('restart')
    expect(world.gateway.asked).not.toContain('recreate')
  })

  it('end where its image refuses the configuration, without a restart', async () => {
    const rejects = 'the image refuses the configuration: gateway.port: expected number'
    const { world, outcome, ...state } = await rotated({ name, temper: { ...DEAF, rejects } })
    // It has never read the new one, so that it is back as soon as the pointer is.
    expect(outcome).toMatchObject({ code: 'rotation_rolled_back', exit: 3 })
    expect(outcome.error?.message).toContain(rejects)
    expect(state).toMatchObject({ takes: 'old', current: 'old', others: [] })
    expect(world.gateway.asked).not.toContain('restart')
    expect(world.gateway.asked).not.toContain('recreate')
  })

  it('end half-way where the engine falls silent, and go on from there', async () => {
    for (const call of ['watch', 'reload', 'reads', 'objection', 'restart', 'recreate'].slice(
      name === GATEWAY_TOKEN ? 0 : 1,
    )) {
      let asked = 0
      const { world, old, outcome, ...state } = await rotated({
        ...{ name, temper: { ...DEAF, restarts: 'not' } },
        before(world) {
          world.onMoment = what => {
            // A new rotation of the token asks once before it begins.
            if (what === `before ${call}` && ++asked > (call === 'watch' ? 1 : 0))
              throw new ToolError('engine_unreachable', 'the Docker engine does not answer', 'Start it.')
          }
        },
      })
      expect(outcome, call).toMatchObject({ code: 'engine_unreachable', exit: 4 })
      expect(hint(outcome)).toMatch(/^Start it\. .*nobody is locked out.*rotate --resume/)
      expect(state).toMatchObject({ takes: 'old', current: 'old', others: ['pending'] })
      expect(always(world, world.now())).toEqual([])
      world.onMoment = () => {}
      expect(await world.resume()).toMatchObject({ code: 'done', exit: 0 })
      expect(seen(world, old)).toEqual({ takes: 'new', current: 'new', others: [] })
    }
  })

  it('lead through a new container where the gateway is found dead on resuming', async () => {
    const { world, old } = await rotated({
      ...{ name, temper: DEAF },
      before(world) {
        world.onMoment = what => {
          if (what === 'before reload') throw new ToolError('engine_unreachable', 'gone', '')
        }
      },
    })
    world.onMoment = () => {}
    world.gateway.stop()
    const outcome = await world.resume()
    expect(outcome).toMatchObject({ code: 'done', exit: 0 })
    expect(by(outcome)).toBe('new container')
    expect(seen(world, old)).toEqual({ takes: 'new', current: 'new', others: [] })
  })
})

describe('a restart', () => {
  it('that nobody could watch is gone on with, and what it brought is found', async () => {
    let isDown = false
    const { world, old, outcome } = await rotated({
      temper: DEAF,
      before(world) {
        world.onMoment = what => {
          if (what === 'in restart') isDown = true
          else if (isDown && what === 'after restart')
            throw new ToolError('gateway_unseen', 'the gateway could not be asked: it ended', '', 4)
        }
      },
    })
    expect(outcome).toMatchObject({ code: 'done', exit: 0 })
    expect(seen(world, old)).toEqual({ takes: 'new', current: 'new', others: [] })
    expect(world.gateway.asked.filter(one => one === 'restart')).toHaveLength(1)
  })

  it('after which the gateway does not come up is no dead end: a new container is made', async () => {
    const { world, old, outcome } = await rotated({
      temper: DEAF,
      before(world) {
        world.onMoment = what => {
          if (what !== 'in restart') return
          world.gateway.stop()
          throw new ToolError('gateway_not_ready', 'the gateway did not become ready', '', 3)
        }
      },
    })
    expect(outcome).toMatchObject({ code: 'done', exit: 0 })
    expect(by(outcome)).toBe('new container')
    expect(seen(world, old)).toEqual({ takes: 'new', current: 'new', others: [] })
  })
})

describe('a rotation', () => {
  it('that waited for somebody else begins with what is stored then: nothing that was seen before counts', async () => {
    const world = await World.begin({})
    world.beforeLock = async () => {
      expect(await world.rotate()).toMatchObject({ code: 'done' })
    }
    const outcome = await world.rotate()
    expect(outcome).toMatchObject({ code: 'done', exit: 0 })
    expect(Object.keys(world.slotsIn(world.now()))).toEqual(['current'])
    expect(await world.unfinished()).toEqual([])
    expect(always(world, world.now())).toEqual([])
  })

  it('that has only to be closed harms no other one that came between', async () => {
    for (const cutShort of [false, true]) {
      const world = await World.begin({})
      const attempts = world.journal()
      attempts.append({ run: 'x', procedure: `rotate ${GATEWAY_TOKEN}`, event: 'begun' })
      world.beforeLock = async () => {
        // Somebody finishes that and rotates, while this run is on its way to the lock.
        expect(await world.resume()).toMatchObject({ code: 'done' })
        if (cutShort)
          world.onMoment = what => {
            if (/after config.openclaw.json is replaced/.test(what))
              throw new ToolError('deadline', 'late', '')
          }
        await world.rotate()
        world.onMoment = () => {}
      }
      await world.resume()
      expect(always(world, world.now()), String(cutShort)).toEqual([])
      expect(await world.resume()).toMatchObject({ exit: 0 })
      expect(always(world, world.now())).toEqual([])
    }
  })

  it('to the value that is in use changes nothing', async () => {
    const { world, outcome } = await rotated({
      name: PROVIDER_KEY,
      before(world) {
        world.brought = new Secret(some(world.slotsIn(world.now()).current).value)
      },
    })
    expect(outcome).toMatchObject({ code: 'value_not_new', exit: 2 })
    expect(hint(outcome)).toMatch(/another one/)
    expect(Object.keys(world.slotsIn(world.now()))).toEqual(['current'])
  })

  it.each([GATEWAY_TOKEN, PROVIDER_KEY])(
    'of %s leaves what somebody has edited elsewhere byte for byte',
    async name => {
      let before = ''
      const { world, outcome } = await rotated({
        name,
        before({ layout, gateway }) {
          const text = some(filesNow().get('config/openclaw.json')).text
          before = text.replace('{\n', '{\n  // By me, at noon.\n\n').replace('"browser"', '  "browser" ')
          writeAtomic(layout.configFile, before, 0o400)
          gateway.startAnew()
        },
      })
      expect(outcome).toMatchObject({ code: 'done', exit: 0 })
      const { rotationId } = some(world.slotsIn(world.now()).current)
      const after = some(filesNow().get('config/openclaw.json')).text
      expect(after).toBe(before.replace(`${name}.${oldIdIn(before, name)}`, `${name}.${rotationId}`))
    },
  )

  it('does not begin where openclaw.json names another file than the store knows', async () => {
    const { world, old, outcome } = await rotated({
      before({ layout }) {
        const text = some(filesNow().get('config/openclaw.json')).text
        writeAtomic(
          layout.configFile,
          text.replace(oldIdIn(text, GATEWAY_TOKEN), '20250101t000000-ffffffff'),
          0o400,
        )
      },
    })
    expect(outcome).toMatchObject({ code: 'pointer_unknown', exit: 3 })
    expect(hint(outcome)).toContain('create-openclaw-secure .')
    expect(seen(world, old)).toEqual({ takes: 'old', current: 'old', others: [] })
    expect(await world.unfinished()).toEqual([])
  })

  it('does not begin where openclaw.json names the file twice: nothing is half-way', async () => {
    const { world, old, outcome } = await rotated({
      before({ layout }) {
        const text = some(filesNow().get('config/openclaw.json')).text
        const file = `/run/secrets/${GATEWAY_TOKEN}.${oldIdIn(text, GATEWAY_TOKEN)}`
        writeAtomic(layout.configFile, text.replace('{\n', `{\n  // "${file}"\n`), 0o400)
      },
    })
    expect(outcome).toMatchObject({ code: 'pointer_unknown', exit: 3 })
    expect(seen(world, old)).toEqual({ takes: 'old', current: 'old', others: [] })
    expect(await world.unfinished()).toEqual([])
  })

  it('does not begin with a gateway that does not run, or that takes another token', async () => {
    const stopped = await rotated({ before: ({ gateway }) => gateway.stop() })
    expect(stopped.outcome).toMatchObject({ code: 'gateway_stopped', exit: 3 })
    const other = await rotated({
      before({ gateway }) {
        const { inForce } = gateway.now
        gateway.now = {
          ...gateway.now,
          inForce: { ...inForce, values: { ...inForce.values, gateway_token: 'x' } },
        }
      },
    })
    expect(other.outcome).toMatchObject({ code: 'token_not_current', exit: 3 })
    for (const { world } of [stopped, other]) expect(await world.unfinished()).toEqual([])
  })
})

/** Which value openclaw.json names. */
function oldIdIn(text: string, name: string): string {
  return some(new RegExp(`/run/secrets/${name}\\.([^"]+)"`).exec(text)?.[1])
}
