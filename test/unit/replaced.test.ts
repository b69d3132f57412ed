/** An old provider key works until it is revoked (credential leakage): what is shared after a resume must not have it. */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { learnValues } from '../../src/commands/incident.ts'
import { Cancelled } from '../../src/errors.ts'
import { keepReplaced, replacedOf } from '../../src/evidence/replaced.ts'
import { redacted } from '../../src/evidence/share.ts'
import type { RunningGateway } from '../../src/gateway/running.ts'
import { Redactor, Secret } from '../../src/secret.ts'
import { leftIn } from '../../steps/incident/left.ts'
import { rotateProviderKeys } from '../../steps/incident/provider-keys.ts'
import { reportCase } from '../../steps/incident/report.ts'
import { rotateInCase } from '../../steps/incident/rotation.ts'
import { searchOld } from '../../steps/rotate/commit.ts'
import { World } from './evidence-world.ts'
import { incidentIn, inTime } from './incident-world.ts'
import { ANSWERS, scratch } from './support.ts'
import { fakeServer } from './vault-servers.ts'

/** It looks like nothing: only who knows it finds it. */
const OLD = 'the Old key of last month'
const NAME = 'acme_api_key'
const stored = (value: string) => ({
  revision: 1,
  current: { rotationId: '20261020t100000-1a2b3c4d', value: new Secret(value) },
})

describe('a value that an incident has replaced', () => {
  it('is kept before anything is done to it, and is known to the run that goes on', async () => {
    const { ctx } = incidentIn(scratch(), {
      stored: { [NAME]: { rotationId: '20261020t100000-1a2b3c4d', value: OLD } },
    })
    // Here a run ends in the middle: there is no engine.
    const gateway = {} as RunningGateway
    await expect(rotateInCase(ctx, NAME, undefined, gateway)).rejects.toThrow('the step reached for docker')
    const folder = replacedOf(ctx.layout)
    const [file = ''] = readdirSync(folder)
    expect(readFileSync(join(folder, file), 'utf8')).toBe(OLD)
    expect([folder, join(folder, file)].map(path => statSync(path).mode & 0o777)).toEqual([0o700, 0o400])

    const redactor = new Redactor()
    learnValues({ layout: ctx.layout, redactor, case: ctx.case })
    expect(redacted(`it was "${OLD}", he said`, redactor)).toBe('it was "[secret]", he said')
  })

  it('is destroyed with the end of the case, and is in no file of it', async () => {
    const world = new World()
    const of = world.begin()
    await world.collect(of)
    keepReplaced(world.layout, NAME, stored(OLD))
    expect(existsSync(replacedOf(world.layout))).toBe(true)
    await world.act(reportCase, of)
    expect(existsSync(replacedOf(world.layout))).toBe(false)
    for (const name of readdirSync(of.folder, { recursive: true }).map(String)) {
      const path = join(of.folder, name)
      if (statSync(path).isFile()) expect(readFileSync(path, 'utf8'), name).not.toContain(OLD)
    }
  })

  it('of a case that nobody has ended is destroyed by the next one', () => {
    const world = new World()
    keepReplaced(world.layout, NAME, stored(OLD))
    world.begin()
    expect(existsSync(replacedOf(world.layout))).toBe(false)
  })

  it('is no leak to the search for old values, and what lies elsewhere is', async () => {
    const { layout } = new World()
    keepReplaced(layout, NAME, stored(OLD))
    mkdirSync(layout.state)
    writeFileSync(join(layout.state, 'notes'), OLD)
    const found = { old: stored(OLD).current }
    const { saw } = await searchOld.run({ layout, found }, inTime)
    expect(saw).toMatch(/^\d+ files: it stands in state\/notes$/)
  })
})

describe('a run that goes on where another was left at “Is it done?”', () => {
  /** A provider, and the case in which its key was replaced: the run that did it is gone. */
  async function left() {
    const provider = { isTold: false, asked: 0 }
    const server = await fakeServer(({ headers }) => ({
      status: headers.authorization === `Bearer ${OLD}` && !provider.isTold ? 200 : 401,
    }))
    onTestFinished(server.close)
    const { ctx } = incidentIn(scratch(), {
      answers: { ...ANSWERS, providers: [{ id: 'acme', url: server.address }] },
      stored: { [NAME]: { rotationId: '20261126t100000-1a2b3c4d', value: 'the New key' } },
      confirms: true,
    })
    Object.assign(ctx, { journal: ctx.case.journal, docker: {}, compose: {} })
    keepReplaced(ctx.layout, NAME, stored(OLD))
    const says = (confirm: () => Promise<boolean>) => {
      if (ctx.ask === undefined) throw new Error('nobody can be asked')
      ctx.ask.confirm = () => {
        provider.asked += 1
        return confirm()
      }
      return rotateProviderKeys.run(ctx, inTime)
    }
    return { provider, ctx, says }
  }

  it('asks again, and proves the old key dead', async () => {
    const { provider, ctx, says } = await left()
    await expect(says(() => Promise.reject(new Cancelled('')))).rejects.toThrow(Cancelled)
    expect(leftIn(ctx.case)).toMatchObject([{ state: 'in force' }])
    const { saw, facts } = await says(async () => {
      provider.isTold = true
      return true
    })
    expect([saw, facts?.left]).toEqual(['acme: replaced; its provider refuses the old one', 0])
    expect([provider.asked, leftIn(ctx.case)]).toEqual([2, []])
  })

  it('does not take a word for it that the provider contradicts; and asks until it is so', async () => {
    const { provider, ctx, says } = await left()
    expect((await says(async () => true)).saw).toContain('STILL ACCEPTED')
    expect(leftIn(ctx.case)).toMatchObject([{ state: 'in force' }])
    provider.isTold = true
    await says(async () => true)
    expect((await says(async () => false)).saw).toContain('replaced before')
    expect([provider.asked, leftIn(ctx.case)]).toEqual([2, []])
  })
})
