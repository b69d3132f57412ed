import * as fs from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { allowProblems, decisionIn, denyProblems, openUntil, PRESETS } from '../../src/deployment/egress.ts'
import { layoutOf } from '../../src/deployment/layout.ts'
import { describeProblem } from '../../src/errors.ts'
import { Journal, type JournalEvent } from '../../src/procedure/journal.ts'
import { filesToWrite } from '../../steps/egress/context.ts'
import { cutConnections } from '../../steps/egress/cut.ts'
import { openForAWhile } from '../../steps/egress/open.ts'
import { hasRead, reloadEgress } from '../../steps/setup/egress.ts'
import { runInProcess } from '../unit/in-process.ts'
import { scratch, some, thrown } from '../unit/support.ts'
import { NOW as CHECKED, check, healthy, verdictOf } from '../unit/world.ts'

const NOW = new Date('2026-11-26T08:00:00Z')

const cli = (...args: string[]) => runInProcess(args, { now: () => NOW })

const PROVIDERS = ['--provider', 'near=http://192.168.1.5:11434/v1', '--model', 'near/m']

/** A deployment that was set up without an engine, and what is in it. */
async function deployed(...flags: string[]) {
  const folder = join(scratch(), 'my-gateway')
  fs.writeFileSync(join(folder, '..', 'key'), 'no-key-0123456789')
  const key = ['--provider-key', `near=@${join(folder, '..', 'key')}`]
  const made = await cli(folder, '--yes', '--no-launch', ...PROVIDERS, ...key, ...flags)
  expect(made.code, made.stderr).toBe(0)
  const text = (path: string) => fs.readFileSync(join(folder, path), 'utf8')
  return {
    folder,
    text,
    egress: (...args: string[]) => cli('egress', ...args, '--dir', folder),
    /** All that a change of the list writes. */
    files: () =>
      Object.fromEntries(
        ['deployment.yaml', 'border/squid.conf'].flatMap(path => [
          [path, text(path)],
          [`base/${path}`, text(`.secure/base/${path}`)],
        ]),
      ),
    write: (path: string, content: string) => {
      fs.rmSync(join(folder, path), { force: true })
      fs.writeFileSync(join(folder, path), content)
    },
  }
}

describe('egress list', () => {
  it('shows every host with the reason, and providers that are addresses', async () => {
    const { egress } = await deployed('--allow-host', 'telegram', '--allow-host', '*.example.org')
    const { code, stdout } = await egress('list')
    expect(code).toBe(0)
    expect(stdout).toMatch(/\*\.example\.org +allowed by you/)
    expect(stdout).toMatch(/api\.telegram\.org +telegram/)
    expect(stdout).toMatch(/192\.168\.1\.5:11434 +provider, http/)
    expect(stdout).not.toContain('open until')
    expect(JSON.parse((await egress('list', '--json')).stdout)).toMatchObject({
      command: 'egress list',
      hosts: [
        { host: '*.example.org', because: 'allowed by you' },
        { host: 'api.telegram.org', because: 'telegram' },
      ],
      localProviders: [{ address: '192.168.1.5', port: 11434 }],
      openUntil: null,
      edited: false,
    })
  })

  it('says until when everything is open, and so does status', async () => {
    const { egress, write, folder } = await deployed()
    write('border/open-until', openUntil(NOW, 1800))
    expect((await egress('list')).stdout).toContain('open until 2026-11-26T08:30:00Z (30 min)')
    const status = await cli('status', '--dir', folder)
    expect(status.stdout).toMatch(/^egress +open until 2026-11-26T08:30:00Z/m)
    write('border/open-until', openUntil(new Date(NOW.getTime() - 3_600_000), 1800))
    expect((await egress('list')).stdout).not.toContain('open until')
    expect((await cli('status', '--dir', folder)).stdout).toMatch(/^egress +closed, but for 1 host /m)
  })

  it('shows what was set up, and says that deployment.yaml asks for something else', async () => {
    const { egress, text, write } = await deployed('--allow-host', 'a.example.org')
    write('deployment.yaml', text('deployment.yaml').replace('a.example.org', 'b.example.org'))
    const { stdout } = await egress('list')
    expect(stdout).toContain('a.example.org')
    expect(stdout).not.toContain('b.example.org')
    expect(stdout).toContain('not set up')
  })
})

describe('egress allow and egress deny', () => {
  it('write the list, what was rendered, and the rules; a proxy that could not be told is 3, and said', async () => {
    const { egress, files, folder } = await deployed('--allow-host', 'a.example.org')
    const before = files()
    const allowed = await egress('allow', 'B.example.org', '*.c.example.org')
    expect(allowed.code).toBe(3)
    expect(allowed.stderr).toContain(
      'egress_not_told: the rules are written, but the proxy could not be told',
    )
    const after = files()
    expect(after['deployment.yaml']).toMatch(/"a\.example\.org"\n? *-? ?"?.*b\.example\.org/s)
    expect(after['border/squid.conf']).toContain('acl named dstdomain -n b.example.org\n')
    expect(after['border/squid.conf']).toContain('\\.c\\.example\\.org$')
    expect(after['base/border/squid.conf']).toBe(after['border/squid.conf'])
    expect(after['base/deployment.yaml']).toBe(after['deployment.yaml'])
    expect(fs.statSync(join(folder, 'border/squid.conf')).mode & 0o777).toBe(0o400)

    expect((await egress('deny', 'b.example.org', '*.c.example.org')).code).toBe(3)
    expect(files()).toEqual(before)
  })

  it('are journalled, and the chain holds', async () => {
    const { egress, folder } = await deployed()
    await egress('allow', 'a.example.org')
    const journal = new Journal(layoutOf(folder).journal, () => NOW)
    const own = journal.read().filter(({ procedure }) => procedure === 'egress')
    expect(own.map(({ event, step }) => `${event} ${step ?? ''}`.trim())).toEqual([
      'begun',
      'step-begun egress.hosts',
      'step-done egress.hosts',
      'step-begun egress.reload',
      'step-failed egress.reload',
      'failed',
    ])
    expect(journal.verifyChain().intact).toBe(true)
  })

  it('change nothing the second time', async () => {
    const { egress, files } = await deployed()
    await egress('allow', 'a.example.org')
    const once = files()
    const again = await egress('allow', 'a.example.org', 'a.example.org')
    expect(again.stderr).toContain('Write down who may be reached: it is as asked for')
    expect(files()).toEqual(once)
  })

  it('leave a run of setup nothing to overwrite', async () => {
    const { egress, files, folder } = await deployed()
    await egress('allow', 'a.example.org')
    const written = files()
    const again = await cli(folder, '--yes', '--no-launch')
    expect(again.code, again.stderr).toBe(0)
    expect(files()).toEqual(written)
  })

  it('keep what was edited and not set up yet, and set none of it up', async () => {
    const { egress, text, write } = await deployed()
    write('deployment.yaml', text('deployment.yaml').replace('port: 18789', 'port: 18800'))
    await egress('allow', 'a.example.org')
    expect(text('deployment.yaml')).toContain('port: 18800')
    expect(text('.secure/base/deployment.yaml')).toContain('port: 18789')
    for (const path of ['deployment.yaml', '.secure/base/deployment.yaml'])
      expect(text(path)).toContain('a.example.org')
  })

  it('complete what a killed run has begun, wherever it was killed, also when they are asked for something else', async () => {
    for (const killedAfter of [1, 2, 3]) {
      const { egress, files, folder } = await deployed()
      const change = { allow: ['a.example.org'], deny: [] }
      const plan = filesToWrite({ layout: layoutOf(folder), change, owner: () => undefined })
      expect(plan).toHaveLength(4)
      for (const { path, content } of plan.slice(0, killedAfter)) {
        fs.rmSync(path)
        fs.writeFileSync(path, content)
      }
      const other = await egress('allow', 'b.example.org')
      expect(other.stderr).toContain('egress_not_told')
      await egress('allow', 'a.example.org')
      const after = files()
      for (const host of ['a.example.org', 'b.example.org'])
        for (const path of Object.keys(after)) expect(after[path], `${path} ${killedAfter}`).toContain(host)
      expect(after['base/border/squid.conf']).toBe(after['border/squid.conf'])
    }
  })

  it('leave the connections to cut to whoever comes next, when nobody came to it; setup takes note as well', async () => {
    const { egress, folder, text, write } = await deployed(
      '--allow-host',
      'a.x.org',
      '--allow-host',
      'b.x.org',
    )
    const journal = new Journal(layoutOf(folder).journal, () => NOW)
    const isDue = () =>
      cutConnections.skip?.({ journal, launch: true } as never) === undefined ? 'due' : 'not due'
    const noted = () => journal.read().findLast(one => one.step === 'egress.note')?.facts?.hosts
    const cut = () =>
      journal.append({ run: 'r', procedure: 'egress', event: 'step-done', step: 'egress.cut' })
    expect(isDue()).toBe('not due')
    expect((await egress('deny', 'a.x.org')).code).toBe(3)
    expect([noted(), isDue()]).toEqual(['a.x.org', 'due'])
    await egress('allow', 'c.x.org')
    expect(isDue()).toBe('due')
    cut()
    expect(isDue()).toBe('not due')
    write('deployment.yaml', text('deployment.yaml').replace('b.x.org', 'd.x.org'))
    expect((await cli(folder, '--yes', '--no-launch')).code).toBe(0)
    expect([noted(), isDue()]).toEqual(['b.x.org', 'due'])
    cut()
    // Whoever has edited the rules is told to remove them: what was in them the running proxy may still go by.
    fs.rmSync(join(folder, 'border/squid.conf'))
    expect((await cli(folder, '--yes', '--no-launch')).code).toBe(0)
    expect([noted(), isDue()]).toEqual(['unknown', 'due'])
  })

  it('refuse everything that is no host, at once, with 2 and nothing written', async () => {
    const { egress, files } = await deployed()
    const before = files()
    const { code, stderr } = await egress(
      'allow',
      'a.example.org',
      '10.0.0.1',
      'a b',
      'https://x.example.org',
    )
    expect(code).toBe(2)
    for (const given of ['10.0.0.1', 'a b', 'https://x.example.org'])
      expect(stderr).toContain(`got "${given}"`)
    expect(stderr).not.toContain('got "a.example.org"')
    expect(files()).toEqual(before)
  })

  it('refuse to overwrite rules that somebody has edited', async () => {
    const { egress, files, text, write } = await deployed()
    write('border/squid.conf', `${text('border/squid.conf')}# mine\n`)
    const before = files()
    const { code, stderr } = await egress('allow', 'a.example.org')
    expect([code, stderr]).toEqual([2, expect.stringContaining('edited since it was rendered')])
    expect(files()).toEqual(before)
  })

  it('refuse to write rules that the running proxy was not made for', async () => {
    const { egress, files, text, write } = await deployed()
    const made = /"create-openclaw-secure.squid":"([0-9a-f]{64})"/.exec(text('docker-compose.yml'))
    write('docker-compose.yml', text('docker-compose.yml').replaceAll(some(made?.[1]), 'f'.repeat(64)))
    const before = files()
    const { code, stderr } = await egress('allow', 'a.example.org')
    expect([code, stderr]).toEqual([2, expect.stringContaining('egress_outdated')])
    expect(files()).toEqual(before)
  })

  it('with --dry-run show what would be written, and write nothing', async () => {
    const { egress, files } = await deployed()
    const before = files()
    const { code, stdout } = await egress('allow', 'a.example.org', '--dry-run')
    expect(code).toBe(0)
    expect(stdout).toContain('border/squid.conf')
    expect(files()).toEqual(before)
  })
})

describe('what cannot be denied', () => {
  const said = (egressHosts: string[], ...words: string[]) =>
    denyProblems(
      { providers: [{ id: 'openai' }, { id: 'near', url: 'http://10.1.2.3:8080/v1' }], egressHosts },
      words,
    ).map(describeProblem)

  it.each([
    [
      'a provider’s own host',
      [],
      'api.openai.com',
      /provider openai is at api\.openai\.com\. A provider’s own/,
    ],
    ['one that is on the list as well', ['api.openai.com'], 'api.openai.com', /A provider’s own/],
    ['every name below which there is one', [], '*.openai.com', undefined],
    ['a provider that is an address', [], '10.1.2.3:8080', /A provider’s own/],
    ['a part of a channel', ['telegram'], 'api.telegram.org', /belongs to telegram.*egress deny telegram$/],
    ['a name below one that is allowed', ['*.x.org'], 'a.x.org', /\*\.x\.org allows it.*deny \\\*\.x\.org$/],
    ['a name that is allowed in two ways', ['a.x.org', '*.x.org'], 'a.x.org', /deny a\.x\.org \\\*\.x\.org$/],
    ['a channel, one host of which stands alone', ['slack', 'slack.com'], 'slack', /deny slack slack\.com$/],
    ['what is on the list', ['a.x.org'], 'a.x.org', undefined],
    ['what is not on the list', [], 'a.x.org', undefined],
    ['no host at all', [], '-x', /got "-x"/],
  ])('%s', (_, hosts, word, problem) => {
    const problems = said(hosts, word)
    if (problem === undefined) expect(problems).toEqual([])
    else expect(problems).toEqual([expect.stringMatching(problem)])
  })

  it('is no problem when what allows it is denied in the same breath', () => {
    expect(said(['a.x.org', '*.x.org'], 'a.x.org', '*.x.org')).toEqual([])
    expect(allowProblems(['a.x.org', '*.x.org', ...Object.keys(PRESETS)])).toEqual([])
  })
})

describe('a deployment whose egress is open', () => {
  it.each([
    ['list'],
    ['allow', 'a.example.org'],
    ['deny', 'a.example.org'],
    ['test', 'a.example.org'],
    ['close'],
  ])('has no proxy that egress %s %s could be about', async (...words) => {
    const { egress } = await deployed('--egress', 'open')
    const { code, stderr } = await egress(...words)
    expect([code, stderr]).toEqual([2, expect.stringContaining('there is no proxy')])
  })

  it('when only deployment.yaml says so, the list can be read and not be changed', async () => {
    const { egress, text, write } = await deployed()
    write('deployment.yaml', text('deployment.yaml').replace('mode: "closed"', 'mode: "open"'))
    expect((await egress('list')).code).toBe(0)
    expect((await egress('allow', 'a.example.org')).code).toBe(2)
  })
})

describe('egress open and egress close', () => {
  const opening = (folder: string) => fs.existsSync(join(folder, 'border/open-until'))

  it.each([['4m'], ['25h'], ['0h'], ['30'], ['30s'], ['-5m'], ['99999m'], [' 30m']])(
    'is not for %s',
    async time => {
      const { egress, folder } = await deployed()
      const { code, stderr } = await egress('open', '--yes', `--for=${time}`)
      expect([code, stderr]).toEqual([2, expect.stringContaining('from 5m to 24h')])
      expect(opening(folder)).toBe(false)
    },
  )

  it('asks for consent, since it is a weakening, and for how long', async () => {
    const { egress, folder } = await deployed()
    expect((await egress('open', '--for', '30m')).stderr).toContain('that is a weakening')
    expect((await egress('open', '--yes')).code).toBe(2)
    expect(opening(folder)).toBe(false)
  })

  it('opens nothing where no proxy can be asked', async () => {
    const { egress, folder } = await deployed()
    expect((await egress('open', '--yes', '--for', '30m')).code).toBe(3)
    expect(opening(folder)).toBe(false)
  })

  /** The step on a deployment, one of whose containers may not run, and whose proxy never answers as it should. */
  async function opened({ stopped = '', answer = '' }: { stopped?: string; answer?: string }) {
    const { folder } = await deployed()
    const [stop, seen] = [new AbortController(), [] as boolean[]]
    const run = openForAWhile.run(
      {
        layout: layoutOf(folder),
        seconds: 1800,
        owner: () => undefined,
        now: () => NOW,
        expected: [{ target: 'x.invalid:443', reasons: ['open-for-a-while'] }],
        compose: {
          container: async (service = 'gateway') => ({
            Id: service,
            State: { Running: service !== stopped, Paused: false },
          }),
        },
        docker: {
          call: async () => ({ code: 0, stdout: '', stderr: '' }),
          async exec() {
            seen.push(opening(folder))
            if (answer === 'Ctrl-C') stop.abort()
            seen.push(opening(folder))
            return { code: 1, stdout: '', stderr: '' }
          },
        },
      } as never,
      stop.signal,
    )
    const error = await thrown(() => run)
    return { error, seen, left: opening(folder) }
  }

  it.each(['gateway', 'egress'])(
    'open nothing while the %s does not run, and say what does not',
    async stopped => {
      const { error, seen, left } = await opened({ stopped })
      expect(error).toMatchObject({ code: 'egress_not_running', hint: expect.not.stringContaining('leaves') })
      expect([seen, left]).toEqual([[], false])
    },
  )

  it('take back at once what could not be proven, or was stopped by the person', async () => {
    const failed = await opened({})
    expect(failed).toMatchObject({ error: { code: 'exec_failed' }, seen: [true, true], left: false })
    expect(await opened({ answer: 'Ctrl-C' })).toMatchObject({ seen: [true, false], left: false })
  })

  it('closes all the same, and says that it could not look', async () => {
    const { egress, folder, write } = await deployed()
    write('border/open-until', openUntil(NOW, 1800))
    expect((await egress('close')).code).toBe(3)
    expect(opening(folder)).toBe(false)
  })
})

describe('egress test', () => {
  it.each([
    '',
    'a b',
    'a.example.org:0',
    'a.example.org:65536',
    'a\r\nX: y',
    'https://a.example.org',
    '[::1',
  ])('refuses %j, which is no target', async target => {
    const { egress } = await deployed()
    expect((await egress('test', target)).code).toBe(2)
  })

  it('is 3 where there is no engine: nobody knows what the proxy would say', async () => {
    const { egress } = await deployed()
    expect((await egress('test', 'a.example.org')).code).toBe(3)
  })
})

describe('a line of the proxy’s log', () => {
  const rest = 'client=172.18.0.3 peer=- status=403 error=ERR_ACCESS_DENIED received=1577 sent=47 ms=0'
  it.each([
    [
      `2026-11-26T08:17:19Z refused CONNECT %5B::1%5D:443 reason=no-full-host-name ${rest}`,
      { target: '[::1]:443', allowed: false, reason: 'no-full-host-name', status: 403 },
    ],
    [
      `2026-11-26T08:17:19Z allowed CONNECT a.example.org:443 reason=listed ${rest.replace('403', '200')}`,
      { target: 'a.example.org:443', allowed: true, reason: 'listed', status: 200 },
    ],
    [`2026-11-26T08:17:19Z - CONNECT a.example.org:443 reason=- ${rest}`, undefined],
    ['2026/11/26 08:18:19| Processing: half_closed_clients off', undefined],
  ])('%s', (line, decision) => {
    expect(decisionIn(line)).toEqual(decision)
  })
})

describe('whether the running proxy goes by the rules on the disk', () => {
  const at = (seconds: number) => new Date(NOW.getTime() + seconds * 1000)
  /** A folder whose rules were written at NOW, and a container that started then or later. */
  async function world() {
    const { folder, write } = await deployed()
    const layout = layoutOf(folder)
    for (const name of ['squid.conf', 'is-open']) fs.utimesSync(join(layout.border, name), NOW, NOW)
    const proxy = (started: Date, Id = 'one') =>
      ({ Id, State: { StartedAt: started.toISOString(), Running: true, Paused: false } }) as never
    /** What the journal says once the step has run at that time. */
    const told = async (when: Date): Promise<JournalEvent> => {
      const { facts } = await reloadEgress.run(
        {
          layout,
          launch: true,
          compose: { container: async () => proxy(at(-9)) },
          docker: { exec: async () => ({ code: 0, stdout: '', stderr: '' }) },
        } as never,
        new AbortController().signal,
      )
      const head = { seq: 1, run: 'r', procedure: 'setup', prev: '' }
      return {
        ...head,
        at: when.toISOString(),
        event: 'step-done',
        step: 'egress.reload',
        facts: some(facts),
      }
    }
    const edit = () => write('border/squid.conf', 'other rules')
    return { layout, proxy, told, edit }
  }

  it('it does when it started after they were written, and does not when it started before', async () => {
    const { layout, proxy } = await world()
    expect(hasRead(proxy(at(1)), layout, [])).toBe(true)
    expect(hasRead(proxy(at(-1)), layout, [])).toBe(false)
  })

  it('it does when it was told of these very rules', async () => {
    const { layout, proxy, told, edit } = await world()
    const events = [await told(at(2))]
    expect(hasRead(proxy(at(-1)), layout, events)).toBe(true)
    edit()
    expect(hasRead(proxy(at(-1)), layout, events)).toBe(false)
  })

  it('what another container was told does not count, nor what was told before it started anew', async () => {
    const { layout, proxy, told } = await world()
    const events = [await told(at(-3))]
    expect(hasRead(proxy(at(-5), 'two'), layout, events)).toBe(false)
    expect(hasRead(proxy(at(-2)), layout, events)).toBe(false)
  })
})

describe('verify, while the way out is open for a while', () => {
  const opened = (until: string) => {
    const world = healthy()
    const path = `${world.layout.border}/open-until`
    return {
      ...world,
      proxied: async () => ({ 'nobody-named-this.invalid:443': 503 }),
      file: (asked: string) =>
        asked === path
          ? { mode: 0o400, uid: 1000, links: 1, modified: CHECKED, kind: 'file' as const }
          : undefined,
      text: async () => until,
    }
  }

  it('fails, and says until when', async () => {
    const finding = await verdictOf(check('egress.filtered'), opened(openUntil(CHECKED, 600)))
    expect(finding.verdict).toBe('fail')
    expect(finding.evidence).toContain('; open for a while, until 2026-11-24T01:50:00.000Z')
  })

  it('does not blame an opening that is over', async () => {
    const over = openUntil(new Date(CHECKED.getTime() - 3_600_000), 600)
    const finding = await verdictOf(check('egress.filtered'), opened(over))
    expect([finding.verdict, finding.evidence]).toEqual(['fail', expect.not.stringContaining('for a while')])
  })
})
