import { setTimeout as sleep } from 'node:timers/promises'
import { keySecretOf } from '../../src/deployment/answers.ts'
import { INSIDE } from '../../src/deployment/layout.ts'
import { Cancelled, ToolError } from '../../src/errors.ts'
import type { Order } from '../../src/evidence/case.ts'
import { recordedDevices, revokeDevices } from '../../src/gateway/devices.ts'
import { isGenerated } from '../../src/gateway/generated.ts'
import { GATEWAY_TOKEN } from '../../src/gateway/policy.ts'
import type { RunningGateway } from '../../src/gateway/running.ts'
import type { Secret } from '../../src/secret.ts'
import type { Action, IncidentContext } from './context.ts'
import { mustLeak } from './leak.ts'
import { DEVICES_LEFT, LEFT, REMOVED } from './left.ts'
import { gatewayOf, hasNewInCase, isRenewedInCase, rotateInCase } from './rotation.ts'

/**
 * What leaked is worth nothing from here on. The gateway keeps running; of its devices none stays, for whoever had the token,
 * or came in otherwise, may have paired one. A provider's key is its provider's to revoke, and a step of its own.
 */
export const rotateLeaked: Action = {
  id: 'secrets.rotate-leaked',
  title: 'Replace what leaked, and remove every device',
  effect: 'contains',
  async run(ctx) {
    const began = performance.now()
    const { names } = mustLeak(ctx.case)
    const gateway = gatewayOf(ctx)
    const saw: string[] = []
    const facts: Record<string, string | number | boolean> = {}
    // Beside each other: what is written down of the devices must not keep the token alive.
    const kept = keepDevices(ctx)
    // Handled from the start: a rejection that nobody waits for yet would end the process in the middle of the rotation.
    const looked = kept.catch(() => {})
    if (names.includes(GATEWAY_TOKEN)) {
      const rotated = await rotate(ctx, gateway, GATEWAY_TOKEN).finally(() => looked)
      facts.tokenMilliseconds = Math.round(performance.now() - began)
      saw.push(`${GATEWAY_TOKEN} ${rotated} after ${seconds(facts.tokenMilliseconds)}`)
    }
    await looked
    try {
      const { removed, tokens, refused } = await revokeDevices(
        ctx.docker,
        await gateway.container(),
        INSIDE.port,
      )
      ctx.case.note(REMOVED, { removed })
      facts.devicesMilliseconds = Math.round(performance.now() - began)
      facts.removed = removed
      saw.push(
        `devices removed: ${removed}, ${refused} of ${tokens} of their tokens proven refused, after ${seconds(facts.devicesMilliseconds)}`,
      )
    } catch (error) {
      // Only with the token has somebody surely been able to pair one: another leak is closed all the same.
      if (names.includes(GATEWAY_TOKEN) || !(error instanceof ToolError) || error instanceof Cancelled)
        throw error
      ctx.case.note(LEFT, { what: DEVICES_LEFT, why: error.message })
      saw.push(`the paired devices are NOT removed: ${error.message}`)
    }
    await kept
    const keys = ctx.answers.providers.map(keySecretOf)
    for (const name of names.filter(one => one !== GATEWAY_TOKEN)) {
      if (keys.includes(name)) {
        saw.push(`${name} is its provider's to revoke: a step of its own`)
        continue
      }
      const isMade = isGenerated(name) || (await hasNewInCase(ctx, name))
      const brought = isMade ? undefined : (ctx.wishes.brought.get(name) ?? (await asked(ctx, name)))
      if (!isMade && brought === undefined) {
        ctx.case.note(LEFT, { secret: name, what: 'bring a new value' })
        saw.push(`${name} is NOT rotated: it is not made here, and nobody brought a new one`)
      } else saw.push(`${name} ${await rotate(ctx, gateway, name, brought)}`)
    }
    return { saw: saw.join('; '), facts }
  },
}

/** Renews one secret, unless an earlier run of this case has. The gateway is reached by everybody, and may be made anew. */
async function rotate(
  ctx: IncidentContext,
  gateway: RunningGateway,
  name: string,
  brought?: Secret,
): Promise<string> {
  if (await isRenewedInCase(ctx, name)) return 'was rotated before'
  await rotateInCase(ctx, name, brought, gateway)
  return 'rotated, the old one proven dead'
}

async function asked({ ask }: IncidentContext, name: string): Promise<Secret | undefined> {
  return ask?.secret(`A new value for ${name} (empty: later)`)
}

/** Who was paired, while it can still be seen. Does not keep the devices paired for longer than {@link PATIENCE}. */
async function keepDevices(ctx: IncidentContext): Promise<void> {
  const order: Order = { name: DEVICES, command: 'device.pair.list, asked of the gateway', share: true }
  // A run that was killed may have removed them: none would be there, and that is not who there was.
  if (ctx.case.has(DEVICES) || ctx.case.journal.read().some(({ step }) => step === REMOVED)) return
  try {
    const { devices, shown } = await Promise.race([listed(ctx), tooLate()])
    ctx.case.note('devices', {
      paired: devices.paired.length,
      pending: devices.pending,
      codes: devices.codes,
    })
    for (const { id, name, client, role, address, connected, pairedAt, seenAt } of devices.paired.slice(
      0,
      MOST,
    ))
      ctx.case.note('device', {
        ...{ id, name, client, role, address, connected },
        paired: pairedAt?.toISOString() ?? 'unknown',
        seen: seenAt?.toISOString() ?? 'unknown',
      })
    await ctx.case.keep(order, async into => {
      into.write(`${shown}\n`)
      return undefined
    })
  } catch (error) {
    // Whatever it is, it is no reason to stop a rotation in the middle.
    ctx.case.missing(order, error instanceof ToolError ? error.message : String(error))
  }
}

async function listed(ctx: IncidentContext): ReturnType<typeof recordedDevices> {
  return recordedDevices(ctx.docker, await gatewayOf(ctx).container())
}

async function tooLate(): Promise<never> {
  await sleep(PATIENCE, undefined, { ref: false })
  throw new ToolError('devices_unknown', 'the gateway did not name its devices in time', '')
}

/** It takes under a second. Milliseconds. */
const PATIENCE = 10_000
/** The list of those that were paired. */
export const DEVICES = 'gateway/devices.json'
/** Named one by one in the chain of custody; all of them stand in the artefact. */
const MOST = 50

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(2)} s`
}
