/** Whoever has the deployment's lock must not keep anybody from pulling the plug (network exfiltration). */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { describe, expect, it, onTestFinished } from 'vitest'
import { containing } from '../../src/commands/program.ts'
import { layoutOf } from '../../src/deployment/layout.ts'
import { takeLock } from '../../src/deployment/lock.ts'
import { readLockdown } from '../../src/docker/isolation.ts'
import { Exit, ToolError } from '../../src/errors.ts'
import type { Runtime } from '../../src/procedure/run.ts'
import { freeze } from '../../steps/incident/contain.ts'
import type { LockdownContext } from '../../steps/lockdown/context.ts'
import { cutAtOnce, cutOff, recordPlaces } from '../../steps/lockdown/cut.ts'
import { FakeEngine, ordinary } from './contain-engine.ts'
import { ANSWERS, scratch, thrown } from './support.ts'

const now = () => new Date('2026-11-26T10:00:00Z')

/** A deployment whose lock `holder` has; this process stands for its process. */
function held(holder: string | undefined) {
  const layout = layoutOf(scratch())
  mkdirSync(layout.own)
  if (holder !== undefined) onTestFinished(takeLock(layout.lock, holder, now()))
  const engine = new FakeEngine(ordinary())
  const ctx = { layout, docker: engine.docker, answers: { ...ANSWERS, port: 1 }, now }
  const take = (contain: () => Promise<string>) => {
    const runtime: Partial<Runtime> = { lock: async () => takeLock(layout.lock, 'incident', now()) }
    return thrown(() => containing(runtime as Runtime, contain).lock())
  }
  return { engine, ctx, layout, take }
}

const states = ({ containers }: FakeEngine) => new Set(containers.map(({ state }) => state))

describe('while another command has the lock', () => {
  it('everything is frozen all the same, and the person is told who has it and how to go on', async () => {
    const { engine, ctx, take } = held('setup')
    const error = await take(async () => (await freeze(ctx)).saw)
    expect(states(engine)).toEqual(new Set(['paused']))
    expect(error).toMatchObject({ code: 'locked', exit: Exit.interrupted })
    expect(error.message).toMatch(/^openclaw-gateway, egress, ingress frozen\n.*another setup is running/)
    expect((error as ToolError).hint).toContain(`kill ${process.pid}`)
  })

  it('the gateway is cut off, where it was is written down, and the lockdown that goes on has nothing to cut', async () => {
    const { engine, ctx, layout, take } = held('rotate')
    const error = await take(() => cutAtOnce(ctx))
    expect(error.message).toContain('connections cut')
    expect(readLockdown(layout)?.places).toHaveLength(3)
    expect(engine.commands.filter(one => one.startsWith('network disconnect'))).toHaveLength(3)
    const rest = ctx as Partial<LockdownContext> as LockdownContext
    expect(await recordPlaces.skip?.(rest)).toContain('locked down since')
    expect(await cutOff.skip?.(rest)).toBe('it is on none')
  })

  it('an engine that does not answer is no reason to keep back who has the lock', async () => {
    const { take } = held('setup')
    const error = await take(async () => {
      throw new ToolError('engine_unreachable', 'no engine answers', 'Pull the machine off its network.')
    })
    expect(error.message).toMatch(/^NOT contained: no engine answers. Pull the machine.*\n.*another setup/)
  })

  it('a process of another machine is not to be ended here, where its number is somebody else’s', async () => {
    const { ctx, layout, take } = held('setup')
    const lock = readFileSync(layout.lock, 'utf8')
    writeFileSync(layout.lock, lock.replace(JSON.stringify(hostname()), '"nas"'))
    const error = await take(async () => (await freeze(ctx)).saw)
    expect(error.message).toContain('on nas')
    expect((error as ToolError).hint).toContain('end it on nas')
    expect((error as ToolError).hint).not.toContain('kill')
  })

  it.each(['incident', 'lockdown', 'unlock'])(
    'which contains or lets in again by itself, nobody interferes: %s',
    async holder => {
      const { engine, ctx, take } = held(holder)
      const error = await take(async () => (await freeze(ctx)).saw)
      expect(error).toMatchObject({ code: 'locked', exit: Exit.unknown })
      expect(engine.commands).toEqual([])
    },
  )
})

describe('a lock that nobody has', () => {
  it('is taken, and nothing is contained before the case is open', async () => {
    const { engine, ctx, layout } = held(undefined)
    const runtime: Partial<Runtime> = { lock: async () => takeLock(layout.lock, 'incident', now()) }
    const release = await containing(runtime as Runtime, async () => (await freeze(ctx)).saw).lock()
    expect(JSON.parse(readFileSync(layout.lock, 'utf8'))).toMatchObject({ command: 'incident' })
    expect(engine.commands).toEqual([])
    release()
  })
})
