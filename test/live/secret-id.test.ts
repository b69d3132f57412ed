/** What opens a real OpenBao is rotated: whole, cut short anywhere, refused, and with the server away in the middle. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import type { Answers } from '../../src/deployment/answers.ts'
import { layoutOf } from '../../src/deployment/layout.ts'
import { Journal } from '../../src/procedure/journal.ts'
import { type Progress, runProcedure } from '../../src/procedure/run.ts'
import type { Step } from '../../src/procedure/step.ts'
import { Redactor, Secret } from '../../src/secret.ts'
import { keepCredential, keepNextCredential } from '../../src/stores/credential.ts'
import { bootstrap } from '../../src/stores/vault-bootstrap.ts'
import { VaultClient } from '../../src/stores/vault-client.ts'
import { type SecretIdContext, secretIdAge, secretIdSteps } from '../../steps/rotate/secret-id.ts'
import { ANSWERS, some, thrown } from '../unit/support.ts'
import { forwarder } from '../unit/vault-servers.ts'
import { type Bao, hasBao, open, opened, startDev, startSealable, value } from './bao.ts'

/** A process that is killed before or after its nth effect, and has no effect from then on. */
const life = vi.hoisted(() => ({
  left: Number.POSITIVE_INFINITY,
  effects: 0,
  dead: false,
  tick(): void {
    if (life.dead) throw new Error('killed')
    life.effects += 1
    if (life.left > 0) life.left -= 1
    else {
      life.dead = true
      throw new Error('killed')
    }
  },
}))

vi.mock('node:fs', async original => {
  const real = await original<typeof import('node:fs')>()
  const mortal =
    <A extends unknown[], R>(effect: (...args: A) => R) =>
    (...args: A): R => {
      life.tick()
      const result = effect(...args)
      life.tick()
      return result
    }
  // Whoever is dead writes nothing down either.
  const openSync: typeof real.openSync = (...args) => {
    if (life.dead) throw new Error('killed')
    return real.openSync(...args)
  }
  return {
    ...real,
    default: real,
    openSync,
    renameSync: mortal(real.renameSync),
    rmSync: mortal(real.rmSync),
  }
})

const ask = VaultClient.prototype.ask

/** The steps with something that happens in the world before the nth one. */
function happening(before: number, what: () => unknown): Step<SecretIdContext>[] {
  const event: Step<SecretIdContext> = {
    ...{ id: 'world', title: 'Something happens', effect: 'reads' },
    async run() {
      await what()
      return { saw: '' }
    },
  }
  return [...secretIdSteps.slice(0, before), event, ...secretIdSteps.slice(before)]
}

const SILENT: Progress = { begin() {}, done() {}, skipped() {}, failed() {} }

describe.runIf(hasBao())('rotating the secret id that opens OpenBao', () => {
  let dev: Bao
  beforeAll(async () => {
    dev = await startDev()
  })
  afterAll(() => dev.stop())
  beforeEach(() => {
    Object.assign(life, { left: Number.POSITIVE_INFINITY, effects: 0, dead: false })
    vi.spyOn(VaultClient.prototype, 'ask').mockImplementation(async function (this: VaultClient, request) {
      life.tick()
      const answer = await ask.call(this, request)
      life.tick()
      return answer
    })
    return () => vi.restoreAllMocks()
  })

  /** A deployment on the disk whose store is there: its role has the kept secret id, and two that nobody knows any more. */
  async function deployment(bao = dev, more: Partial<Answers> = {}) {
    const { place, secretId, store, deployment: name } = await opened(bao)
    await store.stage('gateway_token', value('one-1'), 0)
    await store.commit('gateway_token', 'one-1', 1)
    const root = mkdtempSync(join(tmpdir(), 'ocs-secret-id-'))
    onTestFinished(() => rmSync(root, { recursive: true, force: true }))
    const layout = layoutOf(root)
    keepCredential(layout, 'vault', secretId, new Secret('s.the-wrapping-token-it-came-in'))
    const answers: Answers = {
      ...ANSWERS,
      ...{ store: 'vault', vaultAddress: place.address, vaultMount: place.mount, vaultPath: place.path },
      ...{ vaultAuth: 'approle', vaultAuthMount: place.authMount, vaultRole: place.role },
      ...more,
    }
    const role = `auth/approle/role/openclaw-${name}`
    const accessors = async (of = role): Promise<string[]> => {
      const { body } = await bao.ask('LIST', `${of}/secret-id`)
      return (body as { data?: { keys: string[] } }).data?.keys ?? []
    }
    for (let orphan = 0; orphan < 2; orphan += 1) await bao.ask('POST', `${role}/secret-id`, {})
    const kept = () => readFileSync(join(layout.credentials, 'vault'), 'utf8')
    const opens = async (secret: string) => {
      const login = { role_id: place.role, secret_id: secret }
      return (await bao.ask('POST', 'auth/approle/login', login, '')).status === 200
    }
    const redactor = new Redactor()
    const context = (): SecretIdContext => ({ layout, answers, redactor, env: {}, found: {} })
    const journal = new Journal(join(root, 'journal.jsonl'), () => new Date())
    const rotate = (
      steps: readonly Step<SecretIdContext>[] = secretIdSteps,
      ctx = context(),
      dryRun = false,
    ) =>
      runProcedure('rotate', steps, ctx, {
        ...{ journal, progress: SILENT, signal: new AbortController().signal, dryRun, runId: 'run' },
        lock: async () => () => {},
      })
    /** What has to be true whenever a rotation has come to its end. */
    const expectRotated = async () => {
      expect(await accessors()).toHaveLength(1)
      expect(await opens(kept())).toBe(true)
      expect(readdirSync(layout.credentials).filter(file => !file.endsWith('.ocs-tmp'))).toEqual(['vault'])
      expect(statSync(join(layout.credentials, 'vault')).mode & 0o777).toBe(0o400)
      const written = readFileSync(journal.path, 'utf8')
      expect(redactor.finds(written)).toBe(false)
      expect(written).not.toContain(kept())
    }
    return {
      ...{ place, layout, answers, role, accessors, kept, opens, context, journal, rotate, redactor },
      ...{ store, secretId, expectRotated },
    }
  }

  it('ends with one that is new, opens the store, and is the only one the role has', async () => {
    const { rotate, accessors, opens, kept, secretId, journal, layout, place, expectRotated } =
      await deployment()
    const theirs = await deployment()
    const { redactor, ...their } = theirs
    const before = await theirs.accessors()
    expect(await accessors()).toHaveLength(3)
    const began = Date.now()
    expect((await rotate()).written).toEqual(['secret-id.make', 'secret-id.switch', 'secret-id.destroy-old'])
    await expectRotated()
    expect(kept()).not.toBe(secretId.expose())
    expect(await opens(secretId.expose())).toBe(false)
    expect((await open(place, new Secret(kept())).store.load('gateway_token'))?.current?.rotationId).toBe(
      'one-1',
    )
    expect(secretIdAge(layout)?.getTime()).toBeGreaterThan(began - 1000)
    expect(journal.read().filter(({ event }) => event === 'step-done')).toMatchObject([
      { step: 'secret-id.make', facts: { made: new Secret(kept()).fingerprint('secret id') } },
      { step: 'secret-id.switch' },
      {
        step: 'secret-id.destroy-old',
        facts: { destroyed: 3, old: secretId.fingerprint('secret id') },
      },
    ])
    // The neighbour's are all there.
    expect(await theirs.accessors()).toEqual(before)
    expect(await their.opens(their.kept())).toBe(true)
  })

  it('can be done again and again, and the tokens of the one before live on until they expire', async () => {
    const { rotate, store, expectRotated } = await deployment()
    for (let time = 0; time < 3; time += 1) {
      await rotate()
      await expectRotated()
    }
    // Logged in long before: with the first one.
    expect((await store.load('gateway_token'))?.current?.rotationId).toBe('one-1')
  })

  it('killed before or after any call and any change on the disk leaves what opens the store, and a repeat ends well', async () => {
    const whole = await deployment()
    life.effects = 0
    await whole.rotate()
    const points = life.effects
    expect(points).toBeGreaterThan(60)
    const ended: string[] = []
    for (let point = 0; point < points; point += 1) {
      const { rotate, opens, kept, accessors, secretId, expectRotated, layout } = await deployment()
      Object.assign(life, { left: point, dead: false })
      const killed = rotate()
      await expect(killed, `point ${point}`).rejects.toThrow('killed')
      Object.assign(life, { left: Number.POSITIVE_INFINITY, dead: false })
      expect(await opens(kept()), `point ${point}`).toBe(true)
      ended.push(
        `${kept() === secretId.expose() ? 'old' : 'new'} ${(await accessors()).length}${existsSync(join(layout.credentials, 'vault.next')) ? ' next' : ''}`,
      )
      await rotate()
      await expectRotated()
      expect(await opens(secretId.expose()), `point ${point}`).toBe(false)
    }
    // Every state there can be has been seen, in this order.
    expect([...new Set(ended)]).toEqual(['old 3', 'old 4', 'old 4 next', 'new 4', 'new 3', 'new 2', 'new 1'])
  })

  it('killed twice in a row, at any two steps, ends well too', async () => {
    const cut = (after: number) => secretIdSteps.slice(0, after)
    for (let one = 1; one <= secretIdSteps.length; one += 1)
      for (let two = 1; two <= secretIdSteps.length; two += 1) {
        const { rotate, expectRotated, opens, kept } = await deployment()
        await rotate(cut(one))
        await rotate(cut(two))
        expect(await opens(kept())).toBe(true)
        await rotate()
        await expectRotated()
      }
  })

  it('goes on with the next one where somebody has destroyed the kept one after a kill', async () => {
    const { rotate, role, secretId, expectRotated } = await deployment()
    await rotate(secretIdSteps.slice(0, 2))
    await dev.ask('POST', `${role}/secret-id/destroy`, { secret_id: secretId.expose() })
    await rotate()
    await expectRotated()
  })

  it('says what to do where nothing that is kept opens the store, and changes nothing', async () => {
    const { rotate, role, secretId, layout, accessors, kept } = await deployment()
    keepNextCredential(layout, 'vault', new Secret('00000000-0000-4000-8000-000000000000'))
    await dev.ask('POST', `${role}/secret-id/destroy`, { secret_id: secretId.expose() })
    await expect(rotate()).rejects.toMatchObject({
      code: 'store_denied',
      hint: expect.stringContaining('--store-credential'),
    })
    expect(await accessors()).toHaveLength(2)
    expect(kept()).toBe(secretId.expose())
    rmSync(join(layout.credentials, 'vault'))
    rmSync(join(layout.credentials, 'vault.next'))
    await expect(rotate()).rejects.toMatchObject({ code: 'store_credential' })
  })

  it('with the policy of an older bootstrap is refused before anything changes, with the lines to add', async () => {
    const { rotate, role, place, accessors, kept, secretId, layout, journal, expectRotated } =
      await deployment()
    const path = `sys/policies/acl/${some(role.split('/').at(-1))}-rotator`
    const { policy } = ((await dev.ask('GET', path)).body as { data: { policy: string } }).data
    const older = some(policy.split('# Rotates')[0])
    const lines = policy.slice(older.length).split('\n').slice(1).join('\n')
    await dev.ask('POST', path, { policy: older })
    const error = await thrown(() => rotate())
    expect(error).toMatchObject({ code: 'store_denied', hint: expect.stringContaining(lines) })
    expect(error).toMatchObject({ hint: expect.stringContaining('--vault-admin @FILE') })
    expect([await accessors(), kept(), journal.read()]).toEqual([expect.anything(), secretId.expose(), []])
    expect(await accessors()).toHaveLength(3)
    expect(existsSync(join(layout.credentials, 'vault.next'))).toBe(false)
    // One of the three is not enough, and is not asked for again.
    const [first = ''] = lines.split('path "auth').filter(part => part !== '')
    await dev.ask('POST', path, { policy: `${older}path "auth${first}` })
    const rest = await thrown(() => rotate())
    expect(rest).toMatchObject({ hint: expect.stringContaining('secret-id-accessor/destroy') })
    expect(rest).toMatchObject({ hint: expect.not.stringContaining('"update", "list"') })
    // What the hint says besides: the bootstrap again.
    await bootstrap(place, dev.root, new Redactor())
    await rotate()
    await expectRotated()
  })

  it('takes the rights away in the middle: denied with the line that is missing, and a repeat ends well', async () => {
    for (const step of [1, 2, 3, 4]) {
      const { rotate, role, opens, kept, expectRotated } = await deployment()
      const path = `sys/policies/acl/${some(role.split('/').at(-1))}-rotator`
      const { policy } = ((await dev.ask('GET', path)).body as { data: { policy: string } }).data
      const deprive = () => dev.ask('POST', path, { policy: some(policy.split('# Rotates')[0]) })
      const error = await thrown(() => rotate(happening(step, deprive)))
      expect(error).toMatchObject({ code: 'store_denied', hint: expect.stringContaining(`path "${role}`) })
      expect(await opens(kept())).toBe(true)
      await dev.ask('POST', path, { policy })
      await rotate()
      await expectRotated()
    }
  })

  it('rotates for a role that somebody made by hand, whatever its name is', async () => {
    const { rotate, role, answers, layout, redactor, opens } = await deployment()
    const { policy } = (
      (await dev.ask('GET', `sys/policies/acl/${some(role.split('/').at(-1))}-rotator`)).body as {
        data: { policy: string }
      }
    ).data
    const [theirs, name] = ['auth/approle/role/Hand.Made-By_Carol', 'hand.made-by_carol']
    const own = policy.replaceAll(role, `auth/approle/role/${name}`)
    await dev.ask('POST', 'sys/policies/acl/carol', { policy: own })
    await dev.ask('POST', theirs, { token_policies: ['carol'], secret_id_ttl: '30d' })
    await dev.ask('POST', `${theirs}/role-id`, { role_id: 'id-of-carol' })
    const { body } = await dev.ask('POST', `${theirs}/secret-id`, {})
    const first = (body as { data: { secret_id: string } }).data.secret_id
    keepCredential(layout, 'vault', new Secret(first))
    const ctx = { layout, redactor, env: {}, found: {}, answers: { ...answers, vaultRole: 'id-of-carol' } }
    await rotate(secretIdSteps, ctx)
    const { data } = (await dev.ask('LIST', `${theirs}/secret-id`)).body as { data: { keys: string[] } }
    expect(data.keys).toHaveLength(1)
    const login = {
      role_id: 'id-of-carol',
      secret_id: readFileSync(join(layout.credentials, 'vault'), 'utf8'),
    }
    expect((await dev.ask('POST', 'auth/approle/login', login, '')).status).toBe(200)
    expect(login.secret_id).not.toBe(first)
    expect(await opens(first)).toBe(false)
  })

  it('does nothing in a dry run but say how many there are', async () => {
    const { rotate, accessors, kept, secretId, context } = await deployment()
    const said: string[] = []
    const [first, ...rest] = secretIdSteps
    const heard: Step<SecretIdContext> = {
      ...some(first),
      run: async (ctx, signal) => {
        const outcome = await some(first).run(ctx, signal)
        said.push(outcome.saw)
        return outcome
      },
    }
    expect((await rotate([heard, ...rest], context(), true)).written).toEqual([])
    expect(said).toEqual([expect.stringMatching(/^AppRole role openclaw-own-\d+ has 3 secret ids$/)])
    expect([kept(), (await accessors()).length]).toEqual([secretId.expose(), 3])
  })

  it('is refused for a role that asks for no secret id, and does not believe one that asks for none any more', async () => {
    const { rotate, role, kept, secretId, expectRotated } = await deployment()
    const bind = (bind_secret_id: boolean) =>
      dev.ask('POST', role, { bind_secret_id, token_bound_cidrs: ['127.0.0.0/8'] })
    await bind(false)
    await expect(rotate()).rejects.toMatchObject({
      code: 'store_denied',
      message: expect.stringContaining('bind_secret_id'),
    })
    expect(kept()).toBe(secretId.expose())
    await bind(true)
    await expect(rotate(happening(4, () => bind(false)))).rejects.toMatchObject({
      code: 'secret_id_not_refused',
      hint: expect.stringContaining('bind_secret_id'),
    })
    await bind(true)
    await rotate()
    await expectRotated()
  })

  it('that finds no gateway token with the new one stays with the old one', async () => {
    const { rotate, place, kept, secretId } = await deployment()
    await dev.ask('DELETE', `secret/metadata/${place.path}/gateway_token`)
    await expect(rotate()).rejects.toMatchObject({ code: 'secret_id_not_proven' })
    expect(kept()).toBe(secretId.expose())
  })

  it('with the server out of reach in the middle fails there, and a repeat ends well', async () => {
    const line = await forwarder(dev.port)
    const address = `http://127.0.0.1:${line.port}`
    await line.close()
    for (const step of [0, 1, 2, 3, 4]) {
      const { rotate, context, opens, kept, expectRotated } = await deployment()
      const ctx = context()
      const away = () => {
        ctx.answers = { ...ctx.answers, vaultAddress: address }
      }
      await expect(rotate(happening(step, away), ctx)).rejects.toMatchObject({ code: 'store_unreachable' })
      expect(await opens(kept())).toBe(true)
      await rotate()
      await expectRotated()
    }
  })

  it('with the server sealed in the middle fails there, and a repeat ends well', async () => {
    const bao = await startSealable()
    onTestFinished(() => bao.stop())
    await bao.ask('POST', 'sys/mounts/secret', { type: 'kv', options: { version: '2' } })
    const ca = join(mkdtempSync(join(tmpdir(), 'ocs-ca-')), 'ca.pem')
    writeFileSync(ca, bao.ca)
    for (const step of [0, 1, 2, 3, 4]) {
      const { rotate, expectRotated, opens, kept } = await deployment(bao, { vaultCa: ca })
      await expect(rotate(happening(step, () => bao.seal()))).rejects.toMatchObject({
        code: 'store_unreachable',
        message: expect.stringContaining('sealed'),
      })
      await bao.unseal()
      expect(await opens(kept())).toBe(true)
      await rotate()
      await expectRotated()
    }
    rmSync(join(ca, '..'), { recursive: true })
  })
})
