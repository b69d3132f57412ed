/** Turns of the real agent, made by a model that says what one has written down for it: see scripted-model.ts. */
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { openDoors } from '../../steps/attack/doors.ts'
import { cli, quick, type Ran, sh } from './harness.ts'
import { standOn } from './peers.ts'
import type { ScriptedModel, ToolCall } from './scripted-model.ts'

/** Docker's default bridge, at which every container that has a way out reaches this machine. */
export const MACHINE = '172.17.0.1'
export const MODEL_KEY = `sk-scripted-${'a1B2'.repeat(8)}`

/** Sets up a deployment with a coding agent whose model this is. */
export async function setUpCoding(
  folder: string,
  model: ScriptedModel,
  more: readonly string[] = [],
): Promise<Ran> {
  const key = resolve(folder, '../model.key')
  writeFileSync(key, MODEL_KEY, { mode: 0o600 })
  return cli(
    [
      ...(await quick(folder)),
      ...['--agent', 'coding', '--provider', `local=http://${MACHINE}:${model.port}/v1`],
      ...['--model', 'local/m', '--provider-key', `local=@${key}`, ...more],
    ],
    { timeout: 900_000 },
  )
}

let turns = 0

/** One turn that makes these calls, in a session of its own or the one named. What was not answered says so. */
export async function turnIn(
  gateway: string,
  model: ScriptedModel,
  calls: readonly ToolCall[],
  ownSession?: string,
): Promise<string[]> {
  const { message, answers } = model.play(`turn-${turns++}`, calls)
  const session = ownSession ?? `agent:main:${message.replace('play ', '')}`
  const words = ['agent', '--agent', 'main', '--session-key', session, '--message', message, '--json']
  const { code, stderr } = await sh('docker', ['exec', gateway, 'node', 'openclaw.mjs', ...words], {
    timeout: 300_000,
  })
  if (code !== 0) throw new Error(`the turn ended with ${code}: ${stderr.slice(-2000)}`)
  return answers.map(answer => answer ?? 'was not called')
}

export const exec = (command: string, more: object = {}): ToolCall => ({
  tool: 'exec',
  arguments: { command, ...more },
})
export const python = (program: string) => exec(`python3 - <<'END'\n${program}\nEND`, { yieldMs: 60_000 })
export const read = (path: string): ToolCall => ({ tool: 'read', arguments: { path } })
export const write = (path: string, content: string): ToolCall => ({
  tool: 'write',
  arguments: { path, content },
})
export const edit = (path: string, oldText: string, newText: string): ToolCall => ({
  tool: 'edit',
  arguments: { path, edits: [{ oldText, newText }] },
})

/** How much a process of the agent can read, and which of these secrets are in it: told by their hashes. */
export const SEARCH = (wanted: readonly string[]) => `
import glob, hashlib, json, os, re
wanted, seen, files = json.loads('${JSON.stringify(wanted.map(hash))}'), set(), 0
def look(path):
    global files
    try: data = open(path, "rb").read(4_000_000)
    except OSError: return
    files += 1
    for match in re.finditer(rb"[0-9a-f]{64}|sk-[\\w-]{20,}|[A-Za-z0-9+/=]{60,70}", data):
        seen.add(hashlib.sha256(match.group()).hexdigest())
for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline"): look(path)
for top in ["/etc", "/run", "/tmp", "/var", "/home", "/root", "/workspace", "/opt", "/srv", "/mnt", "/app"]:
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path): look(path)
print(json.dumps({"files": files, "found": [one in seen for one in wanted]}))
`
const hash = (text: string) => createHash('sha256').update(text).digest('hex')

/** Somebody outside, by addresses of this machine: they answer every container that has a way out. */
export async function openOutside() {
  const [outside, metadata] = ['198.18.77.2', '169.254.169.254']
  const away = await standOn(`ocs-o-${process.pid}`.slice(0, 15), [outside, metadata])
  const doors = await openDoors(outside)
  const [tcp, udp] = [Number(doors.surroundings.TCP), Number(doors.surroundings.UDP)]
  const targets: Record<string, [string, number]> = {
    'somebody outside': [outside, tcp],
    'the metadata service': [metadata, tcp],
  }
  return {
    targets,
    udp: [outside, udp] as [string, number],
    async close() {
      doors.close()
      await away()
    },
  }
}

/** Each address is knocked at, all at once, and one is asked by a datagram ("UDP"); what happened, by name. */
export const REACH = (targets: Record<string, [string, number]>, udp: [string, number]) => `
import json, socket, threading
result = {}
def knock(name, host, port):
    try:
        socket.create_connection((host, port), 3).close()
        result[name] = "open"
    except OSError as error: result[name] = error.strerror or str(error)
def ask(name):
    try:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.settimeout(3)
        udp.sendto(b"question", ("${udp[0]}", ${udp[1]}))
        udp.recv(100)
        result[name] = "open"
    except OSError as error: result[name] = error.strerror or str(error)
targets = json.loads('${JSON.stringify(targets)}')
threads = [threading.Thread(target=knock, args=(name, *target)) for name, target in targets.items()]
threads.append(threading.Thread(target=ask, args=("UDP",)))
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps(result))
`
