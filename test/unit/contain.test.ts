import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Case } from '../../src/evidence/case.ts'
import { cutNetworks, pauseContainers, recordNetworks } from '../../steps/incident/contain.ts'
import type { Action, IncidentContext } from '../../steps/incident/context.ts'
import { quarantineState } from '../../steps/incident/quarantine.ts'
import { removeContainers } from '../../steps/incident/remove.ts'
import { sealEvidence } from '../../steps/incident/seal.ts'
import { FakeEngine, ordinary } from './contain-engine.ts'
import { World } from './evidence-world.ts'
import { ANSWERS, some, thrown } from './support.ts'

const signal = new AbortController().signal

function incident(engine = new FakeEngine(ordinary()), wishes: Partial<IncidentContext['wishes']> = {}) {
  const world = new World()
  const of = world.begin()
  const ctx: IncidentContext = {
    ...world.contextOf(of),
    ...{ docker: engine.docker, searching: engine.docker, answers: { ...ANSWERS, port: 1 } },
    wishes: { keepState: false, ...wishes } as IncidentContext['wishes'],
  }
  return { engine, world, of, ctx, act: (action: Action) => action.run(ctx, signal) }
}

/** What the chain of custody says could not be had. */
const missing = (of: Case) => of.journal.read().filter(({ step }) => step === 'missing')

describe('freezing', () => {
  it('is one command, the gateway first', async () => {
    const { engine, act } = incident()
    expect((await act(pauseContainers)).facts).toEqual({ frozen: 3, stopped: 0, left: 0 })
    expect(engine.commands).toEqual([`pause ${'a'.repeat(64)} ${'e'.repeat(64)} ${'f'.repeat(64)}`])
  })

  it('leaves alone what is frozen already, and says what does not run', async () => {
    const [egress, ingress, gateway] = ordinary()
    const engine = new FakeEngine([
      { ...some(egress), state: 'exited' },
      { ...some(ingress), state: 'paused' },
      some(gateway),
    ])
    const { act } = incident(engine)
    const { saw, facts } = await act(pauseContainers)
    expect(facts).toEqual({ frozen: 2, stopped: 1, left: 0 })
    expect(saw).toContain('not running: egress')
    expect(engine.commands).toEqual([`pause ${'a'.repeat(64)}`])
  })

  it('that an engine cannot do is said, and does not keep the networks from being cut', async () => {
    const { engine, act } = incident()
    engine.canPause = false
    expect((await act(pauseContainers)).saw).toContain('NOT frozen: openclaw-gateway, egress, ingress')
  })
})

describe('the record of the networks', () => {
  it('is kept for each that is connected', async () => {
    const { of, act } = incident()
    await act(recordNetworks)
    expect(of.artefacts().map(({ file }) => file)).toEqual([
      'evidence/openclaw-gateway/network-before-cut.txt',
      'evidence/egress/network-before-cut.txt',
    ])
    const [first] = of.artefacts()
    expect(readFileSync(resolve(of.folder, some(first).file), 'utf8')).toBe('tables of openclaw-gateway\n')
  })

  it('is not waited for: what does not come in time is missing, and the cut is made', async () => {
    const { engine, of, act } = incident()
    engine.slow.set('openclaw-gateway', 60_000)
    const began = performance.now()
    expect((await act(recordNetworks)).facts).toEqual({
      ...{ recorded: 1, missed: 1 },
      unseen: 'not recorded: openclaw-gateway',
    })
    expect(performance.now() - began).toBeLessThan(10_000)
    expect(missing(of).map(({ facts }) => facts?.file)).toEqual([
      'evidence/openclaw-gateway/network-before-cut.txt',
    ])
  })

  it('that is made after the cut does not claim to be from before', async () => {
    const { of, act } = incident()
    await act(cutNetworks)
    await act(recordNetworks)
    expect(of.artefacts().map(({ file }) => file)).toContain(
      'evidence/openclaw-gateway/network-after-cut.txt',
    )
  })
})

describe('cutting', () => {
  it('takes every container off every network, and the case knows where each of them was', async () => {
    const { engine, of, act } = incident()
    expect((await act(cutNetworks)).facts).toEqual({ cut: 5 })
    expect(engine.containers.every(({ networks }) => Object.keys(networks).length === 0)).toBe(true)
    const note = some(of.journal.read().find(({ step }) => step === 'networks')).facts?.before
    expect(JSON.parse(String(note))).toContainEqual({
      ...{ label: 'ingress', container: 'f'.repeat(64), network: 'inside', address: '10.0.0.2' },
      ...{ given: '10.0.0.2', aliases: ['ingress'] },
    })
  })

  it('that did not work is no success', async () => {
    const { engine, act } = incident()
    engine.canCut = false
    expect((await thrown(() => act(cutNetworks))).message).toContain('openclaw-gateway on inside')
  })
})

describe('removing the containers', () => {
  it('is refused as long as the evidence is not sealed', async () => {
    const { engine, act } = incident()
    expect(await thrown(() => act(removeContainers))).toMatchObject({ code: 'not_sealed' })
    expect(engine.containers).toHaveLength(3)
  })

  it('is refused when the chain says sealed and there is no manifest', async () => {
    const { of, act } = incident()
    of.note('evidence.seal', {})
    expect(await thrown(() => act(removeContainers))).toMatchObject({ code: 'not_sealed' })
  })

  it('is done when it is', async () => {
    const { engine, world, of, act } = incident()
    await world.collect(of)
    await world.act(sealEvidence, of)
    expect((await act(removeContainers)).facts).toEqual({ removed: 3 })
    expect(engine.containers).toEqual([])
  })
})

describe('the quarantine', () => {
  const prepared = (wishes = {}) => {
    const all = incident(new FakeEngine([]), wishes)
    const { state, sandboxWork } = all.world.layout
    for (const folder of [state, sandboxWork]) {
      mkdirSync(folder)
      writeFileSync(resolve(folder, 'hook'), 'evil')
    }
    return { ...all, state, sandboxWork, quarantine: resolve(all.of.folder, 'quarantine') }
  }

  it('has the state and what agents have made, and says how a single thing comes back', async () => {
    const { act, state, quarantine } = prepared()
    expect((await act(quarantineState)).saw).toMatch(/cp -a cases\/.*\/quarantine\/state\/PATH state\/PATH/)
    expect(existsSync(state)).toBe(false)
    expect(readFileSync(resolve(quarantine, 'sandbox-work/hook'), 'utf8')).toBe('evil')
  })

  it('goes on where it was killed between the two, and leaves the clean state alone that was made since', async () => {
    const { act, ctx, state, sandboxWork, quarantine } = prepared()
    await act(quarantineState)
    mkdirSync(state)
    mkdirSync(sandboxWork)
    writeFileSync(resolve(state, 'clean'), '')
    expect(await quarantineState.skip?.(ctx)).toBe('nothing is left to be moved')
    await act(quarantineState)
    expect(existsSync(resolve(state, 'clean'))).toBe(true)
    expect(existsSync(resolve(quarantine, 'state/hook'))).toBe(true)
  })

  it('is refused while somebody has the state open', async () => {
    const { engine, act, state } = prepared()
    engine.containers = ordinary()
    expect(await thrown(() => act(quarantineState))).toMatchObject({ code: 'state_in_use' })
    expect(existsSync(resolve(state, 'hook'))).toBe(true)
  })

  it('is not made when the person keeps the state, and the case says that this is a weakening', async () => {
    const { act, ctx, state } = prepared({ keepState: true })
    expect(await quarantineState.skip?.(ctx)).toBeUndefined()
    expect((await act(quarantineState)).facts).toEqual({ weakened: 'state kept' })
    expect(existsSync(resolve(state, 'hook'))).toBe(true)
  })
})
