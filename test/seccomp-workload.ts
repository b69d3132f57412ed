/**
 * What the containers of a deployment have to be able to do, done for real: the gateway from its first start to its stop,
 * with an agent that a scripted model drives, and what stands beside it (sshd, Squid, HAProxy). `npm run seccomp:learn`
 * watches it, and the live suite repeats it under the profile that came out.
 */
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { resolve } from 'node:path'
import { IMAGE, type Ran, sh } from './live/harness.ts'

/** The gateway's image with what an agent works with, and with Debian's sshd, Squid and HAProxy, which run under the same profile. */
export const WORKBENCH = 'ocs-seccomp/workbench'

const PACKAGES =
  'ca-certificates curl git haproxy keyutils openssh-client openssh-server procps python3 squid sqlite3 time xz-utils'

/** Builds the workbench; nothing happens when it is there. */
export async function buildWorkbench(): Promise<void> {
  // An account without a password ("*"), since sshd refuses a locked one ("!").
  const dockerfile = `FROM ${IMAGE}
USER root
RUN apt-get -q update && apt-get -q install -y --no-install-recommends ${PACKAGES} && rm -rf /var/lib/apt/lists/* && usermod -p '*' node
USER 1000:1000
`
  // Without a proxy's own settings the build uses this machine's network, as the gateway's image does.
  await must(
    sh('docker', ['build', '--network', 'host', '--quiet', '--tag', WORKBENCH, '-'], {
      input: dockerfile,
      timeout: 600_000,
    }),
  )
}

/** A finished program, or an error that says what it said. */
export async function must(running: Promise<Ran>): Promise<Ran> {
  const ran = await running
  if (ran.code === 0) return ran
  throw new Error(`ended with ${ran.code}: ${(ran.stderr || ran.stdout).trim().slice(-2000)}`)
}

/** The limits every container of a deployment has, whatever the profile. */
export function hardening(profile: string): string[] {
  return [
    ...['--init', '--read-only', '--cap-drop', 'ALL', '--user', '1000:1000', '--no-healthcheck'],
    ...[
      '--security-opt',
      'no-new-privileges',
      ...(profile === '' ? [] : ['--security-opt', `seccomp=${profile}`]),
    ],
    ...['--pids-limit', '256', '--memory', '2g', '--memory-swap', '2g', '--ulimit', 'core=0'],
    ...['--ulimit', 'nofile=8192:8192', '--tmpfs', '/tmp:rw,noexec,nosuid,nodev,size=512m,mode=1777'],
    ...['--tmpfs', '/run:rw,noexec,nosuid,nodev,size=16m,mode=1777'],
    ...['--tmpfs', '/home/openclaw:rw,nosuid,nodev,size=256m,uid=1000,gid=1000,mode=0700'],
    ...['--env', 'HOME=/home/openclaw', '--env', 'OPENCLAW_STATE_DIR=/home/openclaw/.openclaw'],
    ...['--env', 'OPENCLAW_CONFIG_PATH=/home/openclaw/config/openclaw.json'],
    ...['--env', 'XDG_CACHE_HOME=/home/openclaw/.cache', '--env', 'OPENCLAW_DISABLE_BONJOUR=1'],
    ...['--env', 'NODE_OPTIONS=--max-old-space-size=1024 --disable-sigusr1'],
  ]
}

/** Waits for a file before it starts what it is given: whoever wants to watch attaches first. */
const GATE = ['sh', '-c', 'until [ -e /tmp/go ]; do sleep 0.1; done; exec "$@"', 'gate']

/** A container that waits for {@link open}. */
export async function gated(
  name: string,
  image: string,
  profile: string,
  command: readonly string[],
): Promise<void> {
  await must(
    sh('docker', [
      'run',
      '--detach',
      '--pull',
      'never',
      '--name',
      name,
      ...hardening(profile),
      image,
      ...GATE,
      ...command,
    ]),
  )
}

export async function open(name: string): Promise<void> {
  await must(inside(name, ['touch', '/tmp/go']))
}

/** A program in a running container. */
export function inside(name: string, command: readonly string[], input?: string): Promise<Ran> {
  return sh('docker', ['exec', '--interactive', name, ...command], { input: input ?? '', timeout: 300_000 })
}

/** One thing that has to work, as a person would name it. */
export interface Act {
  phase: string
  what: string
  run(): Promise<Ran>
}

/** What the agent is told to do by its model, turn by turn. */
export const AGENT: readonly { name: string; arguments: Record<string, unknown> }[] = [
  { name: 'write', arguments: { path: 'notes.txt', content: 'one\ntwo\nthree\n' } },
  { name: 'read', arguments: { path: 'notes.txt' } },
  { name: 'edit', arguments: { path: 'notes.txt', edits: [{ oldText: 'two', newText: '2' }] } },
  ...[
    'pwd; id; ls -la; uname -a; echo $((6*7)) | tee answer; cat notes.txt | sort | uniq -c | head -n 2; find . -type f | xargs wc -l; for i in 1 2 3; do (sleep 0.1; echo $i) & done; wait; grep -n 2 notes.txt; sed -i s/one/1/ notes.txt; cp -r . ../copy; mv ../copy ../moved; rm -r ../moved; ln -s notes.txt link; touch -d yesterday notes.txt; chmod 600 notes.txt; du -s .; df .; date; ps ax | head -3; kill -0 $$; trap "echo term" TERM; cat <<< here; diff <(echo a) <(echo b); mkfifo pipe; (cat pipe &); echo x > pipe; timeout 1 sleep 0.2; nohup true; env | wc -l; dd if=/dev/zero of=big bs=64k count=4 conv=fsync; truncate -s 1k big; stat big; split -b 512 big part; tar czf all.tar.gz notes.txt big; tar tzf all.tar.gz; gzip -c notes.txt | gunzip; sha256sum big; mktemp -d; printf "%s\\n" b a | sort > sorted',
    'git init -q . && git config user.email a@b.example && git config user.name a && git add notes.txt && git commit -qm first && git log --oneline && git status --short && git checkout -qb other && echo more >> notes.txt && git commit -qam second && git diff HEAD~1 --stat && git clone -q . /tmp/clone && git gc -q && git stash list && git grep -n more',
    `cat > t.py <<'P'
import asyncio, hashlib, json, multiprocessing, os, pathlib, random, shutil, socket, sqlite3, ssl, subprocess, tempfile, threading, time, urllib.request
c = sqlite3.connect('t.db'); c.execute('pragma journal_mode=wal'); c.execute('create table t(a)'); c.execute('insert into t values(1)'); c.commit(); print(c.execute('select count(*) from t').fetchone()); c.close()
t = threading.Thread(target=lambda: time.sleep(0.05)); t.start(); t.join()
print(subprocess.run(['echo', 'child'], capture_output=True, text=True).stdout)
with tempfile.TemporaryDirectory() as d: shutil.copyfile('notes.txt', d + '/x'); shutil.copytree('.', d + '/y', symlinks=True, ignore=lambda *_: ['pipe', '.git'])
async def main():
    p = await asyncio.create_subprocess_exec('true'); await p.wait()
    s = await asyncio.start_server(lambda r, w: w.close(), '127.0.0.1', 0); r, w = await asyncio.open_connection(*s.sockets[0].getsockname()); await r.read(); w.close(); s.close()
asyncio.run(main())
print(urllib.request.urlopen('http://127.0.0.1:18789/healthz').status, os.cpu_count(), os.getloadavg(), hashlib.sha256(b'x').hexdigest(), random.random())
P
python3 t.py && python3 -m unittest -q 2>&1 | tail -1; python3 -m venv --without-pip /tmp/venv && /tmp/venv/bin/python -c 'print(1)'`,
    `cat > t.mjs <<'N'
import { Worker } from 'node:worker_threads'; import { spawn, execSync, fork } from 'node:child_process'; import fs from 'node:fs'; import os from 'node:os'; import net from 'node:net'; import dns from 'node:dns'; import { DatabaseSync } from 'node:sqlite'; import crypto from 'node:crypto'; import zlib from 'node:zlib'
const w = new Worker('require("node:worker_threads").parentPort.postMessage(1)', { eval: true }); await new Promise(r => w.on('message', r))
const db = new DatabaseSync('n.db'); db.exec('pragma journal_mode=wal; create table t(a); insert into t values(1)'); db.close()
console.log(execSync('echo child').toString(), os.networkInterfaces().lo !== undefined, os.userInfo().uid, os.loadavg(), os.freemem() > 0)
await fs.promises.cp('notes.txt', 'copied.txt'); const watch = fs.watch('.'); fs.writeFileSync('seen', 'x'); watch.close(); fs.symlinkSync('seen', 'seen-link'); fs.rmSync('seen-link'); fs.statfsSync('.'); fs.appendFileSync('seen', 'y'); fs.utimesSync('seen', 1, 1); fs.fsyncSync(fs.openSync('seen', 'r+'))
const server = net.createServer(s => s.end('x')).listen('/tmp/t.sock'); await new Promise(r => net.connect('/tmp/t.sock').resume().on('close', r)); server.close()
const c = spawn('sleep', ['5'], { detached: true }); c.kill('SIGTERM'); await new Promise(r => c.on('exit', r))
await new Promise(r => dns.lookup('no.invalid', r)); await new Promise(r => dns.resolve('no.invalid', r)); await new Promise(r => crypto.pbkdf2('a', 'b', 1000, 32, 'sha256', r)); await new Promise(r => zlib.gzip('x', r)); console.log((await fetch('http://127.0.0.1:18789/healthz')).status)
N
node t.mjs && npm --version && node --test --test-reporter=dot`,
    'curl -sS -o /dev/null -w "%{http_code}" http://127.0.0.1:18789/healthz; curl -sS --max-time 2 https://127.0.0.1:18789/ ; curl -sS --max-time 2 http://no.invalid; sqlite3 /tmp/s.db "create table t(a); insert into t values(1); select * from t"; python3 -c "import pty,os; pty.spawn([\'true\'])"; script -qc true /dev/null; xz -T2 -k notes.txt; /usr/bin/time true; nice -n 5 true',
  ].map(command => ({
    name: 'exec',
    arguments: { command: `bash <<'BASH'\n${command}\nBASH`, timeoutSeconds: 240, yieldMs: 240_000 },
  })),
]

/** The scripted model: an OpenAI-compatible server that hands out {@link AGENT} one call a turn, and keeps what came back. */
export async function startModel(
  address: string,
): Promise<{ url: string; results: string[]; server: Server }> {
  const results: string[] = []
  const server = createServer(async (request, response) => {
    if (request.method === 'GET') {
      response.end(JSON.stringify({ object: 'list', data: [{ id: 'm', object: 'model' }] }))
      return
    }
    const { messages = [] }: { messages?: { role: string; content: unknown }[] } = JSON.parse(
      await text(request),
    )
    const done = messages
      .filter(message => message.role === 'tool')
      .map(message => JSON.stringify(message.content))
    if (done.length > results.length) results.splice(0, results.length, ...done)
    const next = AGENT[done.length]
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const chunk = (delta: object, finish_reason: string | null) =>
      response.write(
        `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', model: 'm', choices: [{ index: 0, delta, finish_reason }] })}\n\n`,
      )
    if (next === undefined) chunk({ role: 'assistant', content: 'finished' }, null)
    else {
      const called = { name: next.name, arguments: JSON.stringify(next.arguments) }
      const tool_calls = [{ index: 0, id: `call_${done.length}`, type: 'function', function: called }]
      chunk({ role: 'assistant', tool_calls }, null)
    }
    chunk({}, next === undefined ? 'stop' : 'tool_calls')
    response.end('data: [DONE]\n\n')
  })
  await new Promise<void>(listening => server.listen(0, address, listening))
  return { url: `http://${address}:${(server.address() as AddressInfo).port}/v1`, results, server }
}

async function text(request: IncomingMessage): Promise<string> {
  let all = ''
  for await (const chunk of request) all += String(chunk)
  return all
}

/** A gateway whose agent has the tools of the `coding` posture, without the sandbox: the profile has to carry both. */
export function gatewayConfig(modelUrl: string): string {
  const provider = { source: 'file', path: '/home/openclaw/config/token', mode: 'singleValue' }
  return JSON.stringify({
    gateway: {
      mode: 'local',
      bind: 'lan',
      port: 18789,
      auth: { mode: 'token', token: { source: 'file', provider: 'token', id: 'value' } },
      controlUi: { enabled: true, allowedOrigins: ['http://127.0.0.1:18789'] },
    },
    secrets: { providers: { token: provider } },
    models: {
      catalogRefresh: { enabled: false },
      providers: {
        mock: {
          baseUrl: modelUrl,
          apiKey: 'none',
          api: 'openai-completions',
          models: [{ id: 'm', name: 'm', contextWindow: 128_000, maxTokens: 4096 }],
        },
      },
    },
    agents: {
      defaults: {
        workspace: '/home/openclaw/.openclaw/workspace',
        sandbox: { mode: 'off' },
        model: { primary: 'mock/m' },
      },
    },
    tools: { profile: 'coding', exec: { mode: 'full' }, elevated: { enabled: false } },
    plugins: { allow: ['memory-core'] },
    discovery: { mdns: { mode: 'off' } },
    update: { checkOnStart: false, auto: { enabled: false } },
    telemetry: { enabled: false },
  })
}

const OPENCLAW = ['node', 'openclaw.mjs']
export const GATEWAY = [...OPENCLAW, 'gateway', '--bind', 'lan', '--port', '18789']

/** Puts configuration and token where a gated gateway will look for them. */
export async function furnish(name: string, config: string, token: string): Promise<void> {
  const put = 'umask 077; mkdir -p /home/openclaw/config; cat > /home/openclaw/config/$1'
  for (const [file, content] of [
    ['openclaw.json', config],
    ['token', token],
  ] as const)
    await must(inside(name, ['sh', '-c', put, 'put', file], content))
}

const ASK = `const [path, token] = JSON.parse(require('node:fs').readFileSync(0));
fetch('http://127.0.0.1:18789' + path, token ? { headers: { authorization: 'Bearer ' + token } } : {}).then(r => console.log(r.status), e => { console.error(String(e.cause)); process.exit(1) })`

/** Everything a gateway does between start and stop. `results` are what the agent's tools came back with. */
export function gatewayActs(name: string, token: string, model: { results: string[] }): Act[] {
  const ask = (path: string, withToken: boolean, status: string) => async () => {
    const ran = await inside(name, ['node', '-e', ASK], JSON.stringify([path, withToken ? token : '']))
    return ran.stdout.trim() === status
      ? ran
      : { ...ran, code: 1, stderr: `${ran.stdout}${ran.stderr}, not ${status}` }
  }
  const openclaw =
    (...args: string[]) =>
    () =>
      inside(name, [...OPENCLAW, ...args])
  return [
    { phase: 'calls', what: 'answers its health check', run: ask('/healthz', false, '200') },
    { phase: 'calls', what: 'refuses a call without the token', run: ask('/api/channels/x', false, '401') },
    { phase: 'calls', what: 'takes a call with the token', run: ask('/api/channels/x', true, '404') },
    { phase: 'calls', what: 'serves its page', run: ask('/', false, '200') },
    {
      phase: 'agent turn',
      what: 'runs an agent turn with every tool call of the script',
      async run() {
        const ran = await openclaw(...AGENT_TURN)()
        const { length } = model.results
        return length === AGENT.length
          ? ran
          : { ...ran, code: 1, stderr: `${length} tool calls; ${ran.stderr}` }
      },
    },
    { phase: 'maintenance', what: 'reloads its secrets', run: openclaw('secrets', 'reload', '--json') },
    {
      phase: 'maintenance',
      what: 'makes a backup and verifies it',
      run: () =>
        inside(name, [
          'sh',
          '-c',
          'mkdir -p /tmp/b && node openclaw.mjs backup create --verify --output /tmp/b',
        ]),
    },
    {
      phase: 'docker exec',
      what: 'lets a person look inside',
      run: () => inside(name, ['bash', '-c', 'ps ax; ls -la /proc/1']),
    },
  ]
}

const AGENT_TURN = [
  'agent',
  '--agent',
  'main',
  '--session-key',
  'agent:main:learn',
  '--message',
  'go',
  '--json',
]

/** Waits for a gateway that has been started. Errors: with the end of its log, when it has not answered by then. */
export async function untilReady(name: string, deadline = 300_000): Promise<number> {
  const began = Date.now()
  for (;;) {
    const ran = await inside(name, ['node', '-e', ASK], JSON.stringify(['/readyz']))
    if (ran.stdout.trim() === '200') return Date.now() - began
    if (Date.now() - began > deadline) {
      const { stdout, stderr } = await sh('docker', ['logs', '--tail', '20', name])
      throw new Error(`not ready: ${ran.stdout}${ran.stderr}\n${stdout}${stderr}`)
    }
    await new Promise(done => setTimeout(done, 500))
  }
}

/** The bridge's own address, where a container finds the model. */
export async function bridgeAddress(): Promise<string> {
  const { stdout } = await must(
    sh('docker', ['network', 'inspect', 'bridge', '--format', '{{(index .IPAM.Config 0).Gateway}}']),
  )
  return stdout.trim()
}

export const ROOT = resolve(import.meta.dirname, import.meta.dirname.includes('/dist/') ? '../..' : '..')
