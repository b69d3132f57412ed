import { setMaxListeners } from 'node:events'
import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command, CommanderError, Option } from 'commander'
import { EGRESS_COMMANDS } from './commands/egress-table.ts'
import {
  age,
  collect,
  givenIn,
  OPEN_WITH,
  oneFolder,
  seconds,
  withGlobals,
  withOpeners,
  withQuestions,
} from './commands/flags.ts'
import { INCIDENT_COMMANDS, INCIDENT_OPTIONS, LOCKDOWN_COMMANDS } from './commands/incident-table.ts'
import type { Program } from './commands/program.ts'
import { Exit, type ExitCode, ToolError, UsageError, visibleLines } from './errors.ts'
import { FORMATS } from './report/format.ts'
import { guarded } from './report/guard.ts'
import { Redactor, type Secret } from './secret.ts'
import { environmentName } from './wizard/question.ts'
import { questions } from './wizard/questions.ts'

/**
 * Runs the command line and ends the process. The only place that does: everything below throws or returns a code.
 */
export async function main(argv: readonly string[] = process.argv): Promise<void> {
  const stop = new AbortController()
  const abandon = new AbortController()
  // Every child that runs listens for the end, and checks run many at once.
  setMaxListeners(0, stop.signal, abandon.signal)
  let listening = false
  let interrupts = 0
  // Whatever this program learns, it does not say: what it prints goes through here, its last words too.
  const redactor = new Redactor()
  let stdout: Program['stdout'] | undefined
  let stderr: Program['stderr'] | undefined
  const interrupt = () => {
    interrupts += 1
    if (interrupts > 1) {
      process.stderr.write(
        '\nStopped in the middle of a step. Run the same command again (rotate: with --resume): it goes on from there.\n',
      )
      abandon.abort()
      process.exit(Exit.interrupted)
    }
    process.stderr.write('\nStopping as soon as this step is at a safe point (Ctrl-C again: at once).\n')
    stop.abort()
  }
  process.on('SIGINT', interrupt)
  process.on('SIGTERM', interrupt)
  process.on('SIGHUP', interrupt)
  // The variables are read here and nowhere else; what is not ours goes to nobody but the children that need it.
  const program: Program = {
    version: packageVersion(),
    cwd: process.cwd(),
    env: process.env,
    // Node makes each stream when it is first named, and the terminal behind it: `--help` needs one of three.
    get stdin() {
      listening = true
      return process.stdin
    },
    get stdout() {
      stdout ??= guarded(patient(process.stdout), redactor)
      return stdout
    },
    get stderr() {
      stderr ??= guarded(patient(process.stderr), redactor)
      return stderr
    },
    // Around the guard, and to a terminal alone: a pipe or a file would keep it.
    get reveal() {
      if (!process.stdout.isTTY) return undefined
      return (secret: Secret) => {
        const value = secret.expose()
        process.stdout.write(`${value}\n`)
      }
    },
    redactor,
    person: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
    signal: stop.signal,
    abandon: abandon.signal,
    now: () => new Date(),
  }
  process.exitCode = await run(program, argv)
  // After a Ctrl-C, what a check had asked for may still be under way.
  abandon.abort()
  // A conversation leaves stdin open; nothing is waited for any more.
  if (listening) process.stdin.pause().unref?.()
}

/** A reader that goes away (`| head`, a terminal that is closed) is not an error of ours. */
function patient<T extends NodeJS.WritableStream>(stream: T): T {
  if (stream.listenerCount('error') === 0) stream.on('error', () => {})
  return stream
}

/** Runs one command and returns its exit code; errors become a message on stderr. */
export async function run(program: Program, argv: readonly string[]): Promise<ExitCode> {
  let code: ExitCode = Exit.done
  try {
    await commandTable(program, result => {
      code = result
    }).parseAsync([...argv])
    return code
  } catch (error) {
    return report(program, error)
  }
}

/** Words that will be commands: nobody who types one means a folder. */
const COMMANDS_TO_COME = 'backup restore monitor maintain update diff remove'.split(' ')

/** All commands. Each loads its own code when it is chosen: `--help` loads none. */
function commandTable(program: Program, finish: (code: ExitCode) => void): Command {
  const root = new Command('create-openclaw-secure')
  /** Without a word behind it nothing was asked for. */
  const needsWord = (group: Command) =>
    group.action(() => {
      program.stderr.write(group.helpInformation())
      finish(Exit.usage)
    })
  root
    .description('From nothing to an OpenClaw gateway that is provably hard to abuse.')
    .version(program.version)
    .exitOverride()
    .configureOutput({ writeOut: text => program.stdout.write(text), writeErr: () => {} })
    .showSuggestionAfterError(true)
    .enablePositionalOptions()
    // The prompts ask Node for colours, and Node asks the environment: before they are loaded, so this is the place.
    .hook('preAction', (_, command) => {
      if (command.opts().color !== false) return
      program.env.NO_COLOR = '1'
      delete program.env.FORCE_COLOR
    })

  const setup = root
    .command('setup [directory]', { isDefault: true })
    .description('set up a gateway, or bring one in line with its deployment.yaml (default)')
  withGlobals(setup)
    .option('--answers <file>', 'read answers from a YAML or JSON file')
    .option('--no-launch', 'render the files and the secrets; do not touch an engine')
    .option('--no-verify', 'leave out the checks at the end, for whoever runs verify next')
    .option('--start-timeout <seconds>', 'how long the gateway may take to start', seconds, 180)
    .option('--build', `build the image here (${environmentName({ flag: '--image-from' })}=build)`)
    .option('--token <@file|@->', 'take this gateway token instead of a generated one', collect)
    .option('--provider-key <id=@file|id=@->', "a provider's key, from a file or stdin; repeatable", collect)
    .option(
      '--secret-value <name=@file|name=@->',
      'the value of a --secret, from a file or stdin; repeatable',
      collect,
    )
  withOpeners(setup)
  withQuestions(setup, questions)
  setup.action(async (directory: string | undefined, options: Record<string, unknown>) => {
    const command = await import('./commands/setup.ts')
    const target = oneFolder(program, directory, options.dir) ?? '.'
    if (directory !== undefined && COMMANDS_TO_COME.includes(directory))
      throw new UsageError([
        {
          field: 'command',
          given: directory,
          allowed: 'setup, verify, rotate, status or store: this version does not have it yet',
          flag: `./${directory} if you mean a folder of that name`,
        },
      ])
    finish(await command.setup(program, target, { ...options, given: givenIn(options) }))
  })

  // Setup is what runs without a command's name, so its flags belong to the first help a person sees.
  root.addHelpText('after', () => `\n${setup.helpInformation()}`)

  withGlobals(
    root.command('verify [directory]').description('prove the checklist against the running gateway'),
  )
    .option('--only <id>', 'only this check, or all of a group with "ports.*"; repeatable', collect)
    .option('--static', 'files only: ask no engine')
    .option('--prove', 'also show that every check can fail, in weak copies made for it and removed again')
    .option('--container <name>', 'the container to judge, where it cannot be found by the folder')
    .addOption(new Option('--format <format>', 'how to print it').choices(FORMATS))
    .option('--verbose', 'show what every check saw')
    .option(...OPEN_WITH)
    .action(async (directory: string | undefined, options) =>
      finish(
        await (await import('./commands/verify.ts')).verify(program, {
          ...options,
          dir: oneFolder(program, directory, options.dir),
        }),
      ),
    )

  const store = root
    .command('store')
    .description('where the secrets live: check it, move them, bring some in')
  needsWord(store)
  withGlobals(store.command('check').description('can the store be reached, and has it every secret?'))
    .option(...OPEN_WITH)
    .action(async options => finish(await (await import('./commands/store.ts')).storeCheck(program, options)))
  const move = withGlobals(
    store.command('move').description('move every secret into another store, while the gateway runs'),
  )
    .addOption(new Option('--to <store>', 'where they go').choices(['docker', 'vault', '1password']))
    .option('--resume', 'go on with a move that was cut short')
    .option(
      '--abandon',
      'give up a move that was cut short before the switch: the secrets stay where they were',
    )
    .option('--leave-old', 'with --resume: end a move whose old store can never be reached again')
    .option('--leave-new', 'with --abandon: give up a move whose new store can never be reached again')
    .option('--old-credential <@file|@->', 'what opens the old store, where it is not kept')
    .option('--destroy-old', 'agree that the copies in the old store are destroyed (needed with --yes)')
  withOpeners(move)
  withQuestions(
    move,
    questions.filter(({ group, id }) => group === 'Secrets' && !['store', 'extraSecrets'].includes(id)),
  )
  move.action(async options =>
    finish(
      await (await import('./commands/move.ts')).storeMove(program, { ...options, given: givenIn(options) }),
    ),
  )

  withGlobals(
    store.command('import').description('bring plaintext secrets of a set-up made by hand into the store'),
  )
    .option('--from <folder>', 'where its openclaw.json, .env or Compose file is')
    .option(...OPEN_WITH)
    .action(async options =>
      finish(await (await import('./commands/import.ts')).storeImport(program, options)),
    )

  withGlobals(
    root
      .command('rotate [secrets...]')
      .description('a new gateway token, or another secret, while the gateway runs'),
  )
    .option('--all', 'every secret of the deployment')
    .option('--resume', 'finish a rotation that was cut short, or take it back')
    .option('--if-older-than <age>', 'leave younger ones as they are: 30d, 12h, 4w', age)
    .addOption(
      new Option('--schedule <interval>', 'let a timer of this machine do it').choices([
        'monthly',
        'weekly',
        'off',
      ]),
    )
    .addOption(new Option('--scheduled').hideHelp())
    .option('--revoke-devices', 'also remove all paired devices: their own tokens outlive a rotation')
    .option(
      '--provider-key <id=@file|id=@->',
      "a provider's new key, from a file or stdin; repeatable",
      collect,
    )
    .option('--secret-value <name=@file|name=@->', 'the new value of a --secret; repeatable', collect)
    .option('--prove-url <url>', 'a call that the provider answers only with a good key (GET, 2xx)')
    .option('--prove-header <name>', 'the header that holds the key there (default: authorization, Bearer)')
    .option('--clipboard', 'put the new value into the clipboard')
    .option('--token-file <path>', 'write the new value into a new file, 0400')
    .option('--reveal', 'show the new value, once, on this terminal')
    .option('--start-timeout <seconds>', 'how long the gateway may take to start, if it must', seconds, 180)
    .option(...OPEN_WITH, collect)
    .action(async (secrets: string[], options) =>
      finish(await (await import('./commands/rotate.ts')).rotate(program, secrets, options)),
    )

  const egress = root.command('egress').description('whom the gateway and its agents may reach')
  needsWord(egress)
  for (const [words, help] of EGRESS_COMMANDS) {
    const one = withGlobals(egress.command(words).description(help))
    if (words === 'open') one.requiredOption('--for <time>', 'from 5m to 24h; then it closes itself')
    one.action(async () =>
      finish(await (await import('./commands/egress.ts')).egress(program, one.name(), one.args, one.opts())),
    )
  }

  const incident = withGlobals(
    root
      .command('incident')
      .argument('[runbook]', 'credential-exposed, container-compromised, or a file')
      .description('something is wrong: be led through a runbook that keeps the evidence'),
  )
  for (const [flags, help, several] of INCIDENT_OPTIONS)
    incident.addOption(
      several === undefined ? new Option(flags, help) : new Option(flags, help).argParser(collect),
    )
  incident
    .option('--start-timeout <seconds>', 'how long the gateway may take to start', seconds, 180)
    .option(...OPEN_WITH, collect)
    .action(async (runbook: string | undefined, options) =>
      finish(await (await import('./commands/incident-words.ts')).startIncident(program, runbook, options)),
    )
  for (const [words, help] of INCIDENT_COMMANDS) {
    const one = withGlobals(incident.command(words).description(help))
    if (words.startsWith('verify-bundle'))
      one.option('--public-key <file|SHA256:...>', 'who must have signed it (default: this deployment)')
    // What stands behind the program's name is that one's own.
    if (words.startsWith('analyze'))
      one.option('--service <name>', 'whose image, where several were preserved').passThroughOptions()
    one.action(async () => {
      const { incidentWord } = await import('./commands/incident-words.ts')
      finish(await incidentWord(program, one.name(), one.args, one.opts()))
    })
  }

  for (const [word, help] of LOCKDOWN_COMMANDS)
    withGlobals(root.command(word).description(help))
      .option(...OPEN_WITH, collect)
      .action(async options => finish(await (await import('./commands/lockdown.ts'))[word](program, options)))

  withGlobals(root.command('status').description('what runs, since when, and what is due'))
    .option(...OPEN_WITH)
    .action(async options => finish(await (await import('./commands/status.ts')).status(program, options)))
  return root
}

/** The last words of a failed command. */
function report(program: Program, error: unknown): ExitCode {
  const say = (text: string) => program.stderr.write(`${text}\n`)
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return Exit.done
    // Behind a misspelt flag there may stand anything, a secret too.
    const message = error.message
      .replace(/^error: /, '')
      .replace(/^(unknown option '[^'=]*)=.*?'(?=\n|$)/s, "$1'")
    say(`${message}\nAll flags: create-openclaw-secure --help`)
    return Exit.usage
  }
  if (error instanceof ToolError) {
    say(`\n${error.code}: ${visibleLines(error.message)}`)
    if (error.hint !== '') say(error.hint)
    return error.exit
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
  say(
    `\nThis is a defect of create-openclaw-secure ${program.version}, not of your input. Please report it with these lines:\n${visibleLines(stack)}`,
  )
  return Exit.unknown
}

function packageVersion(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  for (;;) {
    try {
      return String(JSON.parse(readFileSync(resolve(folder, 'package.json'), 'utf8')).version)
    } catch {
      if (dirname(folder) === folder) return '0.0.0'
      folder = dirname(folder)
    }
  }
}
