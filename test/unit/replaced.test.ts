/** An old provider key works until it is revoked (credential leakage): what is shared after a resume must not have it. */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { learnValues } from '../../src/commands/incident.ts'
import { keepReplaced, replacedOf } from '../../src/evidence/replaced.ts'
import { redacted } from '../../src/evidence/share.ts'
import type { RunningGateway } from '../../src/gateway/running.ts'
import { Redactor, Secret } from '../../src/secret.ts'
import { reportCase } from '../../steps/incident/report.ts'
import { rotateInCase } from '../../steps/incident/rotation.ts'
import { searchOld } from '../../steps/rotate/commit.ts'
import { World } from './evidence-world.ts'
import { incidentIn, inTime } from './incident-world.ts'
import { scratch } from './support.ts'

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
