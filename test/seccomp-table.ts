/**
 * `npm run seccomp:table`: what each profile refuses and what it leaves working, measured in containers side by side, and
 * written as the one table in docs/seccomp.md. The live suite measures the same and holds the profile to it.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { syscallsOf } from '../src/docker/syscalls.ts'
import { sh } from './live/harness.ts'
import { buildWorkbench, hardening, must, ROOT, WORKBENCH } from './seccomp-workload.ts'

/** What is compared. Apart from the filter all three are the same: no capabilities, no new privileges, user 1000. */
export const PROFILES = {
  ours: resolve(ROOT, 'templates/seccomp-profile.json'),
  'Docker’s default': '',
  unconfined: 'unconfined',
} as const
export type ProfileName = keyof typeof PROFILES

/** How a filter says no. As capabilities do: what is refused without a filter wants one. */
export const REFUSED = /^(EPERM|EACCES|ENOSYS|SIGSYS)$/

const python = (code: string) => `python3 -c '${code}'`
const node = (code: string) => `node --input-type=module -e '${code}'`

/** What people and agents do every day: forty things, of which a profile should break none; two are breaches it should stop. */
export const EVERYDAY: Readonly<Record<string, string>> = {
  'a sleep that was stopped and continued':
    'sleep 0.4 & p=$!; kill -STOP $p; sleep 0.1; kill -CONT $p; wait $p',
  'bash: read with a timeout': 'read -t 0.1 x < <(sleep 1); [ $? -gt 128 ]',
  'bash: jobs and wait -n': '(sleep 0.1; exit 3) & sleep 0.5 & wait -n; [ $? = 3 ]',
  'bash: process substitution': '[ "$(cat <(echo a) <(echo b) | wc -l)" = 2 ]',
  'cp -a': 'mkdir a && echo 1 > a/f && ln -s f a/l && cp -a a b && [ -L b/l ]',
  'cp --sparse': 'truncate -s 1M s && cp --sparse=always s t && [ "$(stat -c %s t)" = 1048576 ]',
  'tar with attributes':
    'mkdir a && echo 1 > a/f && tar --xattrs --acls -czf a.tgz a 2>/dev/null && tar -xzf a.tgz',
  fallocate: 'fallocate -l 64k f && [ "$(stat -c %s f)" = 65536 ]',
  'dd with fsync': 'dd if=/dev/zero of=f bs=64k count=2 conv=fsync,notrunc 2>/dev/null',
  'script, a terminal of one’s own': 'script -qec "test -t 0" /dev/null',
  taskset: 'taskset -c 0 true',
  'id with groups': 'id -G && groups',
  nice: 'nice -n 5 true',
  'chrt --batch': 'chrt --batch 0 true',
  ionice: 'ionice -c 3 true',
  'timeout --kill-after': 'timeout -k 1 0.2 sleep 5; [ $? = 124 ]',
  flock: 'flock f true',
  mkfifo: 'mkfifo p; (echo x > p) & [ "$(cat p)" = x ]',
  setsid: 'setsid --wait true',
  prlimit: 'prlimit --nofile=100 true',
  'sort --parallel': 'seq 20000 | sort -R --parallel=2 | sort -n --parallel=2 | tail -n 1 | grep -qx 20000',
  'xz with threads': 'seq 20000 | xz -T2 | xz -d | tail -n 1 | grep -qx 20000',
  'git commit, clone and gc':
    'git init -q r && cd r && git -c user.name=a -c user.email=a@b.example commit -q --allow-empty -m 1 && git gc -q && git clone -q . ../c',
  'python: select, poll and epoll': python(
    'import os, select; r, w = os.pipe(); os.write(w, b"x"); assert select.select([r], [], [], 1)[0]; p = select.poll(); p.register(r); assert p.poll(1); e = select.epoll(); e.register(r); assert e.poll(1)',
  ),
  'python: waitid': python(
    'import os; p = os.fork() or os._exit(0); assert os.waitid(os.P_PID, p, os.WEXITED)',
  ),
  'python: sendfile': python(
    'import os; open("f", "w").write("x"); i = os.open("f", 0); o = os.open("g", 66); assert os.sendfile(o, i, 0, 1) == 1',
  ),
  'python: an interval timer': python(
    'import signal; signal.signal(signal.SIGALRM, lambda *_: None); signal.setitimer(signal.ITIMER_REAL, 0.05); signal.pause()',
  ),
  'python: sigtimedwait': python(
    'import signal; signal.pthread_sigmask(0, [10]); assert signal.sigtimedwait([10], 0.05) is None',
  ),
  'python: multiprocessing': python(
    'import multiprocessing as m; p = m.get_context("fork").Pool(2); assert p.map(abs, [-1, -2]) == [1, 2]',
  ),
  'python: asyncio subprocess': python(
    'import asyncio\nasync def f(): return await (await asyncio.create_subprocess_exec("true")).wait()\nassert asyncio.run(f()) == 0',
  ),
  'python: mmap and madvise': python(
    'import mmap; m = mmap.mmap(-1, 8192); m.madvise(mmap.MADV_DONTNEED); m.flush()',
  ),
  'python: splice and copy_file_range': python(
    'import os; open("f", "w").write("x"); i = os.open("f", 0); o = os.open("g", 66); assert os.copy_file_range(i, o, 1) == 1; r, w = os.pipe(); assert os.splice(i, w, 1, offset_src=0) == 1',
  ),
  'node: fs.cp': node(
    'import fs from "node:fs"; fs.mkdirSync("a"); fs.writeFileSync("a/f", "x"); fs.cpSync("a", "b", { recursive: true })',
  ),
  'node: workers that wait for each other': node(
    'import { Worker } from "node:worker_threads"; const s = new Int32Array(new SharedArrayBuffer(4)); new Worker("const { workerData: s } = require(\\"node:worker_threads\\"); Atomics.store(s, 0, 1); Atomics.notify(s, 0)", { eval: true, workerData: s, execArgv: [] }); if (Atomics.wait(s, 0, 0, 5000) === "timed-out") process.exit(1)',
  ),
  'node: SQLite': node(
    'import { DatabaseSync } from "node:sqlite"; const d = new DatabaseSync("d"); d.exec("pragma journal_mode=wal; create table t(a)")',
  ),
  'node: watching a folder': node(
    'import fs from "node:fs"; fs.watch(".", () => process.exit(0)); setTimeout(() => fs.writeFileSync("x", ""), 50); setTimeout(() => process.exit(1), 3000)',
  ),
  'node: child processes': node(
    'import { fork } from "node:child_process"; import fs from "node:fs"; fs.writeFileSync("c.cjs", "process.send(1)"); fork("./c.cjs").on("message", () => process.exit(0))',
  ),
  'sqlite3 with a write-ahead log':
    'sqlite3 d "pragma journal_mode=wal; create table t(a); insert into t values(1)"',
  'refused: a user namespace': '! unshare --user true',
  'refused: the keys of the session': '! keyctl show',
}

/** The x86-64 calls of Docker 20.10's own profile for a container without capabilities: counted once, not measured here. */
const DOCKERS_CALLS = 291

export interface Measured {
  /** Dangerous calls by name, each with what the kernel said. */
  calls: Map<string, string>
  /** Everyday things that failed. */
  failed: string[]
}

/** Runs the probe and the everyday list in a container under one profile. */
export async function measure(name: ProfileName): Promise<Measured> {
  const flags = ['run', '--rm', '--pull', 'never', '--network', 'none', ...hardening(PROFILES[name])]
  const probe = `type=bind,src=${resolve(ROOT, 'native/probe-x86_64')},dst=/ocs-probe,readonly`
  const calls = must(
    sh('docker', [
      ...[
        ...flags,
        '--mount',
        probe,
        '--env',
        'OCS_SIBLING=1',
        '--entrypoint',
        '/ocs-probe',
        WORKBENCH,
        'calls',
      ],
    ]),
  )
  const tries = Object.values(EVERYDAY).map(
    (script, index) =>
      `mkdir -p /tmp/e/${index} && cd /tmp/e/${index} && timeout 20 bash -c "$(cat <<'TRY'\n${script}\nTRY\n)" >/dev/null 2>&1 </dev/null && echo ${index}`,
  )
  const everyday = must(
    sh('docker', [...flags, '--interactive', '--entrypoint', 'bash', WORKBENCH, '-s'], {
      input: `${tries.join('\n')}\nexit 0\n`,
    }),
  )
  const worked = new Set((await everyday).stdout.trim().split('\n'))
  const lines = (await calls).stdout.trim().split('\n')
  return {
    calls: new Map(lines.map(line => [line.split(' ')[0] ?? '', line.split(' ')[1] ?? ''])),
    failed: Object.keys(EVERYDAY).filter((_, index) => !worked.has(String(index))),
  }
}

/** How many calls of x86-64 each profile allows, with some arguments at least. */
export function allowedCalls(name: ProfileName): number {
  const all = new Set(syscallsOf('x86_64').values())
  if (name === 'unconfined') return all.size
  if (name === 'Docker’s default') return DOCKERS_CALLS
  const { syscalls }: { syscalls: { names: string[]; action: string }[] } = JSON.parse(
    readFileSync(PROFILES.ours, 'utf8'),
  )
  const allowed = syscalls.filter(rule => rule.action === 'SCMP_ACT_ALLOW').flatMap(rule => rule.names)
  return new Set(allowed.filter(call => all.has(call))).size
}

/** The table, in Markdown. */
export function tableOf(measured: Readonly<Record<ProfileName, Measured>>): string {
  const names = Object.keys(measured) as ProfileName[]
  const row = (first: string, cell: (name: ProfileName) => string) =>
    `| ${[first, ...names.map(cell)].join(' | ')} |`
  const refused = (name: ProfileName) =>
    [...measured[name].calls.values()].filter(result => REFUSED.test(result)).length
  const shown = (result: string) => (REFUSED.test(result) ? result : `**${result}**`)
  return [
    row('', name => name),
    `|---${'|---'.repeat(names.length)}|`,
    row('x86-64 calls allowed', name => String(allowedCalls(name))),
    row('dangerous calls refused', name => `${refused(name)} of ${measured[name].calls.size}`),
    row(
      'everyday things that work',
      name =>
        `${Object.keys(EVERYDAY).length - measured[name].failed.length} of ${Object.keys(EVERYDAY).length}`,
    ),
    ...[...measured.ours.calls.keys()].map(call =>
      row(`\`${call}\``, name => shown(measured[name].calls.get(call) ?? 'not made')),
    ),
  ].join('\n')
}

const [BEGIN, END] = ['<!-- npm run seccomp:table: begin -->', '<!-- npm run seccomp:table: end -->']

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await buildWorkbench()
  const measured = {
    ours: await measure('ours'),
    'Docker’s default': await measure('Docker’s default'),
    unconfined: await measure('unconfined'),
  }
  const path = resolve(ROOT, 'docs/seccomp.md')
  const [before, rest] = readFileSync(path, 'utf8').split(BEGIN)
  const after = rest?.split(END)[1]
  if (before === undefined || after === undefined) throw new Error(`${path} has lost its marks`)
  writeFileSync(path, `${before}${BEGIN}\n\n${tableOf(measured)}\n\n${END}${after}`)
  for (const [name, { failed }] of Object.entries(measured))
    process.stdout.write(
      `${name}: ${failed.length === 0 ? 'everything works' : `did not work: ${failed.join('; ')}`}\n`,
    )
}
