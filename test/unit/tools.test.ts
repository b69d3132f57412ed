/** With what a case is made, and by which clock: in its chain from the beginning. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { expect, it } from 'vitest'
import { Docker } from '../../src/docker/engine.ts'
import type { ProcessRunner } from '../../src/docker/process.ts'
import type { IncidentContext } from '../../steps/incident/context.ts'
import { noteTools } from '../../steps/incident/tools.ts'
import { RUNBOOK, World } from './evidence-world.ts'
import { inTime } from './incident-world.ts'

/** A case on a machine whose engine is so many milliseconds ahead; undefined: it does not answer. */
function opened(ahead: number | undefined) {
  const world = new World()
  const of = world.begin()
  const run: ProcessRunner = async (file, [command]) => {
    if (file !== 'docker' || command !== 'info' || ahead === undefined)
      return { code: 1, stdout: '', stderr: 'refused' }
    return { code: 0, stdout: new Date(world.now().getTime() + ahead).toISOString(), stderr: '' }
  }
  const ctx = { ...world.contextOf(of), run, docker: new Docker(run) } as IncidentContext
  const noted = () => of.journal.read().filter(({ step }) => step === 'case.tools')
  return { ctx, of, noted }
}
const sha256 = (bytes: string | Buffer) => createHash('sha256').update(bytes).digest('hex')

it('the clock’s offset, the runbook’s hash and those of our tools are noted once, and kept as they were found', async () => {
  const { ctx, of, noted } = opened(7000)
  await noteTools(ctx, inTime)
  await noteTools(ctx, inTime)
  expect(noted()).toHaveLength(1)
  expect(noted()[0]?.facts).toMatchObject({
    ...{ clockOffset: 7000, runbook: sha256(RUNBOOK.text), node: sha256(readFileSync(process.execPath)) },
    program: expect.stringMatching(/^[0-9a-f]{64}$/),
  })
  expect(of.artefacts().map(({ file }) => file)).toEqual([
    'evidence/host/clock.json',
    'evidence/host/programs.json',
  ])
  const clock = readFileSync(resolve(of.folder, 'evidence/host/clock.json'), 'utf8')
  expect(JSON.parse(clock)).toMatchObject({ offset: 7000, within: 100 })
})

it('an engine that does not say its time is said to be one', async () => {
  const { ctx, noted } = opened(undefined)
  await noteTools(ctx, inTime)
  expect(noted()[0]?.facts?.clockOffset).toBe('the engine did not say its time')
})
