/** Whoever had a way in may have paired a device (credential leakage): all of them go, and who they were is not made up. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { ToolError } from '../../src/errors.ts'
import type { Device } from '../../src/gateway/devices.ts'
import type { IncidentContext } from '../../steps/incident/context.ts'
import { rotateLeaked } from '../../steps/incident/rotate-leaked.ts'
import { searchRecords } from '../../steps/incident/search.ts'
import { World } from './evidence-world.ts'
import { inTime } from './incident-world.ts'
import { ANSWERS, thrown } from './support.ts'

const gone = new ToolError('gateway_gone', 'there is no engine', '')

/** The gateway, as far as it has devices. */
const gateway = vi.hoisted(() => ({ paired: 0, revoked: 0, isListed: true, isThere: true }))

vi.mock('../../src/gateway/devices.ts', () => ({
  async recordedDevices() {
    if (!gateway.isListed) throw new ToolError('devices_unknown', 'it does not name them', '')
    const paired = Array.from({ length: gateway.paired }, (_, index) => device(`id-${index}`))
    return { devices: { paired, pending: 0, codes: 0 }, shown: JSON.stringify(paired) }
  },
  async revokeDevices() {
    if (!gateway.isThere) throw new ToolError('devices_unknown', 'it does not run', '')
    const removed = gateway.paired
    gateway.paired = 0
    gateway.revoked += 1
    return { removed, tokens: removed, refused: removed }
  },
}))
vi.mock('../../steps/incident/rotation.ts', () => ({
  gatewayOf: () => ({ container: async () => 'c' }),
  isRenewedInCase: async () => true,
}))

beforeEach(() => Object.assign(gateway, { paired: 2, revoked: 0, isListed: true, isThere: true }))

function device(id: string): Device {
  const [name, client, role, address] = ['laptop', 'cli', 'operator', '10.0.0.2']
  return { ...{ id, name, client, role, address }, connected: false, pairedAt: undefined, seenAt: undefined }
}

function leaked(name: string) {
  const world = new World()
  const of = world.begin()
  of.note('leak', { leaked: name, since: '2026-11-20T00:00:00.000Z' })
  const openai = { id: 'openai', models: [] }
  const known: Partial<IncidentContext> = {
    ...world.contextOf(of),
    answers: { ...ANSWERS, providers: [openai] } as unknown as IncidentContext['answers'],
    compose: {
      container: () => Promise.reject(gone),
      containerId: () => Promise.reject(gone),
    } as unknown as IncidentContext['compose'],
  }
  const ctx = known as IncidentContext
  return {
    of,
    rotate: () => rotateLeaked.run(ctx, inTime),
    async search() {
      const outcome = await searchRecords.run(ctx, inTime)
      const text = readFileSync(join(of.folder, 'evidence/findings/access.md'), 'utf8')
      const devices = /## Devices that were paired\n\n([\s\S]*?)\n\n##/.exec(text)?.[1] ?? ''
      return { ...outcome, text, devices }
    },
  }
}

describe('the paired devices', () => {
  it.each(['gateway_token', 'openai_api_key'])(
    'are listed, and then removed, whatever leaked: %s',
    async name => {
      const { rotate, search } = leaked(name)
      expect((await rotate()).facts).toMatchObject({ removed: 2 })
      expect(gateway.revoked).toBe(1)
      const { devices, facts } = await search()
      expect(devices).toContain('| id-1 |')
      expect(facts).toMatchObject({ devices: 2 })
      expect(facts?.unseen).not.toContain('devices')
    },
  )

  it('are "none" only where somebody has looked', async () => {
    gateway.paired = 0
    const { rotate, search } = leaked('gateway_token')
    await rotate()
    expect((await search()).devices).toBe('None.')
  })

  it('are not known where the gateway did not name them, also for a run that comes after they were removed', async () => {
    gateway.isListed = false
    const { rotate, search } = leaked('gateway_token')
    await rotate()
    gateway.isListed = true
    await rotate()
    const { devices, text, facts, saw } = await search()
    expect(devices).toBe('Not known.')
    expect(text).toContain('- the paired devices: it does not name them')
    expect(facts?.unseen).toContain('the paired devices: it does not name them')
    expect(saw).toContain('an unknown number of devices')
  })

  it('are not known to a runbook that never lists them', async () => {
    const { devices, facts } = await leaked('gateway_token').search()
    expect(devices).toBe('Not known.')
    expect(facts?.unseen).toContain('the paired devices')
  })

  it('are all counted where they are too many to be named', async () => {
    gateway.paired = 60
    const { rotate, search } = leaked('gateway_token')
    await rotate()
    const { devices, facts } = await search()
    expect(devices).toMatch(/\n- And 10 more, in evidence\/gateway\/devices\.json\.$/)
    expect(facts).toMatchObject({ devices: 60 })
  })

  it('that cannot be removed stop it where the token leaked; else that is left to do, and another leak is closed', async () => {
    gateway.isThere = false
    expect(await thrown(leaked('gateway_token').rotate)).toMatchObject({ code: 'devices_unknown' })
    const { of, rotate } = leaked('openai_api_key')
    expect((await rotate()).saw).toContain('NOT removed: it does not run')
    expect(of.journal.read().at(-1)).toMatchObject({
      ...{ step: 'left-to-do', facts: { what: 'remove the paired devices' } },
    })
  })
})
