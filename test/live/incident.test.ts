/**
 * Both runbooks, on the real engine and the real gateway: what was planted is in the evidence, and the gateway that is there
 * afterwards is another one. One deployment goes through both, and an equal one through the seed's own four commands.
 */
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { generateX25519Identity, identityToRecipient } from 'age-encryption'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { searchFolder } from '../../src/deployment/search.ts'
import { Secret } from '../../src/secret.ts'
import type { Planted } from '../../steps/incident/plant.ts'
import { LiveDevice, pair } from './device.ts'
import {
  authStatus,
  cli,
  containerOf,
  freePort,
  freshFolder,
  isThorough,
  patience,
  quick,
  remove,
  sh,
  tokenOf,
} from './harness.ts'
import {
  compromise,
  doneAt,
  EVIDENCE,
  endsWith,
  holdLock,
  killed,
  killedAfter,
  lost,
  newestCase,
  noteInLedger,
  opened,
  removeEvidenceImages,
  survivalTable,
  survivors,
  withoutRebuild,
} from './incidents.ts'
import { Conversation, key } from './pty.ts'

const [folder, seeds] = [freshFolder('incident'), freshFolder('seed')]
let port: number

beforeAll(async () => {
  port = await freePort()
  const both = await Promise.all([cli(await quick(folder, port)), cli(await quick(seeds))])
  expect(both.map(({ code, stderr }) => (code === 0 ? 0 : stderr))).toEqual([0, 0])
  withoutRebuild(folder)
}, 180_000)

afterAll(async () => {
  await removeEvidenceImages(folder)
  await sh('docker', ['image', 'rm', '--force', FIRST])
  await Promise.all([remove(folder), remove(seeds)])
}, 60_000)

/** The image of a commit that comes before everything else. */
const FIRST = `${EVIDENCE}:first-${process.pid}`
const incident = (...args: string[]) => cli(['incident', ...args, '--dir', folder, '--yes'])

describe('before anything has happened', () => {
  it('says what would be done, and does nothing', async () => {
    const { code, stdout } = await incident('container-compromised', '--dry-run')
    expect(code).toBe(0)
    expect(stdout).toMatch(/contains {1}networks\.cut: .*[\s\S]*destroys containers\.remove: /)
    expect(readdirSync(resolve(folder, 'cases'))).toEqual([])
  })

  it('names everything that is wrong with what was asked for, at once', async () => {
    const { code, stderr } = await incident(
      ...['container-compromised', '--allow', 'everything', '--leaked', 'nothing', '--since', 'tomorrow'],
      ...['--encrypt-to', 'me'],
    )
    expect(code).toBe(2)
    for (const field of ['step: got', 'leaked secret: got', 'since: got', 'recipient'])
      expect(stderr).toContain(field)
    expect((await incident('no-such-runbook')).stderr).toContain('container-compromised, credential-exposed')
  })

  it('refuses a runbook with a mistake, with its file and line, before anything runs', async () => {
    const path = resolve(folder, 'runbooks/mine.yaml')
    const text = readFileSync(resolve(folder, 'runbooks/container-compromised.yaml'), 'utf8')
    writeFileSync(
      path,
      text.replace('action: networks.cut', 'action: networks.slice').replace(/id: container-.*/, 'id: mine'),
    )
    const { code, stderr } = await incident('mine')
    expect([code, stderr]).toEqual([2, expect.stringMatching(/mine\.yaml:\d+/)])
    expect(stderr).toContain('networks.slice')
    rmSync(path)
    expect(readdirSync(resolve(folder, 'cases'))).toEqual([])
  })
})

/** A runbook of one's own: looks, signs, and would end everything. */
const MINE = `id: mine
title: Mine
when: At night.
contacts: [Ann]
drill: 90d
steps:
  - {id: mine.look, title: Look at the engine, why: It forgets., action: evidence.engine, within: 10s}
  - {id: mine.kernel, title: Which kernel, why: To compare., run: [uname, -a], effect: reads, within: 5s}
  - {id: mine.leak, title: Say what leaked, why: To close it., action: leak.name, within: 5s}
  - {id: mine.seal, title: Sign it, why: So that it counts., action: evidence.seal, within: 10s}
  - {id: mine.remove, title: End all of it, why: You have what you need., action: containers.remove, within: 10s}
  - {id: mine.report, title: Report, why: For tomorrow., action: case.report, within: 10s}
`

describe('a runbook of one’s own, at a terminal', () => {
  it('says what comes and why, asks before it destroys, and a no stops with nothing lost', async () => {
    writeFileSync(resolve(folder, 'runbooks/mine.yaml'), MINE)
    const talk = new Conversation(['incident', 'mine', '--leaked', 'gateway_token', '--dir', folder])
    await talk.plays(
      ['Call first: Ann'],
      ['1/6 Look at the engine'],
      ['It forgets.'],
      ['End all of it? You have what you need. It cannot be undone.', key.enter],
    )
    const { code, text, restored } = await talk.ends()
    expect([code, restored]).toEqual([130, true])
    expect(text).toContain('incident --resume --allow mine.remove')
    expect((await authStatus(port, tokenOf(folder))).toString()).toBe('404')
  })

  it('is gone on with where it stopped; who leaves in the middle of a question is told that the case is open', async () => {
    const talk = new Conversation(['incident', '--resume', '--dir', folder])
    await talk.plays(['End all of it?', key.ctrlC])
    const { code, text } = await talk.ends()
    expect([code, text]).toEqual([130, expect.stringContaining('The case stays open')])
    expect(text).not.toContain('2/6')
  })

  it('is ended where it stands; what was not done is in its report, and what leaked is not forgotten over it', async () => {
    const { code, stdout, stderr } = await cli([
      ...['incident', 'close', '--dir', folder, '--yes', '--quiet', '--json'],
    ])
    expect([code, stderr]).toEqual([1, 'LEFT TO DO: secret gateway_token; what replace it: it leaked\n'])
    expect(JSON.parse(stdout)).toMatchObject({ left: [{ state: 'in force' }] })
    const { folder: place } = newestCase(folder)
    const report = readFileSync(resolve(place, 'report.md'), 'utf8')
    expect(report).toMatch(/not done[\s\S]*mine\.remove: End all of it/)
    expect(readFileSync(resolve(place, 'evidence/programs/mine.kernel-1.txt'), 'utf8')).toMatch(/^Linux /)
    expect((await cli(['incident', 'verify-bundle', place, '--dir', folder])).code).toBe(0)
    expect((await cli(['incident', '--resume', '--dir', folder, '--yes'])).stderr).toContain('no_case')
    rmSync(resolve(folder, 'runbooks/mine.yaml'))
  })
})

/** What was planted before the secret had leaked, and where the evidence can be read. */
const exposed: { planted: Planted[]; evidence: string } = { planted: [], evidence: '' }

describe('credentials are exposed (credential leakage)', () => {
  it('leads to a new token; the old one, and a device that was paired with it, are refused within three seconds', async () => {
    const old = tokenOf(folder)
    exposed.planted = await compromise(folder)
    const eve = new LiveDevice(port, 'Eve’s laptop')
    const deviceToken = await pair(eve, await containerOf(folder), old)
    expect(await authStatus(port, deviceToken)).toBe(404)
    const noted = await noteInLedger(folder)
    const identity = await generateX25519Identity()
    const recipient = await identityToRecipient(identity)
    const began = ['incident', 'credential-exposed', '--leaked', 'gateway_token', '--encrypt-to', recipient]
    const rest = ['--dir', folder, '--yes']
    // Killed while it looks for who came in: going on asks for nothing anew.
    expect(await killedAfter([...began, ...rest], folder, 'secrets.rotate-leaked')).toBe(true)
    const { code, stderr } = await incident('--resume')
    // What fails in verify belongs to later commands: alerting, the restore drill.
    expect([code, stderr]).toEqual([expect.toBeOneOf([0, 1]), expect.stringContaining('The case is closed')])
    expect([await authStatus(port, old), await authStatus(port, tokenOf(folder))]).toEqual([401, 404])
    expect(await authStatus(port, deviceToken)).toBe(401)
    const { events, folder: place } = newestCase(folder)
    expect(events.find(({ step }) => step === 'devices')?.facts).toBeDefined()
    const [from, to] = ['step-begun', 'step-done'].map(event =>
      Date.parse(events.find(one => one.step === 'secrets.rotate-leaked' && one.event === event)?.at ?? ''),
    )
    expect(Number(to) - Number(from)).toBeLessThan(patience(3000))
    for (const file of ['report.md', 'timeline.md', 'chain-of-custody.md', 'manifest.json'])
      expect(existsSync(resolve(place, file))).toBe(true)
    expect(await leaks(place, old)).toEqual([])
    expect(ledgerLines(place)).toContainEqual(expect.stringContaining(noted))
    expect((await cli(['incident', 'verify-bundle', place, '--dir', folder])).code).toBe(0)
    const kept = readdirSync(resolve(place, 'evidence'), { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(entry => resolve(entry.parentPath, entry.name))
    expect(kept.filter(path => !path.endsWith('.age'))).toEqual([])
    exposed.evidence = await opened(resolve(place, 'evidence'), resolve(folder, '../opened'), identity)
    expect(readFileSync(resolve(exposed.evidence, 'gateway/log.jsonl'), 'utf8')).toContain('"subsystem')
  })

  it('has everything that was planted in its evidence as well, taken from containers that went on running', async () => {
    expect(exposed.planted.length).toBeGreaterThan(5)
    expect(await lost(exposed.planted, exposed.evidence)).toEqual([])
    const { events } = newestCase(folder)
    expect(events.flatMap(({ facts }) => facts?.unseen ?? [])).toEqual([])
    const names = events.filter(({ step }) => step === 'artefact').map(({ facts }) => facts?.file)
    expect(new Set(names).size).toBe(names.length)
  })
})

/** Where in what is meant for sharing a value stands. */
async function leaks(place: string, ...values: string[]): Promise<string[]> {
  const secrets: Secret[] = values.map(value => new Secret(value))
  const { found } = await searchFolder(place, secrets)
  return found.filter(path => !path.startsWith('evidence/') && !path.startsWith('quarantine/'))
}

/** What the timeline has of the audit ledger. */
function ledgerLines(place: string): string[] {
  const timeline = readFileSync(resolve(place, 'timeline.md'), 'utf8')
  return timeline.split('\n').filter(line => line.includes('| share/gateway/ledger.jsonl |'))
}

let planted: Planted[] = []

describe('the container is compromised (privilege escalation)', () => {
  let old = ''
  let noted = ''

  it('is frozen at once although a setup holds the lock; no case is opened, and the setup is named', async () => {
    const state = async () =>
      (
        await sh('docker', ['inspect', '--format', '{{.State.Status}}', await containerOf(folder)])
      ).stdout.trim()
    const before = newestCase(folder).id
    const setup = await holdLock(folder, 'setup')
    try {
      const { code, stderr } = await incident('container-compromised')
      expect([code, stderr]).toEqual([
        4,
        expect.stringContaining(`another setup is running here (process ${setup.pid}`),
      ])
      expect(stderr).toContain(`kill ${setup.pid}`)
      expect([await state(), newestCase(folder).id]).toEqual(['paused', before])
    } finally {
      setup.end()
      for (const service of ['openclaw-gateway', 'ingress', 'egress'])
        await sh('docker', ['unpause', await containerOf(folder, service)])
    }
    expect(await state()).toBe('running')
  })

  it('is contained in two seconds, and its evidence sealed within a minute, without anybody agreeing to anything', async () => {
    old = tokenOf(folder)
    planted = await compromise(folder)
    noted = await noteInLedger(folder)
    await new Promise(done => setTimeout(done, 3000))
    const began = Date.now()
    const { code, stderr } = await incident('container-compromised')
    expect([code, stderr]).toEqual([4, expect.stringContaining('containers.remove destroys')])
    const { events } = newestCase(folder)
    const [cut, sealed] = ['networks.cut', 'evidence.seal'].map(step => doneAt(events, step) - began)
    process.stdout.write(`networks cut after ${cut} ms, evidence sealed after ${sealed} ms\n`)
    expect(cut).toBeLessThan(patience(2000))
    expect(sealed).toBeLessThan(patience(60_000))
    await expect(authStatus(port, old)).rejects.toThrow()
    // Noted at the beginning, but for nothing that had to be contained first.
    expect(events.find(({ step }) => step === 'case.tools')?.facts).toMatchObject({
      ...{ clockOffset: expect.any(Number), docker: expect.stringMatching(/^[0-9a-f]{64}$/) },
    })
    expect(doneAt(events, 'case.tools')).toBeGreaterThanOrEqual(doneAt(events, 'networks.cut'))
    expect(doneAt(events, 'case.tools')).toBeLessThan(doneAt(events, 'evidence.engine'))
  })

  it('has everything that was planted in its evidence, each under its own name once', async () => {
    const { folder: place, events } = newestCase(folder)
    expect(await lost(planted, resolve(place, 'evidence'))).toEqual([])
    expect(ledgerLines(place)).toContainEqual(expect.stringContaining(noted))
    const names = events.filter(({ step }) => step === 'artefact').map(({ facts }) => facts?.file)
    expect(new Set(names).size).toBe(names.length)
    expect(await leaks(place, old)).toEqual([])
  })

  it('is looked into while it is open: whatever else would change it is refused, and says the way out', async () => {
    const before = readdirSync(resolve(folder, 'secrets'))
    const commands = [
      [folder, '--yes'],
      ['rotate', '--dir', folder, '--yes'],
      ['egress', 'allow', 'example.org', '--dir', folder],
    ]
    for (const command of commands) {
      const { code, stderr } = await cli(command)
      expect([command[0], code, stderr]).toEqual([
        command[0],
        2,
        expect.stringContaining('incident --resume'),
      ])
    }
    const status = await cli(['status', '--dir', folder])
    expect(status.stdout).toMatch(/^case {8}.*container-compromised, open since/m)
    expect(readdirSync(resolve(folder, 'secrets'))).toEqual(before)
    expect((await incident('credential-exposed')).stderr).toContain('case_open')
  })

  it('is opened for a look where it can do nothing', async () => {
    const { id, folder: place } = newestCase(folder)
    const look = (...program: string[]) => cli(['incident', 'analyze', '--dir', folder, id, ...program])
    const script =
      'id -u; env | sort; ls /run/secrets; touch /x; cat /proc/self/status | grep -E "^(CapEff|NoNewPrivs|Seccomp):"; ls /sys/class/net; ls /usr/local/bin'
    const { code, stdout, stderr } = await look('sh', '-c', `${script}; true`)
    expect([code, stderr]).toEqual([0, expect.stringContaining('Look first at')])
    expect(stderr).not.toContain('No signature')
    const layer = planted.at(-1)?.mark
    expect(stdout).toMatch(/^65534\n/)
    expect(stdout).toMatch(/CapEff:\s+0000000000000000/)
    expect(stdout).toMatch(/NoNewPrivs:\s+1/)
    expect(stdout).toMatch(/Seccomp:\s+2/)
    expect(stdout).not.toMatch(/OPENCLAW|eth0/)
    expect(layer?.isIn(stdout)).toBe(true)
    expect(stderr).toMatch(/Read-only file system/)
    const [signature, away] = ['manifest.json.sig', 'elsewhere'].map(name => resolve(place, name))
    await sh('mv', [String(signature), String(away)])
    expect((await look('id')).stderr).toContain('No signature says that this is the image that was preserved')
    await sh('mv', [String(away), String(signature)])
  })

  it('is rebuilt once somebody agrees: another container, other secrets, the old token dead, every check of its own green', async () => {
    const before = await containerOf(folder)
    const began = Date.now()
    const resume = ['incident', '--resume', '--dir', folder, '--yes', '--allow', 'containers.remove']
    // On its way: while it removes, starts, rotates.
    for (let kill = 0; kill < 2; kill++) expect(await killed(resume, 1500 + Math.random() * 5000)).toBe(true)
    const { code, stderr } = await cli(resume)
    expect([code, stderr]).toEqual([
      endsWith(newestCase(folder).events),
      expect.stringContaining('The case is closed'),
    ])
    process.stdout.write(`rebuilt, rotated and verified after ${Date.now() - began} ms more\n`)
    expect(Date.now() - began).toBeLessThan(patience(120_000))
    expect(stderr).toContain(`Checks that fail: ${LATER.join(', ')}\n`)
    expect(await containerOf(folder)).not.toBe(before)
    expect([await authStatus(port, old), await authStatus(port, tokenOf(folder))]).toEqual([401, 404])
    const dropped = planted.find(({ what }) => what.includes('workspace'))
    const { found } = await searchFolder(
      resolve(folder, 'state'),
      dropped === undefined ? [] : [dropped.mark],
    )
    expect(found).toEqual([])
  })

  it('leaves a bundle that is checked with nothing but the public key, and one flipped bit is found', async () => {
    const { folder: place } = newestCase(folder)
    const key = resolve(folder, '.secure/evidence.pub')
    const check = (path: string) =>
      cli(['incident', 'verify-bundle', path, '--public-key', key], { cwd: '/' })
    expect(await check(place)).toMatchObject({ code: 0 })
    const copy = resolve(folder, '..', 'copy')
    await sh('cp', ['-a', place, copy])
    const file = resolve(
      copy,
      'evidence',
      String(
        readdirSync(resolve(copy, 'evidence'), { recursive: true })
          .map(String)
          .find(name => statSync(resolve(copy, 'evidence', name)).isFile()),
      ),
    )
    const bytes = readFileSync(file)
    bytes[bytes.length >> 1] = Number(bytes[bytes.length >> 1]) ^ 1
    await sh('chmod', ['u+w', file])
    writeFileSync(file, bytes)
    const { code, stdout, stderr } = await check(copy)
    expect([code, `${stdout}${stderr}`]).toEqual([1, expect.stringContaining(basename(file))])
  })
})

/** Red until the commands that make them green are there, or a drill was held. */
const LATER = ['monitor.configured', 'backup.restored', 'incident.drilled']

describe('the seed’s own four commands, on an equal deployment', () => {
  it('lose what they lose: the table in docs/incident.md', async () => {
    const theirs = await compromise(seeds)
    await new Promise(done => setTimeout(done, 3000))
    const file = ['--project-name', basename(seeds), '--file', resolve(seeds, 'docker-compose.yml')]
    const compose = (...args: string[]) => sh('docker', ['compose', ...file, ...args])
    // For whoever turns the first two around: what a commit holds at all.
    await sh('docker', ['commit', await containerOf(seeds), FIRST])
    expect(await compose('down')).toMatchObject({ code: 0 })
    const commit = await sh('docker', ['commit', 'openclaw-gateway', 'compromised-image'])
    expect([commit.code, commit.stderr]).toEqual([1, expect.stringContaining('No such container')])
    expect(
      (await sh('docker', ['run', '--rm', '--pull', 'never', 'compromised-image', '/bin/sh', '-c', 'true']))
        .code,
    ).toBe(125)
    expect((await compose('build', '--no-cache')).code).toBe(0)

    const compromised = { planted, evidence: resolve(newestCase(folder).folder, 'evidence') }
    const rows = await survivors(theirs, seeds, FIRST, [compromised, exposed])
    const table = survivalTable(rows)
    const path = resolve(import.meta.dirname, '../../docs/incident.md')
    const docs = readFileSync(path, 'utf8')
    const block = /<!-- survivors -->\n[\s\S]*?<!-- \/survivors -->/
    if (process.env.UPDATE_DOCS !== undefined)
      writeFileSync(
        path,
        docs.replace(block, () => `<!-- survivors -->\n${table}\n<!-- /survivors -->`),
      )
    else expect(docs).toContain(table)
    expect(rows.filter(({ ours }) => ours.some(found => found.length === 0))).toEqual([])
    expect(rows.filter(({ seed }) => seed.length === 0).length).toBeGreaterThan(2)
  }, 60_000)
})

describe.runIf(isThorough)('a drill', () => {
  it.each(['credential-exposed', 'container-compromised'])(
    'of %s finds all that was planted in its copy, and leaves nothing of that',
    async runbook => {
      const drill = incident(runbook, '--drill')
      if (runbook === 'credential-exposed') {
        // The panic button of the deployment itself does not wait for a drill of it.
        while (!existsSync(resolve(folder, '.secure/drill.lock'))) await sleep(100)
        for (const command of ['lockdown', 'unlock'])
          expect(await cli([command, '--dir', folder, '--yes'])).toMatchObject({ code: 0 })
        expect(existsSync(resolve(folder, '.secure/drill.lock'))).toBe(true)
      }
      const { code, stderr } = await drill
      expect([code, stderr]).toEqual([0, expect.stringContaining('The drill succeeded')])
      for (const what of ['/tmp', 'workspace', 'strange name', 'wrong tokens', 'every second'])
        expect(stderr).toMatch(new RegExp(`^caught .*${what}`, 'm'))
      const left = await sh('docker', ['ps', '--all', '--quiet', '--filter', 'name=drill-'])
      expect([left.stdout, existsSync(resolve(folder, '.secure/case.json'))]).toEqual(['', false])
    },
  )

  it('of both makes verify’s line on incidents green', async () => {
    const { code, stdout } = await cli(['verify', folder, '--only', 'incident.*', '--verbose'])
    expect([code, stdout]).toEqual([0, expect.stringContaining('incident.drilled')])
  })
})
