import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { INSIDE, layoutOf } from '../../src/deployment/layout.ts'
import { gatewayMounts } from '../../src/deployment/mounts.ts'
import { type ContainerFacts, Docker } from '../../src/docker/engine.ts'
import { THREATS } from '../../src/procedure/step.ts'
import {
  type Attack,
  isShell,
  isTool,
  judgeTool,
  type Result,
  readResults,
  scriptOf,
} from '../../steps/attack/attack.ts'
import { attackChecks, verdictOf } from '../../steps/attack/checks.ts'
import { attacks } from '../../steps/attack/index.ts'
import { attackSibling } from '../../steps/attack/sibling.ts'
import { WORDS } from '../../steps/attack/words.ts'
import { type Column, stoppedBy, tablesOf, withTables } from '../attack.ts'
import { heard } from '../live/attack-targets.ts'
import { answers, container } from './container.ts'
import { some } from './support.ts'
import { healthy, inside, verdictOf as verdict } from './world.ts'

const MIB = 1024 ** 2

const shell = (id: string, text: string, more: Partial<Attack> = {}): Attack => ({
  id: `attack.${id}`,
  threat: 'privilege escalation',
  title: id,
  how: { shell: text },
  ...more,
})

describe('the attacks', () => {
  it.each(THREATS)('are at least ten against: %s', threat => {
    const counted = attacks.filter(attack => attack.threat === threat && attack.residual === undefined)
    expect(counted.length).toBeGreaterThanOrEqual(10)
  })

  it('have names and aims of their own, and each belongs to a check', () => {
    expect(new Set(attacks.map(attack => attack.id)).size).toBe(attacks.length)
    expect(new Set(attacks.map(attack => attack.title)).size).toBe(attacks.length)
    for (const { id, threat } of attacks) {
      const check = attackChecks.find(one => id.startsWith(`${one.id}.`))
      expect(check?.threat, id).toBe(threat)
    }
  })

  it.each(attacks.filter(isShell).map(attack => [attack.id, attack.how.shell]))(
    'are written in plain shell: %s',
    (_, text) => {
      expect(spawnSync('sh', ['-n'], { input: text, encoding: 'utf8' }).stderr).toBe('')
    },
  )

  it('can all end in both ways, so that none is stopped by its own mistake alone', () => {
    for (const { id, how } of attacks.filter(isShell))
      expect(how.shell, id).toMatch(
        /\b(?:does|append)\b|\bthrough\b[\s\S]*\bstopped\b|\bstopped\b[\s\S]*\bthrough\b/,
      )
  })

  it('by a tool prove themselves by something that the call does not say', () => {
    for (const { id, how } of attacks.filter(isTool))
      expect(how.proof.test(Object.values(how.arguments).join('\n')), id).toBe(false)
  })

  it('refuse to be made outside of a container', () => {
    const { stdout, status } = spawnSync('sh', [], {
      input: scriptOf([shell('x', 'through it')], {}),
      encoding: 'utf8',
    })
    expect([stdout.trim(), status]).toEqual(['refused: this is no container', 1])
  })

  it('are told of what stands around as data, whatever is in it', () => {
    const hostile = `'; echo broken; $(echo broken) "`
    const script = scriptOf([shell('x', 'does echo "$NAME"', { needs: ['NAME'] })], { NAME: hostile })
    const [first = ''] = script.split('\n')
    const { stdout } = spawnSync('sh', ['-c', `${first}\nprintf %s "$NAME"`], { encoding: 'utf8' })
    expect(stdout).toBe(hostile)
  })
})

describe('a result', () => {
  const one = shell('one', 'x')
  const outcome = (printed: string) => readResults([one], printed, {})[0]?.outcome

  it('is what the script has said', () => {
    expect(outcome('ocs-result\tattack.one\t42\tread it\n')).toBe('through')
    expect(outcome('ocs-result\tattack.one\t43\tdenied\n')).toBe('stopped')
  })

  it.each([
    ['a program that is missing', 'ocs-result\tattack.one\t127\tperl: not found\n'],
    ['a script with a mistake', 'ocs-result\tattack.one\t2\tsyntax error\n'],
    ['no answer within the time', 'ocs-result\tattack.one\t124\t\n'],
    ['success that was not said', 'ocs-result\tattack.one\t0\t\n'],
    ['no line at all', ''],
    ['the line of another', 'ocs-result\tattack.two\t43\tdenied\n'],
  ])('is never “stopped” by %s', (_, printed) => {
    expect(outcome(printed)).toBe('unknown')
  })

  it('is unknown where there is nothing to attack, and the attack is not made', () => {
    const aimed = shell('aimed', 'stopped x', { needs: ['OUTSIDE'] })
    expect(scriptOf([aimed], {})).not.toContain('try attack.aimed')
    expect(readResults([aimed], 'ocs-result\tattack.aimed\t43\tx\n', {})).toMatchObject([
      { outcome: 'unknown', seen: 'not tried: nothing here to attack (OUTSIDE)' },
    ])
  })

  it('of a tool needs an answer: a refusal, or the proof', () => {
    const read = { ...one, how: { tool: 'read', arguments: { path: '/etc/passwd' }, proof: /root:x:0/ } }
    expect(judgeTool(read, 'root:x:0:0:root').outcome).toBe('through')
    expect(judgeTool(read, 'Tool read not found').outcome).toBe('stopped')
    expect(judgeTool(read, '').outcome).toBe('unknown')
    expect(judgeTool(read, undefined).outcome).toBe('unknown')
  })

  it.each([
    ['Tool exec not found', 'stopped'],
    ['{ "status": "error", "tool": "exec", "error": "exec denied: allowlist miss" }', 'stopped'],
    [
      '{ "status": "error", "tool": "exec", "error": "exec host not allowed (requested gateway)" }',
      'stopped',
    ],
    [
      '{ "status": "error", "tool": "read", "error": "Path escapes sandbox root (/workspace): /etc/passwd" }',
      'stopped',
    ],
    ['{ "status": "error", "tool": "read", "error": "File not found: /root/x" }', 'stopped'],
    [
      '{ "status": "error", "tool": "exec", "error": "agent@sandbox: Permission denied (publickey)." }',
      'unknown',
    ],
    ['{ "status": "error", "tool": "exec", "error": "command: required" }', 'unknown'],
  ])('of a tool that fails is “stopped” by OpenClaw’s own words alone: %s', (answer, outcome) => {
    const plain = { ...one, how: { tool: 'exec', arguments: { command: 'ls' }, proof: /app/ } }
    expect(judgeTool(plain, answer).outcome).toBe(outcome)
  })

  it.each([
    ['ocs-42', ['a', 'b']],
    ['Tool exec not found', ['a', 'b']],
    [
      '{ "status": "error", "tool": "exec", "error": "Permission denied (publickey)." }',
      [undefined, undefined],
    ],
    [undefined, [undefined, undefined]],
  ])('of an agent counts when its control was run, or refused: %s', (control, left) => {
    expect(heard(['a', 'b', control])).toEqual(left)
  })
})

describe('the checks attack.*', () => {
  const result = (outcome: Result['outcome'], seen = 'x'): Result => ({
    attack: shell(outcome, ''),
    outcome,
    seen,
  })
  const aimless = result('unknown', 'not tried: nothing here to attack (METADATA)')

  it('are one a threat, and each can be made to fail', () => {
    expect(attackChecks.map(check => check.threat)).toEqual([...THREATS])
    for (const check of attackChecks) expect(check.sabotage.weaken, check.id).toBeDefined()
  })

  it('pass when everything that could be tried was stopped', () => {
    expect(verdictOf([result('stopped'), aimless])).toMatchObject({
      verdict: 'pass',
      evidence: expect.stringMatching(/^1 attacks .* 1 stopped; with nothing to aim at here: /),
    })
  })

  it('fail when one got through, and name it', () => {
    expect(verdictOf([result('stopped'), result('unknown'), result('through', 'root')])).toMatchObject({
      verdict: 'fail',
      evidence: expect.stringContaining('attack.through (root)'),
    })
  })

  it.each(['network', 'commands', 'filesystem'])(
    'are unknown where a network has a way out, and nobody but this machine may have stopped what aims at the world: %s',
    async name => {
      const check = some(attackChecks.find(one => one.id === `attack.${name}`))
      const open = async () => [{ ...inside(), Internal: false }]
      expect(await verdict(check, healthy())).toMatchObject({ verdict: 'pass' })
      expect(await verdict(check, { ...healthy(), networks: open })).toMatchObject(
        name === 'filesystem'
          ? { verdict: 'pass' }
          : { verdict: 'unknown', evidence: expect.stringContaining(`${inside().Name} has a way out`) },
      )
    },
  )

  const coding = { ...answers, posture: 'coding' } as const
  const everyCheck = attackChecks.map(check => [check.id, check] as const)

  it.each(everyCheck)('fail when one got through in the sandbox alone, and say so: %s', async (_, check) => {
    const world = { ...healthy(), own: coding }
    expect(await verdict(check, world)).toMatchObject({ verdict: 'pass' })
    const attackSandbox: typeof world.attackSandbox = async made =>
      made.map((attack, index) => ({ attack, outcome: index === 0 ? 'through' : 'stopped', seen: 'x' }))
    expect(await verdict(check, { ...world, attackSandbox })).toMatchObject({
      verdict: 'fail',
      evidence: expect.stringMatching(/as the sandbox’s: .*got through: attack\.\S+ in the sandbox \(x\)/),
    })
    // Where there is none of the deployment's own, nobody asks for one.
    expect(await verdict(check, { ...healthy(), attackSandbox })).toMatchObject({ verdict: 'pass' })
  })

  it('are unknown where the sandbox has a way out, or cannot be attacked', async () => {
    const check = some(attackChecks.find(one => one.id === 'attack.network'))
    const world = { ...healthy(), own: coding }
    const sandboxNetworks = async () => [{ ...inside(), Internal: false }]
    expect(await verdict(check, { ...world, sandboxNetworks })).toMatchObject({ verdict: 'unknown' })
    const attackSandbox = () => Promise.reject(new Error('it does not run'))
    expect(await verdict(check, { ...world, attackSandbox })).toMatchObject({
      verdict: 'unknown',
      evidence: expect.stringContaining('in the sandbox (it does not run)'),
    })
    const attack: typeof world.attack = async made =>
      made.map(one => ({ attack: one, outcome: 'through', seen: 'x' }))
    expect(await verdict(check, { ...world, attack, attackSandbox })).toMatchObject({ verdict: 'fail' })
  })

  it('are unknown when one could not be tried, or none', () => {
    expect(verdictOf([result('stopped'), result('unknown')]).verdict).toBe('unknown')
    expect(verdictOf([aimless]).verdict).toBe('unknown')
    expect(verdictOf([]).verdict).toBe('unknown')
  })
})

describe('the folders of the machine that a container sees', () => {
  const attack = some(attacks.filter(isShell).find(({ id }) => id === 'attack.filesystem.host-folders'))
  /** What the attack says where these are mounted besides what every container has. */
  const seen = (...mounts: string[]) => {
    const usual = [
      '1 0 0:39 / / rw master:3 - overlay overlay rw',
      '2 1 0:40 / /proc rw - proc proc rw',
      '3 1 0:41 / /dev rw - tmpfs tmpfs rw',
      '4 3 0:42 / /dev/shm rw - tmpfs shm rw',
      '5 2 0:41 /null /proc/keys rw - tmpfs tmpfs rw',
      '6 1 254:0 /var/lib/docker/containers/x/hosts /etc/hosts rw - ext4 /dev/vda rw',
      '7 1 254:0 /srv/gw/config /etc/openclaw ro - ext4 /dev/vda rw',
      '8 1 0:43 / /tmp rw - tmpfs tmpfs rw',
    ]
    const table = [...usual, ...mounts].join('\n')
    const fakes = `awk() { command awk "$1" <<'end'\n${table}\nend\n}\ntest() { :; }`
    const input = `${WORDS}\n${fakes}\nOWN='/etc/openclaw\n/tmp'\nexport OWN\n${attack.how.shell}`
    return spawnSync('sh', [], { input, encoding: 'utf8' }).stdout.trim()
  }

  it.each([
    ['a file system of its own, whole', '9 1 8:3 / /mnt/home ro - ext4 /dev/sdc rw', '/mnt/home'],
    ['the same, where mounts are shared', '9 1 8:3 / /mnt/home ro master:7 - ext4 /dev/sdc rw', '/mnt/home'],
    [
      'a folder that is called as one of ours',
      '9 1 254:0 /srv /workspace/x rw - ext4 /dev/vda rw',
      '/workspace/x',
    ],
    ['a volume that is a folder of the machine', '9 1 254:0 /home /data rw - ext4 /dev/vda rw', '/data'],
    ['the machine’s /run', '9 1 0:25 / /host/run rw - tmpfs tmpfs rw', '/host/run'],
  ])('are seen: %s', (_, mount, where) => {
    expect(seen(mount)).toBe(`of this machine: ${where}`)
  })

  it('are none of those that every container has, and none of its own', () => {
    expect(seen()).toMatch(/^nothing of this machine/)
    const volume = '9 1 254:0 /var/lib/docker/volumes/x/_data /data rw - ext4 /dev/vda rw'
    expect(seen(volume)).toMatch(/^nothing of this machine/)
  })
})

describe('an attack whose programs cannot be started', () => {
  const attack = (id: string) =>
    some(attacks.filter(isShell).find(one => one.id === `attack.${id}`)).how.shell
  /** Runs it with nothing but what a shell has itself; `act` does as it is told. */
  const tried = (id: string, act: string) => {
    const given = `act() { ${act}; }\nfor name in rmdir mkdir rm awk; do eval "$name() { :; }"; done`
    const input = `PATH=/nonexistent\n${WORDS}\n${given}\nOUTSIDE=x TCP=1 OTHER=1\n${attack(id)}`
    return spawnSync('/bin/sh', [], { input, encoding: 'utf8' }).status
  }

  it.each([
    'filesystem.raw-disk',
    'filesystem.hard-link',
    'privileges.release-agent',
    'privileges.device',
    'commands.curl-bash',
    'commands.wget-sh',
  ])('was not tried, and nobody has stopped it: %s', id => {
    expect(tried(id, 'return 127')).toBe(44)
  })

  it.each(['filesystem.raw-disk', 'privileges.release-agent', 'privileges.device'])(
    'is stopped when the call itself is refused: %s',
    id => {
      expect(tried(id, 'echo "Operation not permitted"; return 1')).toBe(43)
    },
  )
})

describe('the copy of a container that is attacked', () => {
  /** How an engine is asked for it. */
  async function askedFor(change: Partial<ContainerFacts> = {}, scratch?: string): Promise<string> {
    let asked: readonly string[] = []
    const docker = new Docker(async (_, args) => {
      asked = args
      return { code: 0, stdout: '', stderr: '' }
    })
    const engine = { ID: 'x', NCPU: 2, Architecture: 'x86_64' } as Parameters<typeof attackSibling>[2]
    await attackSibling(
      docker,
      { ...container(), ...change },
      engine,
      '127.0.0.1',
      gatewayMounts(layoutOf('/srv/gw')),
      [shell('one', 'stopped x', { needs: ['MEMORY'] })],
      scratch,
    )
    return asked.join('\n')
  }
  const mount = (Type: string, Source: string, Destination: string, RW: boolean) => ({
    Type,
    Source,
    Destination,
    RW,
  })

  it('has what is mounted there, and nothing of it to write', async () => {
    const asked = await askedFor({
      Mounts: [
        mount('bind', '/srv/gw/config', INSIDE.config, true),
        mount('bind', '/var/run/docker.sock', '/var/run/docker.sock', false),
        mount('volume', '/var/lib/docker/volumes/x/_data', '/data', true),
        mount('bind', '/srv/gw/state', INSIDE.state, true),
      ],
    })
    for (const target of [INSIDE.config, '/var/run/docker.sock', '/data'])
      expect(asked).toMatch(new RegExp(`^type=bind,source=.*,target=${target},readonly$`, 'm'))
    expect(asked).toMatch(new RegExp(`^LENT='${INSIDE.config}\n/data'$`, 'm'))
    expect(asked).not.toContain('/srv/gw/state')
    // Whether a volume is a folder of this machine, the attack sees; the socket is its own business.
    const [own] = asked.match(/^OWN='[^']*'$/m) ?? []
    expect(own?.split('\n')).toContain(INSIDE.state)
    for (const target of ['/data', '/var/run/docker.sock']) expect(own).not.toContain(target)
    expect(await askedFor({ Mounts: [] })).not.toContain('LENT=')
  })

  it('of a sandbox has its settings, and for its work an empty folder', async () => {
    const Mounts = [
      mount('bind', '/srv/gw/sandbox', '/etc/sandbox', false),
      mount('bind', '/srv/gw/sandbox-work', '/workspace', true),
    ]
    const HostConfig = { ...container().HostConfig, Memory: 256 * MIB, MemorySwap: 512 * MIB }
    const asked = await askedFor({ Mounts, HostConfig }, '/workspace')
    expect(asked).toContain('target=/etc/sandbox,readonly')
    expect(asked).toMatch(/^\/workspace:rw,/m)
    expect(asked).not.toMatch(/sandbox-work|LENT=/)
    // As much as it has with what may be swapped out, and more.
    expect(asked).toContain("MEMORY='576'")
  })

  it('has a limit of memory to try, smaller on a machine that cannot spare that much, or none, which is not tried', async () => {
    const host = (Memory: number) => ({
      HostConfig: { ...container().HostConfig, Memory, MemorySwap: Memory },
    })
    const usual = await askedFor(host(256 * MIB))
    expect(usual).toContain("MEMORY='320'")
    expect(usual).toContain(`--memory\n${256 * MIB}\n`)
    const scarce = await askedFor(host(2 ** 50))
    const [, reduced = ''] = some(/--memory\n(\d+)\n/.exec(scarce))
    expect(Number(reduced)).toBeLessThan(2 ** 45)
    expect(scarce).toContain(`MEMORY='${Math.ceil(Number(reduced) / MIB) + 64}'`)
    expect(await askedFor(host(0))).toContain("MEMORY='unlimited'")
  })

  it('without a limit of memory is not made to use it: that is through', () => {
    const hog = some(attacks.filter(isShell).find(({ id }) => id === 'attack.resources.memory-hog'))
    const input = `${WORDS}\nMEMORY=unlimited\nact() { stopped 'it was tried'; }\n${hog.how.shell}`
    const { stdout, status } = spawnSync('sh', [], { input, encoding: 'utf8' })
    expect([stdout.trim(), status]).toEqual(['no limit of memory', 42])
  })

  it('shows which secrets are arguments there, and never their values', async () => {
    expect(await askedFor({ Args: ['gateway', '--token', 'abc123', '--password=hunter2'] })).toMatch(
      /\nsh\n--token\n--password$/,
    )
    expect(await askedFor({ Args: ['-c', 'node x --api-key abc123; true'] })).toMatch(/\nsh\n--api-key$/)
    expect(await askedFor({ Args: ['gateway', '--token-file', '/run/x'] })).toMatch(/\nsh$/)
  })

  it.each([
    ['/etc/openclaw/openclaw.json', 42],
    ['/etc/openclaw', 42],
    ['/data/a b/c', 42],
    ['/etc/openclaws', 43],
    ['/etc', 43],
  ])('counts what could be written there as written: %s', (path, code) => {
    const input = `${WORDS}\nLENT='/etc/openclaw\n/data/a b'\nlent "${path}"\nstopped no`
    expect(spawnSync('sh', [], { input, encoding: 'utf8' }).status).toBe(code)
  })
})

describe('docs/threats.md', () => {
  const text = readFileSync(resolve(import.meta.dirname, '../../docs/threats.md'), 'utf8')
  const column = (results: Result[]): Column => ({ name: 'chat', ours: true, results })
  const all = (outcome: Result['outcome']) =>
    column(attacks.map(attack => ({ attack, outcome, seen: 'Permission denied' })))

  it('has a row for every attack, and none for another', () => {
    const rows = [...text.matchAll(/^\| `(attack\.[\w.-]+)`/gm)].map(([, id]) => id)
    expect([...rows].sort()).toEqual(attacks.map(attack => attack.id).sort())
  })

  it('says of each threat what it cannot stop', () => {
    for (const threat of THREATS) expect(text).toContain(`## ${threat[0]?.toUpperCase()}${threat.slice(1)}`)
    expect(text.match(/^\*\*What it cannot stop\.\*\*/gm)).toHaveLength(THREATS.length)
  })

  it('would show an attack that gets through, and one that was not tried', () => {
    expect(tablesOf([all('through')])).toContain('**through**')
    expect(tablesOf([all('unknown')])).toContain('not tried')
    expect(tablesOf([all('stopped')])).not.toMatch(/\*\*through\*\*|not tried/)
  })

  it('keeps what people have written around the tables', () => {
    const before = 'a\n<!-- made by npm run attack: begin -->\nold\n<!-- end -->\nb\n'
    expect(withTables(before, 'new')).toBe(
      'a\n<!-- made by npm run attack: begin -->\n\nnew\n<!-- end -->\nb\n',
    )
    expect(() => withTables('no place', 'new')).toThrow('no place')
  })

  it('says by what in words that do not change from run to run', () => {
    expect(stoppedBy('251 processes, then Resource temporarily unavailable')).toBe('the limit of processes')
    expect(stoppedBy('Tool exec not found')).toBe('the agent has no such tool')
    expect(stoppedBy('setns EPERM,')).toBe('refused by the kernel')
  })
})
