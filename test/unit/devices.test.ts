import { describe, expect, it } from 'vitest'
import { Docker } from '../../src/docker/engine.ts'
import type { Finished } from '../../src/docker/process.ts'
import { ToolError } from '../../src/errors.ts'
import { pairedDevices, revokeDevices } from '../../src/gateway/devices.ts'
import { reviewDevices, revokeAllDevices } from '../../steps/rotate/devices.ts'
import { thrown } from './support.ts'

/** As OpenClaw 2026.9.6 prints it, without what we do not read. */
const LAPTOP = {
  deviceId: 'b7ee2fcfc410c7e828560d5ccf9b7f561c71f166befb33f47bcb40da104269d0',
  publicKey: 'GFeZ8u6YS3SD579fKCW25fy13YechJgmfjkX54DUXkE',
  displayName: 'Ada’s laptop',
  platform: 'linux',
  clientId: 'cli',
  clientMode: 'cli',
  role: 'operator',
  roles: ['operator'],
  scopes: ['operator.read'],
  remoteIp: '172.20.0.1',
  createdAtMs: 1795665371000,
  approvedAtMs: 1795665371203,
  lastSeenAtMs: 1795665371559,
  connected: true,
  tokens: [{ role: 'operator', scopes: ['operator.read'], createdAtMs: 1795665371203 }],
}
const command = (stdout: unknown, code = 0, stderr = '') => ({
  code,
  stdout: typeof stdout === 'string' ? stdout : JSON.stringify(stdout),
  stderr,
})
const NONE = { paired: 0, codes: 0 }
const NOTHING = { before: NONE, command: command({ pending: [], paired: [] }), after: NONE, answers: [] }

/** An engine whose container prints this; and everything that it was asked. */
function engine(printed: unknown, finished: Partial<Finished> = {}) {
  const asked: string[][] = []
  const docker = new Docker(async (_file, args) => {
    asked.push([...args])
    return { code: 0, stdout: JSON.stringify(printed), stderr: '', ...finished }
  })
  return { docker, asked }
}
const listing = (list: unknown, after = NONE) => engine({ ...NOTHING, command: command(list), after })
const listed = async (device: object) => {
  const { docker } = listing({ pending: [], paired: [device] }, { paired: 1, codes: 0 })
  return (await pairedDevices(docker, 'c')).paired[0]
}
const expectError = async (run: () => unknown, code: string) => {
  const error = await thrown(run)
  expect(error).toBeInstanceOf(ToolError)
  expect(error).toMatchObject({ code, hint: expect.stringMatching(/\w/), exit: 3 })
  return error.message
}

describe('the paired devices', () => {
  it('are read from what OpenClaw lists, with requests and setup codes beside them', async () => {
    const { docker, asked } = listing({ pending: [{}, {}], paired: [LAPTOP] }, { paired: 1, codes: 3 })
    expect(await pairedDevices(docker, 'c')).toEqual({
      paired: [
        {
          id: LAPTOP.deviceId,
          name: 'Ada’s laptop',
          client: 'cli',
          role: 'operator',
          address: '172.20.0.1',
          connected: true,
          pairedAt: new Date(1795665371203),
          seenAt: new Date(1795665371559),
        },
      ],
      pending: 2,
      codes: 3,
    })
    expect(asked).toHaveLength(1)
    expect(asked[0]?.slice(0, 4)).toEqual(['exec', '--interactive', 'c', 'node'])
    expect(JSON.parse(asked[0]?.at(-1) ?? '')).toMatchObject({
      command: ['devices', 'list', '--json'],
      voidCodes: false,
      tries: 0,
    })
  })

  it('have the owner’s name for them before their own, and a word where there is nothing', async () => {
    expect(await listed({ ...LAPTOP, operatorLabel: 'Work laptop' })).toMatchObject({ name: 'Work laptop' })
    expect(await listed({ deviceId: 'x', displayName: '', clientId: 'cli' })).toMatchObject({ name: 'cli' })
    expect(await listed({ deviceId: 'x', displayName: null })).toEqual({
      id: 'x',
      name: 'without a name',
      client: 'unknown',
      role: 'none',
      address: 'unknown',
      connected: false,
      pairedAt: undefined,
      seenAt: undefined,
    })
  })

  it('bring nothing into the terminal that it would obey or hide, and no long text', async () => {
    const hostile = '\u001b[2Jgone\r\n\u202Egnp.exe\u200b\u0000'
    const device = await listed({
      ...LAPTOP,
      deviceId: hostile,
      displayName: hostile,
      clientId: hostile,
      roles: [hostile, hostile],
      remoteIp: hostile,
      lastSeenAtMs: 1e300,
    })
    const shown = Object.values(device ?? {}).filter(value => typeof value === 'string')
    expect(shown).toHaveLength(5)
    for (const text of shown) expect(text).not.toMatch(/[\p{Cc}\u200b\u202e]/u)
    expect(device?.name).toBe('\\u001b[2Jgone\\u000d\\u000a\\u202egnp.exe\\u200b\\u0000')
    expect(device?.seenAt).toBeUndefined()
    const long = await listed({ ...LAPTOP, displayName: '🦞'.repeat(5000) })
    expect(long?.name).toBe(`${'🦞'.repeat(80)}…`)
  })

  it('are unknown, and never none, when OpenClaw could not be asked', async () => {
    const refused = {
      ok: false,
      error: { type: 'gateway_transport_error', message: 'Gateway not reachable at ws://127.0.0.1:1' },
    }
    const { docker } = engine({ ...NOTHING, command: command(refused, 1) })
    expect(await expectError(() => pairedDevices(docker, 'c'), 'devices_unknown')).toBe(
      'the paired devices could not be looked at: Gateway not reachable at ws://127.0.0.1:1 (exit code 1)',
    )
    for (const answer of ['', 'null', '[]', '{}', { paired: [] }, { pending: [], paired: [{}] }])
      await expectError(() => pairedDevices(listing(answer).docker, 'c'), 'devices_unknown')
    const failed = engine({ ...NOTHING, command: command({ pending: [], paired: [] }, 1) })
    await expectError(() => pairedDevices(failed.docker, 'c'), 'devices_unknown')
  })

  it('are unknown, and never none, when the program in the container could not look', async () => {
    const trace =
      '[eval]:1\nnew DatabaseSync()\n    ^\n\nError: unable to open database file\n    at [eval]:1:46\n'
    const { docker } = engine('', { code: 1, stdout: '', stderr: trace })
    expect(await expectError(() => pairedDevices(docker, 'c'), 'devices_unknown')).toContain(
      'Error: unable to open database file (exit code 1)',
    )
    for (const stdout of ['', '{}', '[]', JSON.stringify({ ...NOTHING, after: { paired: null, codes: 0 } })])
      await expectError(() => pairedDevices(engine('', { stdout }).docker, 'c'), 'devices_unknown')
    const gone = engine(NOTHING, { code: 137 })
    await expectError(() => pairedDevices(gone.docker, 'c'), 'devices_unknown')
  })

  it('are unknown when OpenClaw shows fewer than there are', async () => {
    const { docker } = listing({ pending: [], paired: [LAPTOP] }, { paired: 2, codes: 0 })
    expect(await expectError(() => pairedDevices(docker, 'c'), 'devices_unknown')).toContain('shows 1 of 2')
  })
})

describe('removing all devices', () => {
  const cleared = { ...NOTHING, before: { paired: 3, codes: 1 }, command: command({}), answers: [401, 401] }

  it('counts what was removed, and the tokens that are refused now', async () => {
    const { docker, asked } = engine(cleared)
    expect(await revokeDevices(docker, 'c', 18789)).toEqual({ removed: 3, tokens: 2, refused: 2 })
    expect(JSON.parse(asked[0]?.at(-1) ?? '')).toEqual({
      command: ['devices', 'clear', '--yes', '--pending', '--json'],
      voidCodes: true,
      tries: 5,
      port: 18789,
      path: '/api/channels/x',
    })
  })

  it('fails when a token is still accepted, with whatever status, though no device is listed any more', async () => {
    for (const status of [200, 400, 403, 404]) {
      const { docker } = engine({ ...cleared, answers: [401, status] })
      expect(await expectError(() => revokeDevices(docker, 'c', 1), 'devices_not_revoked')).toBe(
        '1 old token is still accepted',
      )
    }
  })

  it('fails when a device or a code is left, or the command failed, and says why', async () => {
    const left = engine({ ...cleared, after: { paired: 2, codes: 1 } })
    expect(await expectError(() => revokeDevices(left.docker, 'c', 1), 'devices_not_revoked')).toBe(
      '2 devices are still paired; 1 setup code is still valid',
    )
    const failed = engine({ ...cleared, command: command('', 1, 'x\n[openclaw] Error: unknown requestId\n') })
    expect(await expectError(() => revokeDevices(failed.docker, 'c', 1), 'devices_not_revoked')).toBe(
      'openclaw devices clear failed: Error: unknown requestId (exit code 1)',
    )
  })

  it('is not proven where the gateway did not answer', async () => {
    for (const status of [0, 429, 500, 503]) {
      const { docker } = engine({ ...cleared, answers: [401, status] })
      const message = await expectError(() => revokeDevices(docker, 'c', 1), 'devices_unknown')
      expect(message).toContain('did not say whether it refuses 1 of their tokens')
    }
    await expectError(() => revokeDevices(engine('', { stdout: '' }).docker, 'c', 1), 'devices_unknown')
  })
})

describe('the steps', () => {
  const { signal } = new AbortController()
  const context = (docker: Docker): Parameters<typeof reviewDevices.run>[0] => ({
    docker,
    gateway: { container: async () => 'c' },
    found: {},
  })

  it('name three devices and count the rest', async () => {
    const paired = ['A', 'B', 'C', 'D', 'E'].map(displayName => ({ ...LAPTOP, displayName }))
    const ctx = context(listing({ pending: [{}], paired }, { paired: 5, codes: 2 }).docker)
    expect((await reviewDevices.run(ctx, signal)).saw).toBe(
      '5 devices have tokens of their own, which the rotation does not change: A (operator), B (operator), C (operator) and 2 more; 1 request to be paired; 2 setup codes with which a device can pair',
    )
    expect(ctx.found.devices).toHaveLength(5)
  })

  it('do not make a rotation fail that is done: what could not be listed is said, and stays unknown', async () => {
    const ctx = context(engine('', { code: 1, stderr: 'Error: boom' }).docker)
    expect((await reviewDevices.run(ctx, signal)).saw).toMatch(/^could not be listed: .*boom/)
    expect(ctx.found.devices).toBeUndefined()
  })

  it('remove only where somebody is paired, waits or has a code; what is unknown is not skipped', async () => {
    const skip = (docker: Docker) => revokeAllDevices.skip?.(context(docker))
    expect(await skip(listing({ pending: [], paired: [] }).docker)).toMatch(/no device is paired/)
    expect(await skip(listing({ pending: [{}], paired: [] }).docker)).toBeUndefined()
    expect(await skip(listing({ pending: [], paired: [] }, { paired: 0, codes: 1 }).docker)).toBeUndefined()
    await expectError(() => skip(engine('', { code: 1, stdout: '' }).docker), 'devices_unknown')
  })
})
