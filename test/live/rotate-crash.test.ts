/**
 * The crash matrix on the real gateway: a rotation is killed at any moment, and at every step. Whatever happens, the gateway
 * takes a token that is in the store, and `rotate --resume` ends with exactly one.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { GATEWAY_TOKEN } from '../../src/gateway/policy.ts'
import { unfinishedRotations } from '../../steps/rotate/context.ts'
import { rotateSteps } from '../../steps/rotate/index.ts'
import { type Bao, hasBao, startDev } from './bao.ts'
import { cliUntil, isThorough, remove } from './harness.ts'
import {
  begun,
  deployed,
  done,
  expectNobodyLockedOut,
  expectSettled,
  heldAt,
  journalOf,
  learn,
  type Rotating,
  randomFrom,
  resume,
  rotate,
  rotationArgs,
  startRotation,
} from './rotations.ts'

/** ROTATE_SEED repeats the moments of a run that failed. */
const SEED = Number(process.env.ROTATE_SEED ?? Date.now() % 1_000_000_000)

/** The moments at which the journal has just been written to, as the rotation itself lists its steps. */
const MOMENTS = rotateSteps(GATEWAY_TOKEN)
  .filter(step => step.effect !== 'reads')
  .flatMap(step => [begun(step.id), done(step.id)])
/** Where the store keeps the very file that the gateway reads, there is nothing to hand over. */
const NOT_IN_DOCKER = ['rotate.deliver']

type Store = 'docker' | 'vault'
/** `npm run crash`: sixty kills, on both stores, and on the way back. With everything else there is time for one store. */
const STORES: readonly Store[] = isThorough && hasBao() ? ['docker', 'vault'] : ['docker']
/** At random moments, altogether. */
const KILLS = Math.ceil(Number(process.env.ROTATE_KILLS ?? 5) / STORES.length)
/** Between "done" and the next "begun" nothing happens: the one store is killed at these, the other at those. */
const LANES = STORES.map(store => ({
  store,
  moments: MOMENTS.filter(
    moment =>
      ((isThorough && STORES.length === 1) || moment.includes('step-begun') === (store === 'docker')) &&
      (store !== 'docker' || !NOT_IN_DOCKER.some(step => moment.includes(step))),
  ),
  back: isThorough ? (store === 'docker' ? 'rotate.back.apply' : 'rotate.back.store') : undefined,
}))

describe.concurrent.each(LANES)('a rotation with the $store store', ({ store, moments, back }) => {
  const desk = mkdtempSync(resolve(tmpdir(), 'ocs-crash-'))
  let bao: Bao | undefined
  let at: Rotating

  beforeAll(async () => {
    if (store === 'vault') {
      bao = await startDev()
      writeFileSync(resolve(desk, 'admin'), bao.root.expose(), { mode: 0o600 })
    }
    const vault = ['--store', 'vault', '--vault-address', bao?.address ?? '']
    at = await deployed(`crash-${store}`, {
      ...(bao === undefined ? {} : { bao }),
      flags: bao === undefined ? [] : [...vault, '--vault-admin', `@${resolve(desk, 'admin')}`],
    })
  })
  afterAll(async () => {
    if (at !== undefined) await remove(at.folder)
    await bao?.stop()
    rmSync(desk, { recursive: true, force: true })
  })

  /** Goes on with what was cut short, to the one end it may have. Returns how long that took, in milliseconds. */
  async function expectResumed(note: string): Promise<number> {
    await expectNobodyLockedOut(at, note)
    // Killed before it was begun, or when all was done, it leaves its lock, and nothing that would be gone on with.
    const isBegun = unfinishedRotations(journalOf(at)).length > 0
    const resumed = await startRotation(at, ['--resume']).ended
    expect(resumed.code, `${note}: ${resumed.stderr}`).toBe(0)
    await learn(at)
    await expectSettled(at, note, { isBegun })
    return resumed.took
  }

  it.runIf(isThorough).sequential(
    `killed ${KILLS} times at any moment ends with exactly one token, and nobody is ever locked out`,
    async () => {
      const random = randomFrom(SEED + STORES.indexOf(store))
      const whole = await startRotation(at).ended
      expect(whole.code, whole.stderr).toBe(0)
      await learn(at)
      let duration = whole.took
      let kills = 0
      let killsOfResume = 0
      const killedIn = new Map<string, number>()
      let rounds = 0
      for (; kills < KILLS && rounds < 2 * KILLS; rounds += 1) {
        const moment = Math.round(random() * duration)
        let note = `seed ${SEED}, round ${rounds}, killed after ${moment} ms of ${duration}`
        const running = startRotation(at)
        await sleep(moment)
        if (await running.kill()) {
          kills += 1
          const where = running.lastStep()
          killedIn.set(where, (killedIn.get(where) ?? 0) + 1)
        }
        await learn(at)
        if (rounds % 5 === 4) {
          const again = Math.round(random() * Math.min(3000, whole.took))
          note += `, and going on after ${again}`
          await expectNobodyLockedOut(at, note)
          const goingOn = startRotation(at, ['--resume'])
          await sleep(again)
          if (await goingOn.kill()) killsOfResume += 1
          await learn(at)
        }
        // The more wrong tokens there were, the longer each rotation takes.
        duration = Math.round((whole.took + (await expectResumed(note))) / 2)
      }
      expect((await rotate(at)).code, 'and once more, undisturbed').toBe(0)
      await learn(at)
      await expectSettled(at, `seed ${SEED}, at the end`, { all: true })
      process.stdout.write(
        `${store}: seed ${SEED}, ${kills} rotations killed in ${rounds} rounds of ${whole.took} ms, ${killsOfResume} more while going on, ${at.known.size} tokens: ${[...killedIn].map(([where, times]) => `${where} ${times}`).join(', ')}\n`,
      )
      expect(kills, `killed while they ran; seed ${SEED}`).toBe(KILLS)
    },
    900_000,
  )

  it.sequential.each(moments)(
    'killed as soon as the journal has %s goes on, also when that is killed again',
    async moment => {
      const running = await heldAt(at, moment)
      expect(await running.kill(), 'it was killed, it did not end by itself').toBe(true)
      await learn(at)
      await cliUntil({ signal: 'SIGKILL', text: '"step-begun"' }, rotationArgs(at, ['--resume']), at.env)
      await learn(at)
      await expectResumed(moment)
    },
  )

  if (back !== undefined)
    it.sequential('killed on its way back comes to the old token, and the next rotation succeeds', async () => {
      const config = resolve(at.folder, 'config/openclaw.json')
      const good = readFileSync(config, 'utf8')
      const mistake = '{ "nobodyKnowsThis": true,'
      // Somebody's mistake: a key that OpenClaw does not know. It goes on by the configuration before.
      writeFileSync(config, good.replace('{', mistake))
      const running = await heldAt(at, begun(back))
      expect(await running.kill(), 'it was killed').toBe(true)
      await learn(at)
      await expectNobodyLockedOut(at, back)
      const taken = await resume(at)
      expect(taken.code, taken.stderr).toBe(3)
      expect(taken.stderr).toMatch(/^rotation_rolled_back: /m)
      writeFileSync(config, readFileSync(config, 'utf8').replace(mistake, '{'))
      expect(readFileSync(config, 'utf8'), 'as it was').toBe(good)
      await expectSettled(at, back)
      const after = await rotate(at)
      expect(after.code, after.stderr).toBe(0)
      await learn(at)
      await expectSettled(at, 'after it', { all: true })
    })
})
