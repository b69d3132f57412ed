/**
 * Programs that run inside a container of the gateway's image. Each is sent there as its own source text, so it uses
 * nothing from outside itself: Node's modules come from `process.getBuiltinModule`, its input from stdin or its first
 * argument, and its answer goes to stdout as JSON.
 */

/** The text that `node -e` runs. */
export function asScript(program: () => unknown): string {
  return `(${program.toString()})()`
}

/** What {@link observe} prints. Raw, as the kernel says it. */
export interface Observed {
  /** Process id and /proc/PID/status of everything that was there three times within a second. */
  processes: [pid: string, status: string][]
  /** What AppArmor has on each of them. */
  labels: (string | null)[]
  cgroup: {
    v2: boolean
    memory: string | null
    pids: string | null
    max: string | null
    quota: string | null
    period: string | null
  }
  /** /proc/self/mounts */
  mounts: string
  /** /proc/1/limits */
  limits: string
  /** Listening TCP sockets, address and port in hexadecimal as in /proc/net/tcp. */
  listening: string[]
  /** In how many processes a secret was found. */
  found: { environ: number; cmdline: number; searched: number }
  /** The seed's forbidden folders: how many entries this user sees in each, or why none. */
  denied: Record<string, string>
}

/** Reads, and only reads. The secrets it looks for come through stdin as a JSON list. */
export function observe(): void {
  const fs = process.getBuiltinModule('node:fs')
  const first = (...paths: string[]) => {
    for (const path of paths)
      try {
        return fs.readFileSync(path, 'utf8').trim()
      } catch {}
    return null
  }
  const pids = () => fs.readdirSync('/proc').filter(name => /^\d+$/.test(name))
  const statuses = () => {
    const seen = new Map<string, string>()
    for (const pid of pids()) {
      const status = first(`/proc/${pid}/status`)
      if (status !== null) seen.set(pid, status)
    }
    return seen
  }
  const search = (secrets: string[]) => {
    const found = { environ: 0, cmdline: 0, searched: 0 }
    for (const pid of pids()) {
      if (pid === String(process.pid)) continue
      for (const file of ['environ', 'cmdline'] as const)
        try {
          const text = fs.readFileSync(`/proc/${pid}/${file}`, 'latin1')
          if (secrets.some(secret => text.includes(secret))) found[file] += 1
          if (file === 'environ') found.searched += 1
        } catch {}
    }
    return found
  }
  const denied = () => {
    const seen: Record<string, string> = {}
    const homes = ['/root', process.env.HOME ?? '/root']
    // Everybody whom the image knows, wherever they live, and whoever was mounted without being known.
    for (const line of (first('/etc/passwd') ?? '').split('\n')) homes.push(line.split(':')[5] || '/root')
    for (const folder of ['/home', '/Users'])
      try {
        for (const name of fs.readdirSync(folder)) homes.push(`${folder}/${name}`)
      } catch {}
    const places = homes.filter(home => !/^\/(nonexistent|proc|dev|sys|s?bin|run)?(\/|$)/.test(home))
    for (const home of new Set(places))
      for (const folder of ['.ssh', '.gnupg', '.aws', '.config'])
        try {
          seen[`${home}/${folder}`] = `${fs.readdirSync(`${home}/${folder}`).length} entries`
        } catch (error) {
          seen[`${home}/${folder}`] = String(Reflect.get(Object(error), 'code'))
        }
    try {
      seen['/root'] =
        `${fs.readdirSync('/root').filter(name => !/^\.(bashrc|profile|cache|npm)$/.test(name)).length} entries`
    } catch (error) {
      seen['/root'] = String(Reflect.get(Object(error), 'code'))
    }
    return seen
  }
  const listening = () =>
    ['tcp', 'tcp6']
      .flatMap(file => (first(`/proc/net/${file}`) ?? '').split('\n').slice(1))
      .map(line => line.trim().split(/\s+/))
      .filter(fields => fields[3] === '0A')
      .map(fields => fields[1] ?? '')
  const once = statuses()
  let input = ''
  process.stdin
    .on('data', chunk => {
      input += chunk
    })
    .on('end', () => {
      // Three looks within a second, and only who is there in all three counts, as it was last: what Docker is just
      // putting into the container (the health check) has its restrictions only a moment later.
      setTimeout(() => {
        const twice = statuses()
        setTimeout(() => {
          const group = '/sys/fs/cgroup/'
          const processes = [...statuses()].filter(([pid]) => once.has(pid) && twice.has(pid))
          const observed: Observed = {
            processes,
            labels: processes.map(([pid]) => first(`/proc/${pid}/attr/apparmor/current`)),
            cgroup: {
              v2: first(`${group}cgroup.controllers`) !== null,
              memory: first(`${group}memory.max`, `${group}memory/memory.limit_in_bytes`),
              pids: first(`${group}pids.max`, `${group}pids/pids.max`),
              max: first(`${group}cpu.max`),
              quota: first(`${group}cpu/cpu.cfs_quota_us`, `${group}cpu,cpuacct/cpu.cfs_quota_us`),
              period: first(`${group}cpu/cpu.cfs_period_us`, `${group}cpu,cpuacct/cpu.cfs_period_us`),
            },
            mounts: first('/proc/self/mounts') ?? '',
            limits: first('/proc/1/limits', '/proc/self/limits') ?? '',
            listening: listening(),
            found: search(JSON.parse(input)),
            denied: denied(),
          }
          process.stdout.write(JSON.stringify(observed))
        }, 600)
      }, 300)
    })
}

/** What {@link attempt} is told, as JSON in its first argument. */
export interface AttemptOrder {
  /** Folders in which to create a file. */
  write: string[]
  /** Folders from which to start a program. */
  execute: string[]
  /** Where to connect to: "192.0.2.1:8080". */
  connect: string[]
  /** Children to start at the most. */
  fork: number
  /** Mebibytes to use at the most. */
  hog: number
}

/** What {@link attempt} prints. Results are error codes where something was refused. */
export interface Attempted {
  write: Record<string, string>
  execute: Record<string, string>
  /** Programs that would change the user who runs them. */
  setuid: string[]
  /** "open" when a signal makes a Node process listen for a debugger. */
  debugger: 'open' | 'closed'
  connect: Record<string, string>
  /** Whether packets to anywhere have a way out. */
  route: boolean
  /** What the native probe printed (native/probe.c). */
  calls: string
  fork: string
  hog: string
  /** How the hog ended: a code, or a signal's name. */
  hogEnd: string
}

/** Tries what must not work, in a sibling container: nobody but itself is harmed if it does work. */
export async function attempt(): Promise<void> {
  const fs = process.getBuiltinModule('node:fs')
  const net = process.getBuiltinModule('node:net')
  const { spawn, spawnSync } = process.getBuiltinModule('node:child_process')
  const order: AttemptOrder = JSON.parse(process.argv[1] ?? '{}')
  const codeOf = (error: unknown) => String(Reflect.get(Object(error), 'code'))
  const wait = (ms: number) => new Promise(done => setTimeout(done, ms))
  const each = (folders: string[], one: (folder: string) => string) =>
    Object.fromEntries(folders.map(folder => [folder, one(folder)]))
  const write = (folder: string) => {
    const path = `${folder}/.ocs-write-test`
    try {
      fs.writeFileSync(path, '')
      fs.unlinkSync(path)
      return 'written'
    } catch (error) {
      return codeOf(error)
    }
  }
  const execute = (folder: string) => {
    const path = `${folder}/.ocs-exec-test`
    try {
      fs.copyFileSync('/bin/true', path)
    } catch (error) {
      return `not writable: ${codeOf(error)}`
    }
    try {
      fs.chmodSync(path, 0o755)
      const { error } = spawnSync(path)
      return error === undefined ? 'started' : codeOf(error)
    } catch (error) {
      return `not tried: ${codeOf(error)}`
    } finally {
      fs.rmSync(path, { force: true })
    }
  }
  const connect = (target: string) =>
    new Promise<[string, string]>(done => {
      const [host = '', port] = target.split(':')
      const socket = net.connect({ host, port: Number(port), timeout: 1500 })
      const end = (result: string) => {
        socket.destroy()
        done([target, result])
      }
      socket.once('connect', () => end('connected'))
      socket.once('timeout', () => end('silent'))
      socket.once('error', error => end(codeOf(error)))
    })
  const debuggerOpens = async () => {
    const child = spawn(process.execPath, ['-e', "setInterval(()=>{},1e3);process.stdout.write('up')"], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    await new Promise(done => child.stdout.once('data', done))
    child.kill('SIGUSR1')
    const listens = () => /:240D 0{8}:0{4} 0A/.test(fs.readFileSync('/proc/net/tcp', 'utf8'))
    let open = false
    for (
      let tries = 0;
      tries < 20 && !open && child.exitCode === null && child.signalCode === null;
      tries++
    ) {
      await wait(25)
      open = listens()
    }
    child.kill('SIGKILL')
    return open
  }
  const probe = (...args: string[]) => {
    const { stdout, stderr, status, signal, error } = spawnSync('/ocs-probe', args, {
      encoding: 'utf8',
      env: { ...process.env, OCS_SIBLING: '1' },
      timeout: 80_000,
      killSignal: 'SIGKILL',
    })
    const end = error === undefined ? String(signal ?? status) : codeOf(error)
    return { out: error === undefined && stdout !== '' ? stdout : `${stdout ?? ''}${stderr ?? ''}`, end }
  }
  const connections = Promise.all(order.connect.map(connect))
  const opens = await debuggerOpens()
  const found = spawnSync('find', ['/', '-xdev', '-type', 'f', '-perm', '/6000'], { encoding: 'utf8' })
  const calls = probe('calls')
  const fork = probe('fork', String(order.fork))
  const attempted: Omit<Attempted, 'hog' | 'hogEnd'> = {
    write: each(order.write, write),
    execute: each(order.execute, execute),
    setuid:
      found.error === undefined ? found.stdout.split('\n').filter(line => line !== '') : ['find is missing'],
    debugger: opens ? 'open' : 'closed',
    connect: Object.fromEntries(await connections),
    route: /^\S+\t0{8}\t(?!0{8})/m.test(fs.readFileSync('/proc/net/route', 'utf8')),
    calls: calls.out,
    fork: fork.out,
  }
  // Last, because the kernel may end more than the hog; what was seen before is printed by then.
  process.stdout.write(`${JSON.stringify(attempted)}\n`)
  const hog = probe('hog', String(order.hog))
  process.stdout.write(`${JSON.stringify({ hog: hog.out, hogEnd: hog.end })}\n`)
}

/** What we use of node:sqlite, which the Node of the image has and the types of our own do not know. */
interface Sqlite {
  DatabaseSync: new (
    path: string,
    options: { readOnly: boolean },
  ) => { prepare(sql: string): { get(): Record<string, unknown> | undefined }; close(): void }
  backup(source: unknown, path: string): Promise<number>
}

/**
 * What OpenClaw says of its configuration and state. Its argument is where the gateway's database lies, if a copy is to
 * be made of it.
 */
export async function askJudges(): Promise<void> {
  const database = process.argv[1] ?? ''
  const fs = process.getBuiltinModule('node:fs')
  const { spawnSync } = process.getBuiltinModule('node:child_process')
  try {
    // Where this runs within the gateway's own memory limit, the kernel is to take this process first.
    fs.writeFileSync('/proc/self/oom_score_adj', '1000')
  } catch {}
  let records: number | undefined
  if (fs.existsSync(database)) {
    // It is noted there which configuration was seen, so every command writes, if only that. Into a copy, then; SQLite
    // makes it, because the gateway is writing meanwhile.
    const { DatabaseSync, backup } = process.getBuiltinModule('node:sqlite' as 'node:fs') as unknown as Sqlite
    const original = new DatabaseSync(`${database}/openclaw.sqlite`, { readOnly: true })
    const copy = `${process.env.OPENCLAW_STATE_DIR}/state/openclaw.sqlite`
    await backup(original, copy)
    fs.chmodSync(copy, 0o600)
    try {
      // The ledger, without starting OpenClaw once more: another release may keep it elsewhere, and is asked.
      records = Number(original.prepare('SELECT count(*) AS n FROM audit_events').get()?.n)
    } catch {}
    original.close()
  }
  // OpenClaw's commands, all in this one process: starting it takes longer than any of them.
  const entry = `${process.cwd()}/dist/index.js`
  const { runLegacyCliEntry: run }: { runLegacyCliEntry?: (argv: string[]) => Promise<void> } = await import(
    entry
  ).catch(() => ({}))
  const stdout = process.stdout.write.bind(process.stdout)
  const exit = process.exit.bind(process)
  const ended = Symbol('ended')
  const swallow = (error: unknown) => {
    if (error !== ended) exit(70)
  }
  process.on('uncaughtException', swallow).on('unhandledRejection', swallow)
  const openclaw = async (...args: string[]) => {
    const argv = [process.execPath, `${process.cwd()}/openclaw.mjs`, ...args, '--json']
    const said = { out: '', err: '' }
    if (run === undefined) {
      const {
        status,
        stdout: out,
        stderr: err,
      } = spawnSync(process.execPath, argv.slice(1), { encoding: 'utf8' })
      return { code: status ?? 137, stdout: out, stderr: err.slice(-2000) }
    }
    const into = (which: 'out' | 'err') =>
      ((chunk: unknown, encoding: unknown, done: unknown) => {
        said[which] += String(chunk)
        const callback = typeof encoding === 'function' ? encoding : done
        if (typeof callback === 'function') callback()
        return true
      }) as typeof process.stdout.write
    process.stdout.write = into('out')
    process.stderr.write = into('err')
    process.argv = argv
    process.exitCode = 0
    const left = new Promise<void>(done => {
      process.exit = (code => {
        process.exitCode = code ?? process.exitCode
        done()
        throw ended
      }) as typeof process.exit
    })
    const late = new Promise<void>(done => setTimeout(done, 60_000).unref())
    await Promise.race([run(argv), left, late]).catch(error => {
      if (error === ended) return
      process.exitCode = 1
      said.err += `Reason: ${String(error)}`
    })
    return { code: Number(process.exitCode), stdout: said.out, stderr: said.err.slice(-2000) }
  }
  const security = await openclaw('security', 'audit')
  const secrets = await openclaw('secrets', 'audit')
  const approvals = await openclaw('approvals', 'get')
  // The audit has read the configuration. When it could not, this says why.
  const validation = security.code === 0 ? undefined : await openclaw('config', 'validate')
  const ledger = records === undefined ? await openclaw('audit', '--limit', '1') : undefined
  stdout(JSON.stringify({ security, secrets, approvals, validation, records, ledger }), () => exit(0))
}

/** Tries to read the secrets, in a container that runs as somebody else. */
export function readAsStranger(): void {
  const fs = process.getBuiltinModule('node:fs')
  const folder = process.argv[1] ?? ''
  const seen: Record<string, string> = {}
  const names = (() => {
    try {
      return fs.readdirSync(folder)
    } catch (error) {
      seen[folder] = String(Reflect.get(Object(error), 'code'))
      return JSON.parse(process.argv[2] ?? '[]') as string[]
    }
  })()
  for (const name of names)
    try {
      seen[name] = `read ${fs.readFileSync(`${folder}/${name}`).length > 0 ? 'it' : 'nothing'}`
    } catch (error) {
      seen[name] = String(Reflect.get(Object(error), 'code'))
    }
  process.stdout.write(JSON.stringify({ uid: process.getuid?.() ?? -1, seen }))
}
