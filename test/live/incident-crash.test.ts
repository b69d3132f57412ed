/**
 * `kill -9` at random instants of both runbooks: the same end, evidence that stays valid, nothing collected twice. Thirty of each
 * (INCIDENT_KILLS), which takes `npm run crash`; with everything else incident.test.ts kills a few times on the way.
 */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { hasEnded } from '../../src/deployment/alive.ts'
import { THROWAWAY } from '../../src/docker/engine.ts'
import { Journal } from '../../src/procedure/journal.ts'
import { authStatus, cli, freePort, freshFolder, isThorough, quick, remove, sh, tokenOf } from './harness.ts'
import {
  doneAt,
  endsWith,
  killed,
  killedAfter,
  newestCase,
  removeEvidenceImages,
  withoutRebuild,
} from './incidents.ts'

const KILLS = Number(process.env.INCIDENT_KILLS ?? 30)
/** How far a run gets before it is killed, at most. Milliseconds; starting takes it half a second. */
const STRETCH = 5000
/** What a whole runbook may take on a busy machine. Milliseconds. */
const LONGEST = 600_000
const folder = freshFolder('incident-crash')
let port: number

beforeAll(async () => {
  if (!isThorough) return
  port = await freePort()
  const { code, stderr } = await cli(await quick(folder, port))
  expect([code, code === 0 ? '' : stderr]).toEqual([0, ''])
  withoutRebuild(folder)
}, 120_000)

afterAll(async () => {
  await removeEvidenceImages(folder)
  await remove(folder)
}, 60_000)

const sha256 = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex')

describe.runIf(isThorough).each([
  ['credential-exposed', []],
  ['container-compromised', ['--allow', 'containers.remove']],
] as const)('%s, killed at random instants', (runbook, flags) => {
  it('comes to the same end, with what was sealed still valid and nothing collected twice', {
    timeout: 1_500_000,
  }, async () => {
    let kills = 0
    const where: string[] = []
    while (kills < KILLS) {
      const old = tokenOf(folder)
      const rest = ['--dir', folder, '--yes', '--quiet', ...flags]
      const begun = await killed(['incident', runbook, ...rest], 500 + Math.random() * STRETCH)
      if (begun) kills++
      let manifest: string | undefined
      // Killed before it had opened a case, it is begun anew.
      const isOpen = () => existsSync(resolve(folder, '.secure/case.json'))
      while (isOpen() && kills < KILLS) {
        if (await killed(['incident', '--resume', ...rest], 500 + Math.random() * STRETCH)) kills++
        const { events, folder: place } = newestCase(folder)
        where.push(events.at(-1)?.step ?? '')
        const path = resolve(place, 'manifest.json')
        // What was signed once is never another one.
        if (manifest !== undefined) expect(sha256(path)).toBe(manifest)
        else if (events.some(({ step, event }) => step === 'evidence.seal' && event === 'step-done'))
          manifest = sha256(path)
      }
      if (isOpen()) {
        const { code } = await cli(['incident', '--resume', ...rest], { timeout: LONGEST })
        expect([code, unseen()]).toEqual([endsWith(newestCase(folder).events), []])
      }
      if (!existsSync(resolve(folder, 'cases')) || !begun) continue
      const { events, folder: place } = newestCase(folder)
      expect(new Journal(resolve(place, 'custody.jsonl'), () => new Date()).verifyChain()).toMatchObject({
        intact: true,
      })
      const names = events.filter(({ step }) => step === 'artefact').map(({ facts }) => facts?.file)
      expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([])
      expect(doneAt(events, 'evidence.seal')).toBeGreaterThan(0)
      const checked = await cli(['incident', 'verify-bundle', place, '--dir', folder])
      expect([checked.code, checked.stderr]).toEqual([0, expect.anything()])
      expect([await authStatus(port, old), await authStatus(port, tokenOf(folder))]).toEqual([401, 404])
    }
    process.stdout.write(`${runbook}: ${kills} kills, last seen in ${[...new Set(where)].join(', ')}\n`)
    expect(await leftovers()).toEqual([])
  })

  it('in the checks at its end, and in the report, comes to the same end', {
    timeout: 1_500_000,
  }, async () => {
    const rest = ['--dir', folder, '--yes', '--quiet', ...flags]
    let command: string = runbook
    for (const [step, stretch] of [
      ['deployment.verify', 2500],
      ['case.report', 0],
    ] as const) {
      expect(await killedAfter(['incident', command, ...rest], folder, step, 'step-begun', stretch)).toBe(
        true,
      )
      expect(newestCase(folder).events.at(-1)).toMatchObject({ step, event: 'step-begun' })
      command = '--resume'
    }
    const { code } = await cli(['incident', '--resume', ...rest], { timeout: LONGEST })
    expect([code, unseen()]).toEqual([endsWith(newestCase(folder).events), []])
    expect(doneAt(newestCase(folder).events, 'case.closed')).toBeGreaterThan(0)
    expect(await leftovers()).toEqual([])
  })
})

/** What the newest case could not look at, besides what had to be cut before it could be read. */
const unseen = () =>
  newestCase(folder).events.filter(
    ({ step, facts }) =>
      (facts?.unseen !== undefined && step !== 'networks.record') || facts?.unknownChecks !== undefined,
  )

/** Containers of runs that were killed, whoever started them: the last run has removed them. */
async function leftovers(): Promise<string[]> {
  const format = `{{.Names}} {{.Label "${THROWAWAY}"}}`
  const { stdout } = await sh('docker', ['ps', '--all', '--filter', `label=${THROWAWAY}`, '--format', format])
  return stdout.split('\n').filter(line => hasEnded(line.split(' ')[1] ?? ''))
}
