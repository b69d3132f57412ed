import { INSIDE } from '../../src/deployment/layout.ts'
import { type Device, pairedDevices, revokeDevices } from '../../src/gateway/devices.ts'
import type { Gateway } from '../../src/gateway/running.ts'
import type { Step } from '../../src/procedure/step.ts'
import type { RotateContext } from './context.ts'

type Needs = Pick<RotateContext, 'docker' | 'found'> & { gateway: Pick<Gateway, 'container'> }

/**
 * A device that was paired with a leaked token has one of its own by now. The rotation has happened when this looks, so not
 * being able to look does not make it fail.
 */
export const reviewDevices: Step<Needs> = {
  id: 'rotate.devices',
  title: 'Look which devices have tokens of their own',
  effect: 'reads',
  async run({ docker, gateway, found }) {
    try {
      const { paired, pending, codes } = await pairedDevices(docker, await gateway.container())
      found.devices = paired
      return { saw: [ownTokens(paired), ...waiting(pending, codes)].join('; ') }
    } catch (error) {
      return { saw: `could not be listed: ${error instanceof Error ? error.message : String(error)}` }
    }
  },
}

/** The way to be rid of whoever had the old token: all of them, because nobody can tell which of them that is. */
export const revokeAllDevices: Step<Needs> = {
  id: 'rotate.revoke-devices',
  title: 'Remove all paired devices, and prove that their tokens are refused',
  effect: 'destroys',
  async skip({ docker, gateway }) {
    const { paired, pending, codes } = await pairedDevices(docker, await gateway.container())
    return paired.length + pending + codes === 0 ? 'no device is paired, and none is about to be' : undefined
  },
  async run({ docker, gateway, found }) {
    const { removed, tokens, refused } = await revokeDevices(docker, await gateway.container(), INSIDE.port)
    found.devices = []
    return {
      saw: `${counted(removed, 'device')} removed; ${tokens === 0 ? 'none of them had a token that opens HTTP' : `${refused} of ${counted(tokens, 'token')} that the gateway took before ${refused === 1 ? 'is' : 'are'} refused now`}`,
      facts: { removed },
    }
  },
}

/** "2 devices have tokens of their own, which the rotation does not change: Phone (operator), Laptop (node)" */
function ownTokens(devices: readonly Device[]): string {
  if (devices.length === 0) return 'no device is paired'
  const named = devices.slice(0, 3).map(({ name, role }) => `${name} (${role})`)
  const rest = devices.length > 3 ? ` and ${devices.length - 3} more` : ''
  return `${counted(devices.length, 'device')} ${devices.length === 1 ? 'has a token of its' : 'have tokens of their'} own, which the rotation does not change: ${named.join(', ')}${rest}`
}

function waiting(pending: number, codes: number): string[] {
  return [
    ...(pending > 0 ? [`${counted(pending, 'request')} to be paired`] : []),
    ...(codes > 0 ? [`${counted(codes, 'setup code')} with which a device can pair`] : []),
  ]
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
