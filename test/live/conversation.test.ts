/** The wizard, held as a person holds it: on a real terminal, with keys. Nothing here starts a container. */
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { basename, dirname, resolve } from 'node:path'
import { test as base, describe, expect } from 'vitest'
import { BIN, cli, freePort, freshFolder, sh } from './harness.ts'
import { Conversation, key, type Line, type Terminal } from './pty.ts'

interface Stage {
  /** A deployment folder that does not exist yet. */
  folder: string
  /** Sits down at a terminal; it is closed after the test. */
  sitDown(args: readonly string[], terminal?: Terminal): Conversation
}

const test = base.extend<Stage>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads what a fixture needs from this pattern
  folder: async ({}, use) => {
    const folder = freshFolder('talk')
    await use(folder)
    rmSync(dirname(folder), { recursive: true, force: true })
  },
  // biome-ignore lint/correctness/noEmptyPattern: the same
  sitDown: async ({}, use) => {
    const held: Conversation[] = []
    await use((args, terminal) => {
      const conversation = new Conversation(args, terminal)
      held.push(conversation)
      return conversation
    })
    for (const conversation of held) conversation.close()
  },
})

const { enter, down, up, clear, backspace, ctrlC, ctrlD } = key

const NAME = 'What is this gateway called?'
const POSTURE = 'What may the agent do?'
const PROVIDERS = 'Which model providers?'
const MODEL = 'Which model should the agent use?'
const IMAGE = 'Where does the OpenClaw image come from?'
const ACCESS = 'How will you reach it?'
const SSH = 'As whom do you log in here with ssh?'
const PORT = 'Which port on 127.0.0.1?'
const STORE = 'Where do the secrets live?'
const CONTACT = 'Who is called first when something is wrong?'
const REVIEW = 'Nothing has been changed yet. Go ahead?'
const CHANGE = 'Which one?'
const KEY = 'API key of openai'

/** Enter to everything up to the review, from a given question on. */
const DEFAULTS: readonly Line[] = [NAME, POSTURE, PROVIDERS, IMAGE, ACCESS, PORT, STORE, CONTACT].map(
  shown => [shown, enter],
)
const from = (question: string) => DEFAULTS.slice(DEFAULTS.findIndex(([shown]) => shown === question))
const upTo = (question: string) =>
  DEFAULTS.slice(
    0,
    DEFAULTS.findIndex(([shown]) => shown === question),
  )

/** Down to an option that is `steps` below the first. */
const pick = (steps: number) => down.repeat(steps) + enter
const [GO, CHANGE_ANSWER, LEAVE] = [enter, pick(1), pick(2)]
/** In the list of answers at the review, when nothing but the defaults was answered. */
const [ITS_ACCESS, ITS_PORT] = [pick(9), pick(10)]

/** A colour; and whatever moves the cursor or takes something back from the screen. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control sequences are what it is about
const COLOUR = /\x1b\[([\d;]*;)?(3[0-8]|4[0-8]|9[0-7]|10[0-7])[\d;]*m/
// biome-ignore lint/suspicious/noControlCharactersInRegex: the same
const REDRAWING = /\x1b\[[\d;?]*[A-HJKSTfhlsu]/

/** Every file of a folder with what it holds. */
function filesOf(folder: string): { path: string; mode: number; content: string }[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => resolve(entry.parentPath, entry.name))
    .map(path => ({ path, mode: statSync(path).mode & 0o777, content: readFileSync(path, 'utf8') }))
}

const answersIn = (folder: string) => readFileSync(resolve(folder, 'deployment.yaml'), 'utf8')

describe.concurrent('the conversation', () => {
  test('with defaults throughout renders a deployment, and nothing exists before "Go ahead"', async ({
    folder,
    sitDown,
  }) => {
    const talk = sitDown([folder, '--no-launch'])
    await talk.plays(...DEFAULTS)
    for (const shown of [
      'Your answers',
      'access.port       18789',
      'What will be done',
      `in ${folder}:`,
      '0400  secrets/',
      'docker compose',
    ])
      await talk.sees(shown)
    await talk.sees(REVIEW)
    expect(existsSync(folder)).toBe(false)
    talk.does(GO)

    const { code, restored } = await talk.ends()
    expect({ code, restored }).toEqual({ code: 0, restored: true })
    expect(answersIn(folder)).toContain(`name: "${basename(folder)}"`)
    expect(readdirSync(folder)).toEqual(
      expect.arrayContaining(['docker-compose.yml', 'config', 'secrets', 'README.md']),
    )
  })

  test('asks nothing that a flag has answered', async ({ folder, sitDown }) => {
    const talk = sitDown([
      folder,
      '--no-launch',
      '--agent',
      'workspace',
      '--provider',
      '',
      '--image-from',
      'official',
      '--port',
      '20000',
    ])
    await talk.plays([NAME, enter], [ACCESS, enter], [STORE, enter], [CONTACT, enter])
    for (const shown of ['agent.posture     workspace', 'access.port       20000']) await talk.sees(shown)
    await talk.plays([REVIEW, LEAVE])
    expect((await talk.ends()).code).toBe(130)
  })

  test('says what is allowed after a mistake and lets the person correct what was typed', async ({
    folder,
    sitDown,
  }) => {
    const talk = sitDown([folder, '--no-launch'])
    await talk.plays(
      [NAME, clear, 'A B', enter],
      ['Allowed: 2 to 40 of a-z, 0-9 and -', backspace.repeat(3), 'ab', enter],
      ...upTo(PORT).slice(1),
      [PORT, clear, 'http', enter],
      ['Allowed: a whole number from 1024 to 65535', clear, '2000x', enter],
    )
    await talk.sees('2000x')
    await talk.plays(
      ['Allowed: a whole number from 1024 to 65535', backspace, '1', enter],
      [STORE, enter],
      [CONTACT, enter],
    )
    for (const shown of ['name              ab', 'access.port       20001']) await talk.sees(shown)
    await talk.plays([REVIEW, LEAVE])
    await talk.ends()
  })

  test('goes back one question with "<" and with "← back", to the answer as it was', async ({
    folder,
    sitDown,
  }) => {
    const talk = sitDown([folder, '--no-launch'])
    await talk.plays(
      [NAME, clear, 'first-name', enter],
      // The last option of a select is the way back: one up from the first.
      [POSTURE, up, enter],
      ['first-name', backspace.repeat(10), 'second-name', enter],
      [POSTURE, pick(1)],
      [PROVIDERS, '<', enter],
      ['● Workspace', enter],
      ...from(PROVIDERS),
    )
    for (const shown of ['name              second-name', 'agent.posture     workspace'])
      await talk.sees(shown)
    await talk.plays([REVIEW, LEAVE])
    await talk.ends()
  })

  test('has no way back from its first question', async ({ folder, sitDown }) => {
    const talk = sitDown([folder, '--no-launch'])
    await talk.plays([NAME, clear, '<', enter], ['Allowed: 2 to 40 of a-z', ctrlC])
    await talk.ends()
  })

  test('changes answers at the review, and asks what the change brings up', async ({ folder, sitDown }) => {
    const talk = sitDown([folder, '--no-launch'])
    await talk.plays(
      ...DEFAULTS,
      [REVIEW, CHANGE_ANSWER],
      [CHANGE, ITS_PORT],
      [PORT, clear, '20002', enter],
      ['access.port       20002'],
      [REVIEW, CHANGE_ANSWER],
      [CHANGE, ITS_ACCESS],
      [ACCESS, pick(1)],
      // Back from the question it brought up, and forth again.
      [SSH, '<', enter],
      ['● From elsewhere through SSH', enter],
      [SSH, 'me@host.example', enter],
    )
    for (const shown of [
      'access.mode        ssh',
      'access.port        20002',
      'access.ssh.target  me@host.example',
    ])
      await talk.sees(shown)
    await talk.plays([REVIEW, GO])
    const { code, text } = await talk.ends()
    expect(code).toBe(0)
    expect(text).toContain('From elsewhere: ssh ')
    expect(answersIn(folder)).toMatch(/port: 20002[\s\S]*target: "me@host.example"/)
  })

  test('leaves the answers as they are when the person thinks better of changing one', async ({
    folder,
    sitDown,
  }) => {
    const talk = sitDown([folder, '--no-launch'])
    await talk.plays(
      ...DEFAULTS,
      [REVIEW, CHANGE_ANSWER],
      [CHANGE, up, enter],
      [REVIEW, CHANGE_ANSWER],
      [CHANGE, ITS_PORT],
      [PORT, clear, '<', enter],
      ['access.port       18789'],
      [REVIEW, LEAVE],
    )
    await talk.ends()
  })

  test('asks an accepted default again when another answer has changed it', async ({ folder, sitDown }) => {
    const talk = sitDown([
      folder,
      '--no-launch',
      '--access',
      'proxy',
      '--agent',
      'chat',
      '--provider',
      '',
      '--image-from',
      'official',
    ])
    await talk.plays(
      [NAME, enter],
      [PORT, enter],
      ['Under which host name', 'old.example.org', enter],
      ['/etc/letsencrypt/live/old.example.org/fullchain.pem', enter],
      ['/etc/letsencrypt/live/old.example.org/privkey.pem', clear, '/etc/ssl/own.pem', enter],
      [STORE, enter],
      [CONTACT, enter],
      [REVIEW, CHANGE_ANSWER],
      [CHANGE, pick(12)],
      ['Under which host name', clear, 'new.example.org', enter],
      ['/etc/letsencrypt/live/new.example.org/fullchain.pem', enter],
      ['access.proxy.key          /etc/ssl/own.pem'],
      [REVIEW, LEAVE],
    )
    await talk.ends()
  })

  test('takes the coding posture, with its list of programs at the review', async ({ folder, sitDown }) => {
    const talk = sitDown([folder, '--no-launch'])
    await talk.plays([NAME, enter], [POSTURE, pick(2)], ...from(PROVIDERS))
    await talk.sees('agent.posture     coding')
    await talk.plays([REVIEW, LEAVE])
    await talk.ends()
  })

  test('goes straight to the review of a deployment that exists', async ({ folder, sitDown }) => {
    expect(
      await cli([folder, '--no-launch', '--yes', '--access', 'ssh', '--ssh-target', 'me@host.example']),
    ).toMatchObject({ code: 0 })
    const talk = sitDown([folder, '--no-launch'])
    await talk.plays(
      ['access.ssh.target  me@host.example'],
      [REVIEW, CHANGE_ANSWER],
      [CHANGE, ITS_ACCESS],
      // From ssh, where the choice stands, up to this machine only.
      [ACCESS, up, enter],
      [REVIEW, CHANGE_ANSWER],
      [CHANGE, pick(2)],
      [PROVIDERS, 'openai', enter],
      // The change brings up one question, and the saved answers are not asked again.
      [MODEL, enter],
      [REVIEW, GO],
      [KEY, 'sk-1', enter],
    )
    expect((await talk.ends()).code).toBe(0)
    expect(answersIn(folder)).toMatch(/"openai"[\s\S]*mode: "loopback"/)
    expect(answersIn(folder)).not.toContain('me@host.example')
  })

  test('ends a dry run with the plan and nothing else', async ({ folder, sitDown }) => {
    const talk = sitDown([folder, '--no-launch', '--dry-run'])
    await talk.plays(...DEFAULTS, [REVIEW, GO], [`in ${folder}:`], ['docker compose'])
    expect((await talk.ends()).code).toBe(0)
    expect(existsSync(folder)).toBe(false)
  })

  test('offers no "Go ahead" for what this machine cannot do, until it is changed', async ({
    folder,
    sitDown,
  }) => {
    const taken = createServer()
    const port = await new Promise<number>(done => {
      taken.listen(0, '127.0.0.1', () => {
        const address = taken.address()
        done(typeof address === 'object' && address !== null ? address.port : 0)
      })
    })
    try {
      // Looks at the real engine, and leaves before anything is launched.
      const talk = sitDown([
        folder,
        '--agent',
        'chat',
        '--provider',
        '',
        '--image-from',
        'official',
        '--firewall',
        '--port',
        String(port),
      ])
      await talk.plays([NAME, enter], [ACCESS, enter], [STORE, enter], [CONTACT, enter])
      await talk.plays(
        [`port ${port} on 127.0.0.1: something is listening on it`],
        ['This cannot be done as it is'],
        ['● Change an answer', enter],
      )
      await talk.plays([CHANGE, ITS_PORT], [PORT, clear, String(await freePort()), enter], [REVIEW, LEAVE])
      expect((await talk.ends()).code).toBe(130)
      expect(existsSync(folder)).toBe(false)
    } finally {
      taken.close()
    }
  })
})

describe.concurrent('leaving', () => {
  const nothingDone = async (folder: string, talk: Conversation) => {
    const { code, text, restored } = await talk.ends()
    expect({ code, restored, exists: existsSync(folder) }).toEqual({
      code: 130,
      restored: true,
      exists: false,
    })
    expect(text).toContain('Nothing was changed.')
  }

  test('at the review does nothing and exits with 130', async ({ folder, sitDown }) => {
    const talk = sitDown([folder, '--no-launch'])
    await talk.plays(...DEFAULTS, [REVIEW, LEAVE])
    await nothingDone(folder, talk)
  })

  const moments: { moment: string; lines: readonly Line[]; at: string }[] = [
    { moment: 'at the first question', lines: [], at: NAME },
    { moment: 'in the middle', lines: upTo(ACCESS), at: ACCESS },
    { moment: 'at the review', lines: DEFAULTS, at: REVIEW },
    {
      moment: 'at a provider key',
      lines: [...upTo(PROVIDERS), [PROVIDERS, 'openai', enter], [MODEL, enter], ...from(IMAGE), [REVIEW, GO]],
      at: KEY,
    },
  ]
  for (const { moment, lines, at } of moments)
    for (const [name, stop] of [
      ['Ctrl-C', ctrlC],
      ['Ctrl-D', ctrlD],
    ] as const)
      test(`with ${name} ${moment} changes nothing, exits with 130 and leaves the terminal as it was`, async ({
        folder,
        sitDown,
      }) => {
        // Ctrl-D in a line that is not empty deletes a character, as everywhere.
        const talk = sitDown([folder, '--no-launch'])
        await talk.plays(...lines, [at, ...(name === 'Ctrl-D' && at === NAME ? [clear] : []), stop])
        await nothingDone(folder, talk)
      })

  for (const [moment, lines, at] of [
    ['at a question', [], NAME],
    ['at a provider key', moments[3]?.lines ?? [], KEY],
  ] as const)
    test(`with Ctrl-C ${moment} works in plain mode too`, async ({ folder, sitDown }) => {
      const talk = sitDown([folder, '--no-launch', '--plain'])
      await talk.plays(...lines, [at, ctrlC])
      await nothingDone(folder, talk)
    })
})

describe.concurrent('a provider key', () => {
  const secret = 'sk-live-0123456789-very-private-KEY'

  for (const mode of ['drawn', 'plain'] as const)
    test(`is typed unseen and stored in one 0400 file only (${mode})`, async ({ folder, sitDown }) => {
      const talk = sitDown([folder, '--no-launch', ...(mode === 'plain' ? ['--plain'] : [])])
      await talk.plays(
        ...upTo(PROVIDERS),
        [PROVIDERS, 'openai', enter],
        [MODEL, enter],
        ...from(IMAGE),
        [REVIEW, GO],
        // Nothing typed: it is asked again.
        [KEY, enter],
        ['Paste it here; it is not shown', secret, enter],
      )
      const { code, raw, text } = await talk.ends()
      expect(code).toBe(0)
      expect(raw).not.toContain(secret)
      expect(raw).not.toContain('sk-live')
      expect(text).toContain('--provider-key openai=@FILE')

      const holders = filesOf(folder).filter(({ content }) => content.includes('very-private'))
      expect(holders.map(({ path, mode: bits }) => [dirname(path), bits])).toEqual([
        [resolve(folder, 'secrets'), 0o400],
      ])
      expect(holders[0]?.content).toBe(secret)
    })

  test('that cannot be one is refused without being shown', async ({ folder, sitDown }) => {
    const talk = sitDown([folder, '--no-launch'])
    await talk.plays(...upTo(PROVIDERS), [PROVIDERS, 'openai', enter], [MODEL, enter], ...from(IMAGE), [
      REVIEW,
      GO,
    ])
    await talk.plays(
      [KEY, 'two words', enter],
      ['Allowed: one line of printable ASCII without spaces', ctrlC],
    )
    const { code, raw } = await talk.ends()
    expect(code).toBe(130)
    expect(raw).not.toContain('words')
  })
})

test('the printed command repeats the deployment without a question', async ({ folder, sitDown }) => {
  const talk = sitDown([folder, '--no-launch'])
  await talk.plays(
    [NAME, clear, 'the-same', enter],
    [POSTURE, pick(1)],
    [PROVIDERS, 'openai, local=http://10.0.0.5:8000/v1', enter],
    [MODEL, 'local/llama-3', enter],
    [IMAGE, pick(2)],
    ['On which Node image is it built?', clear, 'node:24-trixie', enter],
    [ACCESS, pick(1)],
    [PORT, clear, '20003', enter],
    [SSH, 'me@host.example:2222', enter],
    [STORE, enter],
    [CONTACT, `Ada O'Brien "on call", +1 555 0100; $HOME`, enter],
    [REVIEW, GO],
    [KEY, 'sk-1', enter],
    ['API key of local', 'sk-2', enter],
  )
  const { code, text } = await talk.ends()
  expect(code).toBe(0)
  const printed = /The same without questions:\n {2}npx create-openclaw-secure (.*)\n/.exec(text)?.[1] ?? ''
  expect(printed).toContain(folder)

  const again = freshFolder('again')
  const file = resolve(dirname(again), 'key')
  writeFileSync(file, 'sk-0\n', { mode: 0o600 })
  try {
    const command = printed.replace(folder, again).replaceAll('@FILE', `@${file}`)
    const ran = await sh('/bin/sh', ['-c', `"$0" "$1" ${command}`, process.execPath, BIN])
    expect(ran).toMatchObject({ code: 0 })
    expect(answersIn(again)).toBe(answersIn(folder))
  } finally {
    rmSync(dirname(again), { recursive: true, force: true })
  }
})

describe.concurrent('plain mode', () => {
  const ways: [string, string[], Record<string, string>][] = [
    ['--plain', ['--plain'], {}],
    ['ACCESSIBLE=1', [], { ACCESSIBLE: '1' }],
    ['TERM=dumb', [], { TERM: 'dumb' }],
  ]
  for (const [name, args, env] of ways)
    test(`of ${name} asks everything line by line, without colour and without redrawing`, async ({
      folder,
      sitDown,
    }) => {
      const talk = sitDown([folder, '--no-launch', ...args], { env })
      await talk.plays(
        [NAME, 'A B', enter],
        ['Allowed: 2 to 40 of a-z', 'typed', enter],
        // By number, by value, and back.
        [POSTURE, '3', enter],
        [PROVIDERS, '<', enter],
        [POSTURE, 'workspace', enter],
        [PROVIDERS, '<', enter],
        [POSTURE, '9', enter],
        ['Allowed: a number from 1 to 4', '1', enter],
        [PROVIDERS, 'openai', enter],
        [MODEL, enter],
        ...from(IMAGE),
        [REVIEW, '2', enter],
        // An answer that may be empty is emptied with a dash.
        [CHANGE, '3', enter],
        ['[openai; - for none]', '-', enter],
        ['agent.providers   (empty)'],
        [REVIEW, enter],
      )
      const { code, raw, restored } = await talk.ends()
      expect({ code, restored }).toEqual({ code: 0, restored: true })
      expect(raw).not.toContain('\x1b')
      expect(answersIn(folder)).toMatch(/name: "typed"[\s\S]*posture: "chat"/)
    })
})

describe.concurrent('colour', () => {
  for (const [name, args, env] of [
    ['NO_COLOR=1', [], { NO_COLOR: '1' }],
    ['--no-color', ['--no-color'], {}],
    ['--no-color against FORCE_COLOR=1', ['--no-color'], { FORCE_COLOR: '1' }],
  ] as [string, string[], Record<string, string>][])
    test(`there is none with ${name}`, async ({ folder, sitDown }) => {
      const talk = sitDown([folder, '--no-launch', ...args], { env })
      await talk.plays(...DEFAULTS, [REVIEW, GO])
      const { code, raw } = await talk.ends()
      expect(code).toBe(0)
      expect(raw).not.toMatch(COLOUR)
      expect(raw).toMatch(REDRAWING)
    })

  test('there is some without', async ({ folder, sitDown }) => {
    const talk = sitDown([folder, '--no-launch'])
    await talk.plays([NAME, ctrlC])
    expect((await talk.ends()).raw).toMatch(COLOUR)
  })
})

describe.concurrent('nobody is asked', () => {
  const everything = ['--name', '--agent', '--provider', '--image-from', '--access', '--port', '--contact']

  test('with CI set, although there is a terminal: everything missing is listed at once', async ({
    folder,
    sitDown,
  }) => {
    const talk = sitDown([folder, '--no-launch'], { env: { CI: '1' } })
    const { code, text, raw } = await talk.ends()
    expect(code).toBe(2)
    for (const flag of everything) expect(text).toContain(`set it with ${flag} or OPENCLAW_SECURE_`)
    expect(raw).not.toMatch(REDRAWING)
    expect(existsSync(folder)).toBe(false)
  })

  test('without a terminal either', async ({ folder }) => {
    const { code, stderr } = await cli([folder, '--no-launch'])
    expect(code).toBe(2)
    for (const flag of everything) expect(stderr).toContain(`set it with ${flag} or OPENCLAW_SECURE_`)
  })
})

describe.concurrent('a small terminal', () => {
  for (const [cols, rows] of [
    [80, 24],
    [40, 12],
  ] as const)
    test(`of ${cols} by ${rows} is enough`, async ({ folder, sitDown }) => {
      const talk = sitDown([folder, '--no-launch'], { cols, rows })
      await talk.plays(
        ...DEFAULTS.map(([shown, ...keys]) => [shown.slice(0, 20), ...keys] as const),
        ['Go ahead', CHANGE_ANSWER],
        // Past what fits on the screen, to the last answer.
        [CHANGE, up, up, enter],
        ['Who is called first', 'Ada', enter],
        ['Go ahead', GO],
      )
      const { code, restored } = await talk.ends()
      expect({ code, restored }).toEqual({ code: 0, restored: true })
      expect(answersIn(folder)).toContain('contact: "Ada"')
    })
})
