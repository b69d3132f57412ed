import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { lookAt, readIfPresent, writeAtomic } from '../../src/deployment/files.ts'
import { Exit, ToolError } from '../../src/errors.ts'
import { pointerOf, repointed } from '../../src/gateway/pointer.ts'
import { GATEWAY_TOKEN, secretFileName } from '../../src/gateway/policy.ts'
import { type Change, type Gateway, isProven } from '../../src/gateway/running.ts'
import type { Step } from '../../src/procedure/step.ts'
import type { Secret } from '../../src/secret.ts'
import type { StoredValue } from '../../src/stores/store.ts'
import { must, type RotateContext } from './context.ts'
import { deliver } from './stage.ts'

type Needs = Pick<RotateContext, 'name' | 'layout' | 'store' | 'gateway' | 'owner' | 'found'>

/**
 * The gateway goes from the old value to the new one, and is seen to: it takes the new one and refuses the old one.
 * Errors: `rotation_not_proven`, when no way did it; `gateway_unseen`, when that could not be looked at.
 */
export const applyNew: Step<Needs> = {
  id: 'rotate.apply',
  title: 'Switch the gateway over, and prove it',
  effect: 'writes',
  async skip(ctx) {
    if (ctx.found.applied !== undefined) return 'it is done'
    const { to, from } = forwards(ctx)
    if (ctx.found.stage === 'none' || pointerIn(ctx.layout.configFile, ctx.name) !== fileOf(ctx.name, to))
      return undefined
    if ((await ctx.gateway.state()) === 'stopped') return undefined
    return (await (await proofOf(ctx, to, from)).after(0, () => {})) === undefined
      ? 'the gateway has it'
      : undefined
  },
  async run(ctx) {
    const { to, from } = forwards(ctx)
    const applied = await bringInto(ctx, to, from)
    ctx.found.applied = applied
    const took = `${(applied.took / 1000).toFixed(2)} s`
    return {
      saw: `${applied.by}: ${ctx.name === GATEWAY_TOKEN ? 'the new one is taken and the old one refused' : 'the gateway works by it'} after ${took}`,
      facts: { by: applied.by, milliseconds: applied.took },
    }
  },
}

/** The same way back: the gateway takes the old value again, and refuses the new one. */
export const applyOld: Step<Needs> = {
  id: 'rotate.back.apply',
  title: 'Switch the gateway back, and prove it',
  effect: 'writes',
  async run(ctx) {
    const { to, from } = forwards(ctx)
    const { by } = await bringInto(ctx, from, to)
    // A reload that began before the pointer went back may only end now: what counts is what stays.
    await sleep(SETTLED)
    const proof = await proofOf(ctx, from, to)
    const seen = await proof.after(0, () => {})
    if (seen !== undefined) throw notProven(ctx.name, [`it went back, and did not stay: ${seen}`])
    return { saw: `${by}: the old one is taken again, and the new one refused` }
  },
}

/** How long a reload may take that has begun. Milliseconds. */
const SETTLED = 1500

/** Which way, in the rotation's own words. */
function forwards({ found }: Pick<Needs, 'found'>): { to: StoredValue; from: StoredValue } {
  return { to: must(found, 'next'), from: must(found, 'old') }
}

/** Looks whether a change has happened. */
interface Proof {
  /** Does something, and looks for as many milliseconds. Undefined: it has happened; otherwise what was seen. */
  after(patience: number, act: () => Promise<void> | void): Promise<string | undefined>
  /** A token that the gateway takes until the change has happened, for asking it to do something. */
  admits: Secret
}

/** Of the token itself: what the gateway answers to it. Of every other secret: by which configuration it works. */
async function proofOf(ctx: Needs, to: StoredValue, from: StoredValue): Promise<Proof> {
  if (ctx.name === GATEWAY_TOKEN) return tokenProof(ctx.gateway, { accept: to.value, refuse: from.value })
  const token = (await ctx.store.load(GATEWAY_TOKEN))?.current?.value
  if (token === undefined) throw new Error('the store lost the gateway token')
  return configurationProof(ctx.gateway, token)
}

function tokenProof(gateway: Gateway, change: Change): Proof {
  return {
    admits: change.refuse,
    async after(patience, act) {
      const seen = await gateway.watch(change, patience, act)
      if (isProven(seen)) return undefined
      const answer = (status: number | undefined) => status ?? 'no answer'
      return `${answer(seen.refuse)} to the one before, ${seen.accept === undefined ? 'and the other not asked' : `${seen.accept} to the other`}`
    },
  }
}

function configurationProof(gateway: Gateway, token: Secret): Proof {
  return {
    admits: token,
    async after(patience, act) {
      const end = performance.now() + patience
      await act()
      for (;;) {
        if (await gateway.isUpToDate(token)) return undefined
        if (performance.now() >= end) return 'it works by the configuration before'
        await sleep(200)
      }
    },
  }
}

/** How long each way may take to show, in milliseconds. The gateway waits 300 ms for more changes before it reads one. */
const PATIENCE = { pointer: 8000, reload: 8000, restart: 90_000 }

/**
 * Tries the ways in order, the gentlest first, until one is proven. The last two leave nobody served for some seconds; so
 * they are tried only with a value that the gateway can read, and with a configuration that its image accepts.
 */
async function bringInto(
  ctx: Needs,
  to: StoredValue,
  from: StoredValue,
): Promise<{ by: string; took: number }> {
  const { name, gateway } = ctx
  const failed: string[] = []
  let began = performance.now()
  const proven = (by: string) => ({ by, took: Math.round(performance.now() - began) })

  // Before the pointer: a gateway that starts by itself in between finds what it reads.
  const file = deliver(to, ctx)
  const proof = await proofOf(ctx, to, from)
  const attempt = async (by: string, look: () => Promise<string | undefined>) => {
    const isRunning = (await gateway.state()) === 'running'
    const seen = isRunning ? await unlessImpossible(look) : 'the gateway does not run'
    if (seen !== undefined) failed.push(`${by}: ${seen}`)
    return seen === undefined
  }

  const switchPointer = () => {
    began = performance.now()
    point(ctx, to)
  }
  if (await attempt('hot reload', () => proof.after(PATIENCE.pointer, switchPointer)))
    return proven('hot reload')
  // A change that the gateway's watcher has missed is seen when the file is replaced once more. And where the gateway does
  // not run, nobody has switched the pointer yet.
  point(ctx, to)
  if (await attempt('hot reload, again', () => proof.after(PATIENCE.pointer, () => {})))
    return proven('hot reload, again')
  const reload = async () => {
    await gateway.reload(proof.admits)
    return proof.after(PATIENCE.reload, () => {})
  }
  if (await attempt('secrets reload', reload)) return proven('secrets reload')

  const readable = (await gateway.state()) === 'running' ? await gateway.reads(file, to.value) : 'same'
  if (readable !== 'same') throw notProven(name, [...failed, `the gateway cannot read ${file}: ${readable}`])
  const objection = await gateway.objection()
  if (objection !== undefined) throw notProven(name, [...failed, objection])
  const restart = async () => {
    await gateway.restart(proof.admits)
    try {
      return await proof.after(PATIENCE.restart, () => {})
    } catch (error) {
      if (!(error instanceof ToolError) || error.code !== 'gateway_unseen') throw error
      // The container itself has started anew, and has taken with it who was looking.
      await gateway.untilReady()
      return proof.after(0, () => {})
    }
  }
  if (await attempt('restart', restart)) return proven('restart')
  const isUp = await unlessImpossible(() => gateway.recreate().then(() => undefined))
  if (isUp !== undefined) throw notProven(name, [...failed, `new container: ${isUp}`])
  const seen = await proof.after(0, () => {})
  if (seen === undefined) return proven('new container')
  throw notProven(name, [...failed, `new container: ${seen}`])
}

/** A way that could not be gone has failed, and the next is tried; but nothing is tried on an engine that does not answer. */
async function unlessImpossible(way: () => Promise<string | undefined>): Promise<string | undefined> {
  try {
    return await way()
  } catch (error) {
    if (!(error instanceof ToolError) || STOPS.includes(error.code)) throw error
    return error.message
  }
}

/** No way leads past these: an engine that is gone, an incident that is being looked into, a disk that is full. */
const STOPS = ['engine_unreachable', 'gateway_paused', 'disk_full', 'not_writable', 'pointer_unknown']

/** The pointer in openclaw.json, and in what was rendered last: nobody has edited it by hand. */
function point({ name, layout }: Pick<Needs, 'name' | 'layout'>, { rotationId }: StoredValue): void {
  // What was rendered last first: a run that is cut short in between leaves what setup can tell from an edit.
  for (const path of [resolve(layout.base, 'config/openclaw.json'), layout.configFile]) {
    const text = readIfPresent(path)
    const there = lookAt(path)
    if (text === undefined || there === undefined) continue
    const owner = { uid: Number(there.uid), gid: Number(there.gid) }
    writeAtomic(path, repointed(text, { name, rotationId }), Number(there.mode) & 0o7777, owner)
  }
}

function pointerIn(path: string, name: string): string | undefined {
  return pointerOf(readIfPresent(path) ?? '', name)
}

function fileOf(name: string, { rotationId }: StoredValue): string {
  return secretFileName({ name, rotationId })
}

function notProven(name: string, ways: readonly string[]): ToolError {
  return new ToolError(
    NOT_PROVEN,
    `the gateway could not be brought to another ${name} (${ways.join('; ')})`,
    'See docker compose logs in the deployment folder.',
    Exit.unknown,
  )
}

export const NOT_PROVEN = 'rotation_not_proven'
