import { mkdirSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { layoutOf } from '../../src/deployment/layout.ts'
import { lockdownFile, readLockdown } from '../../src/docker/isolation.ts'
import type { LockdownContext } from '../../steps/lockdown/context.ts'
import { cutOff, recordPlaces } from '../../steps/lockdown/cut.ts'
import { proveOpen, rejoin } from '../../steps/lockdown/join.ts'
import { FakeEngine, ordinary } from './contain-engine.ts'
import { ANSWERS, scratch, some, thrown } from './support.ts'

const signal = new AbortController().signal

function world(engine = new FakeEngine(ordinary())) {
  const layout = layoutOf(scratch())
  mkdirSync(layout.own)
  const now = () => new Date('2026-11-26T10:00:00Z')
  const known = { layout, answers: { ...ANSWERS, port: 1 }, docker: engine.docker, now }
  const ctx = known as Partial<LockdownContext> as LockdownContext
  return { engine, layout, ctx }
}

async function locked() {
  const all = world()
  await recordPlaces.run(all.ctx, signal)
  await cutOff.run(all.ctx, signal)
  return all
}

const networksOf = ({ containers }: FakeEngine, service: string) =>
  some(containers.find(one => one.service === service)).networks

describe('a lockdown', () => {
  it('cuts off the gateway and the way in, and leaves the filter', async () => {
    const { engine } = await locked()
    expect(networksOf(engine, 'openclaw-gateway')).toEqual({})
    expect(networksOf(engine, 'ingress')).toEqual({})
    expect(Object.keys(networksOf(engine, 'egress'))).toEqual(['inside', 'outside'])
  })

  it('is recorded before anything is cut, once', async () => {
    const { ctx, layout } = world()
    expect(await recordPlaces.skip?.(ctx)).toBeUndefined()
    await recordPlaces.run(ctx, signal)
    expect(some(readLockdown(layout)).places).toHaveLength(3)
    // A run that was cut short here has replaced no token yet.
    expect(await recordPlaces.skip?.(ctx)).toBeUndefined()
    await cutOff.run(ctx, signal)
    expect(await recordPlaces.skip?.(ctx)).toBe('locked down since 2026-11-26T10:00:00.000Z')
  })

  it('cuts off a container that somebody has made anew meanwhile as well, and forgets none of the others', async () => {
    const { engine, ctx, layout } = await locked()
    const gateway = some(engine.containers.find(one => one.service === 'openclaw-gateway'))
    gateway.id = 'b'.repeat(64)
    gateway.networks = { inside: { address: '10.0.0.9', aliases: ['openclaw-gateway'] } }
    expect(await recordPlaces.skip?.(ctx)).toBeUndefined()
    await recordPlaces.run(ctx, signal)
    await cutOff.run(ctx, signal)
    expect(gateway.networks).toEqual({})
    const places = some(readLockdown(layout)).places.map(({ container, network }) => [container[0], network])
    expect(places.sort()).toEqual([
      ['b', 'inside'],
      ['f', 'front'],
      ['f', 'inside'],
    ])
  })

  it('whose record is damaged is not taken for none', async () => {
    const { layout } = await locked()
    writeFileSync(lockdownFile(layout), '{"version":1}')
    expect(await thrown(() => readLockdown(layout))).toMatchObject({ code: 'lockdown_unreadable' })
  })
})

describe('its undoing', () => {
  it('gives back every name, and every address that was asked for, from the lowest on', async () => {
    const { engine, ctx } = await locked()
    engine.commands.length = 0
    await rejoin.run(ctx, signal)
    const [gateway, ingress] = ['a'.repeat(64), 'f'.repeat(64)]
    expect(engine.commands.filter(command => command.startsWith('network'))).toEqual([
      `network connect --alias ingress --ip 10.0.0.2 inside ${ingress}`,
      `network connect --alias openclaw-gateway inside ${gateway}`,
      `network connect --alias ingress --alias ingress-front front ${ingress}`,
    ])
    expect(await rejoin.skip?.(ctx)).toBe('it is connected')
  })

  it('starts the way in anew where it has got another address, because it is bound to the one before', async () => {
    const { engine, ctx } = await locked()
    await rejoin.run(ctx, signal)
    expect(engine.commands.at(-1)).toBe(`restart --time 5 ${'f'.repeat(64)}`)
  })

  it('takes away what somebody has connected otherwise', async () => {
    const { engine, ctx } = await locked()
    networksOf(engine, 'openclaw-gateway').inside = { address: '10.0.0.12', aliases: ['other'] }
    await rejoin.run(ctx, signal)
    expect(networksOf(engine, 'openclaw-gateway').inside?.aliases).toEqual(['openclaw-gateway'])
  })

  it('ends a lockdown whose container is gone, says so, and does not call it undone', async () => {
    const { engine, ctx, layout } = await locked()
    engine.containers = engine.containers.filter(one => one.service !== 'openclaw-gateway')
    await rejoin.run(ctx, signal)
    expect(await thrown(() => proveOpen.run(ctx, signal))).toMatchObject({ code: 'container_gone' })
    expect(readLockdown(layout)).toBeUndefined()
  })
})
