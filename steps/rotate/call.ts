import { Exit, ToolError } from '../../src/errors.ts'
import { acceptedStatus, callWithKey } from '../../src/gateway/provider-call.ts'
import type { Step } from '../../src/procedure/step.ts'
import type { RotateContext } from './context.ts'

/** A key that its provider does not take is not worth a rotation. */
export const callProvider: Step<Pick<RotateContext, 'name' | 'call' | 'brought' | 'found'>> = {
  id: 'rotate.call',
  title: 'Try the new value at its provider',
  effect: 'reads',
  skip: ({ call, found }) =>
    call === undefined
      ? 'no call was named (--prove-url)'
      : found.stage === 'committed'
        ? 'it is in use already'
        : undefined,
  async run({ name, call, brought, found }) {
    // Where one is staged, that is the one the gateway is going to get.
    const value = found.next?.value ?? brought
    if (call === undefined || value === undefined) throw new Error('nothing to call with')
    const { status } = await callWithKey(call.url, call.header, value)
    const saw = `GET ${new URL(call.url).origin}…: ${status}`
    if (acceptedStatus(status) === 'accepted') return { saw }
    throw new ToolError(
      'provider_refused',
      `the provider does not take the new ${name} (${saw})`,
      'The gateway has not been touched. Is it the right key, for this address, and in force already?',
      Exit.unknown,
    )
  },
}
