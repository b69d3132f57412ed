import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { resolve } from 'node:path'
import { sweep } from '../../src/deployment/files.ts'
import { type Layout, layoutOf } from '../../src/deployment/layout.ts'
import { takeLock } from '../../src/deployment/lock.ts'
import { addressesOf, freePort } from '../../src/deployment/network.ts'
import type { Docker } from '../../src/docker/engine.ts'
import { ToolError } from '../../src/errors.ts'
import type { Control } from '../../src/report/report.ts'
import { generateToken } from '../../src/secret.ts'
import { readDeployment } from '../../src/wizard/saved.ts'
import type { VerifyCheck } from '../verify/check.ts'
import { ownFiles } from '../verify/files.ts'
import { judge } from '../verify/judge.ts'
import { liveWorld } from '../verify/live.ts'
import type { FileWorld, World } from '../verify/world.ts'
import { type TwinSources, WeakCopy } from './twin.ts'

export interface ProveSources extends TwinSources {
  /** Of the deployment whose checks are proven. */
  layout: Layout
  /** Redacts nothing. */
  searching: Docker
  /** A line for the person. */
  say(line: string): void
}

/**
 * Shows that every check can fail: each is run in a copy of the deployment that was broken for it, and has to be red
 * there. Static checks get a copy on the disk each; live ones share two weak gateways, started for it and removed
 * again. The copies have secrets of their own; where this user may, the firewall keeps neighbours from them, and they
 * end by themselves after ten minutes if this program is killed.
 */
export async function prove(checks: readonly VerifyCheck[], sources: ProveSources): Promise<Control[]> {
  const { layout, signal, now } = sources
  const release = takeLock(layout.lock, 'verify --prove', now())
  // What a killed run may have left.
  sweep([layout.own])
  const scratch = mkdtempSync(resolve(layout.own, '.ocs-prove-'))
  const copies: WeakCopy[] = []
  try {
    const inGroup = (group: string) =>
      checks.filter(
        check => (check.kind === 'static' ? 'static' : (check.sabotage.in ?? 'exposed')) === group,
      )
    // All are waited for, also when one fails: a copy that were still starting would be started after its removal.
    const ended = await Promise.allSettled([
      proveStatic(inGroup('static'), sources, scratch),
      ...(['exposed', 'unguarded'] as const).map(async group => {
        const own = inGroup(group)
        if (own.length === 0) return []
        const copy = await WeakCopy.make(
          sources,
          resolve(scratch, group),
          nameOf(layout, group),
          await freePort(),
        )
        copies.push(copy)
        // A killed run may have left one.
        await copy.destroy()
        return proveLive(own, copy, sources)
      }),
    ])
    signal.throwIfAborted()
    const results = ended.flatMap(end => {
      if (end.status === 'rejected') throw end.reason
      return end.value
    })
    const found = new Map(results.map(control => [control.check, control]))
    return checks.flatMap(check => found.get(check.id) ?? [])
  } finally {
    await Promise.all(copies.map(copy => copy.destroy()))
    rmSync(scratch, { recursive: true, force: true })
    release()
  }
}

/** One copy for each check: what is broken for one must not turn another red. */
async function proveStatic(
  checks: readonly VerifyCheck[],
  sources: ProveSources,
  scratch: string,
): Promise<Control[]> {
  if (checks.length === 0) return []
  const whole = await WeakCopy.make(
    sources,
    resolve(scratch, 'whole'),
    nameOf(sources.layout, 'files'),
    await freePort(),
  )
  const controls: Control[] = []
  for (const check of checks) {
    sources.signal.throwIfAborted()
    const place = mkdtempSync(resolve(scratch, 'static-'))
    const root = resolve(place, 'copy')
    const { code, stderr } = await sources.run('cp', ['-a', whole.root, root], { deadline: 20_000 })
    if (code !== 0)
      throw new ToolError('copy_failed', `the deployment could not be copied: ${stderr.trim()}`, '')
    const copy = WeakCopy.at(whole, root)
    await check.sabotage.weaken?.(copy)
    controls.push(...(await controlsOf([check], filesOf(copy, sources) as World, sources)))
    rmSync(place, { recursive: true, force: true })
  }
  return controls
}

async function proveLive(
  checks: readonly VerifyCheck[],
  copy: WeakCopy,
  sources: ProveSources,
): Promise<Control[]> {
  for (const check of checks) await check.sabotage.weaken?.(copy)
  sources.say(`starting the weak copy ${copy.answers.name}`)
  await copy.launch()
  const [alone, together] = [true, false].map(is =>
    checks.filter(check => (check.sabotage.alone ?? false) === is),
  )
  for (const check of together ?? []) await check.sabotage.spoil?.(copy)
  sources.say(`looking at the weak copy ${copy.answers.name}`)
  const controls = await controlsOf(together ?? [], worldOf(copy, sources), sources)
  for (const check of alone ?? []) {
    await check.sabotage.spoil?.(copy)
    controls.push(...(await controlsOf([check], worldOf(copy, sources), sources)))
  }
  return controls
}

/** A running copy, looked at afresh. */
function worldOf(copy: WeakCopy, sources: ProveSources): World {
  const files = filesOf(copy, sources)
  const { docker, searching, run, redactor } = sources
  const live = liveWorld(files, {
    docker,
    searching,
    run,
    compose: copy.compose,
    async find() {
      const id = await copy.compose.containerId()
      return id === undefined ? undefined : searching.container(id)
    },
    wrongToken: redactor.learn(generateToken()),
  })
  return { ...files, ...live }
}

async function controlsOf(
  checks: readonly VerifyCheck[],
  world: World,
  { redactor, signal }: ProveSources,
): Promise<Control[]> {
  const findings = await judge(checks, world, text => redactor.clean(text), signal)
  return findings.map(({ check, verdict, evidence }) => ({
    check,
    red: verdict === 'fail',
    verdict,
    evidence,
  }))
}

/** The copy's files as they are now: its answers too may have been changed. */
function filesOf(copy: WeakCopy, { now, run }: ProveSources): FileWorld {
  const { layout, store, journal } = copy
  const { answers, suppressions } = readDeployment(readFileSync(layout.answers, 'utf8'), layout.root)
  return ownFiles({
    layout: layoutOf(copy.root),
    answers,
    suppressions,
    store,
    journal,
    run,
    now: now(),
  })
}

/** The same for each run, so that what a killed run left is found and removed by the next. */
function nameOf(layout: Layout, group: string): string {
  return `prove-${addressesOf(layout.root).bridge.slice(4)}-${group}`
}
