/**
 * The agent of the `coding` posture, in a real deployment, by real turns: it can work, in its sandbox and nowhere else; and when the
 * sandbox is not the one that the gateway knows, nothing runs at all.
 */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Docker } from '../../src/docker/engine.ts'
import { processRunner } from '../../src/docker/process.ts'
import { startablePrograms } from '../../src/gateway/approvals.ts'
import { SANDBOX, USUAL_PROGRAMS } from '../../src/gateway/sandbox.ts'
import { generateSshKey, publicSshKey, sshFingerprint } from '../../src/gateway/ssh-key.ts'
import { Redactor, Secret } from '../../src/secret.ts'
import { cli, containerOf, freshFolder, isThorough, remove, sh, tokenOf } from './harness.ts'
import { resolvable } from './peers.ts'
import { begun, heldAt, resume, rotationArgs } from './rotations.ts'
import { type ScriptedModel, startScriptedModel, type ToolCall } from './scripted-model.ts'
import {
  edit,
  exec,
  MACHINE,
  MODEL_KEY,
  openOutside,
  python,
  REACH,
  read,
  SEARCH,
  setUpCoding,
  turnIn,
  write,
} from './turns.ts'

const folder = freshFolder('sandbox')
const at = (path: string) => resolve(folder, path)
let model: ScriptedModel
let gateway = ''
let sandbox = ''

beforeAll(async () => {
  model = await startScriptedModel()
  const made = await setUpCoding(folder, model)
  ;[gateway, sandbox] = [await containerOf(folder), await containerOf(folder, SANDBOX.service)]
  expect(made.code, made.stderr).toBe(0)
}, 900_000)
afterAll(async () => {
  model.close()
  await remove(folder)
})

const turn = (calls: readonly ToolCall[]) => turnIn(gateway, model, calls)
/** A number that no other test of this file gets. */
let number = 0

/** What a program has printed as JSON in its last line. */
function lastLine(answer: string | undefined): unknown {
  return JSON.parse(answer?.trim().split('\n').at(-1) ?? '')
}

describe('an agent at work', () => {
  it('writes a test, sees it fail, edits the file, and sees it pass: in its workspace', async () => {
    const test = [
      ...['import unittest', 'from sums import add', 'class Sums(unittest.TestCase):'],
      ...['    def test_add(self):', '        self.assertEqual(add(2, 3), 5)', 'unittest.main()', ''],
    ].join('\n')
    const answers = await turn([
      exec('id -u; pwd'),
      write('sums.py', 'def add(a, b):\n    return a - b\n'),
      write('test_sums.py', test),
      exec('python3 test_sums.py'),
      edit('sums.py', 'a - b', 'a + b'),
      exec('python3 test_sums.py'),
      read('sums.py'),
      exec(
        'git init -q . && git add sums.py && git -c user.name=a -c user.email=a@b commit -qm one && git log --oneline',
      ),
    ])
    const [who = '', , , before, , after, text, commit] = answers
    const work = who.split('\n')[1]?.trim() ?? ''
    expect(work).toMatch(/^\/workspace\/.+\/workspace$/)
    expect(before).toContain('-1 != 5')
    expect(after).toMatch(/\nOK/)
    expect(text).toContain('return a + b')
    expect(commit).toMatch(/^[0-9a-f]{7} one/)
    // On this machine it lies where the person finds it, and is the gateway's user's.
    const file = at(`sandbox-work/${work.slice(SANDBOX.work.length + 1)}/sums.py`)
    expect(readFileSync(file, 'utf8')).toContain('a + b')
    expect(String(statSync(file).uid)).toBe(who.split('\n')[0]?.trim())
  })
})

describe('threat: credential leakage', () => {
  it('nothing that a command can read in the sandbox holds a secret of the gateway’s', async () => {
    // The first lines of a key are what it is, and its public half.
    const linesOf = (path: string) => readFileSync(path, 'utf8').split('\n').slice(4, -3)
    const one = (below: string, name: string) =>
      at(`${below}/${readdirSync(at(below)).find(file => file.startsWith(name))}`)
    const own = linesOf(one('sandbox', 'host_key.'))
    const theirs = [tokenOf(folder), MODEL_KEY, ...linesOf(one('secrets', 'sandbox_client_key.'))]
    const [answer] = await turn([python(SEARCH([...own, ...theirs]))])
    const { files, found } = lastLine(answer) as { files: number; found: boolean[] }
    expect(files).toBeGreaterThan(100)
    expect(theirs.length).toBeGreaterThan(2)
    // The search itself sees: the sandbox's own host key is there, and is the one thing that is.
    expect(found).toEqual([...own.map(() => true), ...theirs.map(() => false)])
  })
})

describe('threat: network exfiltration', () => {
  let outside: Awaited<ReturnType<typeof openOutside>>
  beforeAll(async () => {
    outside = await openOutside()
  })
  afterAll(() => outside.close())

  it('a command reaches the gateway’s port and nothing else: no proxy, no machine, nobody outside', async () => {
    const project = basename(folder)
    const addresses = async (service: string, network: string, field: string) => {
      const format = `{{(index .NetworkSettings.Networks "${project}_${network}").${field}}}`
      const { stdout } = await sh('docker', [
        'inspect',
        '--format',
        format,
        await containerOf(folder, service),
      ])
      expect(stdout.trim(), `${service} in ${network}`).toMatch(/^\d+\.\d+\.\d+\.\d+$/)
      return stdout.trim()
    }
    const targets: Record<string, [string, number]> = {
      gateway: ['openclaw-gateway', 18789],
      'the proxy by name': ['egress', 3128],
      'the proxy': [await addresses('egress', 'inside', 'IPAddress'), 3128],
      'the ingress': [await addresses('ingress', 'inside', 'IPAddress'), 18789],
      'the gateway on its other network': [await addresses('openclaw-gateway', 'inside', 'IPAddress'), 18789],
      // The model listens on every address of this machine.
      'the machine at the default bridge': [MACHINE, model.port],
      'the machine at this network': [await addresses(SANDBOX.service, 'sandbox', 'Gateway'), model.port],
      ...outside.targets,
    }
    // A name that this machine knows.
    const known = await resolvable()
    expect(known, 'this machine resolves no name').toBeDefined()
    const lookUp = `import socket\ntry: print(socket.gethostbyname("${known}"))\nexcept OSError: print("not known")`
    const { stdout: image } = await sh('docker', ['inspect', '--format', '{{.Image}}', sandbox])
    const control = (program: string) =>
      sh('docker', ['run', '--rm', '--entrypoint', 'python3', image.trim(), '-c', program])
    const direct = lastLine((await control(REACH(outside.targets, outside.udp))).stdout)
    expect(Object.values(direct as object)).toEqual(['open', 'open', 'open'])
    expect((await control(lookUp)).stdout).toMatch(/^\d/)
    const [answer, token, name] = await turn([
      python(REACH(targets, outside.udp)),
      python(
        'import urllib.request as r, urllib.error as e\ntry: r.urlopen("http://openclaw-gateway:18789/api/channels/x")\nexcept e.HTTPError as error: print(error.code)',
      ),
      python(lookUp),
    ])
    expect(name?.trim()).toBe('not known')
    const { gateway: own, ...others } = lastLine(answer) as Record<string, string>
    expect(own).toBe('open')
    expect(token?.trim()).toBe('401')
    // The datagram in place of the gateway's port.
    expect(Object.keys(others)).toHaveLength(Object.keys(targets).length)
    expect(Object.entries(others).filter(([, seen]) => seen === 'open')).toEqual([])
  })
})

describe('threat: filesystem access', () => {
  it('the file tools do not leave the workspace, by whatever path', async () => {
    const answers = await turn([
      exec('ln -s /etc/sandbox/authorized_keys link; ln -s /etc folder; echo made'),
      ...['/etc/passwd', '../../../../etc/passwd', 'link', 'folder/passwd', '/run/secrets'].map(read),
      write('/tmp/planted', 'x'),
      write('folder/planted', 'x'),
    ])
    expect(answers[0]).toContain('made')
    for (const answer of answers.slice(1))
      expect(answer).toMatch(/"status": "error"[\s\S]*escapes allowed mounts/)
  })

  it('a command can change nothing of what decides about it', async () => {
    const [answer] = await turn([
      exec(
        'for f in /etc/sandbox/authorized_keys /etc/sandbox/sshd_config /etc/passwd /usr/bin/git; do (echo x >> $f) 2>&1; done; chmod u+w /etc/sandbox/authorized_keys 2>&1; echo x > /new 2>&1; echo over',
      ),
    ])
    expect(answer?.match(/Read-only file system|Permission denied/g)?.length).toBe(6)
  })
})

describe('threat: command injection', () => {
  it('what may be started is the list, and nothing else: read back, and tried', async () => {
    const docker = new Docker(processRunner(new Redactor(), process.env))
    expect(await startablePrograms(docker, sandbox, USUAL_PROGRAMS)).toEqual({ missing: [], extra: [] })
    // Git is more than one file, and all of it is seen where it is not on the list.
    const withoutGit = USUAL_PROGRAMS.filter(name => name !== 'git')
    const { extra } = await startablePrograms(docker, sandbox, withoutGit)
    expect(extra).toEqual(expect.arrayContaining(['/usr/bin/git', '/usr/lib/git-core/git']))
    const refused = [
      'perl -e 1',
      'dpkg -l',
      'apt-get -v',
      'mount',
      'ssh -V',
      'curl -V',
      'su',
      'sudo id',
      'nc -h',
    ]
    const [names, copied] = await turn([
      exec(refused.map(command => `${command} >/dev/null 2>&1 && echo "STARTED ${command}"`).join('; ')),
      exec(
        'cp /usr/bin/perl ./p && ./p -e 1 && echo STARTED; cat /usr/bin/perl >q && echo COPIED; echo over',
      ),
    ])
    expect(names).not.toContain('STARTED')
    expect(copied).toContain('over')
    expect(copied).not.toMatch(/STARTED|COPIED/)
  })

  it('a command cannot ask to be run in the gateway, or as somebody else', async () => {
    const answers = await turn([
      exec('id', { host: 'gateway' }),
      exec('id', { host: 'node' }),
      exec('id', { elevated: true }),
    ])
    for (const answer of answers) expect(answer).toMatch(/"status": "error"/)
  })
})

/** Until it says something that means it is done. */
async function sandboxListens(): Promise<void> {
  for (let tries = 0; tries < 50; tries++) {
    const { code } = await sh('docker', [
      'exec',
      sandbox,
      'python3',
      '-c',
      `import socket; socket.create_connection(("127.0.0.1", ${SANDBOX.port}), 1)`,
    ])
    if (code === 0) return
    await sleep(200)
  }
  throw new Error('the sandbox does not listen')
}

/** Replaces one of the sandbox's files, which sshd reads when it starts, and starts it. Returns the way back. */
async function replace(changes: Record<string, string>): Promise<() => Promise<void>> {
  const before = Object.fromEntries(
    Object.keys(changes).map(path => [path, readFileSync(at(path), 'utf8')] as const),
  )
  const put = async (contents: Record<string, string>) => {
    for (const [path, content] of Object.entries(contents)) writeFileSync(at(path), content)
    await sh('docker', ['restart', '--time', '1', sandbox])
    await sandboxListens()
  }
  await put(changes)
  return () => put(before)
}

describe('threat: privilege escalation: a sandbox that is not the one the gateway knows', () => {
  const publicOfAnother = () => publicSshKey(generateSshKey('another'))
  const hostKeyFile = () => `sandbox/${readdirSync(at('sandbox')).find(name => name.startsWith('host_key.'))}`

  it.each([
    [
      'is away',
      /Could not resolve hostname|Connection refused|No route to host/,
      async () => {
        await sh('docker', ['stop', '--time', '1', sandbox])
        return async () => {
          await sh('docker', ['start', sandbox])
          await sandboxListens()
        }
      },
    ],
    [
      'does not take the gateway’s key any more',
      /Permission denied \(publickey\)/,
      () => replace({ 'sandbox/authorized_keys': `restrict ${publicOfAnother()} gateway\n` }),
    ],
    [
      'shows another host key',
      /REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed/,
      () => replace({ [hostKeyFile()]: generateSshKey('another').expose() }),
    ],
  ])('that %s: every call fails and says why, and nothing runs in the gateway', async (_what, why, spoil) => {
    number += 1
    const mark = `ran-${number}`
    // A number that stands in nobody else's command line.
    const nap = `${7000 + number}.25`
    const putRight = await spoil()
    const seen = new Set<string>()
    let isOver = false
    const watching = (async () => {
      while (!isOver) {
        const { stdout } = await sh('docker', ['top', gateway, '-eo', 'pid,args'])
        for (const line of stdout.split('\n').slice(1)) seen.add(line.trim().replace(/^\d+ +/, ''))
        await sleep(100)
      }
    })()
    try {
      const answers = await turn([
        exec(`echo ${mark} > /tmp/${mark}; echo ${mark} > ~/${mark}; echo ${mark} > ${mark}; sleep ${nap}`),
        read('sums.py'),
        write(mark, mark),
        edit('AGENTS.md', 'a', 'b'),
      ])
      for (const answer of answers) expect(answer).toMatch(why)
    } finally {
      isOver = true
      await watching
      await putRight()
    }
    expect(seen.size).toBeGreaterThan(2)
    expect([...seen].filter(line => line.startsWith('sleep '))).toEqual([])
    const { stdout: found } = await sh('docker', ['exec', gateway, 'find', '/', '-xdev', '-name', mark])
    const { stdout: mounted } = await sh('docker', [
      'exec',
      gateway,
      'find',
      '/tmp',
      '/home',
      '/dev/shm',
      '-name',
      mark,
    ])
    expect(found + mounted).toBe('')
    const { stdout: changed } = await sh('docker', ['diff', gateway])
    expect(changed).not.toContain(mark)
    expect((await turn([exec('echo back')]))[0]).toContain('back')
  })
})

describe.runIf(isThorough)('a sandbox that is weaker than it was rendered', () => {
  const attack = async (...threats: string[]) => {
    const only = threats.flatMap(one => ['--only', `attack.${one}`])
    const ran = await cli(['verify', folder, '--json', ...only], { timeout: 500_000 })
    const { findings } = JSON.parse(ran.stdout) as { findings: { verdict: string; evidence: string }[] }
    return findings
  }

  it('stops every attack of a shell as it was rendered', async () => {
    const found = await attack('*')
    expect(found.map(({ verdict, evidence }) => [verdict, evidence])).toEqual(
      Array(6).fill(['pass', expect.stringContaining('one as the sandbox’s')]),
    )
  }, 600_000)

  it('lets through what it was to stop, and verify says where', async () => {
    const before = readFileSync(at('docker-compose.yml'), 'utf8')
    const [above = '', below = ''] = before.split(/^(?= {2}sandbox:$)/m)
    const started = async (text: string) => {
      writeFileSync(at('docker-compose.yml'), text)
      const up = await sh('docker', ['compose', 'up', '--detach', '--wait', SANDBOX.service], { cwd: folder })
      expect(up.code, up.stderr).toBe(0)
    }
    try {
      await started(above + below.replaceAll('noexec', 'exec').replace(/^ {4}ulimits: .*\n/m, ''))
      const found = await attack('filesystem', 'resources')
      expect(found.map(({ verdict, evidence }) => [verdict, evidence])).toEqual([
        ['fail', expect.stringContaining('attack.filesystem.drop-and-run in the sandbox (started in /tmp)')],
        ['fail', expect.stringContaining('attack.resources.descriptors in the sandbox (')],
      ])
    } finally {
      await started(before)
      sandbox = await containerOf(folder, SANDBOX.service)
      await sandboxListens()
    }
  }, 600_000)
})

const rotate = (...names: string[]) => cli(['rotate', ...names, '--dir', folder], { timeout: 200_000 })

describe('both keys, rotated while the agent works', () => {
  it('no call fails, the next turn comes in by the new key, and the old one opens nothing', async () => {
    const file = () => readdirSync(at('secrets')).find(name => name.startsWith('sandbox_client_key.')) ?? ''
    const old = readFileSync(at(`secrets/${file()}`), 'utf8')
    const started = async () =>
      (await sh('docker', ['inspect', '--format', '{{.State.StartedAt}}', sandbox])).stdout
    const before = await started()
    const work = Array.from({ length: 12 }, (_, index) =>
      index % 3 === 2 ? write(`note-${index}.txt`, `${index}`) : exec(`sleep 1; echo call-${index}`),
    )
    const [answers, ran] = await Promise.all([
      turn(work),
      sleep(2500).then(() => rotate('sandbox_host_key', 'sandbox_client_key')),
    ])
    expect(ran.code, ran.stderr).toBe(0)
    for (const [index, answer] of answers.entries())
      expect(answer).toContain(index % 3 === 2 ? 'Successfully wrote' : `call-${index}`)

    expect((await turn([exec('echo after')]))[0]).toContain('after')
    const print = sshFingerprint(publicSshKey(new Secret(readFileSync(at(`secrets/${file()}`)))))
    const { stderr: log } = await sh('docker', ['logs', sandbox])
    expect(
      log
        .trim()
        .split('\n')
        .filter(line => line.startsWith('Accepted'))
        .at(-1),
    ).toContain(print)
    expect(await started()).toBe(before)

    const tried = await sh(
      'docker',
      [
        ...['exec', '--interactive', gateway, 'sh', '-c'],
        `umask 077; cat > /tmp/old; ssh -F none -n -o BatchMode=yes -o IdentitiesOnly=yes -o UserKnownHostsFile=${SANDBOX.knownHosts} -o ControlPath=none -i /tmp/old -p ${SANDBOX.port} ${SANDBOX.user}@${SANDBOX.service} true; code=$?; rm /tmp/old; exit $code`,
      ],
      { input: old },
    )
    expect([tried.code, tried.stderr]).toEqual([
      255,
      expect.stringContaining('Permission denied (publickey)'),
    ])
    expect(readdirSync(at('sandbox')).filter(name => name.startsWith('host_key.'))).toHaveLength(1)
  })

  // Each step is killed in test/crash/rotate-sandbox.test.ts; here, that the real ones go on as well.
  it.runIf(isThorough).each([
    ['sandbox_client_key', 'rotate.sandbox.admit'],
    ['sandbox_client_key', 'rotate.apply'],
    ['sandbox_client_key', 'rotate.sandbox.expel'],
    ['sandbox_host_key', 'rotate.sandbox.recognise'],
    ['sandbox_host_key', 'rotate.sandbox.show'],
    ['sandbox_host_key', 'rotate.sandbox.forget'],
  ])('%s killed in %s: the agent works on, and --resume ends it', async (name, step) => {
    const one = { folder, port: 0, bao: undefined, env: process.env, known: new Set<string>() }
    const running = await heldAt(one, begun(step), rotationArgs(one, [name]))
    expect(await running.kill()).toBe(true)
    expect((await turn([exec('echo between')]))[0]).toContain('between')
    const ended = await resume(one)
    expect(ended.code, ended.stderr).toBe(0)
    expect((await turn([exec('echo after')]))[0]).toContain('after')
  })
})
