import { rmSync } from 'node:fs'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { readIfPresent, syncDirectory } from '../../src/deployment/files.ts'
import { Compose } from '../../src/docker/compose.ts'
import { firstLine } from '../../src/docker/engine.ts'
import { Exit, ToolError, visible } from '../../src/errors.ts'
import { pointerOf } from '../../src/gateway/pointer.ts'
import { secretFileName } from '../../src/gateway/policy.ts'
import { SANDBOX, SANDBOX_CLIENT_KEY } from '../../src/gateway/sandbox.ts'
import { enterSandbox } from '../../src/gateway/sandbox-login.ts'
import { publicSshKey } from '../../src/gateway/ssh-key.ts'
import type { Step } from '../../src/procedure/step.ts'
import type { StoredValue } from '../../src/stores/store.ts'
import {
  admitting,
  hostKeyFile,
  isKeyFileThere,
  type KeyFile,
  otherHostKeys,
  recognising,
  showing,
  writeHostKey,
  writeKeyFiles,
} from '../setup/sandbox.ts'
import { NOT_PROVEN } from './apply.ts'
import { must, type RotateContext } from './context.ts'

/**
 * The keys by which the gateway and its sandbox know each other. Neither side is ever without one that the other takes: both
 * are accepted before the new one is used, and the old one is refused only when it is used no more. Connections that are open
 * stay open.
 */

type Needs = Pick<
  RotateContext,
  'name' | 'layout' | 'answers' | 'store' | 'docker' | 'gateway' | 'owner' | 'resume' | 'mayStart' | 'found'
>

/** Beside {@link lookAtSecret}: a rotation begins only where the gateway is let in by the keys of now. */
export const lookAtSandbox: Step<Needs> = {
  id: 'rotate.sandbox.look',
  title: 'See the gateway let into its sandbox',
  effect: 'reads',
  async run(ctx) {
    const isHalfWay = ctx.found.stage !== 'none'
    const container = await composeOf(ctx).container(SANDBOX.service)
    const state = container?.State.Running === true ? 'runs' : 'does not run'
    if (state !== 'runs' && !(isHalfWay && ctx.mayStart))
      throw new ToolError(
        'sandbox_stopped',
        'the sandbox does not run here, so nothing can be proven about it',
        'Start it with create-openclaw-secure . and run the command again.',
        Exit.unknown,
      )
    if (isHalfWay) return { saw: `the sandbox ${state}` }
    const refusal = await knock(ctx, clientKeyInUse(ctx))
    if (refusal === undefined) return { saw: 'it is let in' }
    throw new ToolError(
      'sandbox_not_current',
      `the gateway is not let into its sandbox as it is (${refusal})`,
      'Run create-openclaw-secure . first: it makes the two known to each other.',
      Exit.unknown,
    )
  },
}

/** A rotation that was cut short may find them stopped; what it has to prove it proves between the two. */
export const startBoth: Step<Needs> = {
  id: 'rotate.sandbox.start',
  title: 'Start the gateway and its sandbox',
  effect: 'writes',
  skip: async ctx =>
    (await composeOf(ctx).container(SANDBOX.service))?.State.Running === true &&
    (await ctx.gateway.state()) === 'running'
      ? 'they run'
      : undefined,
  async run(ctx) {
    const { code, stderr } = await composeOf(ctx).call(['up', '--detach', '--no-build', SANDBOX.service], {
      deadline: 180_000,
    })
    if (code !== 0) throw unseen(firstLine(stderr))
    if ((await ctx.gateway.state()) === 'stopped') await ctx.gateway.recreate()
    return { saw: 'both run' }
  },
}

export const admitBoth: Step<Needs> = {
  id: 'rotate.sandbox.admit',
  title: 'Have the sandbox let in the old key and the new one',
  effect: 'writes',
  skip: ctx =>
    ctx.found.stage === 'committed' ? 'the old one is on its way out' : whereThere(ctx, admitting(both(ctx))),
  run: async ctx => ({ saw: writeKeyFiles(ctx.layout, [admitting(both(ctx))], ctx.owner()).join() }),
}

/** Before the gateway uses it. */
export const tryNew: Step<Needs> = {
  id: 'rotate.sandbox.try',
  title: 'See the new key let in',
  effect: 'reads',
  skip: ({ found }) => (found.stage === 'committed' ? 'it is in use' : undefined),
  async run(ctx) {
    const refusal = await knock(ctx, clientKeyFile(must(ctx.found, 'next')))
    if (refusal !== undefined) throw notProven(`the sandbox refuses the new key: ${refusal}`)
    return { saw: 'ssh from the gateway’s container: let in' }
  },
}

export const expelOld: Step<Needs> = {
  id: 'rotate.sandbox.expel',
  title: 'Have the sandbox refuse the old key, and see it refused',
  effect: 'writes',
  skip: async ctx =>
    isKeyFileThere(ctx.layout, admitting([must(ctx.found, 'next')])) &&
    (await knock(ctx, clientKeyFile(must(ctx.found, 'old')))) !== undefined
      ? 'it is refused'
      : undefined,
  async run(ctx) {
    const [old, next] = [must(ctx.found, 'old'), must(ctx.found, 'next')]
    writeKeyFiles(ctx.layout, [admitting([next])], ctx.owner())
    const wrong = [
      ...((await knock(ctx, clientKeyFile(next))) === undefined ? [] : ['refuses the new key']),
      ...((await knock(ctx, clientKeyFile(old))) === undefined ? ['lets the old key in'] : []),
    ]
    if (wrong.length === 0) return { saw: 'the new one is let in and the old one refused' }
    throw new ToolError(
      'sandbox_key_unsettled',
      `the sandbox ${wrong.join(' and ')}`,
      'See docker compose logs sandbox in the deployment folder.',
      Exit.interrupted,
    )
  },
}

/** On the way back: the gateway uses the old one again. */
export const expelNew: Step<Needs> = {
  id: 'rotate.back.sandbox.expel',
  title: 'Have the sandbox let in the old key alone',
  effect: 'writes',
  skip: ctx => whereThere(ctx, admitting([must(ctx.found, 'old')])),
  run: async ctx => ({
    saw: writeKeyFiles(ctx.layout, [admitting([must(ctx.found, 'old')])], ctx.owner()).join(),
  }),
}

export const recogniseBoth: Step<Needs> = {
  id: 'rotate.sandbox.recognise',
  title: 'Have the gateway recognise the sandbox by the old key and by the new one',
  effect: 'writes',
  skip: ctx =>
    ctx.found.stage === 'committed' ? 'it shows the new one' : whereThere(ctx, recognising(both(ctx))),
  run: async ctx => ({ saw: writeKeyFiles(ctx.layout, [recognising(both(ctx))], ctx.owner()).join() }),
}

/** sshd reads its settings anew and keeps its connections; the container stays. */
export const showNew: Step<Needs> = {
  id: 'rotate.sandbox.show',
  title: 'Have the sandbox show its new host key, and prove it',
  effect: 'writes',
  async skip(ctx) {
    const next = must(ctx.found, 'next')
    return isKeyFileThere(ctx.layout, showing(next)) &&
      (await knock(ctx, clientKeyInUse(ctx), next)) === undefined
      ? 'it shows it'
      : undefined
  },
  async run(ctx) {
    const took = await show(ctx, must(ctx.found, 'next'))
    ctx.found.applied = { by: 'a reload of sshd', took }
    return {
      saw: `the gateway is let in by it after ${(took / 1000).toFixed(2)} s`,
      facts: { milliseconds: took },
    }
  },
}

export const forgetOld: Step<Needs> = {
  id: 'rotate.sandbox.forget',
  title: 'Have the gateway recognise the sandbox by its new key alone',
  effect: 'writes',
  skip: ctx => whereForgotten(ctx, must(ctx.found, 'next')),
  run: async ctx => ({ saw: forgetAllBut(ctx, must(ctx.found, 'next')) }),
}

export const showOld: Step<Needs> = {
  id: 'rotate.back.sandbox.show',
  title: 'Have the sandbox show its old host key again, and prove it',
  effect: 'writes',
  async run(ctx) {
    const took = await show(ctx, must(ctx.found, 'old'))
    return { saw: `the gateway is let in by it after ${(took / 1000).toFixed(2)} s` }
  },
}

export const forgetNew: Step<Needs> = {
  id: 'rotate.back.sandbox.forget',
  title: 'Have the gateway recognise the sandbox by its old key alone',
  effect: 'writes',
  skip: ctx => whereForgotten(ctx, must(ctx.found, 'old')),
  run: async ctx => ({ saw: forgetAllBut(ctx, must(ctx.found, 'old')) }),
}

/** How long sshd may take until it shows another key, in milliseconds. It takes a tenth of a second. */
const PATIENCE = 15_000

/**
 * sshd reads its settings at HUP and starts anew with them, keeping its process and its connections. `docker kill -s HUP`
 * would say the same; but an engine before 23 does not start a container anew any more that was sent a signal so.
 */
const RELOAD = `
import os, signal
for pid in filter(str.isdigit, os.listdir("/proc")):
    try: name, rest = open(f"/proc/{pid}/stat").read().split("(", 1)[1].rsplit(")", 1)
    except OSError: continue
    if name == "sshd" and rest.split()[1] == "1": os.kill(int(pid), signal.SIGHUP)
`

/** Whether sshd would start with this key, as its exit code in the last line: one that would not never reads of it. */
const TEST = 'echo; /usr/sbin/sshd -t -f /dev/null -h "$0" 2>&1; echo $?'

/** Brings the sandbox to show a host key. Returns how long that took until it was seen, in milliseconds. */
async function show(ctx: Needs, key: StoredValue): Promise<number> {
  const { layout, docker, owner } = ctx
  const container = (await composeOf(ctx).container(SANDBOX.service))?.Id
  if (container === undefined) throw unseen('it has no container')
  writeHostKey(layout, key, owner())
  const file = `${SANDBOX.folder}/${hostKeyFile(key)}`
  const tested = await docker.exec(container, ['sh', '-c', TEST, file], { deadline: 30_000 })
  if (tested.code !== 0) throw unseen(firstLine(tested.stderr))
  if (!tested.stdout.endsWith('\n0\n'))
    throw notProven(`sshd would not start with it: ${visible(firstLine(tested.stdout))}`)
  const began = performance.now()
  writeKeyFiles(layout, [showing(key)], owner())
  const told = await docker.exec(container, ['python3', '-c', RELOAD], { deadline: 30_000 })
  if (told.code !== 0) throw unseen(firstLine(told.stderr))
  for (;;) {
    const isLast = performance.now() - began >= PATIENCE
    const refusal = await knock(ctx, clientKeyInUse(ctx), key).catch((error: unknown) => {
      if (isLast) throw error
      return 'no answer'
    })
    if (refusal === undefined) return Math.round(performance.now() - began)
    if (isLast) throw notProven(`the sandbox does not show it: ${refusal}`)
    await sleep(200)
  }
}

/**
 * Logs in from the gateway's container, by a connection of its own. Undefined: it was let in; otherwise who refused whom.
 * `file` is the client key's in the secrets folder; with `hostKey` nothing but that one is recognised.
 * Errors: `sandbox_unseen`, when there was no answer; those of the gateway.
 */
async function knock(ctx: Needs, file: string, hostKey?: StoredValue): Promise<string | undefined> {
  // The public half.
  const known = hostKey === undefined ? undefined : publicSshKey(hostKey.value)
  const came = await enterSandbox(ctx.docker, await ctx.gateway.container(), file, known)
  if ('uid' in came) return undefined
  if (came.refused === 'no answer') throw unseen(came.said)
  return came.refused
}

function composeOf({ docker, layout, answers }: Needs): Compose {
  return new Compose(docker, layout.root, answers.name)
}

function both({ found }: Needs): StoredValue[] {
  return [must(found, 'old'), must(found, 'next')]
}

function whereThere({ layout }: Needs, file: KeyFile): string | undefined {
  return isKeyFileThere(layout, file) ? 'it is so' : undefined
}

function whereForgotten({ layout }: Needs, key: StoredValue): string | undefined {
  return isKeyFileThere(layout, recognising([key])) && otherHostKeys(layout, key).length === 0
    ? 'it is so'
    : undefined
}

/** The gateway first: what it does not recognise any more nobody can show it. Returns what was changed. */
function forgetAllBut({ layout, owner }: Needs, key: StoredValue): string {
  const written = writeKeyFiles(layout, [recognising([key])], owner())
  const others = otherHostKeys(layout, key)
  for (const name of others) rmSync(resolve(layout.sandbox, name), { force: true })
  syncDirectory(layout.sandbox)
  return [...written, ...others.map(name => `sandbox/${name} removed`)].join(', ')
}

function clientKeyFile({ rotationId }: StoredValue): string {
  return secretFileName({ name: SANDBOX_CLIENT_KEY, rotationId })
}

/** The file of the client key by which the gateway goes, whatever the store calls current. */
function clientKeyInUse({ layout }: Needs): string {
  const file = pointerOf(readIfPresent(layout.configFile) ?? '', SANDBOX_CLIENT_KEY)
  if (file !== undefined) return file
  throw new ToolError(
    'pointer_unknown',
    `openclaw.json names no file for ${SANDBOX_CLIENT_KEY}`,
    'Run create-openclaw-secure . first: it delivers what the store has.',
    Exit.unknown,
  )
}

function notProven(why: string): ToolError {
  return new ToolError(
    NOT_PROVEN,
    why,
    'See docker compose logs sandbox in the deployment folder.',
    Exit.unknown,
  )
}

function unseen(why: string): ToolError {
  return new ToolError(
    'sandbox_unseen',
    `the sandbox could not be asked: ${visible(why)}`,
    'See what it does (docker compose logs sandbox), then run the command again with --resume.',
    Exit.interrupted,
  )
}
