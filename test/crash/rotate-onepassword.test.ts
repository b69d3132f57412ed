import { describe, expect, it, vi } from 'vitest'
import { GATEWAY_TOKEN } from '../../src/gateway/policy.ts'
import { Secret } from '../../src/secret.ts'
import { onePasswordServer, type State } from '../contract/onepassword-server.ts'
import { explore } from './rotate-matrix.ts'
import { slotsFrom } from './rotate-servers.ts'
import type { WorldOptions } from './rotate-world.ts'

vi.mock('node:fs', async () => (await import('./rotate-disk.ts')).watched())
vi.mock('node:timers/promises', async () => (await import('./rotate-time.ts')).instantTimers())

// After the stand-in for the SDK's core, which the server's file has loaded.
const { respond } = await import('../../src/stores/onepassword-items.ts')

/** A 1Password with the SDK's own JavaScript before it, whose requests are where a client can be killed. */
const withSdk: NonNullable<WorldOptions['onePassword']> = moment => {
  const server = onePasswordServer()
  return {
    token: server.token,
    get state() {
      return JSON.stringify(server.state())
    },
    set state(text: unknown) {
      const wanted: State = JSON.parse(String(text))
      server.change(state => Object.assign(state, wanted))
    },
    slotsOf(name) {
      const item = server.state().items.find(one => one.item.title.endsWith(` ${name}`))?.item
      const field = (id: string) => item?.fields.find(one => one.id === id)?.value
      return slotsFrom(slot => [field(`${slot}_id`), field(slot === 'current' ? 'credential' : slot)])
    },
    async run(_file, _args, { input }) {
      moment('before 1Password is asked')
      const stdout = await respond(input instanceof Secret ? input.expose() : String(input))
      moment('after 1Password has answered')
      return { code: 0, stdout, stderr: '' }
    },
  }
}

describe('a rotation in 1Password, through its SDK', () => {
  it.each([
    ['the new value', { ends: 'rotated' }],
    [
      'the old value where the gateway cannot read the new one',
      { ends: 'taken back', temper: { cannotRead: (file: string) => !file.includes('.20261001t') } },
    ],
  ] as const)(
    'that is killed at any moment ends up as %s',
    async (_, matrix) => {
      const { broken, runs } = await explore({
        ...{ store: '1password', name: GATEWAY_TOKEN, onePassword: withSdk, kills: 1 },
        ...matrix,
      })
      expect(broken).toEqual([])
      expect(runs).toBeGreaterThan(50)
    },
    60_000,
  )
})
