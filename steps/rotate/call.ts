import { Exit, ToolError } from '../../src/errors.ts'
import { acceptedStatus, callWithKey } from '../../src/gateway/provider-call.ts'
import type { Step } from '../../src/procedure/step.ts'
import type { RotateContext } from './context.ts'

/** A key that its provider does not take is not worth a rotation. */
export const callProvider: Step<Pick<RotateContext, 'name' | 'call' | 'brought'>> = {
  id: 'rotate.call',
  title: 'Try the new value at its provider',
  effect: 'reads',
  skip: ({ call, brought }) =>
    call === undefined || brought === undefined ? 'no call was named (--prove-url)' : undefined,
  async run({ name, call, brought }) {
    if (call === undefined || brought === undefined) throw new Error('nothing to call with')
    const { status } = await callWithKey(call.url, call.header, brought)
    const saw = `GET ${new URL(call.url).origin}…: ${status}`
    if (acceptedStatus(status) === 'accepted') return { saw }
    throw new ToolError(
      'provider_refused',
      `the provider does not take the new ${name} (${saw})`,
      'Nothing has been changed. Is it the right key, for this address, and in force already?',
      Exit.unknown,
    )
  },
}
