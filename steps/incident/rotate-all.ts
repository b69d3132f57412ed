import { keySecretOf } from '../../src/deployment/answers.ts'
import { Cancelled, ToolError } from '../../src/errors.ts'
import { isGenerated } from '../../src/gateway/generated.ts'
import { allSecretNamesOf, GATEWAY_TOKEN, PROXY_PASSWORD } from '../../src/gateway/policy.ts'
import { runProcedure } from '../../src/procedure/run.ts'
import type { RotateContext } from '../rotate/context.ts'
import { revokeAllDevices } from '../rotate/devices.ts'
import type { Action, IncidentContext } from './context.ts'
import { LEFT } from './left.ts'
import { closedGateway, hasNewInCase, isRenewedInCase, rotateInCase } from './rotation.ts'

/** Whatever an agent could read, somebody else may have by now. */
export const rotateAll: Action = {
  id: 'secrets.rotate',
  title: 'Rotate every secret that the gateway could read, and remove its devices',
  effect: 'contains',
  async run(ctx) {
    const { answers, wishes } = ctx
    const keys = answers.providers.map(keySecretOf)
    const names = allSecretNamesOf(answers).filter(name => !keys.includes(name))
    const due: string[] = []
    for (const name of names)
      if (isGenerated(name) || wishes.brought.has(name) || (await hasNewInCase(ctx, name))) due.push(name)
    // The token first: whoever has it can do everything.
    const order = [GATEWAY_TOKEN, ...due.filter(name => name !== GATEWAY_TOKEN)]
    const failed: ToolError[] = []
    for (const name of order) {
      try {
        if (await isRenewedInCase(ctx, name)) continue
        await rotateInCase(ctx, name, wishes.brought.get(name))
      } catch (error) {
        if (!(error instanceof ToolError) || error instanceof Cancelled) throw error
        failed.push(error)
      }
    }
    // One that fails does not keep the others from being rotated: all of them have leaked.
    const [first] = failed
    if (first !== undefined)
      throw new ToolError(
        'rotation_failed',
        failed.map(({ code, message }) => `${code}: ${message}`).join('\n'),
        first.hint,
        first.exit,
        first,
      )
    const devices = await removeDevices(ctx)
    const left = names.filter(name => !due.includes(name))
    for (const name of left) ctx.case.note(LEFT, { secret: name, what: 'bring a new value' })
    return {
      saw: [
        `rotated: ${order.join(', ')}`,
        devices,
        ...(order.includes(PROXY_PASSWORD) ? ['proxy/htpasswd is new: install it at nginx'] : []),
        ...(left.length > 0
          ? [`LEFT TO DO, since nobody brought a value: rotate ${left.join(' ')} --secret-value NAME=@FILE`]
          : []),
      ].join('; '),
      facts: { rotated: order.length, left: left.length },
    }
  },
}

/** Their tokens outlive the gateway's: where the state was kept, they are still there. */
async function removeDevices(ctx: IncidentContext): Promise<string> {
  const found: RotateContext['found'] = {}
  const { docker } = ctx
  const { written } = await runProcedure(
    'devices',
    [revokeAllDevices],
    { docker, gateway: closedGateway(ctx), found },
    ctx.runtimeOf(),
  )
  return written.length > 0 ? 'all devices removed' : 'no device is paired'
}
