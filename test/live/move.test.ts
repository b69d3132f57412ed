/** Secrets moved from store to store: under traffic, and killed at every step. Whatever happens, no secret is lost or left behind. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Journal } from '../../src/procedure/journal.ts'
import { moveSteps } from '../../steps/move/index.ts'
import { type Bao, startDev } from './bao.ts'
import {
  authStatus,
  cli,
  cliUntil,
  freePort,
  freshFolder,
  isThorough,
  quick,
  remove,
  sh,
  startCli,
  tokenOf,
} from './harness.ts'
import { begun } from './rotations.ts'

const CONSENT = ['--yes', '--destroy-old']
const desk = mkdtempSync(resolve(tmpdir(), 'ocs-move-'))
let bao: Bao
let admin = ''

beforeAll(async () => {
  bao = await startDev()
  admin = resolve(desk, 'admin')
  writeFileSync(admin, bao.root.expose(), { mode: 0o600 })
})
afterAll(async () => {
  rmSync(desk, { recursive: true, force: true })
  await bao.stop()
})

const toVault = (folder: string) => [
  ...['store', 'move', '--dir', folder, '--to', 'vault', '--vault-address', bao.address],
  ...['--vault-admin', `@${admin}`],
]
const toDocker = (folder: string) => ['store', 'move', '--dir', folder, '--to', 'docker']

/** What OpenBao has under a deployment's path, by a way that is not the product's. */
async function inVault(folder: string): Promise<Record<string, { current: string; current_id: string }>> {
  const path = `openclaw/${basename(folder)}`
  const { body } = await bao.ask('GET', `secret/metadata/${path}?list=true`)
  const keys = (body as { data?: { keys?: string[] } } | undefined)?.data?.keys ?? []
  const found: Record<string, { current: string; current_id: string }> = {}
  for (const key of keys) {
    const { body: document } = await bao.ask('GET', `secret/data/${path}/${key}`)
    const data = (document as { data?: { data?: { current: string; current_id: string } } }).data?.data
    if (data !== undefined) found[key] = data
  }
  return found
}

/** What the Docker store's documents name. */
function inDocker(folder: string): string[] {
  const store = resolve(folder, '.secure/store')
  return existsSync(store) ? readdirSync(store).filter(name => name.endsWith('.json')) : []
}

/** What the gateway finds. A file that a killed writer has not given its name yet is none. */
const deliveredTo = (folder: string) =>
  Object.fromEntries(
    readdirSync(resolve(folder, 'secrets'))
      .filter(name => !name.startsWith('.'))
      .sort()
      .map(name => [name, readFileSync(resolve(folder, 'secrets', name), 'utf8')]),
  )

/** Both secrets are in one store, with the values the gateway reads, and nothing of the move is left. */
async function expectHome(folder: string, store: 'vault' | 'docker', delivered: Record<string, string>) {
  expect(deliveredTo(folder), 'what the gateway reads').toEqual(delivered)
  const check = await cli(['store', 'check', '--dir', folder])
  expect(check.code, check.stderr).toBe(0)
  const vault = await inVault(folder)
  const asFiles = Object.fromEntries(
    Object.entries(vault).map(([name, { current, current_id }]) => [`${name}.${current_id}`, current]),
  )
  expect(asFiles, 'in Vault').toEqual(store === 'vault' ? delivered : {})
  expect(inDocker(folder), 'in the Docker store').toEqual(
    store === 'docker' ? ['gateway_token.json', 'openai_api_key.json'] : [],
  )
  expect(existsSync(resolve(folder, '.secure/move.json')), 'a note of the move').toBe(false)
  expect(existsSync(resolve(folder, '.secure/credentials/vault')), 'the secret id').toBe(store === 'vault')
  const unfinished = ['.secure', '.secure/store', '.secure/credentials', 'secrets']
    .filter(name => existsSync(resolve(folder, name)))
    .flatMap(name => readdirSync(resolve(folder, name)))
    .filter(name => /ocs-tmp|lock/.test(name))
  expect(unfinished, 'what a killed writer has left').toEqual([])
  const journal = readFileSync(resolve(folder, '.secure/journal.jsonl'), 'utf8')
  for (const value of [...Object.values(delivered), bao.root.expose()])
    expect(journal.includes(value), 'a value in the journal').toBe(false)
  expect(new Journal(resolve(folder, '.secure/journal.jsonl'), () => new Date()).verifyChain()).toMatchObject(
    { intact: true },
  )
}

/** A deployment without a gateway, with two secrets as Docker secret files. */
async function rendered(name: string): Promise<string> {
  const folder = resolve(desk, `t-move-${name}`)
  const key = resolve(desk, `${name}.key`)
  writeFileSync(key, `sk-test-${name}-${'k3Jw'.repeat(8)}`, { mode: 0o600 })
  const made = await cli([
    ...[folder, '--yes', '--no-launch', '--provider', 'openai', '--provider-key', `openai=@${key}`],
  ])
  expect(made.code, made.stderr).toBe(0)
  return folder
}

/** Starts a move and kills it as soon as its journal announces the step. */
async function killAt(args: readonly string[], step: string): Promise<void> {
  const { code, stderr } = await cliUntil({ signal: 'SIGKILL', text: begun(step) }, args)
  expect(code, `it was killed, it did not end by itself: ${stderr}`).toBeNull()
}

describe('a move under traffic', () => {
  const folder = freshFolder('move')
  afterAll(() => remove(folder))

  it('to Vault and back again is noticed by nobody: no request fails, and the gateway is not restarted', async () => {
    const port = await freePort()
    const made = await cli([...(await quick(folder, port)), '--quiet'])
    expect(made.code, made.stderr).toBe(0)
    const token = tokenOf(folder)
    const id = async () =>
      (
        await sh('docker', [
          'ps',
          '--no-trunc',
          '--filter',
          `label=com.docker.compose.project=${basename(folder)}`,
          '--format',
          '{{.ID}} {{.RunningFor}}',
        ])
      ).stdout
    const container = (await id()).split(' ')[0]
    const answers: number[] = []
    let going = true
    const traffic = (async () => {
      while (going) {
        answers.push(await authStatus(port, token).catch(() => 0))
        await sleep(10)
      }
    })()
    // What the gateway reads is there at every moment: it may be restarted at any.
    const delivered = resolve(folder, 'secrets', readdirSync(resolve(folder, 'secrets'))[0] ?? '')
    let missing = 0
    const looks = setInterval(() => {
      if (!existsSync(delivered)) missing += 1
    }, 1)
    for (const args of [toVault(folder), toDocker(folder)]) {
      const moved = await cli([...args, ...CONSENT])
      expect(moved.code, moved.stderr).toBe(0)
    }
    going = false
    await traffic
    clearInterval(looks)
    expect(missing, 'looks at which the file was not there').toBe(0)
    expect(answers.length).toBeGreaterThan(10)
    expect(answers.filter(status => status !== 404)).toEqual([])
    expect((await id()).split(' ')[0]).toBe(container)
    expect(tokenOf(folder)).toBe(token)
    const proven = await cli(['verify', '--dir', folder, '--only', 'token.*', '--only', 'store.*'])
    expect(proven.stdout).toMatch(/ {6}pass|0 failed, 0 unknown/)
    expect([0, 3]).toContain(proven.code)
  })
})

describe('a move that is killed', () => {
  const WRITES = moveSteps.filter(step => step.effect !== 'reads').map(step => step.id)

  it.each(WRITES)(
    'in %s, there or back, goes on with --resume and ends with every secret in one store',
    async step => {
      const folder = await rendered(step.replaceAll('.', '-'))
      const delivered = deliveredTo(folder)
      await killAt([...toVault(folder), ...CONSENT], step)
      const resumed = await cli([
        ...['store', 'move', '--dir', folder, '--resume', '--yes'],
        // A role that was being made, or whose secret id was not kept yet, has to be made again.
        ...(['move.note', 'store.open'].includes(step) ? ['--vault-admin', `@${admin}`] : []),
      ])
      // Killed before it was written down, there is nothing to go on with: the same command begins anew.
      if (resumed.code === 2 && /nothing to go on with/.test(resumed.stderr)) {
        const again = await cli([...toVault(folder), ...CONSENT])
        expect(again.code, again.stderr).toBe(0)
      } else expect(resumed.code, resumed.stderr).toBe(0)
      await expectHome(folder, 'vault', delivered)

      // Opening a store that is here is nothing to do.
      if (step !== 'store.open') {
        await killAt([...toDocker(folder), ...CONSENT], step)
        const back = await cli(['store', 'move', '--dir', folder, '--resume', '--yes'])
        if (back.code === 2 && /nothing to go on with/.test(back.stderr)) {
          const again = await cli([...toDocker(folder), ...CONSENT])
          expect(again.code, again.stderr).toBe(0)
        } else expect(back.code, back.stderr).toBe(0)
        await expectHome(folder, 'docker', delivered)
      }
    },
  )

  it.runIf(isThorough)(
    'twenty times at any moment, there and back, never loses a secret and never doubles one',
    async () => {
      const folder = await rendered('anywhere')
      const delivered = deliveredTo(folder)
      expect((await cli([...toVault(folder), ...CONSENT])).code).toBe(0)
      const journal = resolve(folder, '.secure/journal.jsonl')
      const events = () => readFileSync(journal, 'utf8').split('\n').length
      let killed = 0
      let home = 'vault' as 'vault' | 'docker'
      for (let round = 0; round < 20; round++) {
        const target = home === 'docker' ? 'vault' : 'docker'
        const args = target === 'vault' ? toVault(folder) : toDocker(folder)
        const before = events()
        const child = startCli([...args, ...CONSENT])
        const ended = new Promise<number | null>(done => child.once('close', done))
        // A moment after as many events of the ten or so that a move writes down: however busy the machine is.
        while (events() - before < round % 10 && child.exitCode === null) await sleep(1)
        await sleep((round * 7) % 12)
        child.kill('SIGKILL')
        if ((await ended) === null) killed += 1
        // Wherever it was: each value is in a store, and what the gateway reads is whole.
        expect(deliveredTo(folder), `round ${round}`).toEqual(delivered)
        const begun = existsSync(resolve(folder, '.secure/move.json'))
        const goOn = begun
          ? [
              ...['store', 'move', '--dir', folder, '--resume', '--yes'],
              ...(target === 'vault' && !existsSync(resolve(folder, '.secure/credentials/vault'))
                ? ['--vault-admin', `@${admin}`]
                : []),
            ]
          : [...args, ...CONSENT]
        const finished = await cli(goOn)
        expect(finished.code, `round ${round}: ${finished.stderr}`).toBe(0)
        home = target
        await expectHome(folder, home, delivered)
      }
      expect(killed, 'most were killed in the middle').toBeGreaterThan(10)
    },
  )

  it('keeps setup from going on with half of the secrets in each store', async () => {
    const folder = await rendered('half')
    await killAt([...toVault(folder), ...CONSENT], 'move.copy')
    const setup = await cli([folder, '--yes', '--no-launch'])
    expect(setup.code).toBe(2)
    expect(setup.stderr).toContain('store move --resume')
    const status = await cli(['status', '--dir', folder])
    expect(status.stdout).toContain('store move --resume')
  })
})

describe('a move that was cut short', () => {
  /** Killed with everything copied and nothing switched. */
  async function cutShort(name: string): Promise<{ folder: string; delivered: Record<string, string> }> {
    const folder = await rendered(name)
    const delivered = deliveredTo(folder)
    await killAt([...toVault(folder), ...CONSENT], 'move.switch')
    expect(existsSync(resolve(folder, '.secure/move.json'))).toBe(true)
    return { folder, delivered }
  }
  const resume = (folder: string, ...more: string[]) => [
    ...['store', 'move', '--dir', folder, '--resume', '--yes', ...more],
  ]

  it('goes where it was going: no flag and no setting of the environment leads it elsewhere', async () => {
    const { folder, delivered } = await cutShort('elsewhere')
    for (const flags of [
      ['--vault-mount', 'other'],
      ['--to', 'docker'],
      ['--vault-path', 'openclaw/x'],
    ]) {
      const refused = await cli(resume(folder, ...flags))
      expect(refused.code, flags.join(' ')).toBe(2)
      expect(refused.stderr).toContain('--abandon')
    }
    const env = { ...process.env, OPENCLAW_SECURE_STORE: 'docker', OPENCLAW_SECURE_VAULT_PATH: 'openclaw/x' }
    const done = await cli(resume(folder), { env })
    expect(done.code, done.stderr).toBe(0)
    await expectHome(folder, 'vault', delivered)
  })

  it('can be given up before the switch: the copies are destroyed, and the old store goes on', async () => {
    const { folder, delivered } = await cutShort('abandon')
    const given = await cli(['store', 'move', '--dir', folder, '--abandon', '--yes'])
    expect(given.code, given.stderr).toBe(0)
    await expectHome(folder, 'docker', delivered)
    expect((await cli([folder, '--yes', '--no-launch'])).code).toBe(0)
  })

  it('can be given up between the two files of the switch: deployment.yaml names the old store again', async () => {
    const { folder, delivered } = await cutShort('between')
    const { to } = JSON.parse(readFileSync(resolve(folder, '.secure/move.json'), 'utf8'))
    writeFileSync(resolve(folder, 'deployment.yaml'), to)
    const given = await cli(['store', 'move', '--dir', folder, '--abandon', '--yes'])
    expect(given.code, given.stderr).toBe(0)
    await expectHome(folder, 'docker', delivered)
  })

  it('can be given up when its new store is gone for good, and says what may be there', async () => {
    const own = await startDev()
    const folder = await rendered('gone')
    const delivered = deliveredTo(folder)
    const file = resolve(desk, 'gone-admin')
    writeFileSync(file, own.root.expose(), { mode: 0o600 })
    const there = ['--vault-address', own.address, '--vault-admin', `@${file}`]
    const args = ['store', 'move', '--dir', folder, '--to', 'vault', ...there, ...CONSENT]
    await killAt(args, 'move.switch')
    await own.stop()
    for (const flag of ['--resume', '--abandon'])
      expect((await cli(['store', 'move', '--dir', folder, flag, '--yes'])).code, flag).toBe(3)
    for (const flags of [['--leave-new'], ['--abandon', '--resume'], ['--abandon', '--leave-old']])
      expect((await cli(['store', 'move', '--dir', folder, '--yes', ...flags])).code, flags.join(' ')).toBe(2)
    const given = await cli(['store', 'move', '--dir', folder, '--abandon', '--leave-new', '--yes'])
    expect(given.code, given.stderr).toBe(0)
    expect(given.stderr).toContain('Copies may be in')
    await expectHome(folder, 'docker', delivered)
  })

  it('keeps what was edited in deployment.yaml meanwhile, and refuses secrets that were added', async () => {
    const { folder, delivered } = await cutShort('edited')
    const yaml = resolve(folder, 'deployment.yaml')
    const text = readFileSync(yaml, 'utf8')
    writeFileSync(yaml, text.replace('also: []', 'also: [late_key]'))
    const refused = await cli(resume(folder))
    expect(refused.code, refused.stderr).toBe(3)
    expect(refused.stderr).toMatch(/^move_edited: .*late_key/m)
    writeFileSync(yaml, text.replace(/cpus: \d+/, 'cpus: 1'))
    const done = await cli(resume(folder))
    expect(done.code, done.stderr).toBe(0)
    expect(readFileSync(yaml, 'utf8')).toContain('cpus: 1')
    await expectHome(folder, 'vault', delivered)
  })

  it('lets no secret be imported into the store that is given up', async () => {
    const { folder } = await cutShort('import')
    const refused = await cli(['store', 'import', '--dir', folder, '--from', desk, '--yes'])
    expect(refused.code).toBe(2)
    expect(refused.stderr).toContain('store move --resume')
  })

  it('ends without its old store when that is gone for good, and says what stays there', async () => {
    const own = await startDev()
    const folder = await rendered('leave')
    const delivered = deliveredTo(folder)
    const file = resolve(desk, 'own-admin')
    writeFileSync(file, own.root.expose(), { mode: 0o600 })
    const there = ['--vault-address', own.address, '--vault-admin', `@${file}`]
    const made = await cli(['store', 'move', '--dir', folder, '--to', 'vault', ...there, ...CONSENT])
    expect(made.code, made.stderr).toBe(0)
    await killAt([...toDocker(folder), ...CONSENT], 'move.destroy')
    await own.stop()
    const stuck = await cli(resume(folder))
    expect(stuck.code, stuck.stderr).toBe(3)
    expect((await cli(['store', 'move', '--dir', folder, '--abandon', '--yes'])).code).toBe(2)
    const left = await cli(resume(folder, '--leave-old'))
    expect(left.code, left.stderr).toBe(0)
    expect(left.stderr).toContain('are still there')
    await expectHome(folder, 'docker', delivered)
  })
})

describe('a move that cannot be made', () => {
  it('without consent changes nothing, and says how it is given', async () => {
    const folder = await rendered('consent')
    const before = deliveredTo(folder)
    for (const args of [
      toVault(folder),
      [...toVault(folder), '--yes'],
      [...toVault(folder), '--destroy-old'],
    ]) {
      const refused = await cli(args)
      expect(refused.code, args.join(' ')).toBe(2)
      expect(refused.stderr).toContain('--yes --destroy-old')
    }
    await expectHome(folder, 'docker', before)
  })

  it('shows everything with --dry-run, and does nothing of it', async () => {
    const folder = await rendered('dry')
    const before = deliveredTo(folder)
    const shown = await cli([...toVault(folder), '--dry-run', '--yes'])
    expect(shown.code, shown.stderr).toBe(0)
    expect(shown.stdout).toContain('path "secret/data/openclaw/t-move-dry/+"')
    await expectHome(folder, 'docker', before)
  })

  it('because the new store is down leaves everything where it is, with code 3', async () => {
    const folder = await rendered('down')
    const before = deliveredTo(folder)
    const address = `http://127.0.0.1:${await freePort()}`
    const failed = await cli([
      ...['store', 'move', '--dir', folder, '--to', 'vault', '--vault-address', address],
      ...['--vault-admin', `@${admin}`, ...CONSENT],
    ])
    expect(failed.code, failed.stderr).toBe(3)
    expect(failed.stderr).toMatch(/store_unreachable/)
    expect(deliveredTo(folder)).toEqual(before)
    expect(inDocker(folder)).toHaveLength(2)
    const back = await cli(['store', 'check', '--dir', folder])
    expect(back.code).toBe(0)
  })

  it('because the place is taken by another deployment overwrites nothing there, with code 2', async () => {
    const [mine, theirs] = [await rendered('mine'), await rendered('theirs')]
    expect((await cli([...toVault(theirs), ...CONSENT])).code).toBe(0)
    const before = await inVault(theirs)
    const role =
      /role: "?([\w-]+)"?/.exec(readFileSync(resolve(theirs, 'deployment.yaml'), 'utf8'))?.[1] ?? ''
    const refused = await cli([
      ...['store', 'move', '--dir', mine, '--to', 'vault', '--vault-address', bao.address],
      ...['--vault-path', `openclaw/${basename(theirs)}`, '--vault-role', role],
      ...['--store-credential', `@${resolve(theirs, '.secure/credentials/vault')}`, ...CONSENT],
    ])
    expect(refused.code, refused.stderr).toBe(2)
    expect(refused.stderr).toContain('move_occupied')
    expect(await inVault(theirs)).toEqual(before)
  })

  it('with an admin token does not take over the path of a deployment of the same name, nor its role', async () => {
    const [mine, theirs] = [await rendered('same'), await rendered('same-name')]
    expect((await cli([...toVault(theirs), ...CONSENT])).code).toBe(0)
    const before = await inVault(theirs)
    // As on another machine: the same name, and so the same path and role.
    const yaml = resolve(mine, 'deployment.yaml')
    for (const path of [yaml, resolve(mine, '.secure/base/deployment.yaml')])
      writeFileSync(path, readFileSync(path, 'utf8').replace(/^name: .*$/m, `name: "${basename(theirs)}"`))
    const refused = await cli([...toVault(mine), ...CONSENT])
    expect(refused.code, refused.stderr).toBe(2)
    expect(refused.stderr).toMatch(/^store_occupied: /m)
    expect(await inVault(theirs)).toEqual(before)
    expect((await cli(['store', 'check', '--dir', theirs])).code, 'its role still opens it').toBe(0)
    expect(inDocker(mine)).toHaveLength(2)
  })

  it('with an admin token does not touch the role of a deployment of the same name, whatever path is chosen', async () => {
    const [mine, theirs] = [await rendered('twin'), await rendered('twin-name')]
    expect((await cli([...toVault(theirs), ...CONSENT])).code).toBe(0)
    for (const path of ['deployment.yaml', '.secure/base/deployment.yaml'].map(name => resolve(mine, name)))
      writeFileSync(path, readFileSync(path, 'utf8').replace(/^name: .*$/m, `name: "${basename(theirs)}"`))
    const moved = await cli([...toVault(mine), '--vault-path', 'openclaw/another-path', ...CONSENT])
    expect(moved.code, moved.stderr).toBe(0)
    for (const folder of [mine, theirs]) {
      const check = await cli(['store', 'check', '--dir', folder])
      expect(check.code, check.stderr).toBe(0)
    }
  })

  it('by a copy of the folder does not take the original’s secrets for its own copies', async () => {
    const original = await rendered('original')
    const copy = resolve(desk, 'copies', basename(original))
    mkdirSync(resolve(desk, 'copies'), { recursive: true })
    await sh('cp', ['-a', original, resolve(desk, 'copies')])
    expect((await cli([...toVault(original), ...CONSENT])).code).toBe(0)
    const before = await inVault(original)
    const role =
      /role: "?([\w-]+)"?/.exec(readFileSync(resolve(original, 'deployment.yaml'), 'utf8'))?.[1] ?? ''
    const refused = await cli([
      ...[
        'store',
        'move',
        '--dir',
        copy,
        '--to',
        'vault',
        '--vault-address',
        bao.address,
        '--vault-role',
        role,
      ],
      ...['--store-credential', `@${resolve(original, '.secure/credentials/vault')}`, ...CONSENT],
    ])
    expect(refused.code, refused.stderr).toBe(2)
    expect(refused.stderr).toContain('move_occupied')
    expect(await inVault(original)).toEqual(before)
  })

  it('before what was imported is set up says so: a secret that is not rendered yet would stay behind', async () => {
    const folder = await rendered('imported')
    const old = resolve(desk, 'imported-from')
    mkdirSync(old)
    writeFileSync(resolve(old, '.env'), `ANTHROPIC_API_KEY=sk-ant-api03-${'Zx81m'.repeat(9)}\n`)
    expect((await cli(['store', 'import', '--dir', folder, '--from', old, '--yes'])).code).toBe(0)
    const refused = await cli([...toVault(folder), ...CONSENT])
    expect(refused.code, refused.stderr).toBe(3)
    expect(refused.stderr).toMatch(/^move_unfinished_setup: /m)
    expect((await cli([folder, '--yes', '--no-launch'])).code).toBe(0)
    const moved = await cli([...toVault(folder), ...CONSENT])
    expect(moved.code, moved.stderr).toBe(0)
    expect(Object.keys(await inVault(folder)).sort()).toEqual([
      ...['anthropic_api_key', 'gateway_token', 'openai_api_key'],
    ])
  })

  it('of a deployment.yaml that was edited to name the new store begins where the secrets really are', async () => {
    const folder = await rendered('by-hand')
    const delivered = deliveredTo(folder)
    const yaml = resolve(folder, 'deployment.yaml')
    const edited = `store: vault\n  vault: {address: "${bao.address}", role: some-role}`
    writeFileSync(yaml, readFileSync(yaml, 'utf8').replace(/store: "?docker"?\n.*\n {2}seal: .*$/m, edited))
    const setup = await cli([folder, '--yes', '--no-launch', '--store-credential', `@${admin}`])
    expect(setup.code, setup.stderr).toBe(2)
    expect(setup.stderr).toContain('store move --to vault')
    const moved = await cli([...toVault(folder), ...CONSENT])
    expect(moved.code, moved.stderr).toBe(0)
    await expectHome(folder, 'vault', delivered)
  })

  it('for want of disk space loses nothing: with space again it goes on', async () => {
    const folder = await rendered('full')
    const delivered = deliveredTo(folder)
    expect((await cli([...toVault(folder), ...CONSENT])).code).toBe(0)
    const small = resolve(desk, 'small')
    mkdirSync(small)
    await sh('mount', ['-t', 'tmpfs', '-o', 'size=4m,mode=700', 'tmpfs', small])
    try {
      const moved = resolve(small, basename(folder))
      await sh('cp', ['-a', folder, small])
      const hog = resolve(small, 'hog')
      await sh('dd', ['if=/dev/zero', `of=${hog}`, 'bs=4k'])
      const failed = await cli([...toDocker(moved), ...CONSENT])
      expect(failed.code, failed.stderr).toBe(3)
      expect(failed.stderr).toMatch(/disk_full/)
      expect(deliveredTo(moved)).toEqual(delivered)
      expect(Object.keys(await inVault(moved))).toHaveLength(2)
      rmSync(hog)
      const begun = existsSync(resolve(moved, '.secure/move.json'))
      const again = await cli(
        begun ? ['store', 'move', '--dir', moved, '--resume', '--yes'] : [...toDocker(moved), ...CONSENT],
      )
      expect(again.code, again.stderr).toBe(0)
      await expectHome(moved, 'docker', delivered)
    } finally {
      await sh('umount', [small])
    }
  })

  it('is not asked for where the secrets are already', async () => {
    const folder = await rendered('there')
    const same = await cli([...toDocker(folder), ...CONSENT])
    expect(same.code, same.stderr).toBe(0)
    expect(same.stderr).toContain('there already')
  })
})

describe('sealing', () => {
  it('is a move of its own: nothing of a sealed value is in the store, and the gateway reads what it read', async () => {
    const folder = await rendered('seal')
    const delivered = deliveredTo(folder)
    const sealed = await cli([...toDocker(folder), '--seal', 'host', ...CONSENT])
    expect(sealed.code, sealed.stderr).toBe(0)
    expect(deliveredTo(folder)).toEqual(delivered)
    expect(inDocker(folder)).toEqual([])
    const below = resolve(folder, '.secure')
    const texts = readdirSync(below, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(entry => readFileSync(resolve(entry.parentPath, entry.name), 'latin1'))
      .join('')
    for (const value of Object.values(delivered)) expect(texts.includes(value)).toBe(false)
    const check = await cli(['store', 'check', '--dir', folder])
    expect(check.code, check.stderr).toBe(0)
    const back = await cli([...toDocker(folder), '--seal', 'none', ...CONSENT])
    expect(back.code, back.stderr).toBe(0)
    expect(existsSync(resolve(folder, '.secure/sealed'))).toBe(false)
    await expectHome(folder, 'docker', delivered)
  })
})
